// The corpus: inputs that reach ground of their own, and those that once broke a law, as files in the repository.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('./testdata', import.meta.url));
const FINDING = 'finding-';

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

/** Files an input under its hash; returns the path. */
export function addToCorpus(target: string, bytes: Uint8Array, isFinding: boolean): string {
  const folder = join(FOLDER, target);
  fs.mkdirSync(folder, { recursive: true });
  const name = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  const path = join(folder, `${isFinding ? FINDING : ''}${name}`);
  fs.writeFileSync(path, bytes);
  return path;
}
