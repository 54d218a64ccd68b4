// A wandb exporter in a folder of its own, driven as the runner drives it; killed by putting the folder back.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Batch, CommittedState, ExporterContext } from '../../../../src/collector/component.ts';
import { WandbExporter } from '../../../../src/collector/exporters/wandb/exporter.ts';
import type { Timing } from '../../../../src/collector/exporters/wandb/online/policy.ts';
import {
  config,
  resolveSettings,
  type WandbSettings,
} from '../../../../src/collector/exporters/wandb/settings.ts';

/** As the real ones, but for tests that wait for them. */
export const FAST: Timing = {
  attemptMs: 5_000,
  retryMinMs: 5,
  retryMaxMs: 20,
  gapMs: 1,
  heartbeatMs: 50,
  upsertGapMs: 10,
};

export class Bench {
  readonly folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-wandb-')));
  readonly messages: string[] = [];
  readonly counts = new Map<string, number>();
  readonly #given: object;
  readonly #overrides: Partial<WandbSettings>;
  readonly #timing: Timing;
  #state: CommittedState;
  exporter: WandbExporter | undefined;

  constructor(given: object, overrides: Partial<WandbSettings> = {}, timing = FAST) {
    this.#given = given;
    this.#overrides = overrides;
    this.#timing = timing;
  }

  get root(): string {
    return path.join(this.folder, 'wandb');
  }

  async start(): Promise<WandbExporter> {
    const stateDirectory = path.join(this.folder, '.state');
    fs.mkdirSync(stateDirectory, { recursive: true });
    const say = (message: string) => void this.messages.push(message);
    const context: ExporterContext = {
      id: 'wandb',
      logger: { debug: say, info: say, warn: say, error: say },
      instruments: {
        count: (name, amount, attributes) => {
          const key = `${name} ${attributes?.reason ?? ''}`.trim();
          this.counts.set(key, (this.counts.get(key) ?? 0) + amount);
        },
        set: () => {},
      },
      baseDirectory: this.folder,
      stateDirectory,
      writerId: 'test-writer',
    };
    const settings = {
      ...resolveSettings(config.parse(this.#given), {}, this.folder),
      ...{ flushIntervalMs: 1, windowMs: 30, ...this.#overrides },
    };
    this.exporter = new WandbExporter(context, settings, this.#timing);
    await this.exporter.start(this.#state);
    return this.exporter;
  }

  async export(...batches: readonly Batch[]): Promise<void> {
    for (const batch of batches) await this.exporter!.export(batch);
  }

  async commit(): Promise<void> {
    this.#state = JSON.parse(JSON.stringify(await this.exporter!.commit())) as CommittedState;
    this.exporter!.committed();
  }

  async stop(): Promise<void> {
    await this.exporter?.stop();
    this.exporter = undefined;
  }

  /** What is on disk is as at this moment, whatever the instance still does while it ends. */
  async kill(): Promise<void> {
    const copy = `${this.folder}.killed`;
    fs.cpSync(this.folder, copy, { recursive: true });
    await this.stop();
    fs.rmSync(this.folder, { recursive: true, force: true });
    fs.renameSync(copy, this.folder);
  }

  async dispose(): Promise<void> {
    await this.stop();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function until(what: string, check: () => boolean, deadlineMs = 20_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
