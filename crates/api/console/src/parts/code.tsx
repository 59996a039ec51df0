// Text that came from elsewhere, shown as text.

import { useState } from 'react';
import { pretty, prettyText } from '../logic/json';
import { CopyButton } from './copy';

interface CodeProps {
  title: string;
  text: string;
  doesWrap?: boolean;
}

export function Code({ title, text, doesWrap = false }: CodeProps) {
  return (
    <div className="code">
      <div className="code-bar">
        <span>{title}</span>
        <CopyButton text={text} what={title} />
      </div>
      <pre className={doesWrap ? 'wrap' : undefined} tabIndex={0} aria-label={title}>
        {text}
      </pre>
    </div>
  );
}

/** JSON, laid out or byte for byte. */
export function JsonCode({ title, text }: { title: string; text: string }) {
  const [isRaw, setIsRaw] = useState(false);
  return (
    <div className="code">
      <div className="code-bar">
        <span>{title}</span>
        <span className="row">
          <span className="segments" role="group" aria-label={`${title}: how it is shown`}>
            <button type="button" aria-pressed={!isRaw} onClick={() => setIsRaw(false)}>
              Pretty
            </button>
            <button type="button" aria-pressed={isRaw} onClick={() => setIsRaw(true)}>
              Raw
            </button>
          </span>
          <CopyButton text={text} what={title} />
        </span>
      </div>
      <pre className="wrap" tabIndex={0} aria-label={title}>
        {isRaw ? text : <Pretty text={text} />}
      </pre>
    </div>
  );
}

/** A longer text is laid out and not coloured: tens of thousands of pieces make a browser slow. */
const COLOURED_CHARACTERS_MAX = 64_000;

export function Pretty({ text }: { text: string }) {
  if (text.length > COLOURED_CHARACTERS_MAX) return prettyText(text);
  return pretty(text).map((token, index) =>
    token.kind === 'plain' ? (
      token.text
    ) : (
      // Pieces of one text: their place is their identity.
      <span key={index} className={`tok-${token.kind}`}>
        {token.text}
      </span>
    ),
  );
}
