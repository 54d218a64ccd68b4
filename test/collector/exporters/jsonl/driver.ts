// Drives a jsonl exporter as the feed's runner does: batches in order, commits, cursors of two generations, restarts.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Batch, CommittedState, Exporter } from '../../../../src/collector/component.ts';
import { jsonlExporter } from '../../../../src/collector/exporters/jsonl/index.ts';
import { type TestContext, testContext } from '../../batches.ts';

interface Cursor {
  readonly position: number;
  /** As text, because that is how it is kept. */
  readonly state: string;
}

export interface Settings {
  readonly directory?: string;
  readonly max_open_runs?: number;
}

/** A project folder with its journal (an array) and one exporter. */
export class Driver {
  readonly folder: string;
  readonly runs: string;
  readonly journal: Batch[] = [];
  readonly #settings: Settings;
  readonly #identity: { readonly id: string; readonly writerId?: string };
  context: TestContext;
  exporter: Exporter;
  #next = 0;
  #cursors: Cursor[] = [];

  constructor(
    settings: Settings = {},
    where: { readonly folder?: string; readonly id?: string; readonly writerId?: string } = {},
  ) {
    this.folder = where.folder ?? fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-jsonl-'));
    this.runs = path.join(this.folder, settings.directory ?? 'runs');
    this.#settings = settings;
    this.#identity = { id: where.id ?? 'jsonl', ...(where.writerId && { writerId: where.writerId }) };
    this.context = this.#newContext();
    this.exporter = this.#create();
  }

  /** Starts from the newest cursor, or from `back` generations before it. */
  async start(back = 0): Promise<void> {
    this.#cursors = this.#cursors.slice(0, this.#cursors.length - back);
    const cursor = this.#cursors.at(-1);
    const state: CommittedState = cursor === undefined ? undefined : JSON.parse(cursor.state);
    this.#next = cursor?.position ?? 0;
    this.exporter = this.#create();
    await this.exporter.start(state);
  }

  /** Exports everything from the cursor's place on. */
  async export(...batches: readonly Batch[]): Promise<void> {
    this.journal.push(...batches);
    for (const batch of this.journal) {
      if (batch.position < this.#next) continue;
      await this.exporter.export(batch);
      this.#next = batch.next;
    }
  }

  /** With `stored: false` the process dies before the cursor is on disk. */
  async commit(options: { readonly stored?: boolean } = {}): Promise<void> {
    const state = await this.exporter.commit();
    if (options.stored === false) return;
    this.#cursors.push({ position: this.#next, state: JSON.stringify(state) });
    await this.exporter.committed?.();
  }

  /** The runs in the newest cursor. */
  get openRuns(): string[] {
    const { runs } = JSON.parse(this.#cursors.at(-1)!.state) as { runs: { folder: string }[] };
    return runs.map(run => run.folder).sort();
  }

  /** Forgets the cursors, as if their files were lost. */
  loseCursors(): void {
    this.#cursors = [];
  }

  text(run: string, file: string): string {
    return fs.readFileSync(path.join(this.runs, run, file), 'utf8');
  }
  lines(run: string, file = 'logs/metrics.jsonl'): Record<string, unknown>[] {
    const text = this.text(run, file);
    return text
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line) as Record<string, unknown>);
  }
  document(run: string): Record<string, never> {
    return JSON.parse(this.text(run, 'run.json'));
  }
  lost(reason: string): number {
    return this.context.counted('kymo_jsonl_lost', { reason });
  }

  async dispose(): Promise<void> {
    await this.exporter.stop();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  #newContext(): TestContext {
    return testContext(
      {
        baseDirectory: this.folder,
        stateDirectory: path.join(this.folder, 'state', this.#identity.id, this.#identity.writerId ?? ''),
      },
      this.#identity,
    );
  }
  #create(): Exporter {
    return jsonlExporter.create(this.context, jsonlExporter.config.parse(this.#settings));
  }
}

/** Every file below a folder with its content. */
export function contentOf(folder: string): Record<string, string> {
  const content: Record<string, string> = {};
  if (!fs.existsSync(folder)) return content;
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    content[path.relative(folder, file)] = fs.readFileSync(file, 'utf8');
  }
  return content;
}
