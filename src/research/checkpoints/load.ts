// Reads a checkpoint back. Checksums first: no byte of a state is interpreted before its file is known to be the one that was written.
import { join } from 'node:path';
import { CborError } from './cbor-decode.ts';
import { BUFFERS_FOLDER } from './folder.ts';
import { CheckpointError, type Manifest, manifestName, type SavedFile } from './manifest.ts';
import type { LoadedCheckpoint } from './options.ts';
import { CBOR, deserialize, type Serializer } from './serializer.ts';
import type { TensorMaker } from './tensors.ts';
import { readWhole } from './whole-file.ts';

export interface Reading {
  readonly serializer: Serializer | undefined;
  readonly tf: TensorMaker | undefined;
  readonly buffer: boolean;
}

/** Throws a CheckpointError that names the file. */
export function loadCheckpoint(folder: string, manifest: Manifest, reading: Reading): LoadedCheckpoint {
  const { buffer } = manifest;
  return {
    state: read(join(folder, manifest.state.file), manifest.state, reading),
    step: manifest.step,
    buffer:
      buffer === undefined || !reading.buffer
        ? undefined
        : read(join(folder, '..', '..', BUFFERS_FOLDER, buffer.file), buffer, reading),
    bufferStep: buffer?.step,
    run: manifest.run,
    attempt: manifest.attempt,
    savedAt: new Date(manifest.saved),
    wallTime: manifest.wall_time,
    path: folder,
  };
}

/** For messages about a folder that has no manifest. */
export function missing(folder: string, rank: number): CheckpointError {
  const file = join(folder, manifestName(rank));
  return new CheckpointError(
    'missing',
    file,
    'there is none: this is no checkpoint of saveCheckpoint, or its saving was interrupted; load another one',
  );
}

function read(file: string, saved: SavedFile, { serializer, tf }: Reading): unknown {
  const expected = serializer?.name ?? CBOR;
  if (saved.serializer !== expected)
    throw new CheckpointError(
      'wrong_serializer',
      file,
      `was written by the serializer ${JSON.stringify(saved.serializer)}, not by ${JSON.stringify(expected)}; pass that one: loadCheckpoint({serializer})`,
    );
  let whole: ReturnType<typeof readWhole>;
  try {
    whole = readWhole(file, saved.bytes);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof RangeError)
      throw new CheckpointError(
        'wrong_checksum',
        file,
        `${message}: it was cut or replaced; ${WAY_OUT}`,
        error,
      );
    const what = code === 'ENOENT' ? 'is not there' : `cannot be read (${code ?? message})`;
    throw new CheckpointError(code === 'ENOENT' ? 'missing' : 'damaged', file, `${what}; ${WAY_OUT}`, error);
  }
  if (whole.sha256 !== saved.sha256)
    throw new CheckpointError(
      'wrong_checksum',
      file,
      `holds other bytes than were saved (SHA-256 ${whole.sha256.slice(0, 12)}…, not ${saved.sha256.slice(0, 12)}…); ${WAY_OUT}`,
    );
  try {
    return deserialize(whole.bytes, serializer, tf);
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    throw new CheckpointError('damaged', file, `is no state: ${error.message}; ${WAY_OUT}`, error);
  }
}

const WAY_OUT = 'load another checkpoint, such as loadCheckpoint({step}), or a copy of this one';
