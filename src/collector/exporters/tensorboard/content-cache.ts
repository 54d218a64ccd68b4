// The contents that came last, by run and hash, for events that bring only a hash. All runs of an exporter share one.
import { MAX_CACHED_CONTENT_BYTES } from './limits.ts';

export class ContentCache {
  /** The least recently used is first. */
  readonly #contents = new Map<string, Uint8Array>();
  #bytes = 0;

  get(run: string, sha256: string): Uint8Array | undefined {
    const key = `${run}/${sha256}`;
    const found = this.#contents.get(key);
    if (found === undefined) return undefined;
    this.#contents.delete(key);
    this.#contents.set(key, found);
    return found;
  }

  /** Keeps a copy: what comes in a request must not keep the whole request. */
  set(run: string, sha256: string, bytes: Uint8Array): void {
    const key = `${run}/${sha256}`;
    if (bytes.length > MAX_CACHED_CONTENT_BYTES / 2 || this.#contents.has(key)) return;
    this.#contents.set(key, bytes.slice());
    this.#bytes += bytes.length;
    for (const [oldest, content] of this.#contents) {
      if (this.#bytes <= MAX_CACHED_CONTENT_BYTES) break;
      this.#contents.delete(oldest);
      this.#bytes -= content.length;
    }
  }
}
