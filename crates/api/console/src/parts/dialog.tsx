// A question or a form over the page: <dialog> keeps the focus inside, and Escape closes it.

import { type ReactNode, useEffect, useId, useRef } from 'react';
import { Icon } from './icons';

interface DialogProps {
  title: string;
  onClose: () => void;
  isBig?: boolean;
  /** Whether Escape does nothing: for what would be lost for ever. */
  isHeld?: boolean;
  children: ReactNode;
}

export function Dialog({ title, onClose, isBig = false, isHeld = false, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    if (element && !element.open) element.showModal();
    return () => {
      element?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className={isBig ? 'big' : undefined}
      aria-labelledby={heading}
      onKeyDown={(event) => {
        // Here and not at "cancel": a browser lets nobody refuse that twice in a row.
        if (event.key !== 'Escape') return;
        event.preventDefault();
        event.stopPropagation();
        if (!isHeld) onClose();
      }}
      onClose={() => {
        // Closed by other means than ours, such as a phone's gesture for going back.
        if (!dialog.current?.isConnected || dialog.current.open) return;
        if (isHeld) dialog.current.showModal();
        else onClose();
      }}
    >
      <div className="dialog-head">
        <h2 id={heading}>{title}</h2>
        {!isHeld && (
          <button type="button" className="close" onClick={onClose}>
            <Icon name="close" />
            <span className="sr-only">Close</span>
          </button>
        )}
      </div>
      <div className="dialog-body">{children}</div>
    </dialog>
  );
}
