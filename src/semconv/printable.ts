// Makes text that came from outside harmless on a terminal: one line, no control sequences, no reversed direction.

/** C0 and C1 controls (with ESC, and so CSI and OSC), line and paragraph separators, bidirectional overrides, BOM. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** The text with every character that could move the cursor or hide something written as `\n`, `\t` or `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeCharacter);
}

function escapeCharacter(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\t') return '\\t';
  if (character === '\r') return '\\r';
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}
