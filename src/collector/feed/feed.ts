// One feed per journal: each record is read and decoded once for all exporters that keep in step.
import type { Position } from '../component.ts';
import type { JournalSource } from '../journal/source.ts';
import { createResolver, type Resolver } from '../runs/resolve.ts';
import { FeedBatch } from './decode.ts';
import { DEFAULT_FEED_BYTES, FEED_READ_BYTES } from './limits.ts';

export interface FeedOptions {
  readonly resolver?: Resolver;
  /** Memory for batches that some reader still has to see; an estimate, see `FeedBatch.heldBytes`. */
  readonly maxBytes?: number;
}

/** One exporter's place in the feed. */
export interface FeedReader {
  /** Where it reads on. Moves by `advance`, by `seek`, and over damage. */
  readonly position: Position;
  /** The first batch at or after `position`; undefined at the journal's end. Rejects when the disk cannot be read. */
  next(): Promise<FeedBatch | undefined>;
  advance(batch: FeedBatch): void;
  seek(position: Position): void;
  close(): void;
}

export class Feed {
  readonly source: JournalSource;
  /** For what processors change or make, so that equal runs are one object there too. */
  readonly resolver: Resolver;
  readonly #maxBytes: number;
  /** By position, oldest insertion first. */
  readonly #held = new Map<Position, FeedBatch>();
  readonly #filling = new Map<Position, Promise<FeedBatch | Position>>();
  readonly #readers = new Set<Reader>();
  #heldBytes = 0;
  #made = 0;

  constructor(source: JournalSource, options: FeedOptions = {}) {
    this.source = source;
    this.resolver = options.resolver ?? createResolver();
    this.#maxBytes = options.maxBytes ?? DEFAULT_FEED_BYTES;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }
  /** Batches made from records so far. One per record as long as readers keep in step. */
  get made(): number {
    return this.#made;
  }

  reader(position: Position): FeedReader {
    const reader = new Reader(this, position, () => this.#readers.delete(reader));
    this.#readers.add(reader);
    return reader;
  }

  /** The batch at `position`, or the position to go on at: behind damage, or the same one at the journal's end. */
  async at(position: Position): Promise<FeedBatch | Position> {
    const held = this.#held.get(position);
    if (held !== undefined) return held;
    if (position >= this.source.end) return position;
    let filling = this.#filling.get(position);
    if (filling === undefined) {
      filling = this.#fill(position).finally(() => this.#filling.delete(position));
      this.#filling.set(position, filling);
    }
    return filling;
  }

  /** Lets go of everything: who is behind reads and decodes it again. */
  forgetAll(): void {
    for (const [position, batch] of this.#held) this.#drop(position, batch);
  }

  /** Lets go of what every reader has passed. */
  forgetPassed(): void {
    let lowest = Infinity;
    for (const reader of this.#readers) lowest = Math.min(lowest, reader.position);
    for (const [position, batch] of this.#held) {
      if (batch.next > lowest) break;
      this.#drop(position, batch);
    }
  }

  async #fill(position: Position): Promise<FeedBatch | Position> {
    const read = await this.source.read(position, FEED_READ_BYTES);
    let first: FeedBatch | undefined;
    for (const record of read.records) {
      const known = this.#held.get(record.position);
      const batch = known ?? new FeedBatch(record, this.resolver);
      first ??= batch;
      if (known !== undefined) continue;
      this.#made++;
      this.#held.set(record.position, batch);
      this.#heldBytes += batch.heldBytes;
    }
    for (const [other, batch] of this.#held) {
      if (this.#heldBytes <= this.#maxBytes) break;
      this.#drop(other, batch);
    }
    return first ?? read.next;
  }

  #drop(position: Position, batch: FeedBatch): void {
    this.#held.delete(position);
    this.#heldBytes -= batch.heldBytes;
  }
}

class Reader implements FeedReader {
  readonly #feed: Feed;
  readonly #onClose: () => void;
  #position: Position;

  constructor(feed: Feed, position: Position, onClose: () => void) {
    this.#feed = feed;
    this.#position = position;
    this.#onClose = onClose;
  }

  get position(): Position {
    return this.#position;
  }

  async next(): Promise<FeedBatch | undefined> {
    for (;;) {
      const found = await this.#feed.at(this.#position);
      if (typeof found !== 'number') return found;
      if (found === this.#position) return undefined;
      this.#position = found;
    }
  }

  advance(batch: FeedBatch): void {
    this.#position = batch.next;
    this.#feed.forgetPassed();
  }

  seek(position: Position): void {
    this.#position = position;
  }

  close(): void {
    this.#onClose();
  }
}
