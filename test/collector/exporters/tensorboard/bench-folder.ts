// A folder and a restartable exporter for tests, with the runner's part played by hand.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Batch, CommittedState, Exporter } from '../../../../src/collector/component.ts';
import { tensorboardExporter } from '../../../../src/collector/exporters/tensorboard/index.ts';
import { testContext } from './batches.ts';

export class Bench {
  readonly folder: string;
  readonly runs: string;
  readonly context: ReturnType<typeof testContext>;
  exporter: Exporter;
  committed: CommittedState;
  readonly #settings: Record<string, unknown>;

  constructor(settings: Record<string, unknown> = {}, writerId = 'w1', folder?: string) {
    this.folder = folder ?? fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-tensorboard-'));
    this.runs = path.join(this.folder, 'runs');
    const state = path.join(this.folder, `state-${writerId}`);
    fs.mkdirSync(state, { recursive: true });
    this.context = testContext(this.folder, state, writerId);
    // A long flush interval: what is on disk is there because of a commit.
    this.#settings = { flush_interval: '1h', rewrite_interval: '1h', ...settings };
    this.exporter = this.#create();
  }

  #create(): Exporter {
    return tensorboardExporter.create(this.context, tensorboardExporter.config.parse(this.#settings));
  }

  async start(): Promise<this> {
    await this.exporter.start(this.committed);
    return this;
  }

  async export(...batches: Batch[]): Promise<void> {
    for (const batch of batches) await this.exporter.export(batch);
  }

  /** As the runner commits: the state is stored as JSON, then confirmed. */
  async commit(): Promise<void> {
    const state = await this.exporter.commit();
    this.committed = JSON.parse(JSON.stringify(state)) as CommittedState;
    await this.exporter.committed?.();
  }

  /** The process dies: a new exporter starts from the last commit. */
  async crash(): Promise<void> {
    // A call that fails ends an exporter for good, whatever it still had in memory, as the end of its process would.
    await Promise.resolve(this.exporter.export(undefined as never)).catch(() => undefined);
    this.exporter = this.#create();
    await this.start();
  }

  remove(): void {
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
