// Run ids and their folders as types: what is checked, and what may become part of a path.
import { lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { escapeRunId } from '../../semconv/run-folder.ts';
import type { RunFolder, RunId } from './run.ts';

/** Longer ids are refused: nobody reads them, and every file and line that names the run would carry one. */
export const MAX_RUN_ID_CHARACTERS = 1_024;

/** The id if it can be one: not empty and at most 1,024 UTF-16 units. Says nothing about paths; `runFolder` does. */
export function parseRunId(text: string): RunId | undefined {
  return text.length > 0 && text.length <= MAX_RUN_ID_CHARACTERS ? (text as RunId) : undefined;
}

/**
 * The folder of a run, as `escapeRunId` (which the SDK shares) makes it. Different ids have different folders: escaping can be
 * undone, and where a name is cut, a hash stands for the whole id. Unicode normal forms need no care, because nothing but
 * ASCII is left. Where file names ignore case (`caseSensitive: false`), `Run` and `run` are two folders as well.
 */
export function runFolder(id: RunId, options: { readonly caseSensitive: boolean }): RunFolder {
  return escapeRunId(id, options.caseSensitive) as RunFolder;
}

/** `runFolder` for one file system; see `isCaseSensitive`. */
export function createRunFolders(options: { readonly caseSensitive: boolean }): (id: RunId) => RunFolder {
  return id => runFolder(id, options);
}

/** Whether `a` and `A` are two files in an existing directory. Tries it; false where it cannot. */
export function isCaseSensitive(directory: string): boolean {
  let probe: string | undefined;
  try {
    probe = mkdtempSync(join(directory, '.kymo-probe-case-'));
    // mkdtemp ends in random letters; the fixed part is enough to have letters to turn.
    const upper = join(dirname(probe), basename(probe).toUpperCase());
    return lstatSync(upper, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  } finally {
    if (probe !== undefined) rmSync(probe, { recursive: true, force: true });
  }
}
