// What text needs to stand in columns on a terminal: its width, a cut that fits, colours where there is somebody to see them.
import { printable } from '../semconv/printable.ts';

/** Codes of the few styles in use. */
const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof STYLES;

export interface Cell {
  readonly text: string;
  readonly style?: Style | undefined;
  readonly align?: 'right';
}

export interface TableOptions {
  readonly colour?: boolean;
  /** Lines are cut to this many columns. */
  readonly width?: number | undefined;
}

/** Combining marks, joiners and variation selectors take no column of their own. */
const ZERO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const EMOJI = /\p{Emoji_Presentation}|\ufe0f/u;
/** First and last code points of scripts that take two columns (East Asian Wide and Fullwidth, UAX #11). */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x17000, 0x18cff],
  [0x1b000, 0x1b2ff],
  [0x20000, 0x3fffd],
];
const ELLIPSIS = '…';
let segmenter: Intl.Segmenter | undefined;

/** Columns that a text takes on a terminal; it must be printable. */
export function displayWidth(text: string): number {
  if (isPlain(text)) return text.length;
  let width = 0;
  for (const grapheme of graphemes(text)) width += graphemeWidth(grapheme);
  return width;
}

/** The text in at most so many columns; what is cut ends in `…`. */
export function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let kept = '';
  let used = 0;
  for (const grapheme of graphemes(text)) {
    const next = graphemeWidth(grapheme);
    if (used + next > width - 1) break;
    kept += grapheme;
    used += next;
  }
  return width < 1 ? '' : kept + ELLIPSIS;
}

/** Whether a stream is a terminal that wants colours: `NO_COLOR` (when not empty) and a dumb terminal say no. */
export function wantsColour(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return stream.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}

export function paint(text: string, style: Style | undefined, colour: boolean): string {
  return colour && style !== undefined && text !== '' ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text;
}

/** Rows as lines, columns two spaces apart. Texts may be hostile; the lines may be written as they are. */
export function layOut(
  rows: readonly (readonly Cell[])[],
  { colour = false, width }: TableOptions = {},
): string[] {
  const shown = rows.map(row => row.map(cell => ({ ...cell, text: printable(cell.text) })));
  const widths: number[] = [];
  for (const row of shown) {
    row.forEach(({ text }, i) => {
      widths[i] = Math.max(widths[i] ?? 0, displayWidth(text));
    });
  }
  return shown.map(row => {
    let line = '';
    let used = 0;
    row.forEach(({ text, style, align }, i) => {
      const gap = i === 0 ? 0 : 2;
      const room = width === undefined ? Infinity : width - used - gap;
      if (room <= 0) return;
      const padding = ' '.repeat(Math.max(0, widths[i]! - displayWidth(text)));
      const before = align === 'right' ? padding : '';
      const after = align === 'right' || i === row.length - 1 ? '' : padding;
      const fitting = cut(before + text, room);
      line +=
        ' '.repeat(gap) +
        paint(fitting, style, colour) +
        after.slice(0, Math.max(0, room - displayWidth(fitting)));
      used += gap + Math.min(room, displayWidth(before + text) + after.length);
    });
    return line.trimEnd();
  });
}

function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x2ff) return false;
  return true;
}

function* graphemes(text: string): Generator<string> {
  segmenter ??= new Intl.Segmenter();
  for (const { segment } of segmenter.segment(text)) yield segment;
}

function graphemeWidth(grapheme: string): number {
  const point = grapheme.codePointAt(0)!;
  if (EMOJI.test(grapheme)) return 2;
  for (const [first, last] of WIDE) if (point >= first && point <= last) return 2;
  return ZERO_WIDTH.test(grapheme) ? 0 : 1;
}
