// Events of TensorBoard into a batch: scalars of both generations, histograms of both, and text.
import { type DecodedValue, decodeEvent } from '../../collector/exporters/tensorboard/event-reader.ts';
import { EVENT_RUN_START, RUN_ATTEMPT, RUN_RESUME_STEP, RUN_STATE, STEP } from '../../semconv/names.ts';
import { attributes, logRecord, nanos, type Origin } from './batch.ts';
import { apart, type LineContext } from './lines.ts';

/** tensorflow/core/framework/types.proto */
const DT_FLOAT = 1;
const DT_DOUBLE = 2;
const DT_STRING = 7;
const DT_INT64 = 9;
const DT_HALF = 19;
const INFO = 9;
/** Buckets of one histogram that are taken; TensorBoard writes 30, ours at most 512. */
const MAX_BUCKETS = 4_096;
/** Tags whose plugin is remembered. */
const MAX_TAGS = 10_000;
/** Text of one value: what is longer is no text for a person. */
const MAX_TEXT_BYTES = 1024 * 1024;

/** Takes one event message. Throws `EventError` where it is none. */
export function addEvent(bytes: Uint8Array, start: number, end: number, context: LineContext): void {
  const { batch, carry, skipped, instance } = context;
  const event = decodeEvent(bytes, start, end);
  const { step, wallTime } = event;
  if (event.start && step <= carry.highestStep) {
    // A restarted writer says from where on it writes again; TensorBoard throws away what it had from there.
    carry.attempt++;
    const origin = originOf(instance, carry.attempt);
    batch.addLog(
      origin,
      logRecord({
        timeUnixNano: nanos(wallTime),
        severityNumber: INFO,
        eventName: EVENT_RUN_START,
        attributes: attributes({
          [RUN_STATE]: 'running',
          [RUN_ATTEMPT]: carry.attempt,
          [RUN_RESUME_STEP]: step,
        }),
      }),
    );
  }
  if (event.values.length === 0) return;
  carry.highestStep = Math.max(carry.highestStep, step);
  const origin = originOf(instance, carry.attempt);
  const values: [string, number][] = [];
  const timeUnixNano = apart(wallTime, carry);
  for (const value of event.values) {
    rememberPlugin(value, carry.plugins);
    const scalar = scalarOf(value);
    const histogram = scalar === undefined ? histogramOf(value) : undefined;
    const texts = scalar === undefined && histogram === undefined ? textsOf(value) : undefined;
    if (scalar !== undefined) values.push([value.tag, scalar]);
    else if (histogram !== undefined)
      batch.addHistogram({ origin, name: value.tag, mode: '', timeUnixNano, step, ...histogram });
    else if (texts === undefined) skipped.others++;
    else {
      for (const text of texts) {
        batch.addLog(
          origin,
          logRecord({
            timeUnixNano,
            severityNumber: INFO,
            severityText: 'INFO',
            body: text,
            attributes: attributes({ [STEP]: step, tag: value.tag }),
          }),
        );
      }
    }
  }
  batch.addRow({ origin, timeUnixNano, step, mode: '', values });
}

function rememberPlugin(value: DecodedValue, plugins: Record<string, string>): void {
  if (value.hasScalar) return;
  if (value.plugin === '') value.plugin = Object.hasOwn(plugins, value.tag) ? plugins[value.tag]! : '';
  else if (!Object.hasOwn(plugins, value.tag) && Object.keys(plugins).length < MAX_TAGS)
    Object.defineProperty(plugins, value.tag, { value: value.plugin, enumerable: true });
}

function originOf(instance: string, attempt: number): Origin {
  return { instance, rank: 0, attempt, scope: '', logger: '' };
}

/** A simple value, or a tensor of one number that is not some other plugin's. */
function scalarOf(value: DecodedValue): number | undefined {
  if (value.hasScalar) return value.scalar;
  if (value.plugin !== 'scalars' && value.plugin !== '') return undefined;
  if (value.shape.some(size => size !== 1)) return undefined;
  const { content } = value;
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  if (content.length === 4 && value.dtype === DT_FLOAT) return view.getFloat32(0, true);
  if (content.length === 8 && value.dtype === DT_DOUBLE) return view.getFloat64(0, true);
  if (content.length === 8 && value.dtype === DT_INT64) return Number(view.getBigInt64(0, true));
  if (content.length === 2 && value.dtype === DT_HALF) return halfFloat(view.getUint16(0, true));
  return value.floats.length === 1 ? value.floats[0] : undefined;
}

interface Buckets {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

function histogramOf(value: DecodedValue): Buckets | undefined {
  const { histogram } = value;
  if (histogram !== undefined) {
    const { limits, counts } = histogram;
    if (counts.length === 0 || limits.length !== counts.length || counts.length > MAX_BUCKETS)
      return undefined;
    return finished(limits.slice(0, -1), counts, histogram.min, histogram.max, histogram.sum);
  }
  const [buckets = 0, three = 0] = value.shape;
  if (value.plugin !== 'histograms' || value.dtype !== DT_DOUBLE || three !== 3) return undefined;
  const { content } = value;
  if (buckets === 0 || buckets > MAX_BUCKETS || content.length !== buckets * 24) return undefined;
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const at = (row: number, column: number) => view.getFloat64((row * 3 + column) * 8, true);
  const rows = Array.from({ length: buckets }, (_, row) => row);
  const rights = rows.map(row => at(row, 1));
  return finished(
    rights.slice(0, -1),
    rows.map(row => at(row, 2)),
    at(0, 0),
    rights.at(-1)!,
    Number.NaN,
  );
}

/** Bounds have to ascend: buckets without a width are joined to their neighbours. */
function finished(
  limits: readonly number[],
  given: readonly number[],
  min: number,
  max: number,
  sum: number,
): Buckets | undefined {
  const bounds: number[] = [];
  const counts: number[] = [];
  let waiting = 0;
  for (const [i, limit] of limits.entries()) {
    waiting += given[i]!;
    if (!Number.isFinite(limit) || limit <= (bounds.at(-1) ?? Number.NEGATIVE_INFINITY)) continue;
    bounds.push(limit);
    counts.push(waiting);
    waiting = 0;
  }
  counts.push(waiting + given.at(-1)!);
  if (counts.some(count => !(count >= 0) || !Number.isFinite(count))) return undefined;
  const whole = counts.map(Math.round);
  const total = whole.reduce((all, one) => all + one, 0);
  return { bounds, counts: whole, count: total, sum, min, max };
}

function textsOf({ plugin, dtype, strings }: DecodedValue): string[] | undefined {
  if (plugin !== 'text' || dtype !== DT_STRING) return undefined;
  return strings
    .filter(bytes => bytes.length <= MAX_TEXT_BYTES)
    .map(bytes => Buffer.from(bytes).toString('utf8'));
}

/** IEEE 754 binary16. */
function halfFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
