// W&B's HTTP endpoints: GraphQL, file_stream and uploads; tries again what passes, and says in words what does not.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { howToGiveAKey, keyProblem } from '../settings.ts';
import { isWorthRetrying, retryDelayMs, type Timing } from './policy.ts';

/** A request that is not tried again. `key`: the server does not take the API key. */
export class ApiError extends Error {
  readonly kind: 'key' | 'refused';
  readonly status: number;
  constructor(kind: 'key' | 'refused', message: string, status = 0) {
    super(message);
    this.name = 'ApiError';
    this.kind = kind;
    this.status = status;
  }
}

export interface ApiOptions {
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly timing: Timing;
  readonly signal: AbortSignal;
  /** Hears of each failed attempt that will be repeated. */
  onRetry(what: string, problem: string, delayMs: number): void;
}

export interface Answer {
  readonly headers: Headers;
  readonly body: unknown;
}

/** An answer of ours is short; what a proxy says instead is not read to its end. */
const MAX_SHOWN_CHARACTERS = 300;
const UPLOAD_ATTEMPTS = 20;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export class WandbApi {
  readonly #options: ApiOptions;
  readonly #authorization: string;
  #features: Promise<ReadonlySet<string>> | undefined;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#authorization = `Basic ${Buffer.from(`api:${options.apiKey}`).toString('base64')}`;
  }

  get signal(): AbortSignal {
    return this.#options.signal;
  }

  /** The `data` of the answer. @throws ApiError, and the signal's reason */
  async graphql(operation: string, query: string, variables: object): Promise<Record<string, unknown>> {
    const { baseUrl, apiKey } = this.#options;
    const problem = keyProblem(apiKey);
    if (problem !== undefined) throw new ApiError('key', `${problem}. ${howToGiveAKey(baseUrl)}`);
    const body = JSON.stringify({ query, variables, operationName: operation });
    const conflictPasses = operation === 'UpsertBucket';
    const answer = await this.#post(operation, `${baseUrl}/graphql`, body, conflictPasses);
    const { data, errors } = (answer.body ?? {}) as {
      data?: Record<string, unknown> | null;
      errors?: readonly { message?: string }[];
    };
    if (errors !== undefined && errors.length > 0)
      throw new ApiError(
        'refused',
        `${operation}: ${errors.map(one => one.message ?? 'an error').join('; ')}`,
      );
    if (data == null) throw new ApiError('refused', `${operation}: ${baseUrl} does not answer as W&B`);
    return data;
  }

  /** What the server can; nothing where it does not say. Asked once. */
  features(query: string): Promise<ReadonlySet<string>> {
    this.#features ??= this.graphql('ServerFeaturesQuery', query, {}).then(
      data => {
        const info = data.serverInfo as
          | { features?: readonly { name: string; isEnabled: boolean }[] }
          | null
          | undefined;
        const on = (info?.features ?? []).filter(one => one.isEnabled);
        return new Set(on.map(one => one.name));
      },
      (error: unknown) => {
        if (error instanceof ApiError && error.kind === 'refused') return new Set<string>();
        this.#features = undefined;
        throw error;
      },
    );
    return this.#features;
  }

  stream(entity: string, project: string, run: string, body: object): Promise<Answer> {
    const place = [entity, project, run].map(encodeURIComponent).join('/');
    const url = `${this.#options.baseUrl}/files/${place}/file_stream`;
    return this.#post('file_stream', url, JSON.stringify(body), false);
  }

  /**
   * Puts a file where the server said, without our key. `expired`: the address is no longer good, another has to be asked for.
   */
  async put(
    url: string,
    headers: readonly string[],
    file: string | Uint8Array,
  ): Promise<'stored' | 'expired'> {
    const { signal, timing } = this.#options;
    for (let attempt = 0; ; attempt++) {
      let problem: string;
      let retryAfter: string | null = null;
      try {
        const length = typeof file === 'string' ? (await stat(file)).size : file.length;
        const given = Object.fromEntries(headers.map(splitHeader));
        const bytes = typeof file !== 'string' ? file : length === 0 ? new Uint8Array(0) : undefined;
        const request = {
          method: 'PUT',
          headers: { ...given, 'content-length': String(length) },
          body: bytes ?? Readable.toWeb(createReadStream(file as string)),
          duplex: 'half',
          signal,
        };
        const response = await fetch(url, request as RequestInit);
        await response.arrayBuffer();
        if (response.ok) return 'stored';
        problem = `answered ${response.status}`;
        retryAfter = response.headers.get('retry-after');
        if (response.status === 401 || response.status === 403 || response.status === 410) return 'expired';
        if (!isWorthRetrying(response.status, false))
          throw new ApiError('refused', `an upload was refused with ${response.status}`, response.status);
      } catch (error) {
        if (signal.aborted || error instanceof ApiError || isOfTheFile(error)) throw error;
        problem = problemOf(error);
      }
      if (attempt + 1 >= UPLOAD_ATTEMPTS)
        throw new ApiError(
          'refused',
          `an upload failed ${UPLOAD_ATTEMPTS} times; the last time it ${problem}`,
        );
      await this.#wait('upload', problem, retryDelayMs(attempt, retryAfter, timing));
    }
  }

  async #post(what: string, url: string, body: string, conflictPasses: boolean): Promise<Answer> {
    const { signal, timing, baseUrl } = this.#options;
    for (let attempt = 0; ; attempt++) {
      let problem: string;
      let retryAfter: string | null = null;
      try {
        const response = await fetch(url, {
          method: 'POST',
          headers: {
            authorization: this.#authorization,
            'content-type': 'application/json',
            'user-agent': 'kymo',
          },
          body,
          redirect: 'error',
          signal: AbortSignal.any([signal, AbortSignal.timeout(timing.attemptMs)]),
        });
        const text = await readText(response);
        if (response.ok) return { headers: response.headers, body: parseJson(text) };
        const { status } = response;
        if (status === 401 || status === 403)
          throw new ApiError(
            'key',
            `${baseUrl} does not take the API key (${status}): ${shown(text)}. ${howToGiveAKey(baseUrl)}`,
            status,
          );
        if (!isWorthRetrying(status, conflictPasses))
          throw new ApiError('refused', `${what} was refused with ${status}: ${shown(text)}`, status);
        problem = `answered ${status}`;
        retryAfter = response.headers.get('retry-after');
      } catch (error) {
        if (signal.aborted || error instanceof ApiError) throw error;
        problem = problemOf(error);
      }
      await this.#wait(what, problem, retryDelayMs(attempt, retryAfter, timing));
    }
  }

  async #wait(what: string, problem: string, delayMs: number): Promise<void> {
    this.#options.onRetry(what, problem, delayMs);
    await sleep(delayMs, undefined, { signal: this.#options.signal });
  }
}

function splitHeader(header: string): [string, string] {
  const at = header.indexOf(':');
  return [header.slice(0, at).trim(), header.slice(at + 1).trim()];
}

async function readText(response: Response): Promise<string> {
  const length = Number(response.headers.get('content-length') ?? 0);
  if (length > MAX_ANSWER_BYTES) throw new ApiError('refused', `an answer of ${length} bytes is not read`);
  return response.text();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The server's own words, made harmless. */
function shown(text: string): string {
  const said = parseJson(text) as { errors?: { message?: unknown }[]; error?: unknown } | undefined;
  const message = said?.errors?.[0]?.message ?? said?.error ?? text;
  return String(message)
    .replace(/[\p{C}]+/gu, ' ')
    .slice(0, MAX_SHOWN_CHARACTERS);
}

function problemOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return `failed: ${cause instanceof Error ? cause.message || cause.name : String(cause)}`;
}

function isOfTheFile(error: unknown): boolean {
  const found = (error as { cause?: unknown }).cause ?? error;
  return typeof found === 'object' && found !== null && 'path' in found && 'syscall' in found;
}
