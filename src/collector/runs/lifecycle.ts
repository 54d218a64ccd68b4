// In which state a run is, from the events of its instances (decision 18). Pure: events in, state out, no clock.
import type { AnyValue, Attributes } from '../../otlp/model.ts';
import {
  EVENT_RUN_FINISH,
  EVENT_RUN_HEARTBEAT,
  EVENT_RUN_START,
  EXIT_CODE,
  RUN_DROPPED,
  RUN_EMITTED,
  RUN_RESUME_STEP,
  RUN_STATE,
} from '../../semconv/names.ts';
import type { ResolvedLog } from '../component.ts';
import { isMap } from './json.ts';

export type RunStateName = 'running' | 'finished' | 'failed' | 'crashed' | 'killed';
const STATES: ReadonlySet<string> = new Set(['running', 'finished', 'failed', 'crashed', 'killed']);

/** Processes listed per run: a large job of today, some attempts over. They travel in the cursor of exporters. */
export const MAX_INSTANCES = 4_096;
/** Resumes remembered. Beyond it the lowest attempts are forgotten; what superseded them is known from later ones. */
export const MAX_ATTEMPTS = 1_000;
/** Reasons and kinds in the counts that a sender reports about itself. */
const MAX_COUNTS = 64;

export type Counts = { readonly [name: string]: number };

/** What happened to one instance. `data` is anything that came from it: it lives. */
export interface LifecycleEvent {
  readonly kind: 'start' | 'finish' | 'heartbeat' | 'data';
  readonly instance: string;
  readonly rank: number;
  readonly attempt: number;
  /** When the sender says it happened; for `data`, when it was received. */
  readonly timeUnixNano: bigint;
  readonly receivedUnixNano: bigint;
  readonly state?: RunStateName;
  readonly exitCode?: number;
  /** First step that this attempt writes again: what lower attempts have from there on is superseded. */
  readonly resumeStep?: number;
  readonly emitted?: Counts;
  readonly dropped?: Counts;
}

/** One process of a run. Times are Unix ns as text, so that it can be kept as JSON. */
export interface Instance {
  readonly instance: string;
  readonly rank: number;
  readonly attempt: number;
  readonly state: RunStateName;
  /** It sent `kymo.run.start`. Others (stock SDKs) never finish and never crash. */
  readonly announced: boolean;
  readonly started: string;
  readonly finished?: string;
  readonly lastSeen: string;
  readonly exitCode?: number;
  readonly emitted?: Counts | undefined;
  readonly dropped?: Counts | undefined;
}

export interface Attempt {
  readonly attempt: number;
  readonly started: string;
  readonly resumeStep?: number;
}

/** Rows of attempts below `attempt` with a step from `fromStep` on count no more. */
export interface Superseded {
  readonly attempt: number;
  readonly fromStep: number;
}

export interface LifecycleSnapshot {
  readonly instances: readonly Instance[];
  readonly attempts: readonly Attempt[];
  readonly unlisted: number;
}

/** The lifecycle event in a log record, undefined when it is none. */
export function lifecycleEvent(log: ResolvedLog, receivedUnixNano: bigint): LifecycleEvent | undefined {
  const { record, run } = log;
  const kind =
    record.eventName === EVENT_RUN_START
      ? 'start'
      : record.eventName === EVENT_RUN_FINISH
        ? 'finish'
        : record.eventName === EVENT_RUN_HEARTBEAT
          ? 'heartbeat'
          : undefined;
  if (kind === undefined) return undefined;
  // Older SDKs have to put an event's data into the body.
  const body = isMap(record.body) ? record.body : undefined;
  const read = (key: string) => record.attributes[key] ?? body?.[key];
  const state = read(RUN_STATE);
  const exitCode = read(EXIT_CODE);
  const resumeStep = read(RUN_RESUME_STEP);
  const emitted = countsOf(read(RUN_EMITTED));
  const dropped = countsOf(read(RUN_DROPPED));
  return {
    kind,
    instance: run.instance,
    rank: run.rank,
    attempt: run.attempt,
    timeUnixNano: record.timeUnixNano === 0n ? receivedUnixNano : record.timeUnixNano,
    receivedUnixNano,
    ...(typeof state === 'string' && STATES.has(state) && { state: state as RunStateName }),
    ...(typeof exitCode === 'number' && { exitCode }),
    ...(typeof resumeStep === 'number' && Number.isFinite(resumeStep) && { resumeStep }),
    ...(emitted !== undefined && { emitted }),
    ...(dropped !== undefined && { dropped }),
  };
}

/** All that is known about one run's processes. */
export class RunLifecycle {
  readonly #instances = new Map<string, Instance>();
  readonly #attempts = new Map<number, Attempt>();
  /** Instances that started and are not in the list. */
  #unlisted = 0;

  constructor(snapshot?: LifecycleSnapshot) {
    for (const instance of snapshot?.instances ?? []) this.#instances.set(instance.instance, instance);
    for (const attempt of snapshot?.attempts ?? []) this.#attempts.set(attempt.attempt, attempt);
    this.#unlisted = snapshot?.unlisted ?? 0;
  }

  /** Takes an event in the order of the journal. Returns what it newly supersedes. */
  apply(event: LifecycleEvent): Superseded | undefined {
    const before = this.#instances.get(event.instance);
    if (before === undefined && !this.#makeRoom()) {
      if (event.kind === 'start') this.#unlisted++;
    } else {
      this.#instances.set(event.instance, next(before, event));
    }
    return event.kind === 'start' ? this.#attempt(event) : undefined;
  }

