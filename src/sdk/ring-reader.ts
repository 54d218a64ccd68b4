// The worker's end of the ring: reads published records one after the other and hands them to a sink.
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import * as layout from './layout.ts';

/** What the worker does with each record. Byte views are valid during the call only. */
export interface RecordSink {
  beginRow(timeNs: number, step: number, span: number, axes: Uint8Array | undefined): void;
  value(series: number, value: number): void;
  integer(series: number, value: bigint): void;
  endRow(): void;
  blob(kind: number, argument: number, items: number, bytes: Uint8Array): void;
}

export class RingReader {
  readonly control: Int32Array;
  private readonly f64: Float64Array;
  private readonly i64: BigInt64Array;
  private readonly u32: Uint32Array;
  private readonly u8: Uint8Array;
  private readonly mask: number;
  private readonly port: MessagePort;
  private tail = 0;
  /** Large blobs whose message came before their record was read. */
  private readonly early = new Map<number, layout.LargeBlob>();

  constructor(control: SharedArrayBuffer, ring: SharedArrayBuffer, port: MessagePort) {
    this.control = new Int32Array(control, 0, layout.CONTROL_WORDS);
    this.f64 = new Float64Array(ring);
    this.i64 = new BigInt64Array(ring);
    this.u32 = new Uint32Array(ring);
    this.u8 = new Uint8Array(ring);
    this.mask = ring.byteLength / 8 - 1;
    this.port = port;
  }

  get empty(): boolean {
    return Atomics.load(this.control, layout.HEAD) >>> 0 === this.tail >>> 0;
  }

  /** Reads at most about `maxSlots` slots of published records and frees them. Returns the slots read. */
  drain(sink: RecordSink, maxSlots: number): number {
    const head = Atomics.load(this.control, layout.HEAD) >>> 0;
    const start = this.tail;
    let tail = start;
    while (tail !== head && (tail - start) >>> 0 < maxSlots) {
      const slot = tail & this.mask;
      const kind = this.u32[slot * 2]!;
      const argument = this.u32[slot * 2 + 1]!;
      if (kind === layout.ROW) tail = this.row(sink, tail, argument);
      else if (kind === layout.SKIP) tail = (tail + argument) >>> 0;
      else tail = this.blob(sink, tail, kind, argument);
    }
    if (tail === start) return 0;
    this.tail = tail;
    Atomics.store(this.control, layout.TAIL, tail | 0);
    Atomics.add(this.control, layout.SPACE, 1);
    Atomics.notify(this.control, layout.SPACE);
    return (tail - start) >>> 0;
  }

  private row(sink: RecordSink, start: number, pairs: number): number {
    const { f64, u32, i64, mask } = this;
    const time = f64[(start + 1) & mask]!;
    const step = f64[(start + 2) & mask]!;
    const third = ((start + 3) & mask) * 2;
    const span = u32[third]!;
    const axesBytes = u32[third + 1]!;
    let at = start + layout.ROW_HEADER_SLOTS;
    const axesAt = at + pairs * 2;
    sink.beginRow(time, step, span, axesBytes === 0 ? undefined : this.wrapped(axesAt, axesBytes));
    for (; at < axesAt; at += 2) {
      const key = (at & mask) * 2;
      if (u32[key + 1] === 0) sink.value(u32[key]!, f64[(at + 1) & mask]!);
      else sink.integer(u32[key]!, i64[(at + 1) & mask]!);
    }
    sink.endRow();
    return (axesAt + ((axesBytes + 7) >> 3)) >>> 0;
  }

  private blob(sink: RecordSink, start: number, kind: number, argument: number): number {
    const sizes = ((start + 1) & this.mask) * 2;
    const length = this.u32[sizes]!;
    const items = this.u32[sizes + 1]!;
    if (kind === layout.LARGE) {
      const large = this.takeLarge(argument);
      if (large) sink.blob(large.kind, large.argument, large.items, large.bytes);
      return (start + layout.BLOB_HEADER_SLOTS) >>> 0;
    }
    const from = ((start + layout.BLOB_HEADER_SLOTS) & this.mask) * 8;
    sink.blob(kind, argument, items, this.u8.subarray(from, from + length));
    return (start + layout.BLOB_HEADER_SLOTS + ((length + 7) >> 3)) >>> 0;
  }

  private takeLarge(number: number): layout.LargeBlob | undefined {
    for (;;) {
      const waiting = this.early.get(number);
      if (waiting) {
        this.early.delete(number);
        return waiting;
      }
      const message = receiveMessageOnPort(this.port);
      if (message === undefined) return undefined;
      const blob = message.message as layout.LargeBlob;
      this.early.set(blob.number, blob);
    }
  }

  private wrapped(slot: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.u8[((slot + (i >> 3)) & this.mask) * 8 + (i & 7)]!;
    return bytes;
  }
}
