// Where a text stops being JSON: JSON.parse does not always say.

/** White space, a punctuation mark, a text, a number or a word, from where the search stands. */
const TOKEN =
  /[ \t\r\n]*(?:([{}[\],:])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|true\b|false\b|null\b))/y;

/** What may come next. */
type Expected = 'value' | 'first value' | 'key' | 'first key' | 'colon' | 'comma' | 'end';

/** The offset of the first thing that JSON does not allow there; undefined when the text is JSON. */
export function jsonErrorOffset(text: string): number | undefined {
  const inside: ('{' | '[')[] = [];
  let expected: Expected = 'value';
  let at = 0;
  for (;;) {
    const start = skipSpace(text, at);
    if (start >= text.length) return expected === 'end' ? undefined : text.length;
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text);
    if (token === null) return start;
    at = TOKEN.lastIndex;
    const [, mark, string] = token;
    const next = after(expected, mark, string !== undefined, inside);
    if (next === undefined) return start;
    expected = next;
  }
}

function after(
  expected: Expected,
  mark: string | undefined,
  isString: boolean,
  inside: ('{' | '[')[],
): Expected | undefined {
  const done = (): Expected => (inside.length === 0 ? 'end' : 'comma');
  switch (expected) {
    case 'value':
    case 'first value':
      if (mark === undefined) return done();
      if (mark === '{' || mark === '[') {
        inside.push(mark);
        return mark === '{' ? 'first key' : 'first value';
      }
      if (mark !== ']' || expected === 'value') return undefined;
      inside.pop();
      return done();
    case 'key':
    case 'first key':
      if (isString) return 'colon';
      if (mark !== '}' || expected === 'key') return undefined;
      inside.pop();
      return done();
    case 'colon':
      return mark === ':' ? 'value' : undefined;
    case 'comma': {
      const open = inside.at(-1);
      if (mark === ',') return open === '{' ? 'key' : 'value';
      if (mark !== (open === '{' ? '}' : ']')) return undefined;
      inside.pop();
      return done();
    }
    default:
      return undefined;
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text[at]!)) at++;
  return at;
}

/** Line and column of an offset, both from 1. */
export function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: before.at(-1)!.length + 1 };
}
