// What becomes of mixed values: numbers go into a row, arrays become images, videos or vector fields by their shape, the rest is told.
import { kindOf, shown } from '../checks.ts';
import { toNumber } from '../numbers.ts';
import { type Numbers, readArray } from './shapes.ts';
import { isImageShape, readAccepted, videoLayouts } from './sources.ts';

export interface Promoted {
  /** Numbers by name. */
  readonly row: Record<string, unknown>;
  readonly media: {
    readonly name: string;
    readonly as: 'image' | 'video' | 'vectorField';
    readonly value: unknown;
  }[];
  readonly unsupported: { readonly name: string; readonly problem: string }[];
}

/** Elements of a vector: each becomes a series. */
export const MAX_VECTOR = 1_000;
/** How deep dictionaries may nest, and entries of one call. */
const MAX_DEPTH = 20;
const MAX_ENTRIES = 100_000;

/** `name_0`, `name_1`, … Throws a TypeError or RangeError for what is no list of 1 to 1,000 numbers. */
export function promoteVector(subject: string, name: string, values: unknown): Promoted {
  const promoted = empty();
  const array = readAccepted(subject, values, {}, `[1 to ${MAX_VECTOR}]`);
  if (array === undefined)
    throw new TypeError(
      `kymo: ${subject} must be a list of numbers (an array, a typed array, a tensor), not ${kindOf(values)}`,
    );
  if (array.shape.length !== 1 || array.data.length === 0 || array.data.length > MAX_VECTOR)
    throw new RangeError(
      `kymo: ${subject} has shape [${array.shape.join(', ')}]; accepted is [1 to ${MAX_VECTOR}] (histogram takes more)`,
    );
  addVector(name, array, promoted);
  return promoted;
}

/** A row that may hold images: arrays of the shape of one become images, other values stay. */
export function promoteRow(metrics: object): Promoted {
  const promoted = empty();
  for (const [name, value] of Object.entries(metrics)) {
    const array = arrayOf(name, value, promoted);
    if (array === 'bad') continue;
    if (array === undefined || array.data.length === 1) promoted.row[name] = value;
    else if (array.shape.length === 1) addVector(name, array, promoted);
    else if (isImageShape(array.shape)) promoted.media.push({ name, as: 'image', value: array });
    else promoted.unsupported.push({ name, problem: unsupported(name, array) });
  }
  return promoted;
}

/** Names are joined with `/`; a key that begins with one is added as it is. */
export function promoteDictionary(name: string, data: object): Promoted {
  const promoted = empty();
  let entries = 0;
  const path = new Set<object>();
  const visit = (prefix: string, map: object): void => {
    if (path.has(map) || path.size >= MAX_DEPTH) {
      const problem = path.has(map) ? 'contains itself' : `nests deeper than ${MAX_DEPTH} levels`;
      promoted.unsupported.push({ name: prefix, problem: `dictionary ${shown(prefix)} ${problem}` });
      return;
    }
    path.add(map);
    for (const [key, value] of map instanceof Map ? map : Object.entries(map)) {
      const full = String(key).startsWith('/') ? `${prefix}${key}` : `${prefix}/${key}`;
      if (entries++ >= MAX_ENTRIES) {
        promoted.unsupported.push({
          name,
          problem: `dictionary ${shown(name)} has more than ${MAX_ENTRIES} entries`,
        });
        break;
      }
      const array = arrayOf(full, value, promoted);
      if (array === 'bad') continue;
      if (array !== undefined) addArray(full, array, promoted);
      else if (isMap(value)) visit(full, value);
      else if (toNumber(value) !== undefined) promoted.row[full] = value;
      else
        promoted.unsupported.push({
          name: full,
          problem: `metric ${shown(full)} has an unsupported type: ${kindOf(value)}`,
        });
    }
    path.delete(map);
  };
  visit(name, data);
  return promoted;
}

function addArray(name: string, array: Numbers, promoted: Promoted): void {
  const { shape } = array;
  if (array.data.length === 1) promoted.row[name] = array.data[0];
  else if (shape.length === 1) addVector(name, array, promoted);
  else if (shape.length <= 3 && isImageShape(shape)) promoted.media.push({ name, as: 'image', value: array });
  else if (shape.length === 3 && shape[2] === 2)
    promoted.media.push({ name, as: 'vectorField', value: array });
  else if (shape.length === 4 && videoLayouts(shape).length > 0)
    promoted.media.push({ name, as: 'video', value: array });
  else promoted.unsupported.push({ name, problem: unsupported(name, array) });
}

function addVector(name: string, { data }: Numbers, promoted: Promoted): void {
  if (data.length === 0 || data.length > MAX_VECTOR) {
    const problem = `metric ${shown(name)} has ${data.length} elements; a vector has 1 to ${MAX_VECTOR}`;
    promoted.unsupported.push({ name, problem });
    return;
  }
  for (let i = 0; i < data.length; i++) promoted.row[`${name}_${i}`] = data[i];
}

/** Undefined for what is no array, `bad` for one that cannot be read. */
function arrayOf(name: string, value: unknown, promoted: Promoted): Numbers | 'bad' | undefined {
  try {
    return readArray(`metric ${shown(name)}`, value);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    promoted.unsupported.push({ name, problem: message.replace(/^kymo: /, '') });
    return 'bad';
  }
}

function unsupported(name: string, { shape }: Numbers): string {
  return `metric ${shown(name)} has the shape [${shape.join(', ')}], which is neither a number, a vector, an image nor a field`;
}

function isMap(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  if (value instanceof Map) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  // A plain object, of whatever realm.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function empty(): Promoted {
  return { row: Object.create(null) as Record<string, unknown>, media: [], unsupported: [] };
}
