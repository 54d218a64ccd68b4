// Reads the fields of `Event` messages that this exporter writes: to put late points into order, to learn where a run stands after
// a restart, and for tests.
import { type RecordsEnd, walkRecords } from './records.ts';

/** What the writer needs to know of an event without decoding its values. */
export interface EventHead {
  wallTime: number;
  step: number;
  /** `SessionLog` START. */
  isStart: boolean;
  note: string;
  /** Where the `Summary` lies; -1 without one. */
  summaryStart: number;
  summaryEnd: number;
}

/** Reads an event's head into `head`, which is reused so that a scan allocates nothing. Throws EventError. */
export function readHead(bytes: Uint8Array, start: number, end: number, head: EventHead): void {
  head.wallTime = 0;
  head.step = 0;
  head.isStart = false;
  head.note = '';
  head.summaryStart = -1;
  head.summaryEnd = -1;
  const at: Place = { at: start };
  while (at.at < end) {
    const key = varint(bytes, at, end);
    if (key === 0x10) head.step = int64(bytes, at, end);
    else if (key === 0x09) {
      skip(at, 8, end);
      head.wallTime = double(bytes, at.at - 8);
    } else if (key === 0x2a) {
      const length = varint(bytes, at, end);
      head.summaryStart = at.at;
      head.summaryEnd = at.at + length;
      skip(at, length, end);
    } else if (key === 0x3a) {
      const length = varint(bytes, at, end);
      const sessionEnd = at.at + length;
      if (sessionEnd > end) throw new EventError('a session log reaches beyond its event');
      while (at.at < sessionEnd) {
        const sessionKey = varint(bytes, at, sessionEnd);
        if (sessionKey === 0x08) head.isStart = varint(bytes, at, sessionEnd) === 1;
        else if (sessionKey === 0x1a) head.note = text(bytes, at, sessionEnd);
        else skipField(bytes, at, sessionEnd, sessionKey);
      }
    } else skipField(bytes, at, end, key);
  }
}

export function newHead(): EventHead {
  return { wallTime: 0, step: 0, isStart: false, note: '', summaryStart: -1, summaryEnd: -1 };
}

/** Calls `visit` with each value's tag and its plugin's name (`scalars` for a simple value). Throws EventError. */
export function visitTags(
  bytes: Uint8Array,
  summaryStart: number,
  summaryEnd: number,
  visit: (tag: string, plugin: string) => void,
): void {
  const at: Place = { at: summaryStart };
  while (at.at < summaryEnd) {
    const key = varint(bytes, at, summaryEnd);
    if (key !== 0x0a) {
      skipField(bytes, at, summaryEnd, key);
      continue;
    }
    const valueEnd = lengthEnd(bytes, at, summaryEnd);
    let tag = '';
    let plugin = '';
    while (at.at < valueEnd) {
      const valueKey = varint(bytes, at, valueEnd);
      if (valueKey === 0x0a) tag = text(bytes, at, valueEnd);
      else if (valueKey === 0x15) {
        plugin = 'scalars';
        skip(at, 4, valueEnd);
      } else if (valueKey === 0x4a) plugin = pluginData(bytes, at, valueEnd).name;
      else skipField(bytes, at, valueEnd, valueKey);
    }
    visit(tag, plugin);
  }
}

/** A decoded event, for tests and tools. */
export interface DecodedEvent {
  wallTime: number;
  step: number;
  fileVersion: string;
  start: boolean;
  note: string;
  values: DecodedValue[];
}
export interface DecodedValue {
  tag: string;
  plugin: string;
  pluginContent: Uint8Array;
  /** NaN where the value is no scalar; `hasScalar` tells it from a NaN that was logged. */
  scalar: number;
  hasScalar: boolean;
  dtype: number;
  shape: number[];
  content: Uint8Array;
  strings: Uint8Array[];
  /** `float_val` of a tensor that has no `tensor_content`. */
  floats: number[];
  /** A `HistogramProto`, as writers of the first generation have it. */
  histogram: { min: number; max: number; sum: number; limits: number[]; counts: number[] } | undefined;
}

