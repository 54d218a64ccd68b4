// What is found in a run folder that no state is known of: whose it is, and what its files hold already.
import fs from 'node:fs';
import path from 'node:path';
import { newAttributes } from '../../../otlp/attributes.ts';
import { confinedRead, confinedReplaceSync } from '../../runs/confined.ts';
import { isMap, parseJson, valueJson } from '../../runs/json.ts';
import type { RunFolder } from '../../runs/run.ts';
import type { FileState } from './append-file.ts';
import { MAX_STATE_BYTES } from './limits.ts';
import { LOGS_FOLDER, type RunSurroundings } from './open-run.ts';
import { FILE_KEYS, type FileKey, type FileStates, FORMAT, type Identity } from './run-record.ts';

/** What a run is opened with when nothing is known about it. */
export interface FirstSight {
  readonly part: string;
  /** What the files hold already. */
  readonly files: FileStates;
}

/**
 * Looks at a run folder that no state is known of. A run.json of another writer keeps its names: this one then writes
 * `run.<writer>.json`, `metrics.<writer>.jsonl` and so on. What our own files hold already stays, and is written on behind.
 */
export function firstSight(folder: RunFolder, identity: Identity, around: RunSurroundings): FirstSight {
  const part = claim(folder, identity, around) ? '' : `.${around.writer}`;
  const fileState = (key: FileKey): FileState => {
    const file = path.join(around.root, folder, LOGS_FOLDER, `${key}${part}.jsonl`);
    const found = fs.lstatSync(file, { throwIfNoEntry: false });
    const length = found?.isFile() ? found.size : 0;
    return { length, missing: 0, adopted: length };
  };
  return { part, files: Object.fromEntries(FILE_KEYS.map(key => [key, fileState(key)])) as FileStates };
}

/** True when run.json is ours: made now, by us earlier, or by nobody that says so. */
function claim(folder: RunFolder, identity: Identity, around: RunSurroundings): boolean {
  const content = confinedRead(around.root, [folder, 'run.json'], MAX_STATE_BYTES);
  if (content === undefined) {
    const first = newAttributes();
    first.format = FORMAT;
    first.id = identity.id;
    first.writer = around.writer;
    confinedReplaceSync(around.root, [folder, 'run.json'], `${valueJson(first, true)}\n`);
    return true;
  }
  try {
    const document = parseJson(content.toString());
    return !isMap(document) || typeof document.writer !== 'string' || document.writer === around.writer;
  } catch {
    return true;
  }
}
