// A question before something that cannot be taken back.

import { type FormEvent, type ReactNode, useState } from 'react';
import { Dialog } from './dialog';
import { Field } from './field';
import { ProblemNote } from './problem';

interface ConfirmProps {
  title: string;
  /** The button's word: what will happen. */
  verb: string;
  /** What has to be typed, so that it is not done by a slip. */
  typed?: string;
  act: () => Promise<unknown>;
  onClose: () => void;
  children: ReactNode;
}

export function Confirm({ title, verb, typed, act, onClose, children }: ConfirmProps) {
  const [text, setText] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setIsBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setIsBusy(true);
    setError(null);
    try {
      await act();
      onClose();
    } catch (failure) {
      setError(failure);
      setIsBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="stack" onSubmit={(event) => void submit(event)}>
        <div className="stack tight">{children}</div>
        {typed !== undefined && (
          <Field label={<>Type {<code>{typed}</code>} to confirm</>}>
            {(ids) => <input {...ids} value={text} onChange={(event) => setText(event.target.value)} autoComplete="off" spellCheck={false} />}
          </Field>
        )}
        {error !== null && <ProblemNote error={error} />}
        <div className="row end">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button danger" disabled={isBusy || (typed !== undefined && text.trim() !== typed)}>
            {verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
