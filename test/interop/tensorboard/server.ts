// A running TensorBoard, with one of its two readers, asked over the HTTP routes that its page uses.
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

/** The default reader, a program in Rust, and the one in Python. */
export type Reader = 'rust' | 'python';
export type Curve = readonly (readonly [wallTime: number, step: number, value: number])[];
export type Histograms = readonly (readonly [
  wallTime: number,
  step: number,
  rows: readonly (readonly number[])[],
])[];

/** Importing it takes many seconds on a cold machine. */
const START_MS = 90_000;
const POLL_MS = 100;
/** Keep every point; by default readers keep a sample. Zero would do for the readers and not for the plugins. */
const SAMPLES = 'scalars=1000000,histograms=10000,text=10000,images=10000,audio=10000';

export class TensorBoard {
  readonly reader: Reader;
  readonly #child: ChildProcess;
  readonly #url: string;

  private constructor(reader: Reader, child: ChildProcess, url: string) {
    this.reader = reader;
    this.#child = child;
    this.#url = url;
  }

  /** Resolves once it serves, which is before it has read everything. */
  static async start(python: string, logdir: string, reader: Reader): Promise<TensorBoard> {
    const child = spawn(
      python,
      [
        ...['-m', 'tensorboard.main', '--logdir', logdir, '--host', '127.0.0.1', '--port', '0'],
        ...[`--load_fast=${reader === 'rust'}`, '--reload_interval', '1', '--samples_per_plugin', SAMPLES],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let output = '';
    child.stdout.on('data', chunk => (output += chunk));
    child.stderr.on('data', chunk => (output += chunk));
    for (const deadline = Date.now() + START_MS; Date.now() < deadline; await delay(POLL_MS)) {
      const url = /TensorBoard \S+ at (http:\S+?)\/? \(/.exec(output)?.[1];
      if (url !== undefined) return new TensorBoard(reader, child, url);
      if (child.exitCode !== null) break;
    }
    child.kill('SIGKILL');
    throw new Error(`TensorBoard did not start:\n${output}`);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise(resolve => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await gone;
  }

  /** Scalar tags by run. */
  async tags(): Promise<Map<string, string[]>> {
    const found = (await this.#get('scalars/tags')) as Record<string, object>;
    return new Map(Object.entries(found).map(([run, tags]) => [run, Object.keys(tags).sort()]));
  }

  async scalars(run: string, tag: string): Promise<Curve> {
    const found = (await this.#get('scalars/scalars', { run, tag })) as [number, number, number | string][];
    // JSON has no NaN and no infinity, so they come as text.
    return found.map(([wallTime, step, value]) => [wallTime, step, Number(value)]);
  }

  async histograms(run: string, tag: string): Promise<Histograms> {
    return (await this.#get('histograms/histograms', { run, tag })) as Histograms;
  }

  async texts(run: string, tag: string): Promise<readonly { step: number; text: string }[]> {
    return (await this.#get('text/text', { run, tag })) as { step: number; text: string }[];
  }

  /** Steps of the images of a tag, in the order in which they are shown. */
  async imageSteps(run: string, tag: string): Promise<readonly number[]> {
    const found = (await this.#get('images/images', { run, tag, sample: '0' })) as { step: number }[];
    return found.map(({ step }) => step);
  }

  /** Pictures of a tag as the page gets them. */
  async images(run: string, tag: string): Promise<readonly Shown[]> {
    return this.#blobs('images', 'individualImage', run, tag);
  }

  async sounds(run: string, tag: string): Promise<readonly Shown[]> {
    return this.#blobs('audio', 'individualAudio', run, tag);
  }

  async #blobs(plugin: string, one: string, run: string, tag: string): Promise<Shown[]> {
    const found = (await this.#get(`${plugin}/${plugin}`, { run, tag, sample: '0' })) as {
      readonly step: number;
      readonly query: string;
    }[];
    const shown: Shown[] = [];
    for (const { step, query } of found) {
      const response = await fetch(`${this.#url}/data/plugin/${plugin}/${one}?${query}`);
      if (!response.ok) throw new Error(`${plugin}/${one}: ${response.status}`);
      const bytes = Buffer.from(await response.arrayBuffer());
      const type = response.headers.get('content-type') ?? '';
      shown.push({ step, type, bytes });
    }
    return shown;
  }

  /** Of each run: its hyperparameters and how it ended. */
  async hparams(): Promise<Map<string, { status: string; hparams: Record<string, unknown> }>> {
    const body = {
      startIndex: 0,
      sliceSize: 1000,
      colParams: [],
      allowedStatuses: ['STATUS_UNKNOWN', 'STATUS_SUCCESS', 'STATUS_FAILURE', 'STATUS_RUNNING'],
    };
    const response = await fetch(`${this.#url}/data/plugin/hparams/session_groups`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`hparams/session_groups: ${response.status} ${text}`);
    const { sessionGroups = [] } = JSON.parse(text) as { sessionGroups?: SessionGroup[] };
    return new Map(
      sessionGroups.map(({ hparams, sessions }) => [
        sessions[0]!.name,
        { status: sessions[0]!.status, hparams },
      ]),
    );
  }

  async #get(route: string, query: Record<string, string> = {}): Promise<unknown> {
    const response = await fetch(`${this.#url}/data/plugin/${route}?${new URLSearchParams(query)}`);
    const text = await response.text();
    // A tag that is not there yet.
    if (response.status === 400 || response.status === 404) return [];
    if (!response.ok) throw new Error(`${route}: ${response.status} ${text}`);
    return JSON.parse(text);
  }
}

/** A picture or a sound as it is served. */
export interface Shown {
  readonly step: number;
  readonly type: string;
  readonly bytes: Buffer;
}

interface SessionGroup {
  readonly hparams: Record<string, unknown>;
  readonly sessions: readonly { readonly name: string; readonly status: string }[];
}
