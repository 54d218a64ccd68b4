// Reads what all three signals are made of: text, ids, values, attributes.
import { newAttributes } from './attributes.ts';
import type { AnyValue, Attributes } from './model.ts';
import { MAX_DEPTH, WireError, WireReader } from './wire-reader.ts';

/** Keys and other words that come again and again are kept as one string each; longer texts are not. */
const MAX_WORD = 64;
/** Slots for words, a power of two; a word that falls on another's slot takes its place. */
const WORD_SLOTS = 2048;
const words: string[] = new Array<string>(WORD_SLOTS).fill('');

/** A reader that knows OTLP's common messages. Its methods read up to `end` and leave `position` there. */
export class ValueReader extends WireReader {
  /** UTF-8 text of the length-delimited field whose tag was read. */
  text(): string {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    return length === 0 ? '' : this.bytes.toString('utf8', start, start + length);
  }

  /** Text that is likely to come again: a key, a name. */
  word(): string {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    return this.wordAt(start, start + length);
  }

  wordAt(start: number, end: number): string {
    const { bytes } = this;
    const length = end - start;
    if (length === 0) return '';
    if (length > MAX_WORD) return bytes.toString('utf8', start, end);
    let hash = length;
    let seen = 0;
    for (let at = start; at < end; at++) {
      const byte = bytes[at]!;
      hash = (Math.imul(hash, 31) + byte) | 0;
      seen |= byte;
    }
    if (seen >= 0x80) return bytes.toString('utf8', start, end);
    const slot = (hash ^ (hash >>> 11)) & (WORD_SLOTS - 1);
    const known = words[slot]!;
    if (known.length === length) {
      let i = 0;
      while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
      if (i === length) return known;
    }
    const word = bytes.toString('latin1', start, end);
    words[slot] = word;
    return word;
  }

  /** An id of `size` bytes as lower-case hex; empty when it has another length or is all zero. */
  id(size: number): string {
    const length = this.length();
    const start = this.position;
    this.position = start + length;
    return length === size ? this.idAt(start, size) : '';
  }

  idAt(start: number, size: number): string {
    const { bytes } = this;
    let seen = 0;
    for (let at = start; at < start + size; at++) seen |= bytes[at]!;
    return seen === 0 ? '' : bytes.toString('hex', start, start + size);
  }

  /** One `KeyValue` (its tag was read) into a map; the last of equal keys wins. */
  keyValue(into: Attributes, depth = 0): void {
    const outer = this.enter();
    this.keyValueHere(into, depth);
    this.end = outer;
  }

  /** The same for a reader that is confined to the `KeyValue` already. */
  keyValueHere(into: Attributes, depth = 0): void {
    let key = '';
    let value: AnyValue = null;
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if (tag === 0x0a) key = this.word();
      else if (tag === 0x12) value = this.anyValue(depth);
      else this.skip(tag);
    }
    into[key] = value;
  }

  /** One `AnyValue` (the tag of the field it stands in was read). */
  anyValue(depth = 0): AnyValue {
    if (depth > MAX_DEPTH) throw new WireError(`values nested deeper than ${MAX_DEPTH}`, this.position);
    const outer = this.enter();
    let value: AnyValue = null;
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      switch (tag) {
        case 0x0a:
          value = this.text();
          break;
        case 0x10:
          value = this.varint() !== 0 || this.high !== 0;
          break;
        case 0x18:
          value = this.int64();
          break;
        case 0x21:
          value = this.double();
          break;
        case 0x2a:
          value = this.#array(depth + 1);
          break;
        case 0x32:
          value = this.#map(depth + 1);
          break;
        case 0x3a: {
          const length = this.length();
          const { bytes } = this;
          value = new Uint8Array(bytes.buffer, bytes.byteOffset + this.position, length);
          this.position += length;
          break;
        }
        default:
          this.skip(tag);
      }
    }
    this.end = outer;
    return value;
  }

  /** Read the length of a nested message and confine the reader to it; returns the `end` to go back to. */
  enter(): number {
    const outer = this.end;
    const length = this.length();
    this.end = this.position + length;
    return outer;
  }

  #array(depth: number): AnyValue[] {
    const outer = this.enter();
    const values: AnyValue[] = [];
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if (tag === 0x0a) values.push(this.anyValue(depth));
      else this.skip(tag);
    }
    this.end = outer;
    return values;
  }

  #map(depth: number): Attributes {
    const outer = this.enter();
    const values = newAttributes();
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if (tag === 0x0a) this.keyValue(values, depth);
      else this.skip(tag);
    }
    this.end = outer;
    return values;
  }
}
