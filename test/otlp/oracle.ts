// The judge of everything in this folder: code that protobufjs generated from the official .proto files (shipped in an older
// release of @opentelemetry/otlp-transformer, installed as `otlp-oracle`).
import { createRequire } from 'node:module';
import type { AnyValue, Attributes, Signal } from '../../src/otlp/model.ts';

interface GeneratedType {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
  toObject(message: object, options: object): Plain;
}
// biome-ignore lint/suspicious/noExplicitAny: what comes out of the oracle is looked at field by field
export type Plain = any;

const root = createRequire(import.meta.url)('otlp-oracle/build/src/generated/root.js') as Plain;
const { collector, logs, trace, common } = root.opentelemetry.proto;

export const TYPES: Readonly<Record<Signal | 'log' | 'span' | 'value', GeneratedType>> = {
  traces: collector.trace.v1.ExportTraceServiceRequest,
  metrics: collector.metrics.v1.ExportMetricsServiceRequest,
  logs: collector.logs.v1.ExportLogsServiceRequest,
  log: logs.v1.LogRecord,
  span: trace.v1.Span,
  value: common.v1.AnyValue,
};
export const RESPONSES: Readonly<Record<Signal, GeneratedType>> = {
  traces: collector.trace.v1.ExportTraceServiceResponse,
  metrics: collector.metrics.v1.ExportMetricsServiceResponse,
  logs: collector.logs.v1.ExportLogsServiceResponse,
};

export function encode(type: GeneratedType, message: object): Uint8Array {
  return new Uint8Array(type.encode(message).finish());
}

/** 64-bit integers come as decimal strings, bytes as Buffer, absent fields not at all. */
export function decode(type: GeneratedType, bytes: Uint8Array): Plain {
  return type.toObject(type.decode(bytes), { longs: String });
}

/** A 64-bit integer as protobufjs takes it. */
export function long(value: bigint): { low: number; high: number; unsigned: boolean } {
  const bits = BigInt.asUintN(64, value);
  return { low: Number(bits & 0xffffffffn) | 0, high: Number(bits >> 32n) | 0, unsigned: value >= 0n };
}

/** A value of ours as the oracle's AnyValue. */
export function oracleValue(value: AnyValue): object {
  if (value === null) return {};
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'bigint') return { intValue: long(value) };
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) && !Object.is(value, -0)
      ? { intValue: long(BigInt(value)) }
      : { doubleValue: value };
  }
  if (value instanceof Uint8Array) return { bytesValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(oracleValue) } };
  return { kvlistValue: { values: oracleAttributes(value as Attributes) } };
}

export function oracleAttributes(attributes: Attributes): object[] {
  return Object.keys(attributes).map(key => ({ key, value: oracleValue(attributes[key]!) }));
}

/** The oracle's AnyValue (as `decode` gives it) as a value of ours. */
export function modelValue(value: Plain): AnyValue {
  if (value === undefined || value === null) return null;
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.boolValue !== undefined) return value.boolValue;
  if (value.intValue !== undefined) {
    const integer = BigInt(value.intValue);
    return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
  }
  if (value.doubleValue !== undefined) return value.doubleValue;
  if (value.bytesValue !== undefined) return new Uint8Array(value.bytesValue);
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(modelValue);
  if (value.kvlistValue !== undefined) return attributesOf(value.kvlistValue.values);
  return null;
}

export function attributesOf(list: Plain): Attributes {
  const attributes: Attributes = Object.create(null);
  for (const { key, value } of list ?? []) attributes[key ?? ''] = modelValue(value);
  return attributes;
}

export function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : Buffer.from(bytes).toString('hex');
}

/** A copy of decoded records that `toEqual` can compare: plain prototypes, plain byte arrays. */
export function plain<T>(value: T): T {
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Uint8Array) return new Uint8Array(value) as T;
  if (ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(plain) as T;
  const copy = Object.create(null) as Record<string, unknown>;
  for (const [key, content] of Object.entries(value)) copy[key] = plain(content);
  return copy as T;
}