/** Decodes one event message. Throws EventError. */
export function decodeEvent(bytes: Uint8Array, start = 0, end = bytes.length): DecodedEvent {
  const head = newHead();
  readHead(bytes, start, end, head);
  const event: DecodedEvent = {
    wallTime: 0,
    step: head.step,
    fileVersion: '',
    start: head.isStart,
    note: head.note,
    values: [],
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at: Place = { at: start };
  while (at.at < end) {
    const key = varint(bytes, at, end);
    if (key === 0x09) {
      event.wallTime = view.getFloat64(at.at, true);
      skip(at, 8, end);
    } else if (key === 0x1a) event.fileVersion = text(bytes, at, end);
    else skipField(bytes, at, end, key);
  }
  if (head.summaryStart >= 0) {
    at.at = head.summaryStart;
    while (at.at < head.summaryEnd) {
      const key = varint(bytes, at, head.summaryEnd);
      if (key === 0x0a) {
        const valueEnd = lengthEnd(bytes, at, head.summaryEnd);
        event.values.push(decodeValue(bytes, view, at, valueEnd));
      } else skipField(bytes, at, head.summaryEnd, key);
    }
  }
  return event;
}

/** All events of a file's bytes, and how they ended. */
export function decodeFile(bytes: Uint8Array): { events: DecodedEvent[]; end: RecordsEnd } {
  const events: DecodedEvent[] = [];
  const end = walkRecords(bytes, 0, (chunk, from, to) => events.push(decodeEvent(chunk, from, to)));
  return { events, end };
}

/** The record's CRCs are right and yet it is no event. */
export class EventError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'EventError';
  }
}

interface Place {
  at: number;
}

const TEXT = new TextDecoder();

function decodeValue(bytes: Uint8Array, view: DataView, at: Place, end: number): DecodedValue {
  const value: DecodedValue = {
    tag: '',
    plugin: '',
    pluginContent: new Uint8Array(0),
    scalar: Number.NaN,
    hasScalar: false,
    dtype: 0,
    shape: [],
    content: new Uint8Array(0),
    strings: [],
    floats: [],
    histogram: undefined,
  };
  while (at.at < end) {
    const key = varint(bytes, at, end);
    if (key === 0x0a) value.tag = text(bytes, at, end);
    else if (key === 0x15) {
      value.scalar = view.getFloat32(at.at, true);
      value.hasScalar = true;
      skip(at, 4, end);
    } else if (key === 0x2a) value.histogram = decodeHistogram(bytes, view, at, lengthEnd(bytes, at, end));
    else if (key === 0x42) decodeTensor(bytes, at, lengthEnd(bytes, at, end), value);
    else if (key === 0x4a) {
      const plugin = pluginData(bytes, at, end);
      value.plugin = plugin.name;
      value.pluginContent = plugin.content;
    } else skipField(bytes, at, end, key);
  }
  return value;
}

function decodeTensor(bytes: Uint8Array, at: Place, end: number, value: DecodedValue): void {
  while (at.at < end) {
    const key = varint(bytes, at, end);
    if (key === 0x08) value.dtype = varint(bytes, at, end);
    else if (key === 0x12) {
      const shapeEnd = lengthEnd(bytes, at, end);
      while (at.at < shapeEnd) {
        varint(bytes, at, shapeEnd);
        const dimensionEnd = lengthEnd(bytes, at, shapeEnd);
        let size = 0;
        while (at.at < dimensionEnd) {
          const dimensionKey = varint(bytes, at, dimensionEnd);
          if (dimensionKey === 0x08) size = int64(bytes, at, dimensionEnd);
          else skipField(bytes, at, dimensionEnd, dimensionKey);
        }
        value.shape.push(size);
      }
    } else if (key === 0x22) value.content = slice(bytes, at, end);
    else if (key === 0x42) value.strings.push(slice(bytes, at, end));
    else if (key === 0x2a) {
      const floats = slice(bytes, at, end);
      const view = new DataView(floats.buffer);
      for (let i = 0; i + 4 <= floats.length; i += 4) value.floats.push(view.getFloat32(i, true));
    } else if (key === 0x2d) {
      skip(at, 4, end);
      value.floats.push(new DataView(bytes.buffer, bytes.byteOffset).getFloat32(at.at - 4, true));
    } else skipField(bytes, at, end, key);
  }
}

