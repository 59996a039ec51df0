// A button that copies, and says so.

import { useEffect, useState } from 'react';
import { Icon } from './icons';

interface CopyButtonProps {
  text: string;
  /** What is copied, for those who do not see where the button stands: "the secret". */
  what: string;
  isPrimary?: boolean;
}

export function CopyButton({ text, what, isPrimary = false }: CopyButtonProps) {
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle');
  useEffect(() => {
    if (state === 'idle') return;
    const timer = setTimeout(() => setState('idle'), 2500);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = async () => setState((await copied(text)) ? 'copied' : 'failed');
  return (
    <>
      <button type="button" className={isPrimary ? 'button primary' : 'button little'} onClick={() => void copy()}>
        <Icon name="copy" size={14} />
        {state === 'copied' ? 'Copied' : state === 'failed' ? 'Select and copy it' : 'Copy'}
        <span className="sr-only"> {what}</span>
      </button>
      <span className="sr-only" role="status">
        {state === 'copied' ? `Copied ${what}` : ''}
      </span>
    </>
  );
}

async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedTheOldWay(text);
  }
}

/** Over plain http there is no clipboard, which is how a console on a private network is often served. */
function copiedTheOldWay(text: string): boolean {
  const area = document.createElement('textarea');
  area.value = text;
  area.readOnly = true;
  area.style.position = 'fixed';
  area.style.opacity = '0';
  // Within an open dialog nothing outside of it can be selected.
  const parent = document.querySelector('dialog[open]') ?? document.body;
  const before = document.activeElement;
  parent.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return done;
}
