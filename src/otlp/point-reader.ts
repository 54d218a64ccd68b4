// Reads what all kinds of metric points share: which series they belong to, and what their exemplars say.
import { STEP, STEP_ATTRIBUTES } from '../semconv/names.ts';
import { newAttributes } from './attributes.ts';
import type { Attributes, PointContext, Resource, Scope } from './model.ts';
import type { ValueReader } from './value-reader.ts';

const TWO_32 = 0x1_0000_0000;
const STEP_BYTES = Buffer.from(STEP);
const STEP_NAMES = STEP_ATTRIBUTES.map(name => Buffer.from(name));
const NO_ATTRIBUTES: Attributes = newAttributes();

/** Which of the exemplars seen since `begin` carries the step, and what else it says. Reused from point to point. */
export class ExemplarReader {
  /** NaN when no exemplar has `kymo.step`. */
  step = Number.NaN;
  readonly #reader: ValueReader;
  #present = false;
  #traceAt = -1;
  #spanAt = -1;
  /** Places of filtered attributes other than the step: start, end, start, end, … of `KeyValue` messages. */
  readonly #extras: number[] = [];

  // What `last` was read from, to give neighbouring points of one row or span one object.
  #last: PointContext | undefined;
  #lastTraceAt = -1;
  #lastSpanAt = -1;
  readonly #lastExtras: number[] = [];

  constructor(reader: ValueReader) {
    this.#reader = reader;
  }

  begin(): void {
    this.step = Number.NaN;
    this.#present = false;
  }

  /** Reads one exemplar (its tag was read). The first one with a step counts, else the first. */
  read(): void {
    const reader = this.#reader;
    if (!Number.isNaN(this.step)) {
      const length = reader.length();
      reader.position += length;
      return;
    }
    const keep = !this.#present;
    const outer = reader.enter();
    const start = reader.position;
    if (keep) this.#read();
    else if (this.#hasStep()) {
      reader.position = start;
      this.#read();
    }
    reader.position = reader.end;
    reader.end = outer;
  }

  /** What the chosen exemplar says beyond step and value; undefined when nothing. */
  context(): PointContext | undefined {
    if (!this.#present) return undefined;
    if (this.#traceAt < 0 && this.#spanAt < 0 && this.#extras.length === 0) return undefined;
    if (this.#last !== undefined && this.#sameAsLast()) return this.#last;
    const reader = this.#reader;
    let attributes = NO_ATTRIBUTES;
    if (this.#extras.length > 0) {
      attributes = newAttributes();
      for (let i = 0; i < this.#extras.length; i += 2)
        readKeyValue(reader, this.#extras[i]!, this.#extras[i + 1]!, attributes);
    }
    const traceId = this.#traceAt < 0 ? '' : reader.idAt(this.#traceAt, 16);
    const spanId = this.#spanAt < 0 ? '' : reader.idAt(this.#spanAt, 8);
    if (traceId === '' && spanId === '' && this.#extras.length === 0) return undefined;
    this.#last = { traceId, spanId, attributes };
    this.#lastTraceAt = this.#traceAt;
    this.#lastSpanAt = this.#spanAt;
    this.#lastExtras.length = 0;
    for (const place of this.#extras) this.#lastExtras.push(place);
    return this.#last;
  }

  #read(): void {
    const reader = this.#reader;
    this.#present = true;
    this.#traceAt = -1;
    this.#spanAt = -1;
    this.#extras.length = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case 0x22: {
          const length = reader.length();
          this.#spanAt = length === 8 ? reader.position : -1;
          reader.position += length;
          break;
        }
        case 0x2a: {
          const length = reader.length();
          this.#traceAt = length === 16 ? reader.position : -1;
          reader.position += length;
          break;
        }
        case 0x3a: {
          const length = reader.length();
          const start = reader.position;
          const end = start + length;
          const step = stepOf(reader, start, end);
          if (Number.isNaN(step)) this.#extras.push(start, end);
          else this.step = step;
          reader.position = end;
          break;
        }
        default:
          reader.skip(tag);
      }
    }
  }

  #hasStep(): boolean {
    const reader = this.#reader;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x3a) {
        reader.skip(tag);
        continue;
      }
      const length = reader.length();
      const start = reader.position;
      if (!Number.isNaN(stepOf(reader, start, start + length))) return true;
      reader.position = start + length;
    }
    return false;
  }

