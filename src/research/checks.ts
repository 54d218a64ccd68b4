// What is said about a call of the wrong shape: the argument, what it should be, and the type of what came.

/** Longest piece of a caller's value that a message repeats. */
const MAX_SHOWN = 40;

/** What a value is, in words for a message: `string "abc"`, `null`, `array of 3`, `Map`. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'string':
      return `string ${shown(value)}`;
    case 'number':
    case 'bigint':
    case 'boolean':
      return `${typeof value} ${String(value)}`;
    case 'function':
      return value.name === '' ? 'function' : `function ${shown(value.name)}`;
    case 'object':
      if (Array.isArray(value)) return `array of ${value.length}`;
      return objectName(value);
    default:
      return typeof value;
  }
}

/** A caller's text as a message repeats it: quoted, escaped, cut. */
export function shown(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
}

/** @param argument as the caller wrote it: `init({project})`, `log(row)` */
export function wrongType(argument: string, expected: string, value: unknown): TypeError {
  return new TypeError(`kymo: ${argument} must be ${expected}, not ${kindOf(value)}`);
}

/** Throws unless `options` is an object that has only `known` keys; names the nearest one for a slip of the pen. */
export function checkOptions(call: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw wrongType(`${call}(options)`, `an object such as {${known[0]}: …}`, options);
  for (const key of Object.keys(options)) if (!known.includes(key)) throw unknownKey(call, key, known);
}

export function unknownKey(call: string, key: string, known: readonly string[]): TypeError {
  const near = nearest(key, known);
  const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
  return new TypeError(`kymo: ${call} has no option ${shown(key)} (${hint})`);
}

/** The candidate that a slip of the pen turns into `name`: at most a third of its letters differ. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  if (name.length > MAX_SHOWN) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Letters inserted, left out, replaced, or swapped with their neighbour; `limit` when there are at least that many. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    const above = rows[i - 1]!;
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      let distance = Math.min(
        above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
        above[j]! + 1,
        row[j - 1]! + 1,
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        distance = Math.min(distance, rows[i - 2]![j - 2]! + 1);
      row.push(distance);
    }
    rows.push(row);
  }
  return Math.min(rows[a.length]![b.length]!, limit);
}

function objectName(value: object): string {
  try {
    const name: unknown = value.constructor?.name;
    return typeof name === 'string' && name !== '' && name !== 'Object' ? name : 'object';
  } catch {
    return 'object';
  }
}
