// Regular expressions from configurations: the part of RE2's language that is also JavaScript's, and that cannot run away.

/** A text is matched by its first characters: matching may take time that grows with the square of its length. */
export const MAX_MATCHED_CHARACTERS = 4_096;
const MAX_PATTERN_CHARACTERS = 1_000;

/** Matches anywhere in the text, as upstream does. */
export interface Pattern {
  test(text: string): boolean;
  /** Named groups of the first match; undefined where there is none. */
  groups(text: string): Readonly<Record<string, string | undefined>> | undefined;
  readonly names: readonly string[];
}

export function compilePattern(text: string): Pattern | { readonly problem: string } {
  const problem = notLinear(text);
  if (problem !== undefined) return { problem };
  let source = text.replace(/\(\?P</g, '(?<');
  let flags = '';
  const leading = /^\(\?([is]+)\)/.exec(source);
  if (leading !== null) {
    flags = [...new Set(leading[1])].join('');
    source = source.slice(leading[0].length);
  }
  let expression: RegExp;
  try {
    expression = new RegExp(source, flags);
  } catch (error) {
    return { problem: `is no regular expression: ${(error as Error).message.replace(/^.*: /, '')}` };
  }
  const names = [...source.matchAll(/\(\?<([A-Za-z_]\w*)>/g)].map(match => match[1]!);
  return {
    test: value => expression.test(value.slice(0, MAX_MATCHED_CHARACTERS)),
    groups: value => expression.exec(value.slice(0, MAX_MATCHED_CHARACTERS))?.groups,
    names,
  };
}

/** What RE2 does not have, and repeated groups that themselves repeat or choose: a sender could make these take for ever. */
function notLinear(text: string): string | undefined {
  if (text.length > MAX_PATTERN_CHARACTERS) return `is longer than ${MAX_PATTERN_CHARACTERS} characters`;
  /** For each open group: whether it holds something that repeats without end, or a choice. */
  const open: boolean[] = [];
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (char === '\\') {
      if (/[1-9k]/.test(text[i + 1] ?? '')) return 'refers back to a group, which RE2 does not have';
      i++;
    } else if (char === '[') {
      i = endOfClass(text, i);
    } else if (char === '(') {
      if (/^\(\?(<?[=!])/.test(text.slice(i))) return 'looks ahead or behind, which RE2 does not have';
      open.push(false);
    } else if (char === ')') {
      const risky = open.pop() ?? false;
      const repeats = repeatsWithoutEnd(text, i + 1);
      if (risky && repeats)
        return 'repeats a group that repeats or chooses itself, which could take for ever; write it without, such as [ab]* for (a|b)*';
      if ((risky || repeats) && open.length > 0) open[open.length - 1] = true;
    } else if ((char === '|' || repeatsWithoutEnd(text, i)) && open.length > 0) {
      open[open.length - 1] = true;
    }
  }
  return undefined;
}

function repeatsWithoutEnd(text: string, at: number): boolean {
  return /^(\*|\+|\{\d+,\d*\})/.test(text.slice(at, at + 12));
}

function endOfClass(text: string, start: number): number {
  let i = start + 1;
  if (text[i] === '^') i++;
  if (text[i] === ']') i++;
  while (i < text.length && text[i] !== ']') i += text[i] === '\\' ? 2 : 1;
  return i;
}