  #sameAsLast(): boolean {
    if (this.#extras.length !== this.#lastExtras.length) return false;
    const { bytes } = this.#reader;
    if (!sameId(bytes, this.#traceAt, this.#lastTraceAt, 16)) return false;
    if (!sameId(bytes, this.#spanAt, this.#lastSpanAt, 8)) return false;
    for (let i = 0; i < this.#extras.length; i += 2) {
      const start = this.#extras[i]!;
      const size = this.#extras[i + 1]! - start;
      const last = this.#lastExtras[i]!;
      if (this.#lastExtras[i + 1]! - last !== size || !sameBytes(bytes, start, last, size)) return false;
    }
    return true;
  }
}

/** What points of one metric have in common; what tells its series apart is their attributes. */
export interface MetricIdentity {
  readonly resource: Resource;
  readonly scope: Scope;
  readonly name: string;
  readonly unit: string;
  readonly description: string;
}

/** A point's attributes split into identity and step. */
export interface PointIdentity {
  /** Equal for points of one series of a metric, whatever the order of their attributes. */
  readonly key: string;
  /** Places of the `KeyValue` messages that are identity: start, end, start, end, … */
  readonly places: readonly number[];
  /** The step found among the attributes; NaN where there is none or the exemplar has it. */
  readonly step: number;
}

/**
 * Reads the attributes of the point at `start` … `end`, which have the tag `attributeTag`. `kymo.step` is never identity;
 * another step attribute is taken out where it is the point's step. Leaves the reader where it was.
 */
export function pointIdentity(
  reader: ValueReader,
  start: number,
  end: number,
  attributeTag: number,
  exemplarHasStep: boolean,
): PointIdentity {
  const outer = reader.end;
  const back = reader.position;
  const places: number[] = [];
  reader.position = start;
  reader.end = end;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== attributeTag) {
      reader.skip(tag);
      continue;
    }
    const length = reader.length();
    places.push(reader.position, reader.position + length);
    reader.position += length;
  }
  let step = Number.NaN;
  // Only our own name is a step beside an exemplar that has one.
  const names = exemplarHasStep ? STEP_NAMES.slice(0, 1) : STEP_NAMES;
  for (const name of names) {
    const at = places.findIndex(
      (place, i) => i % 2 === 0 && !Number.isNaN(stepOf(reader, place, places[i + 1]!, name)),
    );
    if (at < 0) continue;
    if (!exemplarHasStep) step = stepOf(reader, places[at]!, places[at + 1]!, name);
    places.splice(at, 2);
    break;
  }
  reader.position = back;
  reader.end = outer;
  const parts: string[] = [];
  for (let i = 0; i < places.length; i += 2) {
    const text = reader.bytes.toString('latin1', places[i]!, places[i + 1]!);
    parts.push(`${text.length}:${text}`);
  }
  return { key: parts.sort().join(''), places, step };
}

/** The attributes at the places of an identity. */
export function attributesAt(reader: ValueReader, places: readonly number[]): Attributes {
  const attributes = newAttributes();
  for (let i = 0; i < places.length; i += 2) readKeyValue(reader, places[i]!, places[i + 1]!, attributes);
  return attributes;
}

export function sameBytes(bytes: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) {
    if (bytes[a + i] !== bytes[b + i]) return false;
  }
  return true;
}

function sameId(bytes: Uint8Array, a: number, b: number, size: number): boolean {
  if (a < 0 || b < 0) return a < 0 && b < 0;
  return sameBytes(bytes, a, b, size);
}

/** Reads the `KeyValue` at a place into a map. Leaves the reader where it was. */
function readKeyValue(reader: ValueReader, start: number, end: number, into: Attributes): void {
  const outer = reader.end;
  const back = reader.position;
  reader.position = start;
  reader.end = end;
  reader.keyValueHere(into);
  reader.position = back;
  reader.end = outer;
}

/** The number in a `KeyValue` with the given key; NaN for another key or value. Moves the reader. */
function stepOf(reader: ValueReader, start: number, end: number, name: Buffer = STEP_BYTES): number {
  // The key must be this one before anything else is read. It stands before the value, or behind it: the upstream Collector
  // writes fields from the highest number to the lowest.
  const keySize = 2 + name.length;
  if (start + keySize > end) return Number.NaN;
  const isFirst = isKeyAt(reader.bytes, start, name);
  if (!isFirst && !isKeyAt(reader.bytes, end - keySize, name)) return Number.NaN;
  const outer = reader.end;
  reader.position = isFirst ? start + keySize : start;
  reader.end = end;
  let step = Number.NaN;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== 0x12) {
      reader.skip(tag);
      continue;
    }
    const keyValueEnd = reader.enter();
    for (let inner = reader.tag(); inner !== 0; inner = reader.tag()) {
      if (inner === 0x18) {
        const low = reader.varint();
        step = (reader.high | 0) * TWO_32 + low;
      } else if (inner === 0x21) step = reader.double();
      else {
        reader.skip(inner);
        step = Number.NaN;
      }
    }
    reader.end = keyValueEnd;
  }
  reader.end = outer;
  return step;
}

/** Whether a field `key` with this name stands here. */
function isKeyAt(bytes: Buffer, at: number, name: Buffer): boolean {
  if (bytes[at] !== 0x0a || bytes[at + 1] !== name.length) return false;
  for (let i = 0; i < name.length; i++) {
    if (bytes[at + 2 + i] !== name[i]) return false;
  }
  return true;
}
