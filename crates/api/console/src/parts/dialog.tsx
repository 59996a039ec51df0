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
      onCancel={(event) => {
        // A cancelled file chooser or a nested dialog says "cancel" too.
        if (event.target !== dialog.current) return;
        event.preventDefault();
        if (!isHeld) onClose();
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
