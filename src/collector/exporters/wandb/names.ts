// What W&B takes as run ids, projects, tags and keys, and what becomes of names that it would refuse.
import { createHash } from 'node:crypto';

const MAX_RUN_ID_CHARACTERS = 64;
const MAX_PROJECT_CHARACTERS = 128;
const MAX_TAG_CHARACTERS = 64;
const MAX_NAME_CHARACTERS = 128;
const HASH_DIGITS = 12;
/** Refused in project names. */
const PROJECT_REFUSES = /[/\\#?%:\p{C}]/gu;

/** The producer's step, in every row: the x axis of everything that names no other. Dots would nest. */
export const STEP_KEY = 'kymo/step';
/** W&B's own keys: a metric that is called like one is put below `user/`. */
const RESERVED: ReadonlySet<string> = new Set(['_step', '_timestamp', '_runtime', '_wandb', STEP_KEY]);

/** A run id that W&B takes; one that had to be changed ends in a hash of the whole, so that two never become one. */
export function wandbRunId(id: string): string {
  const safe = id.replace(/[^A-Za-z0-9_-]/g, '-');
  if (safe === id && id.length <= MAX_RUN_ID_CHARACTERS) return id;
  return `${safe.slice(0, MAX_RUN_ID_CHARACTERS - HASH_DIGITS - 1)}-${hashOf(id)}`;
}

export function wandbProject(name: string): string {
  const safe = name.replace(PROJECT_REFUSES, '-').trim();
  return [...safe].slice(0, MAX_PROJECT_CHARACTERS).join('') || 'uncategorized';
}

/** Tags have 1 to 64 characters; each once. */
export function wandbTags(tags: readonly string[]): string[] {
  const kept = new Set<string>();
  for (const tag of tags) {
    const short = [...tag.trim()].slice(0, MAX_TAG_CHARACTERS).join('');
    if (short !== '') kept.add(short);
  }
  return [...kept];
}

export function wandbName(name: string): string {
  return [...name].slice(0, MAX_NAME_CHARACTERS).join('');
}

/** The key of a series in a row. */
export function rowKey(sinkName: string): string {
  return RESERVED.has(sinkName) ? `user/${sinkName}` : sinkName;
}

function hashOf(text: string): string {
  return createHash('sha256').update(Buffer.from(text, 'utf16le')).digest('hex').slice(0, HASH_DIGITS);
}
