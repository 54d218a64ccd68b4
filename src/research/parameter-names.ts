// The names of a function's parameters, read from its source: what a failed call was given is told by name, so that a
// password is known for one.

/** Longest source of a parameter list that is read; what stands beyond has no name. */
const MAX_SOURCE = 4_000;

const known = new WeakMap<object, readonly (string | undefined)[]>();

/**
 * One entry per parameter: its name, undefined where it has none (a pattern, or a source that does not show it). Never throws.
 * The last one of a function with a rest parameter starts with `...`.
 */
export function parameterNames(fn: object): readonly (string | undefined)[] {
  let names = known.get(fn);
  if (names === undefined) {
    names = readNames(fn);
    known.set(fn, names);
  }
  return names;
}

function readNames(fn: object): (string | undefined)[] {
  try {
    const source = Function.prototype.toString.call(fn).slice(0, MAX_SOURCE);
    if (/\{\s*\[native code\]\s*\}\s*$/.test(source)) return [];
    const bare = /^(?:async\s+)?([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=>/u.exec(source);
    if (bare !== null) return [bare[1]];
    return splitList(source).map(nameOf);
  } catch {
    return [];
  }
}

function nameOf(parameter: string): string | undefined {
  return /^(?:\.\.\.)?[\p{ID_Start}$_][\p{ID_Continue}$]*/u.exec(parameter.trim())?.[0];
}

/** What stands between the first parentheses, cut at the commas of the outermost level; comments left out. */
function splitList(source: string): string[] {
  const list: string[] = [];
  let current = '';
  let depth = 0;
  let computed = 0;
  for (let i = 0; i < source.length; i++) {
    const char = source[i]!;
    const next = source[i + 1];
    if (char === '/' && (next === '/' || next === '*')) {
      const end = next === '/' ? source.indexOf('\n', i) : source.indexOf('*/', i + 2) + 1;
      if (end <= 0) return list;
      i = end;
      continue;
    }
    if (char === '"' || char === "'" || char === '`') {
      const end = endOfText(source, i);
      if (end < 0) return list;
      if (depth > 0) current += source.slice(i, end + 1);
      i = end;
      continue;
    }
    // A method's computed name may hold parentheses of its own.
    if (depth === 0 && char === '[') computed++;
    if (depth === 0 && char === ']') computed--;
    if (computed > 0) continue;
    if ('([{'.includes(char) && (depth > 0 || char === '(')) {
      depth++;
      if (depth === 1) continue;
    } else if (')]}'.includes(char) && depth > 0) {
      depth--;
      if (depth === 0) {
        if (current.trim() !== '') list.push(current);
        return list;
      }
    } else if (char === ',' && depth === 1) {
      list.push(current);
      current = '';
      continue;
    }
    if (depth > 0) current += char;
  }
  return list;
}

/** Index of the quote that closes the one at `start`; -1 when none does. A template's expressions count as text. */
function endOfText(source: string, start: number): number {
  for (let i = start + 1; i < source.length; i++) {
    if (source[i] === '\\') i++;
    else if (source[i] === source[start]) return i;
  }
  return -1;
}
