// Checks of the numbers that filters are made with.
import { kindOf } from '../checks.ts';

/** A window holds samples: memory grows with it. */
export const MAX_WINDOW = 1_000_000;

export function checkFinite(what: string, value: unknown): void {
  if (typeof value !== 'number')
    throw new TypeError(`kymo: filter ${what} must be a number, not ${kindOf(value)}`);
  if (!Number.isFinite(value)) throw new RangeError(`kymo: filter ${what} must be finite, not ${value}`);
}

export function checkRange(what: string, min: unknown, max: unknown): void {
  checkFinite(what, min);
  checkFinite(what, max);
  if ((min as number) >= (max as number))
    throw new RangeError(`kymo: filter ${what}: min must be less than max, not ${min} and ${max}`);
}

export function checkWindow(what: string, window: unknown): void {
  if (typeof window !== 'number')
    throw new TypeError(`kymo: filter ${what} must be a whole number, not ${kindOf(window)}`);
  if (!Number.isInteger(window) || window < 1 || window > MAX_WINDOW)
    throw new RangeError(
      `kymo: filter ${what} must be a whole number from 1 to ${MAX_WINDOW}, not ${window}`,
    );
}
