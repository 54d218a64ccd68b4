// One scenario's surroundings: a project folder, its producers and collectors, a store for what is forwarded, and the verdict at the end.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CollectorStatus } from '../../src/collector/status.ts';
import { paths } from '../../src/semconv/local.ts';
import { type Claim, type Expected, judge, type SeenPoint, type Verdict } from './judge.ts';
import { OtlpStore } from './otlp-store.ts';
import { type Plan, stepsOf } from './plan.ts';
import { type Planted, plantIn } from './plant.ts';
import {
  type Child,
  collectorsOf,
  type Ending,
  firstChildOf,
  foreignChild,
  KYMO,
  PRODUCER,
  pause,
  processesOf,
  signal,
  startNode,
  until,
} from './processes.ts';
import { type Answer, RECORD_BYTES, type Task } from './producer-task.ts';
import type { Random } from './random.ts';
import { listed, readJsonl, readRequests, readTensorboard } from './sinks.ts';
import { Stalls } from './stalls.ts';
import type { Standalone } from './standalone.ts';

/** What a killed process may lose: what it recorded in its last moments. */
export const LOSS_WINDOW_MS = 200;

/** Until the worker thread runs nothing is safe; on a loaded machine it takes this long at most. Only for producers that do not wait for it. */
const START_MS = 1_000;

export interface Tally {
  kills: number;
  points: number;
  faults: number;
  lostRows: number;
  /** Age of the oldest row lost to a SIGKILL, when the signal was sent. */
  oldestLossMs: number;
}

export class ChaosError extends Error {}

export interface ArenaOptions {
  /** Where the project folder is made; the system's temporary folder by default. */
  readonly parent?: string;
  readonly sinks?: readonly SinkName[];
  /** Settings of the journal, as YAML. */
  readonly journal?: string;
  /** Folder of the event files, beside the runs' own; relative to the project. */
  readonly tensorboard?: string;
  /** Done to the sinks before they are judged. */
  readonly plant?: Planted | undefined;
  readonly env?: Readonly<Record<string, string>>;
}
export type SinkName = 'jsonl' | 'tensorboard' | 'otlp';

export type TaskOptions = Partial<Omit<Task, 'plans' | 'recordedFile' | 'answersFile'>> & {
  readonly env?: Readonly<Record<string, string>>;
  readonly wrapper?: readonly string[];
};

export class Arena {
  readonly folder: string;
  readonly random: Random;
  readonly tally: Tally = { kills: 0, points: 0, faults: 0, lostRows: 0, oldestLossMs: 0 };
  readonly store = new OtlpStore();
  readonly stalls = new Stalls();
  readonly producers: Producer[] = [];
  readonly log: string[] = [];
  readonly #options: ArenaOptions;
  readonly #startedMs = performance.now();
  #env: Record<string, string> = {};
  #storeUrl = '';
  readonly #afterClose: (() => void)[] = [];

  constructor(random: Random, options: ArenaOptions = {}) {
    this.random = random;
    this.#options = options;
    this.folder = mkdtempSync(join(options.parent ?? tmpdir(), 'kymo-chaos-'));
  }

  get runs(): string {
    return join(this.folder, 'runs');
  }
  get eventFiles(): string {
    return join(this.folder, this.#options.tensorboard ?? 'runs');
  }
  /** Where collectors forward to. */
  get storeUrl(): string {
    return this.#storeUrl;
  }
  get sinks(): readonly SinkName[] {
    return this.#options.sinks ?? ['jsonl', 'tensorboard', 'otlp'];
  }

  async open(): Promise<void> {
    this.#storeUrl = await this.store.start();
    const config = join(this.folder, 'collector.yaml');
    writeFileSync(config, this.#config(this.#storeUrl));
    this.#env = {
      KYMO_DIR: this.folder,
      KYMO_CONFIG: config,
      KYMO_COLLECTOR_LINGER_MS: '300',
      ...this.#options.env,
    };
  }

  /** From now on producers send there instead of to the embedded collector. */
  sendTo(endpoint: string): void {
    this.#env.KYMO_ENDPOINT = endpoint;
  }

  #config(forwardTo: string): string {
    const exporters = this.sinks.map(sink => (sink === 'otlp' ? 'otlp_http' : sink));
    return [
      'receivers:',
      '  local:',
      'exporters:',
      '  jsonl: {directory: runs}',
      `  tensorboard: {directory: ${this.#options.tensorboard ?? 'runs'}, rewrite_interval: 300ms, max_tags_per_run: 20000}`,
      '  otlp_http:',
      `    endpoint: ${forwardTo}`,
      '    timeout: 2s',
      '    retry_on_failure: {initial_interval: 100ms, max_interval: 300ms}',
      'extensions:',
      `  journal: {${this.#options.journal ?? ''}}`,
      'service:',
      '  extensions: [journal]',
      '  pipelines:',
      `    metrics: {receivers: [local], exporters: [${exporters}]}`,
      `    logs: {receivers: [local], exporters: [${exporters}]}`,
      '',
    ].join('\n');
  }

