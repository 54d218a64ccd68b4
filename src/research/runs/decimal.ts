// Decimal numbers in bytes as the nearest double, without making a string of them: most of the time that reading a metrics file takes.

/** Digits that a double holds exactly, and how many are kept beside them; numbers with more, which nobody prints, go the slow way. */
const FIRST_DIGITS = 15;
const SECOND_DIGITS = 8;
/** Powers of ten that a double holds exactly. */
const EXACT_POWER = 22;
/** Beyond these powers the slow way; within them no step over- or underflows. */
const MAX_POWER = 60;
/** Splits a double into two halves of 26 bits (T. J. Dekker, A floating-point technique for extending the available precision, 1971). */
const SPLITTER = 2 ** 27 + 1;
/** Far more than what the products below are off, relative to the result: less than 2^-103. */
const DOUBT = 2 ** -100;

/** Powers of ten as unevaluated sums of two doubles, from 10^-60 to 10^60; made at first use. */
let high: Float64Array | undefined;
let low: Float64Array;

/**
 * Reads the JSON number that begins at `at`. `end` is then the place behind it, or -1 when there is no JSON number, whose value then means
 * nothing. The result is what `Number` makes of the same text, to the last bit.
 */
export class DecimalReader {
  end = 0;

  /** `view` is of the same bytes. */
  read(bytes: Uint8Array, view: DataView, start: number): number {
    const groups = view.byteLength - 4;
    let at = start;
    let byte = bytes[at]!;
    const negative = byte === 0x2d;
    if (negative) byte = bytes[++at]!;
    const wholeAt = at;
    /** The first digits, and those that they have no room for. */
    let first = 0;
    let second = 0;
    for (; byte >= 0x30 && byte <= 0x39; byte = bytes[++at]!) first = first * 10 + (byte - 0x30);
    let digits = at - wholeAt;
    if (digits === 0 || (digits > 1 && bytes[wholeAt] === 0x30)) return this.none();
    let secondDigits = 0;
    let tooMany = digits > FIRST_DIGITS;
    let power = 0;
    if (byte === 0x2e) {
      const fractionAt = ++at;
      for (; digits <= FIRST_DIGITS - 4 && at <= groups; at += 4) {
        const four = view.getInt32(at, true);
        if ((four & HIGH_HALVES) !== DIGITS || (((four + SIXES) | 0) & HIGH_HALVES) !== DIGITS) break;
        first = first * 10_000 + numberOf(four);
        digits += 4;
      }
      for (; digits > FIRST_DIGITS - 4 && secondDigits <= SECOND_DIGITS - 4 && at <= groups; at += 4) {
        const four = view.getInt32(at, true);
        if ((four & HIGH_HALVES) !== DIGITS || (((four + SIXES) | 0) & HIGH_HALVES) !== DIGITS) break;
        second = second * 10_000 + numberOf(four);
        secondDigits += 4;
      }
      for (byte = bytes[at]!; byte >= 0x30 && byte <= 0x39; byte = bytes[++at]!) {
        if (secondDigits === SECOND_DIGITS) tooMany = true;
        else {
          second = second * 10 + (byte - 0x30);
          secondDigits++;
        }
      }
      power = fractionAt - at;
      if (power === 0) return this.none();
      if (digits + secondDigits <= FIRST_DIGITS) {
        first = first * EXACT[secondDigits]! + second;
        second = 0;
        secondDigits = 0;
      }
    }
    if (byte === 0x65 || byte === 0x45) {
      const sign = bytes[++at];
      if (sign === 0x2d || sign === 0x2b) at++;
      const from = at;
      let exponent = 0;
      for (byte = bytes[at]!; byte >= 0x30 && byte <= 0x39; byte = bytes[++at]!)
        exponent = Math.min(99_999, exponent * 10 + (byte - 0x30));
      if (at === from) return this.none();
      power += sign === 0x2d ? -exponent : exponent;
    }
    this.end = at;
    let value: number;
    if (tooMany || power < -MAX_POWER || power > MAX_POWER) value = slow(bytes, wholeAt, at);
    else if (secondDigits > 0 || power < -EXACT_POWER || power > EXACT_POWER)
      value = scaled(first, second, secondDigits, power, bytes, wholeAt, at);
    // Both exact, so that one rounding gives the nearest.
    else value = power < 0 ? first / EXACT[-power]! : first * EXACT[power]!;
    return negative ? -value : value;
  }

  private none(): number {
    this.end = -1;
    return 0;
  }
}

/** Of four bytes that are digits. */
function numberOf(four: number): number {
  const values = (four - DIGITS) | 0;
  const pairs = (Math.imul(values, 10) + (values >> 8)) | 0;
  return (Math.imul(pairs & 0xff, 100) + ((pairs >> 16) & 0xff)) | 0;
}

/** Four digits as bytes of one number, and what tells that all four are: their high halves, also after adding 6. */
const DIGITS = 0x30303030;
const HIGH_HALVES = 0xf0f0f0f0 | 0;
const SIXES = 0x06060606;
const EXACT = Array.from({ length: EXACT_POWER + 1 }, (_, power) => Number(`1e${power}`));

/** `(first * 10^secondDigits + second) * 10^power`, in double-double arithmetic, unless that is too near to the middle of two doubles. */
function scaled(
  first: number,
  second: number,
  secondDigits: number,
  power: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  if (high === undefined) makePowers();
  // first * 10^secondDigits, exactly, as product + error.
  const ten = EXACT[secondDigits]!;
  const product = first * ten;
  const error = productError(first, ten, product);
  // Plus second: exact too, since all of it is whole and small against the product.
  const sum = product + second;
  const rest = product - sum + second + error;
  const ofPower = power + MAX_POWER;
  const factor = high![ofPower]!;
  const result = sum * factor;
  const more = productError(sum, factor, result) + (sum * low[ofPower]! + rest * factor);
  const doubt = result * DOUBT;
  const nearest = result + (more + doubt);
  return nearest === result + (more - doubt) ? nearest : slow(bytes, start, end);
}

/** What `product` lacks to be `a * b`, exactly. */
function productError(a: number, b: number, product: number): number {
  const ca = SPLITTER * a;
  const ah = ca - (ca - a);
  const al = a - ah;
  const cb = SPLITTER * b;
  const bh = cb - (cb - b);
  const bl = b - bh;
  return al * bl - (product - ah * bh - al * bh - ah * bl);
}

function slow(bytes: Uint8Array, start: number, end: number): number {
  return Number(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1'));
}

function makePowers(): void {
  high = new Float64Array(2 * MAX_POWER + 1);
  low = new Float64Array(2 * MAX_POWER + 1);
  for (let power = -MAX_POWER; power <= MAX_POWER; power++) {
    const nearest = Number(`1e${power}`);
    high[power + MAX_POWER] = nearest;
    low[power + MAX_POWER] = difference(power, nearest);
  }
}

/** 10^power minus a double, rounded once, by whole numbers. */
function difference(power: number, double: number): number {
  // The double as mantissa / 2^shift, exactly.
  let shift = 0;
  let mantissa = double;
  while (!Number.isInteger(mantissa)) {
    mantissa *= 2;
    shift++;
  }
  const whole = BigInt(mantissa);
  // 200 more bits than the double has.
  const bits = BigInt(shift + 200);
  const exact = power >= 0 ? (10n ** BigInt(power)) << bits : (1n << bits) / 10n ** BigInt(-power);
  return Number(exact - (whole << (bits - BigInt(shift)))) / 2 ** Number(bits);
}
