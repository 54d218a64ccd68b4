// The corpus: inputs that reach ground of their own, and those that once broke a law, as files in the repository.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('./testdata', import.meta.url));
const FINDING = 'finding-';
/** So that the repository stays small: short inputs, and not one for each branch of a library. */
const MAX_KEPT_BYTES = 1_024;
const MAX_KEPT_FILES = 60;

export interface CorpusEntry {
  readonly file: string;
  readonly bytes: Uint8Array;
}

export function corpusOf(target: string): CorpusEntry[] {
  const folder = join(FOLDER, target);
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .sort()
    .map(file => ({ file, bytes: fs.readFileSync(join(folder, file)) }));
}

/** Files an input under its hash; returns the path. Of those that are no findings only short ones, and not too many. */
export function addToCorpus(target: string, bytes: Uint8Array, isFinding: boolean): string | undefined {
  const folder = join(FOLDER, target);
  if (!isFinding && (bytes.length > MAX_KEPT_BYTES || corpusOf(target).length >= MAX_KEPT_FILES))
    return undefined;
  fs.mkdirSync(folder, { recursive: true });
  const name = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  const path = join(folder, `${isFinding ? FINDING : ''}${name}`);
  fs.writeFileSync(path, bytes);
  return path;
}
