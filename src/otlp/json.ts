// Turns OTLP/JSON into the same request as protobuf, by OTLP's own rules (they differ from protobuf's JSON mapping).
import type { Signal } from './model.ts';
import { type Field, type Message, requestMessage } from './schema.ts';
import { MAX_DEPTH } from './wire-reader.ts';
import { WireWriter } from './wire-writer.ts';

/** Says what is wrong with a JSON request, and where. */
export class OtlpJsonError extends Error {
  /** `resourceMetrics[0].scopeMetrics[0].metrics[2].name`; empty for the text as a whole. */
  readonly path: string;
  constructor(reason: string, path: string) {
    super(path === '' ? reason : `${path}: ${reason}`);
    this.name = 'OtlpJsonError';
    this.path = path;
  }
}

/**
 * How deep objects and arrays may nest in the text: each of MAX_DEPTH messages may stand in an array. Looked at before
 * parsing, because a parser pays memory for every open bracket.
 */
const MAX_NESTING = 2 * MAX_DEPTH;

/**
 * The request as protobuf. Field names are lowerCamelCase only, unknown ones are ignored, enums are numbers, trace and
 * span ids are hex of any case, other bytes base64, 64-bit integers strings or numbers, and doubles may be "NaN",
 * "Infinity" or "-Infinity". A 64-bit integer beyond 2^53 is exact when it is given as a string.
 * Throws OtlpJsonError naming the place. Source: opentelemetry-proto, docs/specification.md, JSON Protobuf Encoding.
 */
export function jsonToProtobuf(signal: Signal, text: string): Uint8Array {
  if (nestsTooDeep(text)) throw new OtlpJsonError(`nested deeper than ${MAX_NESTING} levels`, '');
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch (error) {
    throw new OtlpJsonError(`not JSON: ${(error as Error).message}`, '');
  }
  const mapper = new Mapper();
  mapper.message(requestMessage(signal), request);
  return mapper.writer.copy();
}

