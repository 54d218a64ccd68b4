// A journal on disk, read only: for replay and inspection while a collector has it open, or when none runs.
import fs from 'node:fs';
import type { Position } from '../component.ts';
import { errorCode } from './durable-file.ts';
import { READ_CHUNK_BYTES } from './limits.ts';
import type { SegmentExtent } from './recover.ts';
import { type Scanned, scanChunk } from './scan.ts';
import { listSegments, readSegmentHeader, SEGMENT_HEADER_BYTES, SegmentHeaderError } from './segment.ts';
import { SegmentReaders } from './segment-readers.ts';
import type { Finding, JournalRead, JournalSource } from './source.ts';

/** Opens what lies in the folder at this moment; what is appended later is not seen. Throws when the folder or a version cannot be read. */
export async function openJournalReader(directory: string): Promise<JournalReader> {
  const headerFindings: Finding[] = [];
  const segments: SegmentExtent[] = [];
  let id = '';
  const listed = await listSegments(directory);
  for (const [index, segment] of listed.entries()) {
    const size = (await fs.promises.stat(segment.path)).size;
    try {
      id = (await readSegmentHeader(segment)).journal;
    } catch (error) {
      if (!(error instanceof SegmentHeaderError) || error.reason === 'version') throw error;
      headerFindings.push({
        kind: 'header',
        position: segment.start,
        next: segment.start,
        segment: segment.path,
        reason: error.message,
      });
    }
    const fileEnd = segment.start + Math.max(0, size - SEGMENT_HEADER_BYTES);
    const following = listed[index + 1];
    segments.push({
      ...segment,
      end: following === undefined ? fileEnd : Math.min(fileEnd, following.start),
    });
  }
  return new JournalReader(id, segments, headerFindings);
}

export class JournalReader implements JournalSource {
  readonly id: string;
  readonly segments: readonly SegmentExtent[];
  readonly #readers = new SegmentReaders();
  readonly #findings: Finding[];

  constructor(id: string, segments: readonly SegmentExtent[], findings: Finding[]) {
    this.id = id;
    this.segments = segments;
    this.#findings = findings;
  }

  get start(): Position {
    return this.segments[0]?.start ?? 0;
  }
  /** The end of the last file; a torn record there shows as a finding once it is read. */
  get end(): Position {
    return this.segments.at(-1)?.end ?? 0;
  }
  /** Damage met so far, in the order of reading. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  async read(position: Position, maxBytes: number = READ_CHUNK_BYTES): Promise<JournalRead> {
    if (position >= this.end) return { records: [], next: position };
    if (position < this.start) return { records: [], next: this.start };
    const index = this.segments.findIndex(
      (segment, i) => position < (this.segments[i + 1]?.start ?? Infinity) && position >= segment.start,
    );
    const segment = this.segments[index]!;
    const following = this.segments[index + 1];
    if (position >= segment.end) {
      const next = following?.start ?? this.end;
      this.#findings.push({
        kind: 'missing',
        position,
        next,
        segment: segment.path,
        reason: 'the segment ends before the next one starts',
      });
      return { records: [], next };
    }
    let scanned: Scanned;
    try {
      scanned = await scanChunk(this.#readers.readAt(segment), position, segment.end, maxBytes);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      // A running collector deletes segments that nobody needs.
      const reason = 'the segment was deleted meanwhile';
      this.#findings.push({ kind: 'missing', position, next: segment.end, segment: segment.path, reason });
      return { records: [], next: segment.end };
    }
    for (const damage of scanned.damage) {
      const kind = following === undefined && damage.next >= segment.end ? 'torn' : 'corrupt';
      this.#findings.push({ ...damage, kind, segment: segment.path });
    }
    return { records: scanned.records, next: scanned.next };
  }

  close(): Promise<void> {
    return this.#readers.close();
  }
}
