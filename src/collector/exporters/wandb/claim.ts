// Folders of sessions: named as the official client names them, and each with a mark that says whose it is.
import fs from 'node:fs';
import path from 'node:path';
import { confinedFolder, confinedRead, confinedReplaceSync } from '../../runs/confined.ts';

/** In the folder of a session: which run and session it was made for. */
const MARK = '.kymo.json';
const MAX_MARK_BYTES = 4_096;
const MAX_SUFFIX = 1_000;

/**
 * A folder below `root` for a session: a new one, or that which a process made for the same session before it was killed.
 * What lies in that is the caller's to cut back.
 */
export function claimFolder(
  root: string,
  prefix: 'run' | 'offline-run',
  run: { readonly id: string; readonly key: string; readonly session: number; readonly writer: string },
  startedUnixNano: bigint,
): string {
  const mark = JSON.stringify({ writer: run.writer, key: run.key, session: run.session });
  const name = `${prefix}-${stamp(startedUnixNano)}-${run.id}`;
  for (let n = 0; n < MAX_SUFFIX; n++) {
    const folder = n === 0 ? name : `${name}-${n}`;
    const found = fs.lstatSync(path.join(root, folder), { throwIfNoEntry: false });
    if (found === undefined) {
      confinedFolder(root, folder);
      confinedReplaceSync(root, [folder, MARK], mark);
      return folder;
    }
    if (!found.isDirectory()) continue;
    if (confinedRead(root, [folder, MARK], MAX_MARK_BYTES)?.toString() === mark) return folder;
  }
  throw new Error(`${path.join(root, name)}: this name and ${MAX_SUFFIX} like it are taken`);
}

/** Local time, as the official client has it: `20261121_143022`. */
function stamp(unixNano: bigint): string {
  const time = new Date(Number(unixNano / 1_000_000n));
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${time.getFullYear()}${two(time.getMonth() + 1)}${two(time.getDate())}`;
  return `${date}_${two(time.getHours())}${two(time.getMinutes())}${two(time.getSeconds())}`;
}