/** Packed when repeated. */
const NUMERIC: ReadonlySet<string> = new Set([
  'bool',
  'enum',
  'uint32',
  'sint32',
  'int64',
  'uint64',
  'fixed32',
  'fixed64',
  'sfixed64',
  'double',
]);
const HEX = /^(?:[0-9a-fA-F]{2})*$/;
/** Both alphabets, padded or not. */
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;
const INTEGER = /^-?\d{1,20}$/;
const DECIMAL = /^-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const SPECIAL_DOUBLES: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);
const RANGES = {
  enum: [-(2n ** 31n), 2n ** 31n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
} as const;

class Mapper {
  readonly writer = new WireWriter();
  /** Names and indexes down to the value under the hand. */
  readonly #path: (string | number)[] = [];
  #depth = 0;

  /** Fields are written in the order of their numbers, so that key order in the text makes no difference. */
  message(message: Message, value: unknown): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.#error(`expected an object (${message.name})`, value);
    if (++this.#depth > MAX_DEPTH) throw this.#error(`messages nested deeper than ${MAX_DEPTH}`);
    const object = value as Record<string, unknown>;
    for (const field of message.fields) {
      if (!Object.hasOwn(object, field.name)) continue;
      const content = object[field.name];
      // In JSON null is the same as leaving the field out.
      if (content === null) continue;
      this.#path.push(field.name);
      if (field.repeated) this.#list(field, content);
      else this.#field(field, content);
      this.#path.pop();
    }
    this.#depth--;
  }

  #list(field: Field, value: unknown): void {
    if (!Array.isArray(value)) throw this.#error('expected an array', value);
    const packed = NUMERIC.has(field.kind) && value.length > 0;
    const mark = packed ? this.writer.beginMessage(field.number) : 0;
    for (let i = 0; i < value.length; i++) {
      this.#path.push(i);
      if (packed) this.#number(field, value[i]);
      else this.#field(field, value[i]);
      this.#path.pop();
    }
    if (packed) this.writer.endMessage(mark);
  }

  #field(field: Field, value: unknown): void {
    const { writer } = this;
    switch (field.kind) {
      case 'message': {
        const mark = writer.beginMessage(field.number);
        this.message(field.message!, value);
        writer.endMessage(mark);
        return;
      }
      case 'string':
        if (typeof value !== 'string') throw this.#error('expected a string', value);
        writer.stringField(field.number, value);
        return;
      case 'bytes':
        if (typeof value !== 'string' || !BASE64.test(value)) throw this.#error('expected base64', value);
        writer.bytesField(field.number, Buffer.from(value, 'base64'));
        return;
      case 'id':
        if (typeof value !== 'string' || !HEX.test(value)) throw this.#error('expected an id in hex', value);
        writer.hexField(field.number, value);
        return;
      default:
        writer.tag(field.number, wireTypeOf(field));
        this.#number(field, value);
    }
  }

  #number(field: Field, value: unknown): void {
    const { writer } = this;
    switch (field.kind) {
      case 'bool':
        if (typeof value !== 'boolean') throw this.#error('expected true or false', value);
        writer.varint(value ? 1 : 0);
        return;
      case 'double':
        writer.double(this.#double(value));
        return;
      case 'enum':
        if (typeof value !== 'number') throw this.#error('expected an enum as its number', value);
        writer.int64(this.#integer(value, 'enum'));
        return;
      case 'sint32': {
        const number = Number(this.#integer(value, 'sint32'));
        writer.varint(((number << 1) ^ (number >> 31)) >>> 0);
        return;
      }
      case 'uint32':
        writer.varint(Number(this.#integer(value, 'uint32')));
        return;
      case 'fixed32':
        writer.fixed32(Number(this.#integer(value, 'fixed32')));
        return;
      case 'int64':
      case 'uint64':
        writer.int64(this.#integer(value, field.kind));
        return;
      case 'fixed64':
      case 'sfixed64':
        writer.fixed64(BigInt(this.#integer(value, field.kind)));
        return;
      default:
        throw this.#error(`a ${field.kind} is no number`);
    }
  }

  #double(value: unknown): number {
    if (typeof value === 'number') return value;
    if (typeof value === 'string') {
      const special = SPECIAL_DOUBLES.get(value);
      if (special !== undefined) return special;
      if (DECIMAL.test(value)) return Number(value);
    }
    throw this.#error('expected a number, "NaN", "Infinity" or "-Infinity"', value);
  }

  #integer(value: unknown, kind: keyof typeof RANGES): number | bigint {
    const [lowest, highest] = RANGES[kind];
    if (typeof value === 'number' && Number.isSafeInteger(value)) {
      if (value < lowest || value > highest) throw this.#error(`beyond the range of ${kind}`, value);
      return value;
    }
    let integer: bigint;
    if (typeof value === 'number' && Number.isInteger(value)) integer = BigInt(value);
    else if (typeof value === 'string' && INTEGER.test(value)) integer = BigInt(value);
    else throw this.#error('expected an integer, as a number or a string', value);
    if (integer < lowest || integer > highest) throw this.#error(`beyond the range of ${kind}`, value);
    return Number.isSafeInteger(Number(integer)) ? Number(integer) : integer;
  }

  #error(reason: string, value?: unknown): OtlpJsonError {
    let path = '';
    for (const part of this.#path)
      path += typeof part === 'number' ? `[${part}]` : `${path === '' ? '' : '.'}${part}`;
    return new OtlpJsonError(value === undefined ? reason : `${reason}, got ${named(value)}`, path);
  }
}

function wireTypeOf(field: Field): number {
  switch (field.kind) {
    case 'double':
    case 'fixed64':
    case 'sfixed64':
      return 1;
    case 'fixed32':
      return 5;
    default:
      return 0;
  }
}

/** What a value is, without repeating what a sender wrote at length. */
function named(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return value.length > 40 ? 'a string' : JSON.stringify(value);
  return typeof value === 'object' ? 'an object' : String(value);
}

function nestsTooDeep(text: string): boolean {
  const { length } = text;
  let depth = 0;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) {
      // A string: on to its closing quote.
      for (i++; i < length; i++) {
        const inner = text.charCodeAt(i);
        if (inner === 0x22) break;
        if (inner === 0x5c) i++;
      }
    } else if (unit === 0x7b || unit === 0x5b) {
      if (++depth > MAX_NESTING) return true;
    } else if (unit === 0x7d || unit === 0x5d) depth--;
  }
  return false;
}
