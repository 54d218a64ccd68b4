// The segments of an open journal, in order; the last one is being written.
import type { Position } from '../component.ts';
import type { SegmentExtent } from './recover.ts';
import { SEGMENT_HEADER_BYTES } from './segment.ts';

export class SegmentList {
  readonly #segments: SegmentExtent[];
  readonly #sealedAtMs = new Map<string, number>();

  constructor(segments: readonly SegmentExtent[]) {
    this.#segments = [...segments];
  }

  get length(): number {
    return this.#segments.length;
  }
  get first(): SegmentExtent | undefined {
    return this.#segments[0];
  }
  get last(): SegmentExtent | undefined {
    return this.#segments.at(-1);
  }
  /** On disk, headers included. */
  get sizeBytes(): number {
    let size = 0;
    for (const segment of this.#segments) size += SEGMENT_HEADER_BYTES + (segment.end - segment.start);
    return size;
  }

  /** The last segment that starts at or before `position`; undefined when that is deleted. */
  at(position: Position): SegmentExtent | undefined {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.start <= position) low = middle + 1;
      else high = middle;
    }
    return this.#segments[low - 1];
  }
  after(segment: SegmentExtent): SegmentExtent | undefined {
    return this.#segments[this.#segments.indexOf(segment) + 1];
  }

  /** The last segment now ends at `end`. */
  grow(end: Position): void {
    const last = this.#segments.pop();
    if (last !== undefined) this.#segments.push({ path: last.path, start: last.start, end });
  }

  /** Starts the next segment. Returns the empty one of the same start that it takes the place of, if there is one. */
  begin(path: string, start: Position): SegmentExtent | undefined {
    const { last } = this;
    const replaced = last?.start === start ? this.#segments.pop() : undefined;
    if (last !== undefined && replaced === undefined) this.#sealedAtMs.set(last.path, Date.now());
    this.#segments.push({ path, start, end: start });
    return replaced;
  }

  dropFirst(): void {
    const first = this.#segments.shift();
    if (first !== undefined) this.#sealedAtMs.delete(first.path);
  }

  /** 0 for one that an earlier process sealed. */
  sealedAtMs(segment: SegmentExtent): number {
    return this.#sealedAtMs.get(segment.path) ?? 0;
  }
}
