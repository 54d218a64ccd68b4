// Imports one source as one run: piece by piece, each noted before it is sent and again when it is delivered.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { RECORD_HEADER_BYTES } from '../../collector/exporters/tensorboard/record-buffer.ts';
import { walkRecords } from '../../collector/exporters/tensorboard/records.ts';
import { parseJson } from '../../collector/runs/json.ts';
import {
  EVENT_RUN_CONFIG,
  EVENT_RUN_FINISH,
  EVENT_RUN_START,
  RUN_ATTEMPT,
  RUN_CONFIG,
  RUN_STATE,
} from '../../semconv/names.ts';
import { attributes, ImportBatch, logRecord, nanos, type Origin, type Request } from './batch.ts';
import { addEvent } from './events.ts';
import { addLine, type Carry, type LineContext, parseLine, type Skipped } from './lines.ts';
import { PIECE_BYTES, readPiece } from './pieces.ts';
import type { Pending, Progress, ProgressFile } from './progress.ts';
import type { Source, SourceFile } from './source.ts';

const INFO = 9;

/** Delivers one request under its key, or throws: after this it must not be sent under another. */
export type Deliver = (request: Request, batchKey: string) => Promise<void>;

export interface Imported {
  readonly progress: Progress;
  /** Files that ended in something half, or in damage. */
  readonly notes: readonly string[];
}

/** Sends what is new since the progress; returns the progress at the end. */
export async function importRun(
  source: Source,
  start: Progress,
  file: ProgressFile,
  deliver: Deliver,
  onPiece: (progress: Progress) => void,
  pieceBytes = PIECE_BYTES,
): Promise<Imported> {
  let progress = start;
  const notes: string[] = [];
  const send = async (pending: Pending, made: Made): Promise<void> => {
    progress = { ...progress, pending };
    file.write(progress);
    const sent = { ...progress.sent };
    for (const request of made.requests) {
      sent[request.signal]++;
      await deliver(request, `${progress.sender}/import/${request.signal}/${sent[request.signal]}`);
    }
    const offsets =
      pending.file === '' ? progress.offsets : { ...progress.offsets, [pending.file]: pending.to };
    const { carry, skipped, counts } = made;
    progress = {
      ...progress,
      pending: undefined,
      sent,
      offsets,
      carry,
      skipped,
      counts,
      finished: pending.file === '',
    };
    file.write(progress);
    onPiece(progress);
  };

  if (progress.pending !== undefined) await again(source, progress, progress.pending, send);
  for (const one of source.files) {
    for (;;) {
      const piece = readPiece(one.path, one.kind, progress.offsets[one.key] ?? 0, undefined, pieceBytes);
      if (piece.kind === 'broken')
        notes.push(`${one.path}: ${piece.reason}, at byte ${piece.at}; what is behind it is left out`);
      else if (piece.kind === 'end' && piece.rest > 0)
        notes.push(
          `${one.path}: ends in ${piece.rest} bytes of something half; a later import goes on there`,
        );
      if (piece.kind !== 'piece') break;
      const from = progress.offsets[one.key] ?? 0;
      const made = convert(source, one, piece.bytes, progress);
      await send({ file: one.key, from, to: piece.to, sha256: hashOf(piece.bytes) }, made);
    }
  }
  if (!progress.finished && isBegun(progress)) {
    await send({ file: '', from: 0, to: 0, sha256: '' }, ending(source, progress));
  }
  return { progress, notes };
}

/** Unix seconds that the first row's `wall_time` counts from: the file was last written when its last row was. */
export function baseSeconds(source: Source): number {
  const rows = source.files.find(one => one.kind === 'rows');
  if (rows === undefined) return 0;
  const { mtimeMs, size } = fs.statSync(rows.path);
  const fd = fs.openSync(rows.path, 'r');
  try {
    const tail = Buffer.alloc(Math.min(size, 256 * 1024));
    fs.readSync(fd, tail, 0, tail.length, size - tail.length);
    const lines = tail.toString('utf8').trimEnd().split('\n');
    const walls = lines.map(line => parseLine(line)?.wall_time).filter(wall => typeof wall === 'number');
    return mtimeMs / 1_000 - Math.max(0, ...walls.slice(-1));
  } finally {
    fs.closeSync(fd);
  }
}

interface Made {
  readonly requests: readonly Request[];
  readonly carry: Carry;
  readonly skipped: Skipped;
  readonly counts: Record<string, number>;
}

