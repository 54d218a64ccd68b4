// Which commit the code is at, and what was changed since.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Attributes } from '../../otlp/model.ts';
import { VCS_DIFF, VCS_DIFF_CUT, VCS_DIRTY } from '../../semconv/names.ts';
import { run } from './command.ts';
import { redactedText, withoutCredentials } from './redact.ts';

/** A diff that is longer is no change but a copy; the record has to fit a request. */
export const MAX_DIFF_BYTES = 256 * 1024;
const TIMEOUT_MS = 3_000;
const MAX_LINE_BYTES = 64 * 1024;

/** A repository may name programs of its own; reading it runs none of them, takes no lock and asks nobody. */
const HARMLESS = ['-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', '--no-pager'];
const ENVIRONMENT = { GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };

/** Empty outside of a repository, and without git. */
export async function gitFacts(folder: string): Promise<Attributes> {
  if (!insideRepository(folder)) return {};
  const git = async (args: readonly string[], maxBytes = MAX_LINE_BYTES) =>
    run('git', [...HARMLESS, ...args], {
      cwd: folder,
      env: { ...process.env, ...ENVIRONMENT },
      timeoutMs: TIMEOUT_MS,
      maxBytes,
    });
  const [revision, name, url, diff] = await Promise.all([
    git(['rev-parse', 'HEAD']),
    git(['symbolic-ref', '--short', '-q', 'HEAD']),
    git(['config', '--get', 'remote.origin.url']),
    git(['diff', '--no-ext-diff', '--no-textconv', '--no-color', 'HEAD'], MAX_DIFF_BYTES),
  ]);
  const facts: Attributes = {};
  if (revision.kind === 'output') facts['vcs.ref.head.revision'] = revision.text.trim();
  if (name.kind === 'output' && name.text.trim() !== '') facts['vcs.ref.head.name'] = name.text.trim();
  if (url.kind === 'output') facts['vcs.repository.url.full'] = withoutCredentials(url.text.trim());
  if (diff.kind === 'output' || diff.kind === 'cut') {
    facts[VCS_DIRTY] = diff.text !== '';
    if (diff.text !== '') facts[VCS_DIFF] = redactedText(diff.text);
    if (diff.kind === 'cut') facts[VCS_DIFF_CUT] = true;
  }
  return facts;
}

/** Whether some folder above has a `.git`: asking git itself would cost a process in every run without one. */
function insideRepository(folder: string): boolean {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return true;
    if (dirname(at) === at) return false;
  }
}
