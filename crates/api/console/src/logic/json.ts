// JSON as text. JSON.parse rounds numbers and drops repeated names; a payload is shown as it was sent.

/** Where the value that begins at `at` ends. The text is valid JSON. */
function endOf(text: string, at: number): number {
  const first = text[at];
  if (first === '"') {
    let i = at + 1;
    while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
    return i + 1;
  }
  if (first !== '{' && first !== '[') {
    let i = at;
    while (i < text.length && !/[\s,\]}]/.test(text.charAt(i))) i += 1;
    return i;
  }
  let depth = 0;
  for (let i = at; i < text.length; i += 1) {
    const c = text[i];
    if (c === '"') i = endOf(text, i) - 1;
    else if (c === '{' || c === '[') depth += 1;
    else if (c === '}' || c === ']') {
      depth -= 1;
      if (depth === 0) return i + 1;
    }
  }
  return text.length;
}

const skipSpace = (text: string, at: number) => {
  let i = at;
  while (/\s/.test(text.charAt(i))) i += 1;
  return i;
};

/** The text of a member of nested objects, exactly as it stands in `text`; null when there is none. */
export function rawMember(text: string, path: string[]): string | null {
  const [name, ...rest] = path;
  let at = skipSpace(text, 0);
  if (text[at] !== '{') return null;
  at = skipSpace(text, at + 1);
  while (text[at] === '"') {
    const nameEnd = endOf(text, at);
    const key: unknown = JSON.parse(text.slice(at, nameEnd));
    at = skipSpace(text, nameEnd);
    at = skipSpace(text, at + 1); // The colon.
    const end = endOf(text, at);
    if (key === name) {
      const value = text.slice(at, end);
      return rest.length === 0 ? value : rawMember(value, rest);
    }
    at = skipSpace(text, end);
    if (text[at] !== ',') return null;
    at = skipSpace(text, at + 1);
  }
  return null;
}

export type TokenKind = 'name' | 'string' | 'number' | 'word' | 'plain';
export interface Token {
  kind: TokenKind;
  text: string;
}

/** JSON laid out on lines, in coloured pieces. Numbers, names, escapes and their order stay as they are. */
export function pretty(text: string): Token[] {
  const tokens: Token[] = [];
  let plain = '';
  let depth = 0;
  const line = () => {
    plain += `\n${'  '.repeat(depth)}`;
  };
  const push = (kind: TokenKind, piece: string) => {
    if (plain) tokens.push({ kind: 'plain', text: plain });
    plain = '';
    tokens.push({ kind, text: piece });
  };
  for (let i = 0; i < text.length; ) {
    const c = text.charAt(i);
    if (/\s/.test(c)) {
      i += 1;
    } else if (c === '{' || c === '[') {
      const next = skipSpace(text, i + 1);
      if (text[next] === '}' || text[next] === ']') {
        plain += c + text.charAt(next);
        i = next + 1;
      } else {
        plain += c;
        depth += 1;
        line();
        i += 1;
      }
    } else if (c === '}' || c === ']') {
      depth -= 1;
      line();
      plain += c;
      i += 1;
    } else if (c === ',') {
      plain += c;
      line();
      i += 1;
    } else if (c === ':') {
      plain += ': ';
      i += 1;
    } else {
      const end = Math.max(endOf(text, i), i + 1);
      const piece = text.slice(i, end);
      const isName = c === '"' && text[skipSpace(text, end)] === ':';
      push(isName ? 'name' : c === '"' ? 'string' : /[-\d]/.test(c) ? 'number' : 'word', piece);
      i = end;
    }
  }
  if (plain) tokens.push({ kind: 'plain', text: plain });
  return tokens;
}

export const prettyText = (text: string): string =>
  pretty(text)
    .map((token) => token.text)
    .join('');

/** Why a text is not a JSON object, with line and column; null when it is one. */
export function jsonObjectFault(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      return 'Write a JSON object: it begins with { and ends with }.';
    }
    return null;
  } catch (error) {
    const message = error instanceof Error ? error.message : '';
    const position = /position (\d+)/.exec(message)?.[1];
    if (position === undefined) return text.trim() === '' ? 'Write a JSON object, such as {}.' : 'The JSON is not complete.';
    const before = text.slice(0, Number(position)).split('\n');
    return `Not valid JSON at line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}.`;
  }
}
