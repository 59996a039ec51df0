// Text of the catalogue: what it has in backticks is code.

export function Prose({ text }: { text: string }) {
  return text.split('`').map((piece, index) =>
    // Every second piece stood between two of them.
    index % 2 === 1 ? <code key={index}>{piece}</code> : piece,
  );
}
