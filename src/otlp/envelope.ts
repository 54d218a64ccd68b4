// Walks what stands around the records of every signal: request → resource → scope → records.
import { newAttributes } from './attributes.ts';
import type { Resource, Scope } from './model.ts';
import { ValueReader } from './value-reader.ts';

/** Called with the reader confined to one record (a `Metric`, `LogRecord` or `Span`); must not change `end`. */
export type RecordVisitor = (reader: ValueReader, resource: Resource, scope: Scope) => void;

/**
 * Visits every record in wire order. All three requests have the same field numbers down to the record. Equal resources,
 * and equal scopes, are given as the same object. Throws WireError where the bytes are no message.
 */
export function visitRecords(bytes: Uint8Array, visit: RecordVisitor): void {
  new Envelopes(bytes).request(visit);
}

/** resource and scope stand in field 1 of their message, the list that belongs to them in field 2. */
const FIRST = 0x0a;
const SECOND = 0x12;

class Envelopes extends ValueReader {
  /** By their bytes. */
  readonly #resources = new Map<string, Resource>();
  readonly #scopes = new Map<string, Scope>();

  request(visit: RecordVisitor): void {
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if (tag !== FIRST) {
        this.skip(tag);
        continue;
      }
      const outer = this.enter();
      const resource = this.#resource();
      for (let inner = this.tag(); inner !== 0; inner = this.tag()) {
        if (inner === SECOND) this.#scopeRecords(resource, visit);
        else this.skip(inner);
      }
      this.end = outer;
    }
  }

  #scopeRecords(resource: Resource, visit: RecordVisitor): void {
    const outer = this.enter();
    const scope = this.#scope();
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if (tag !== SECOND) {
        this.skip(tag);
        continue;
      }
      const scopeEnd = this.enter();
      visit(this, resource, scope);
      this.position = this.end;
      this.end = scopeEnd;
    }
    this.end = outer;
  }

  #resource(): Resource {
    const [start, end] = this.#findFirst();
    const key = this.bytes.toString('latin1', start, end);
    let resource = this.#resources.get(key);
    if (resource === undefined) {
      resource = this.#within(start, end, () => {
        const attributes = newAttributes();
        for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
          if (tag === FIRST) this.keyValue(attributes);
          else this.skip(tag);
        }
        return { attributes };
      });
      this.#resources.set(key, resource);
    }
    return resource;
  }

  #scope(): Scope {
    const [start, end] = this.#findFirst();
    const key = this.bytes.toString('latin1', start, end);
    let scope = this.#scopes.get(key);
    if (scope === undefined) {
      scope = this.#within(start, end, () => {
        const attributes = newAttributes();
        let name = '';
        let version = '';
        for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
          if (tag === 0x0a) name = this.word();
          else if (tag === 0x12) version = this.word();
          else if (tag === 0x1a) this.keyValue(attributes);
          else this.skip(tag);
        }
        return { name, version, attributes };
      });
      this.#scopes.set(key, scope);
    }
    return scope;
  }

  /**
   * Where field 1 of the message lies; an empty place when it has none. Nearly every writer puts it first; where one does
   * not, the rest is stepped over to find it. The reader stays at the message's start.
   */
  #findFirst(): readonly [start: number, end: number] {
    const begin = this.position;
    let place: readonly [number, number] = [begin, begin];
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if (tag === FIRST) {
        const length = this.length();
        place = [this.position, this.position + length];
        break;
      }
      this.skip(tag);
    }
    this.position = begin;
    return place;
  }

  #within<T>(start: number, end: number, read: () => T): T {
    const outer = this.end;
    const back = this.position;
    this.position = start;
    this.end = end;
    const result = read();
    this.position = back;
    this.end = outer;
    return result;
  }
}
