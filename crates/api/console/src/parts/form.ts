// Sending a form: one key for one intent, faults at their fields, and the focus where something is to be corrected.

import { useCallback, useRef, useState } from 'react';
import { freshKey, Problem } from '../api/client';
import { fieldFaults } from '../words/problems';

export interface Sending {
  isBusy: boolean;
  /** What the server, or the check before it, finds wrong with each field. */
  faults: Record<string, string>;
  /** What failed and is no field's fault; null when nothing did. */
  error: unknown;
  /** Faults of fields that this form does not have. */
  others: string[];
  /**
   * Sends. `body` is what is sent, as text: as long as it stays the same, a repetition has the same key and does
   * nothing twice. Resolves to null when it failed.
   */
  send: <T>(body: string, act: (key: string) => Promise<T>) => Promise<T | null>;
  /** Faults found before sending. */
  refuse: (faults: Record<string, string>) => void;
}

export function useSending(fields: readonly string[]): Sending {
  const intent = useRef<{ body: string; key: string } | null>(null);
  const [state, setState] = useState<Omit<Sending, 'send' | 'refuse'>>({ isBusy: false, faults: {}, error: null, others: [] });

  const refuse = useCallback((faults: Record<string, string>) => {
    setState({ isBusy: false, faults, error: null, others: [] });
    focusFault();
  }, []);

  const send = async <T>(body: string, act: (key: string) => Promise<T>): Promise<T | null> => {
    if (intent.current?.body !== body) intent.current = { body, key: freshKey() };
    setState({ isBusy: true, faults: {}, error: null, others: [] });
    try {
      const answer = await act(intent.current.key);
      intent.current = null;
      setState({ isBusy: false, faults: {}, error: null, others: [] });
      return answer;
    } catch (error) {
      const { by, rest } = fieldFaults(error, fields);
      const isOfFields = error instanceof Problem && error.status === 422 && Object.keys(by).length > 0;
      setState({ isBusy: false, faults: by, error: isOfFields ? null : error, others: rest });
      if (isOfFields) focusFault();
      return null;
    }
  };
  return { ...state, send, refuse };
}

function focusFault(): void {
  requestAnimationFrame(() => {
    const scope = document.querySelector('dialog[open]') ?? document;
    scope.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  });
}