/** What was under way when an earlier import ended: the same requests under the same keys. */
async function again(
  source: Source,
  progress: Progress,
  pending: Pending,
  send: (pending: Pending, made: Made) => Promise<void>,
): Promise<void> {
  if (pending.file === '') return send(pending, ending(source, progress));
  const file = source.files.find(one => one.key === pending.file);
  if (file === undefined)
    throw new Error(`${source.path}: ${pending.file} is gone, and part of it may not have been delivered`);
  const piece = readPiece(file.path, file.kind, pending.from, pending.to);
  if (piece.kind !== 'piece' || hashOf(piece.bytes) !== pending.sha256)
    throw new Error(`${file.path} has changed where an earlier import stopped: import it as another --run`);
  return send(pending, convert(source, file, piece.bytes, progress));
}

function convert(source: Source, file: SourceFile, bytes: Buffer, progress: Progress): Made {
  const batch = new ImportBatch(source.run);
  // Copies: the progress is only replaced once the piece is delivered.
  const plugins = Object.assign(Object.create(null) as Record<string, string>, progress.carry.plugins);
  const carry = { ...progress.carry, plugins };
  const skipped = { ...progress.skipped };
  const context: LineContext = { batch, carry, skipped, instance: instanceOf(source, progress) };
  if (!isBegun(progress) && !source.hasLifecycle) begin(source, file, bytes, context);
  if (file.kind === 'events') {
    walkRecords(bytes, 0, (chunk, start, end) => {
      try {
        addEvent(chunk, start, end, context);
      } catch {
        // Its checksum is right, and yet it is no event.
        skipped.lines++;
      }
    });
  } else {
    for (let from = 0; from < bytes.length; ) {
      const feed = bytes.indexOf(0x0a, from);
      const to = feed < 0 ? bytes.length : feed;
      addLine(file.kind, bytes.toString('utf8', from, to), context);
      from = to + 1;
    }
  }
  const counts = { ...progress.counts };
  for (const [what, count] of Object.entries(batch.counts)) counts[what] = (counts[what] ?? 0) + count;
  return { requests: batch.requests(), carry, skipped, counts };
}

/** Start and config, in front of everything. */
function begin(
  source: Source,
  file: SourceFile,
  bytes: Buffer,
  { batch, carry, instance }: LineContext,
): void {
  const first =
    file.kind === 'events'
      ? undefined
      : parseLine(bytes.toString('utf8', 0, Math.max(0, bytes.indexOf(0x0a))));
  const own = file.kind === 'events' ? firstWallTime(bytes) : first?.time;
  const timeUnixNano = nanos(typeof own === 'number' ? own : carry.baseSeconds);
  const origin = originOf(instance);
  batch.addLog(
    origin,
    logRecord({
      timeUnixNano,
      severityNumber: INFO,
      eventName: EVENT_RUN_START,
      attributes: attributes({ [RUN_STATE]: 'running', [RUN_ATTEMPT]: 1 }),
    }),
  );
  if (source.config === undefined) return;
  const config = parseJson(JSON.stringify(source.config));
  batch.addLog(
    origin,
    logRecord({
      timeUnixNano,
      severityNumber: INFO,
      eventName: EVENT_RUN_CONFIG,
      attributes: attributes({ [RUN_CONFIG]: config }),
    }),
  );
}

/** Of the first event, whose first field it is. */
function firstWallTime(bytes: Buffer): number {
  const at = RECORD_HEADER_BYTES + 1;
  return bytes.length >= at + 8 && bytes[at - 1] === 0x09 ? bytes.readDoubleLE(at) : 0;
}

function ending(source: Source, progress: Progress): Made {
  const { carry, skipped, counts } = progress;
  const batch = new ImportBatch(source.run);
  const state = source.endState ?? 'finished';
  if (!source.hasLifecycle || source.endState !== undefined) {
    batch.addLog(
      { ...originOf(instanceOf(source, progress)), attempt: carry.attempt },
      logRecord({
        timeUnixNano: BigInt(carry.lastSent),
        severityNumber: INFO,
        eventName: EVENT_RUN_FINISH,
        attributes: attributes({ [RUN_STATE]: state }),
      }),
    );
  }
  return { requests: batch.requests(), carry, skipped, counts };
}

function isBegun(progress: Progress): boolean {
  return Object.keys(progress.offsets).length > 0;
}

function instanceOf(source: Source, progress: Progress): string {
  return source.instance ?? progress.sender;
}

function originOf(instance: string): Origin {
  return { instance, rank: 0, attempt: 1, scope: '', logger: '' };
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
