// Finds the collector of a project folder or configuration and asks it something over its local endpoint.
import http from 'node:http';
import { join, resolve } from 'node:path';
import { loadTree } from '../collector/config/load.ts';
import { formatProblem } from '../collector/config/problem.ts';
import { nodeAt } from '../collector/config/tree.ts';
import { readToken } from '../collector/token.ts';
import { collectorKey, findProjectDirectory, localAddress, PROJECT_FOLDER, paths } from '../semconv/local.ts';
import { LocalAgent, STRANGER } from '../semconv/local-handshake.ts';

/** Where a collector may be listening, and what it wants to see. */
export interface CollectorPlace {
  readonly journal: string;
  readonly tokenFile: string;
}

const DEFAULT_JOURNAL = join(PROJECT_FOLDER, 'journal');
const TIMEOUT_MS = 5_000;
/** A status with hundreds of clients and runs is far smaller. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** The places to look at, most likely first: a configuration's journal, or those of a project folder (embedded, standalone). */
export function collectorPlaces(options: {
  readonly config?: readonly string[] | undefined;
  readonly directory?: string | undefined;
}): CollectorPlace[] {
  if (options.config !== undefined) return [standalone(resolve(journalOf(options.config)))];
  const project = options.directory ?? findProjectDirectory(process.env, process.cwd());
  const { journal, token } = paths(resolve(project));
  return [{ journal, tokenFile: token }, standalone(resolve(project, DEFAULT_JOURNAL))];
}

/** The journal folder that a configuration names. Throws when it cannot be read. */
export function journalOf(sources: readonly string[]): string {
  const { tree, problems } = loadTree({ sources, env: process.env });
  if (tree === undefined) throw new Error(problems.map(formatProblem).join('; '));
  const extensions = nodeAt(tree, ['extensions']);
  if (extensions?.kind !== 'map') return DEFAULT_JOURNAL;
  for (const [id, { value }] of extensions.entries) {
    if (id.split('/')[0]?.trim() !== 'journal') continue;
    const directory = nodeAt(value, ['directory']);
    if (directory?.kind !== 'scalar' || directory.value === null) return DEFAULT_JOURNAL;
    return directory.original ?? String(directory.value);
  }
  return DEFAULT_JOURNAL;
}

function standalone(journal: string): CollectorPlace {
  return { journal, tokenFile: join(journal, 'token') };
}

/** The JSON that the collector at one of the places answers with; undefined when none of them has one. Throws when it does not let us in. */
export async function askCollector(places: readonly CollectorPlace[], path: string): Promise<unknown> {
  for (const place of places) {
    const token = readToken(place.tokenFile);
    if (token === undefined) continue;
    const answer = await get(localAddress(collectorKey(place.journal)), path, token);
    if (answer === undefined) continue;
    if (answer === STRANGER)
      throw new Error(
        `who answers for ${place.journal} does not know the token in ${place.tokenFile}: is the collector still starting?`,
      );
    if (answer.status !== 200)
      throw new Error(`the collector answered ${answer.status}: ${answer.body.slice(0, 200)}`);
    return JSON.parse(answer.body);
  }
  return undefined;
}

function get(
  address: string,
  path: string,
  token: string,
): Promise<{ readonly status: number; readonly body: string } | typeof STRANGER | undefined> {
  return new Promise((resolvePromise, reject) => {
    const request = http.get({ path, host: 'localhost', agent: new LocalAgent(address, token) }, response => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) request.destroy(new Error('the answer of the collector is too large'));
        else chunks.push(chunk);
      });
      response.on('end', () =>
        resolvePromise({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      );
      response.on('error', reject);
    });
    request.setTimeout(TIMEOUT_MS, () =>
      request.destroy(new Error(`the collector did not answer within ${TIMEOUT_MS} ms`)),
    );
    request.on('error', error => {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolvePromise(undefined);
      else if (code === STRANGER) resolvePromise(STRANGER);
      else reject(error);
    });
  });
}