  /**
   * Of the latest attempt: failed if any instance failed, else crashed if any crashed, else running while any runs, else killed
   * if any was killed, else finished. Instances that never announced themselves count only when there are no others.
   */
  get state(): RunStateName {
    let latest = 0;
    let announced = false;
    for (const instance of this.#instances.values()) {
      if (instance.announced && !announced) {
        announced = true;
        latest = instance.attempt;
      } else if (instance.announced === announced) {
        latest = Math.max(latest, instance.attempt);
      }
    }
    const found = new Set<RunStateName>();
    for (const instance of this.#instances.values()) {
      if (instance.announced === announced && instance.attempt === latest) found.add(instance.state);
    }
    for (const state of ['failed', 'crashed', 'running', 'killed'] as const)
      if (found.has(state)) return state;
    return found.has('finished') ? 'finished' : 'running';
  }

  /** In order of first appearance. */
  get instances(): Iterable<Instance> {
    return this.#instances.values();
  }
  get attempts(): readonly Attempt[] {
    return [...this.#attempts.values()].sort((a, b) => a.attempt - b.attempt);
  }
  get unlisted(): number {
    return this.#unlisted;
  }
  get superseded(): readonly Superseded[] {
    return this.attempts.flatMap(({ attempt, resumeStep }) =>
      resumeStep === undefined ? [] : [{ attempt, fromStep: resumeStep }],
    );
  }

  snapshot(): LifecycleSnapshot {
    return {
      instances: [...this.#instances.values()],
      attempts: [...this.#attempts.values()],
      unlisted: this.#unlisted,
    };
  }

  #attempt(event: LifecycleEvent): Superseded | undefined {
    const { attempt, resumeStep } = event;
    const before = this.#attempts.get(attempt);
    if (before === undefined && this.#attempts.size >= MAX_ATTEMPTS) {
      const lowest = Math.min(...this.#attempts.keys());
      if (lowest >= attempt) return undefined;
      this.#attempts.delete(lowest);
    }
    const known = before?.resumeStep;
    // Several ranks resume together; the lowest step counts.
    const fromStep =
      resumeStep === undefined || (known !== undefined && known <= resumeStep) ? known : resumeStep;
    this.#attempts.set(attempt, {
      attempt,
      started: before?.started ?? event.timeUnixNano.toString(),
      ...(fromStep !== undefined && { resumeStep: fromStep }),
    });
    return fromStep === undefined || fromStep === known ? undefined : { attempt, fromStep };
  }

  /** Room for one more instance, if need be in place of one that an earlier attempt left behind. */
  #makeRoom(): boolean {
    if (this.#instances.size < MAX_INSTANCES) return true;
    let latest = 0;
    for (const attempt of this.#attempts.keys()) latest = Math.max(latest, attempt);
    for (const [key, instance] of this.#instances) {
      if (instance.attempt >= latest || instance.state === 'running') continue;
      this.#instances.delete(key);
      this.#unlisted++;
      return true;
    }
    return false;
  }
}

function next(before: Instance | undefined, event: LifecycleEvent): Instance {
  const received = event.receivedUnixNano.toString();
  const time = event.timeUnixNano.toString();
  if (event.kind === 'start') {
    return {
      instance: event.instance,
      rank: event.rank,
      attempt: event.attempt,
      state: event.state ?? 'running',
      announced: true,
      started: time,
      lastSeen: received,
    };
  }
  const counts = {
    ...((event.emitted ?? before?.emitted) && { emitted: event.emitted ?? before?.emitted }),
    ...((event.dropped ?? before?.dropped) && { dropped: event.dropped ?? before?.dropped }),
  };
  const base = {
    instance: event.instance,
    rank: before?.rank ?? event.rank,
    attempt: before?.attempt ?? event.attempt,
    announced: before?.announced ?? false,
    started: before?.started ?? time,
    ...counts,
  } as const;
  if (event.kind === 'finish') {
    // An instance that said itself how it ended has not crashed: only its connection went away after that.
    const ended = before?.finished !== undefined && before.state !== 'crashed';
    if (event.state === 'crashed' && ended) return { ...before, ...counts };
    return {
      ...base,
      announced: true,
      state: event.state === undefined || event.state === 'running' ? 'finished' : event.state,
      finished: time,
      // A crash is what somebody else found out: the instance was seen before it.
      lastSeen: event.state === 'crashed' ? (before?.lastSeen ?? received) : received,
      ...(event.exitCode !== undefined && { exitCode: event.exitCode }),
    };
  }
  // Data after the instance's own finish is late data; after a crash it shows that the instance lives.
  if (before?.finished !== undefined && before.state !== 'crashed') {
    return { ...before, ...counts, lastSeen: received };
  }
  return { ...base, state: 'running', lastSeen: received };
}

/** A number of items from 0 on, or a map of such, flat or nested (`{points: {queue_full: 3}}` becomes `points/queue_full`). */
function countsOf(value: AnyValue | undefined): Counts | undefined {
  if (typeof value === 'number') return countsOf(Object.assign(Object.create(null), { items: value }));
  if (!isMap(value)) return undefined;
  const counts: Record<string, number> = Object.create(null);
  let room = MAX_COUNTS;
  const add = (map: Attributes, prefix: string): void => {
    for (const key of Object.keys(map)) {
      const item = map[key];
      const name = `${prefix}${key.slice(0, 200)}`;
      if (isMap(item) && prefix === '') add(item, `${name}/`);
      else if (typeof item === 'number' && Number.isFinite(item) && item >= 0 && room-- > 0)
        counts[name] = item;
    }
  };
  add(value, '');
  return counts;
}
