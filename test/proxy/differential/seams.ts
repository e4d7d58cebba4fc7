/** Positions in a text beside something that is neither letter nor digit: to a parser, the inside of a word is one place. */
export function seamsOf(text: string): number[] {
  return Array.from(text, (_, at) => at).filter((at) => at > 0 && /[^A-Za-z0-9]/.test(text.slice(at - 1, at + 1)));
}
