// Further axes of one row: epochs, frames, tokens, whatever else a value may be drawn over or told apart by.
import type { Attributes } from '../otlp/model.ts';
import { STEP, USER_TIME } from '../semconv/names.ts';
import { kindOf, shown, wrongType } from './checks.ts';
import type { Complaints } from './complaints.ts';
import { toNumber } from './numbers.ts';

/** Axes ride on every point of a row. */
export const MAX_AXES = 32;
export const MAX_AXIS_NAME = 200;
/** A text is a label, no document. */
export const MAX_AXIS_TEXT = 200;
const MAX_DEPTH = 5;

/**
 * Names to numbers, texts or booleans; maps inside are flattened with dots (`{env: {frames: 1}}` is `env.frames`), the last of equal names
 * wins, null and undefined are left out.
 */
export type Axes = Readonly<Record<string, unknown>>;

/**
 * The caller's axes as attributes of the row's exemplars. What is no axis is dropped and said once (thrown when strict); the row is kept.
 * Throws a TypeError when `axes` is no object.
 */
export function readAxes(call: string, axes: unknown, complaints: Complaints): Attributes | undefined {
  if (typeof axes !== 'object' || axes === null || Array.isArray(axes))
    throw wrongType(`${call}({axes})`, 'an object such as {epoch: 3}', axes);
  const attributes: Attributes = {};
  const count = add(attributes, axes, '', 0, 0, complaints);
  return count === 0 ? undefined : attributes;
}

function add(
  into: Attributes,
  axes: object,
  prefix: string,
  depth: number,
  count: number,
  complaints: Complaints,
): number {
  for (const key of Object.keys(axes)) {
    const name = prefix + key;
    let value: unknown;
    try {
      value = (axes as Record<string, unknown>)[key];
    } catch (error) {
      refuse(name, `cannot be read: ${error instanceof Error ? error.message : kindOf(error)}`, complaints);
      continue;
    }
    if (value === undefined || value === null) continue;
    if (isPlainMap(value) && depth < MAX_DEPTH) {
      count = add(into, value, `${name}.`, depth + 1, count, complaints);
      continue;
    }
    const axis = axisValue(value);
    if (axis === undefined)
      refuse(name, `must be a number, a text or a boolean, not ${kindOf(value)}`, complaints);
    else if (name === '' || name.length > MAX_AXIS_NAME || name === STEP || name === USER_TIME)
      refuse(
        name,
        `must have a name of 1 to ${MAX_AXIS_NAME} characters that is neither ${STEP} nor ${USER_TIME}`,
        complaints,
      );
    else if (count >= MAX_AXES && !Object.hasOwn(into, name))
      refuse(name, `is one more than ${MAX_AXES}`, complaints);
    else {
      if (!Object.hasOwn(into, name)) count++;
      set(into, name, axis);
    }
  }
  return count;
}

function axisValue(value: unknown): string | boolean | number | bigint | undefined {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string')
    return value.length <= MAX_AXIS_TEXT ? value : `${value.slice(0, MAX_AXIS_TEXT)}…`;
  try {
    return toNumber(value);
  } catch {
    return undefined;
  }
}

/** A map made by a literal, as against an array, a tensor or a date. */
function isPlainMap(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function set(into: Attributes, name: string, value: string | boolean | number | bigint): void {
  if (name === '__proto__')
    Object.defineProperty(into, name, { value, enumerable: true, configurable: true, writable: true });
  else into[name] = value;
}

function refuse(name: string, problem: string, complaints: Complaints): void {
  if (complaints.strict) throw new TypeError(`kymo: axis ${shown(name)} ${problem}`);
  complaints.once(`axis ${name}`, `axis ${shown(name)} ${problem}; left out, the row is kept`);
}