  /** Done when every process of the scenario has ended. */
  afterClose(action: () => void): void {
    this.#afterClose.push(action);
  }

  /** Something that happened, for whoever has to find out what went wrong. */
  note(text: string): void {
    this.log.push(`${(performance.now() - this.#startedMs).toFixed(0).padStart(6)} ms  ${text}`);
  }

  start(plans: Plan | readonly Plan[], options: TaskOptions = {}): Producer {
    const list = Array.isArray(plans) ? (plans as readonly Plan[]) : [plans as Plan];
    const { env, wrapper, ...task } = options;
    const number = this.producers.length;
    const notes = mkdtempSync(join(tmpdir(), 'kymo-chaos-notes-'));
    const producer = new Producer(number, notes, list, task, this, full =>
      startNode([PRODUCER, this.folder], {
        cwd: this.folder,
        env: { ...this.#env, ...env, CHAOS_TASK: JSON.stringify(full) },
        ...(wrapper === undefined ? {} : { wrapper }),
      }),
    );
    producer.wrapped = wrapper !== undefined;
    this.producers.push(producer);
    this.note(`producer ${number} started (pid ${producer.child.process.pid})`);
    return producer;
  }

  /** A producer that starts another one as a child process; they record side by side. */
  startWithChild(
    plan: Plan,
    options: TaskOptions,
    childPlan: Plan,
    childOptions: Partial<Task>,
  ): readonly [parent: Producer, child: Producer] {
    const notes = mkdtempSync(join(tmpdir(), 'kymo-chaos-notes-'));
    let parent: Producer | undefined;
    const pidOf = (): number | undefined => {
      const pid = /^child (\d+)$/m.exec(parent?.child.output() ?? '')?.[1];
      return pid === undefined ? undefined : Number(pid);
    };
    const neverCame = (): boolean => parent?.child.hasEnded() === true;
    const child = new Producer(this.producers.length, notes, [childPlan], childOptions, this, () =>
      foreignChild(pidOf, neverCame),
    );
    this.producers.push(child);
    parent = this.start(plan, { ...options, child: child.task });
    return [parent, child];
  }

  /** The embedded collectors of the folder. */
  collectors(): number[] {
    return collectorsOf(this.folder);
  }

  killCollectors(): number {
    let killed = 0;
    for (const pid of this.collectors()) {
      if (!signal(pid, 'SIGKILL')) continue;
      killed++;
      this.note(`collector ${pid} killed`);
    }
    this.tally.kills += killed;
    this.tally.faults += killed;
    return killed;
  }

  async kymo(args: readonly string[]): Promise<Ending> {
    return startNode([KYMO, ...args], { cwd: this.folder, env: this.#env }).ended;
  }

  /** What `kymo status` says. */
  async status(): Promise<CollectorStatus> {
    const { code, stdout, stderr } = await this.kymo(['status', '--json']);
    if (code !== 0) throw new ChaosError(`kymo status: ${stderr}`);
    return JSON.parse(stdout) as CollectorStatus;
  }

  /** Lets a last process come and go, as the next training would, and waits until the collector has nothing more to do. */
  async settle(): Promise<void> {
    await Promise.all(this.producers.map(producer => producer.child.ended));
    const last = this.start({ ...EMPTY_PLAN, run: `settle${this.producers.length}` }, { ending: 'finish' });
    const ending = await last.child.ended;
    if (ending.code !== 0) throw new ChaosError(`the last process failed: ${ending.stderr}`);
    await this.quiet();
  }

  /** The same with a standalone collector: a last process delivers what is in the spool, then the collector writes everything and ends. */
  async settleStandalone(collector: Standalone): Promise<void> {
    await Promise.all(this.producers.map(producer => producer.child.ended));
    if (!collector.isUp) await collector.start();
    const last = this.start({ ...EMPTY_PLAN, run: `settle${this.producers.length}` }, { ending: 'hang' });
    await until('the spool to be delivered', () => (this.leftInSpool().length === 0 ? true : undefined));
    last.child.process.kill('SIGTERM');
    await last.child.ended;
    await collector.stop();
  }

  /** Waits until no collector lives. */
  async quiet(): Promise<void> {
    await until('the collector to end', () => (this.collectors().length === 0 ? true : undefined));
  }

  /** All that was claimed is in every sink, once; throws what is not. */
  judgeAll(others: readonly Expected[] = []): void {
    const { plant } = this.#options;
    if (plant !== undefined)
      plantIn(
        this.runs,
        this.producers.flatMap(({ plans }) => plans.map(({ run }) => run)),
        plant,
      );
    const verdicts = this.sinks.map(sink => this.judgeSink(sink, others));
    const problems: string[] = [];
    for (const verdict of verdicts) {
      this.tally.points += verdict.points;
      for (const fault of verdict.faults) problems.push(`${fault.kind}: ${fault.text}`);
      if (verdict.furtherFaults > 0) problems.push(`and ${verdict.furtherFaults} more in ${verdict.sink}`);
    }
    for (const key of this.store.conflicts) problems.push(`otlp: the batch ${key} came with different bytes`);
    for (const producer of this.producers) problems.push(...producer.accountingProblems());
    const left = this.leftInSpool();
    if (left.length > 0) problems.push(`left in the spool: ${left.join(', ')}`);
    this.#measureLoss(verdicts);
    if (problems.length === 0) return;
    const { lostRows, oldestLossMs } = this.tally;
    if (lostRows > 0)
      problems.push(
        `${lostRows} rows of killed trainers are missing, the oldest recorded ${oldestLossMs} ms before`,
      );
    throw new ChaosError(problems.join('\n'));
  }

  /** @param others what was sent by others than producers */
  judgeSink(sink: SinkName, others: readonly Expected[] = []): Verdict {
    const expected = [...this.producers.flatMap(producer => producer.expected(sink)), ...others];
    const precision = sink === 'tensorboard' ? 'float32' : 'double';
    const runs = new Set(expected.map(({ plan }) => plan.run));
    return judge(sink, precision, expected, this.#points(sink, runs));
  }

  *#points(sink: SinkName, runs: ReadonlySet<string>): Iterable<SeenPoint> {
    if (sink === 'otlp') yield* readRequests(this.store.metrics);
    else {
      for (const run of runs) {
        if (sink === 'jsonl') yield* readJsonl(this.runs, run, { superseded: true });
        else yield* readTensorboard(this.eventFiles, run);
      }
    }
  }

  leftInSpool(): string[] {
    const { spool } = paths(this.folder);
    return listed(spool);
  }

  runJson(run: string): Record<string, unknown> {
    return JSON.parse(readFileSync(join(this.runs, run, 'run.json'), 'utf8')) as Record<string, unknown>;
  }

  #measureLoss(verdicts: readonly Verdict[]): void {
    const canonical = verdicts.find(verdict => verdict.sink === this.sinks[0]);
    for (const { plan, recordedAt } of canonical?.missingRows ?? []) {
      const age = this.producers.find(one => one.plans.includes(plan))?.ageAtKill(plan, recordedAt);
      if (age === undefined) continue;
      this.tally.lostRows++;
      this.tally.oldestLossMs = Math.max(this.tally.oldestLossMs, age);
    }
  }

  /** What happened, and the last words of every process. */
  story(): string[] {
    const story = [...this.log];
    for (const [i, { child }] of this.producers.entries()) {
      const output = child.output().trim();
      if (output !== '' && output !== 'recorded') story.push(`producer ${i}: ${output.slice(-1_000)}`);
    }
    const log = paths(this.folder).log;
    if (existsSync(log)) story.push(`collector.log: ${readFileSync(log, 'utf8').slice(-4_000)}`);
    return story;
  }

  /** Ends whatever still runs for this scenario, and removes its files. */
  async close(options: { keep: boolean }): Promise<void> {
    for (const { child } of this.producers) if (!child.hasEnded()) child.process.kill('SIGKILL');
    for (let i = 0; i < 50 && processesOf(this.folder).length > 0; i++) {
      for (const { pid } of processesOf(this.folder)) {
        signal(pid, 'SIGCONT');
        signal(pid, 'SIGKILL');
      }
      await pause(20);
    }
    await this.store.stop();
    this.stalls.stop();
    if (!options.keep) for (const action of this.#afterClose) action();
    if (options.keep) return;
    const folders = [this.folder, ...this.producers.map(({ notes }) => notes)];
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

const EMPTY_PLAN: Plan = {
  seed: 0,
  run: 'settle',
  prefix: 'settle',
  rows: 0,
  metrics: 1,
  perRow: 1,
  order: 'ascending',
  firstStep: 0,
  attempt: 1,
};

/** A producer process, and what is known of what it did. */
export class Producer {
  readonly plans: readonly Plan[];
  readonly task: Task;
  readonly child: Child;
  readonly notes: string;
  /** Unix ms when it was killed. */
  killedAt: number | undefined;
  /** What it may have lost then, in ms: what is promised, and what the machine kept its threads waiting. */
  lossWindowMs = LOSS_WINDOW_MS;
  /** Rows from this step on were written again by a later attempt. */
  supersededFrom = Number.POSITIVE_INFINITY;
  /** The process may say that it dropped something; what is missing then is not a loss. */
  mayDrop = false;
  /** It runs inside a program that forked it. */
  wrapped = false;
  /** For faults that take from one sink what it had: the claim for a row that would be there otherwise. */
  instead: ((sink: SinkName, recordedAtMs: number) => Claim) | undefined;
  readonly #arena: Arena;
  readonly #number: number;
  #claims: readonly Uint8Array[] | undefined;
  #times: readonly (readonly number[])[] | undefined;

  constructor(
    number: number,
    notes: string,
    plans: readonly Plan[],
    options: Partial<Task>,
    arena: Arena,
    start: (task: Task) => Child,
  ) {
    this.plans = plans;
    this.notes = notes;
    this.#arena = arena;
    this.#number = number;
    this.task = {
      burst: 20,
      pauseMs: 5,
      synchronous: false,
      flushEvery: 0,
      warm: false,
      ending: 'finish',
      ...options,
      plans,
      recordedFile: join(notes, 'recorded'),
      answersFile: join(notes, 'answers'),
    };
    this.child = start(this.task);
  }

  /** What it runs on is killed now, and it with that. */
  diesNow(): void {
    if (this.child.hasEnded()) return;
    this.#dies();
    this.#arena.tally.kills++;
    this.#arena.tally.faults++;
    this.#arena.note(`producer ${this.#number} dies`);
  }

  #dies(): void {
    this.killedAt = Date.now();
    this.lossWindowMs = LOSS_WINDOW_MS + this.#arena.stalls.longestBefore(this.killedAt);
  }

  kill(): void {
    if (this.child.hasEnded()) return;
    this.#dies();
    // A wrapper that forks would die alone.
    const { pid } = this.child.process;
    const inside = this.wrapped && pid !== undefined ? firstChildOf(pid) : undefined;
    if (inside !== undefined) signal(inside, 'SIGKILL');
    else this.child.process.kill('SIGKILL');
    this.#arena.tally.kills++;
    this.#arena.tally.faults++;
    this.#arena.note(`producer ${this.#number} killed`);
  }

  /** Unix ms at which each row of each plan was recorded, as far as the process got. */
  recorded(): number[][] {
    const times: number[][] = this.plans.map(() => []);
    const file = this.task.recordedFile;
    if (!existsSync(file)) return times;
    const bytes = readFileSync(file);
    for (let at = 0; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES)
      times[bytes.readUInt32LE(at)]![bytes.readUInt32LE(at + 4)] = bytes.readDoubleLE(at + 8);
    return times;
  }

  answers(): Answer[] {
    const file = this.task.answersFile;
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, 'utf8').split('\n');
    return lines.slice(0, -1).map(line => JSON.parse(line) as Answer);
  }

  async untilRecorded(rows: number): Promise<void> {
    await until(`producer ${this.#number} to record ${rows} rows`, () => {
      if (this.child.hasEnded()) return true;
      return existsSync(this.task.recordedFile) &&
        readFileSync(this.task.recordedFile).length >= rows * RECORD_BYTES
        ? true
        : undefined;
    });
  }

  expected(sink: SinkName): Expected[] {
    this.#claims ??= this.#settleClaims();
    return this.plans.map((plan, i) => ({
      plan,
      claim: recordedAt => {
        const claim = CLAIMS[this.#claims![i]![recordedAt]!]!;
        if (this.instead !== undefined && claim === 'there')
          return this.instead(sink, this.#timesOf(i)[recordedAt]!);
        if (sink !== 'tensorboard' || this.supersededFrom === Number.POSITIVE_INFINITY) return claim;
        const step = this.#steps(i)[recordedAt]!;
        return step >= this.supersededFrom ? 'absent' : claim;
      },
    }));
  }

  #timesOf(plan: number): readonly number[] {
    this.#times ??= this.recorded();
    return this.#times[plan] ?? [];
  }

  readonly #stepsOf = new Map<number, readonly number[]>();
  #steps(i: number): readonly number[] {
    let steps = this.#stepsOf.get(i);
    if (steps === undefined) {
      steps = stepsOf(this.plans[i]!);
      this.#stepsOf.set(i, steps);
    }
    return steps;
  }

  /** Per plan and row, as an index into CLAIMS. */
  #settleClaims(): Uint8Array[] {
    const times = this.recorded();
    return this.plans.map((plan, i) => {
      const own = times[i]!;
      const safe = this.#acknowledged(i);
      const claims = new Uint8Array(plan.rows);
      const killedAt = this.killedAt ?? Number.POSITIVE_INFINITY;
      const whileStarting = !this.task.warm && killedAt - (own[0] ?? 0) < START_MS;
      for (let row = 0; row < plan.rows; row++) {
        const at = own[row];
        const late = at !== undefined && (whileStarting || at > killedAt - this.lossWindowMs);
        if (at === undefined)
          claims[row] = row === own.length && this.killedAt !== undefined ? MAYBE : ABSENT;
        else claims[row] = (late || this.mayDrop) && row >= safe ? MAYBE : THERE;
      }
      return claims;
    });
  }

  /** Rows of a plan that some answer said to be acknowledged, or safe in the spool. */
  #acknowledged(plan: number): number {
    let rows = 0;
    for (const { report, rows: asked } of this.answers())
      if (
        report.pending === report.spooled &&
        Object.entries(report.dropped).every(([reason, n]) => n === 0 || reason === 'bad_value')
      )
        rows = Math.max(rows, asked[plan]!);
    return rows;
  }

  /** Values that it was told to record wrongly, among the first `rows` of a plan. */
  badValues(rows: number): number {
    return this.task.badEvery === undefined ? 0 : Math.floor(rows / this.task.badEvery);
  }

  /** How long before the kill a row was recorded. */
  ageAtKill(plan: Plan, recordedAt: number): number | undefined {
    const at = this.#timesOf(this.plans.indexOf(plan))[recordedAt];
    return at === undefined || this.killedAt === undefined || !this.task.warm
      ? undefined
      : this.killedAt - at;
  }

  /** What is wrong with the numbers in the answers. */
  accountingProblems(): string[] {
    const problems: string[] = [];
    for (const { kind, rows, report } of this.answers()) {
      const { emitted, delivered, pending, spooled, dropped } = report;
      const lost = Object.values(dropped).reduce((sum, n) => sum + n, 0);
      const said = `producer ${this.#number}, ${kind}: ${JSON.stringify(report)}`;
      const bad = rows.reduce((sum, n) => sum + this.badValues(n), 0);
      const points = rows.reduce((sum, n, i) => sum + n * this.plans[i]!.perRow, bad);
      if ((dropped.bad_value ?? 0) !== bad) problems.push(`${said}: ${bad} values were no numbers`);
      if (emitted !== delivered + pending + lost) problems.push(`${said}: the sum is not right`);
      if (spooled > pending || spooled < 0) problems.push(`${said}: more in the spool than is pending`);
      // Each run says its start, its finish once that was asked for, and that it lives every 10 s.
      const events = this.plans.length * (kind === 'finish' ? 2 : 1);
      const heartbeats = this.plans.length * Math.ceil((performance.now() - this.#startedMs) / 10_000);
      if (emitted < points + events || emitted > points + events + heartbeats)
        problems.push(`${said}: ${points} points and ${events} events were recorded`);
    }
    return problems;
  }
  readonly #startedMs = performance.now();
}

const ABSENT = 0;
const MAYBE = 1;
const THERE = 2;
const CLAIMS: readonly Claim[] = ['absent', 'maybe', 'there'];