/** tensorboard/compat/proto/summary.proto, HistogramProto: min 1, max 2, num 3, sum 4, sum_squares 5, bucket_limit 6, bucket 7. */
function decodeHistogram(
  bytes: Uint8Array,
  view: DataView,
  at: Place,
  end: number,
): NonNullable<DecodedValue['histogram']> {
  const histogram = {
    min: Number.NaN,
    max: Number.NaN,
    sum: Number.NaN,
    limits: [],
    counts: [],
  } as NonNullable<DecodedValue['histogram']>;
  const one = (): number => {
    skip(at, 8, end);
    return view.getFloat64(at.at - 8, true);
  };
  while (at.at < end) {
    const key = varint(bytes, at, end);
    if (key === 0x09) histogram.min = one();
    else if (key === 0x11) histogram.max = one();
    else if (key === 0x21) histogram.sum = one();
    else if (key === 0x31) histogram.limits.push(one());
    else if (key === 0x39) histogram.counts.push(one());
    else if (key === 0x32 || key === 0x3a) {
      const list = key === 0x32 ? histogram.limits : histogram.counts;
      const listEnd = lengthEnd(bytes, at, end);
      while (at.at + 8 <= listEnd) list.push(one());
      at.at = listEnd;
    } else skipField(bytes, at, end, key);
  }
  return histogram;
}

function pluginData(bytes: Uint8Array, at: Place, end: number): { name: string; content: Uint8Array } {
  let name = '';
  let content: Uint8Array = new Uint8Array(0);
  const metadataEnd = lengthEnd(bytes, at, end);
  while (at.at < metadataEnd) {
    const key = varint(bytes, at, metadataEnd);
    if (key !== 0x0a) {
      skipField(bytes, at, metadataEnd, key);
      continue;
    }
    const pluginEnd = lengthEnd(bytes, at, metadataEnd);
    while (at.at < pluginEnd) {
      const pluginKey = varint(bytes, at, pluginEnd);
      if (pluginKey === 0x0a) name = text(bytes, at, pluginEnd);
      else if (pluginKey === 0x12) content = slice(bytes, at, pluginEnd);
      else skipField(bytes, at, pluginEnd, pluginKey);
    }
  }
  return { name, content };
}

function lengthEnd(bytes: Uint8Array, at: Place, end: number): number {
  const length = varint(bytes, at, end);
  if (at.at + length > end) throw new EventError('a field reaches beyond its message');
  return at.at + length;
}

function slice(bytes: Uint8Array, at: Place, end: number): Uint8Array {
  const to = lengthEnd(bytes, at, end);
  const part = bytes.slice(at.at, to);
  at.at = to;
  return part;
}

function text(bytes: Uint8Array, at: Place, end: number): string {
  const to = lengthEnd(bytes, at, end);
  const part = TEXT.decode(bytes.subarray(at.at, to));
  at.at = to;
  return part;
}

function varint(bytes: Uint8Array, at: Place, end: number): number {
  const first = bytes[at.at]!;
  if (at.at < end && first < 128) {
    at.at++;
    return first;
  }
  let value = 0;
  let factor = 1;
  for (let i = 0; i < 10; i++) {
    if (at.at >= end) break;
    const byte = bytes[at.at++]!;
    value += (byte & 127) * factor;
    if (byte < 128) return value;
    factor *= 128;
  }
  throw new EventError('a varint does not end');
}

function int64(bytes: Uint8Array, at: Place, end: number): number {
  const start = at.at;
  const value = varint(bytes, at, end);
  if (value <= Number.MAX_SAFE_INTEGER) return value;
  let exact = 0n;
  for (let i = at.at - 1; i >= start; i--) exact = (exact << 7n) | BigInt(bytes[i]! & 127);
  return Number(BigInt.asIntN(64, exact));
}

const DOUBLE = new DataView(new ArrayBuffer(8));
function double(bytes: Uint8Array, at: number): number {
  for (let i = 0; i < 8; i++) DOUBLE.setUint8(i, bytes[at + i]!);
  return DOUBLE.getFloat64(0, true);
}

function skip(at: Place, length: number, end: number): void {
  if (at.at + length > end) throw new EventError('a field reaches beyond its message');
  at.at += length;
}

function skipField(bytes: Uint8Array, at: Place, end: number, key: number): void {
  switch (key & 7) {
    case 0:
      varint(bytes, at, end);
      return;
    case 1:
      skip(at, 8, end);
      return;
    case 2:
      skip(at, varint(bytes, at, end), end);
      return;
    case 5:
      skip(at, 4, end);
      return;
    default:
      throw new EventError(`wire type ${key & 7} is none of protobuf's`);
  }
}
