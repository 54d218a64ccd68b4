// The worker's part: for each run that asks for it, its facts once, and measurements at an interval.
import { encodeLogRecord } from '../../otlp/encode-records.ts';
import type { Attributes } from '../../otlp/model.ts';
import { WireWriter } from '../../otlp/wire-writer.ts';
import { EVENT_RUN_SYSTEM } from '../../semconv/names.ts';
import { type Start, systemFacts } from './facts.ts';
import { type Measurement, Sampler } from './sampler.ts';

const INFO = 9;

export interface SystemWatchOptions {
  readonly start: Start;
  readonly facts: boolean;
  /** 0: no measurements. */
  readonly intervalMs: number;
  readonly machine: boolean;
  readonly probe: SharedArrayBuffer;
  /** An encoded log record under a scope. */
  log(scope: number, record: Uint8Array): void;
  points(scope: number, measurements: readonly Measurement[]): void;
}

export class SystemWatch {
  readonly #options: SystemWatchOptions;
  readonly #scopes = new Set<number>();
  readonly #underWay = new Set<Promise<void>>();
  /** Asked for once: processes that a run starts and stops do not change it. */
  #facts: Promise<Attributes> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sampler: Sampler | undefined;

  constructor(options: SystemWatchOptions) {
    this.#options = options;
  }

  /** A run has begun; its scope for all this. */
  begin(scope: number): void {
    const { facts, intervalMs, start, machine, probe } = this.#options;
    this.#scopes.add(scope);
    if (facts) {
      this.#facts ??= systemFacts(start);
      this.#track(this.#facts.then(attributes => this.#tell(scope, attributes)));
    }
    if (intervalMs <= 0 || this.#timer !== undefined) return;
    this.#sampler ??= new Sampler({ machine, probe, intervalMs });
    this.#timer = setInterval(() => this.#track(this.#measure()), intervalMs);
  }

  end(scope: number): void {
    this.#scopes.delete(scope);
    if (this.#scopes.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Resolves when what has begun is recorded, or after a while. */
  async settled(timeoutMs: number): Promise<void> {
    if (this.#underWay.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([Promise.all(this.#underWay), late]);
    clearTimeout(timer);
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch(() => undefined).finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }

  async #measure(): Promise<void> {
    const measurements = await this.#sampler!.sample();
    for (const scope of this.#scopes) this.#options.points(scope, measurements);
  }

  #tell(scope: number, attributes: Attributes): void {
    const writer = new WireWriter();
    const time = BigInt(Date.now()) * 1_000_000n;
    encodeLogRecord(writer, {
      timeUnixNano: time,
      observedTimeUnixNano: time,
      severityNumber: INFO,
      severityText: 'INFO',
      eventName: EVENT_RUN_SYSTEM,
      body: null,
      attributes,
      traceId: '',
      spanId: '',
      flags: 0,
    });
    this.#options.log(scope, writer.copy());
  }
}
