import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Batch, CommittedState, Exporter } from '../../../../src/collector/component.ts';
import { csvExporter } from '../../../../src/collector/exporters/csv/index.ts';
import { BatchMaker, testContext } from '../../batches.ts';

type Event =
  | { readonly kind: 'rows'; readonly run: number; readonly size: number }
  | { readonly kind: 'commit' }
  /** `lost`: a commit whose cursor never reached the disk. `back`: the newest cursor is unreadable. */
  | { readonly kind: 'crash'; readonly lost: boolean; readonly back: boolean; readonly torn: boolean };

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('rows' as const),
      run: fc.nat(2),
      size: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'commit' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      lost: fc.boolean(),
      back: fc.boolean(),
      torn: fc.boolean(),
    }),
  },
);

/** A project folder with its journal (an array), its cursors, and one exporter, driven as the runner does it. */
class Driver {
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-csv-crash-'));
  readonly #journal: Batch[] = [];
  readonly #maxOpenRuns: number;
  #cursors: { readonly position: number; readonly state: string }[] = [];
  #next = 0;
  #exporter: Exporter | undefined;

  constructor(maxOpenRuns: number) {
    this.#maxOpenRuns = maxOpenRuns;
  }
  async start(back = false): Promise<void> {
    if (back) this.#cursors.pop();
    const cursor = this.#cursors.at(-1);
    this.#next = cursor?.position ?? 0;
    const stateDirectory = path.join(this.folder, 'state');
    const context = testContext({ baseDirectory: this.folder, stateDirectory }, { id: 'csv' });
    this.#exporter = csvExporter.create(
      context,
      csvExporter.config.parse({ max_open_runs: this.#maxOpenRuns }),
    );
    await this.#exporter.start(
      cursor === undefined ? undefined : (JSON.parse(cursor.state) as CommittedState),
    );
  }
  async export(...batches: readonly Batch[]): Promise<void> {
    this.#journal.push(...batches);
    for (const batch of this.#journal) {
      if (batch.position < this.#next) continue;
      await this.#exporter!.export(batch);
      this.#next = batch.next;
    }
  }
  async commit(stored = true): Promise<void> {
    const state = await this.#exporter!.commit();
    if (!stored) return;
    this.#cursors.push({ position: this.#next, state: JSON.stringify(state) });
    await this.#exporter!.committed?.();
  }
  async crash(
    { lost, back, torn }: Extract<Event, { kind: 'crash' }>,
    written: Iterable<number>,
  ): Promise<void> {
    if (lost) await this.commit(false);
    await this.#exporter!.stop();
    for (const run of torn ? written : []) {
      const file = path.join(this.folder, 'runs', `r${run}`, 'logs/metrics.csv');
      if (fs.existsSync(file)) fs.appendFileSync(file, '1795262400.0,1,glo');
    }
    await this.start(back && this.#cursors.length > 1);
    await this.export();
  }
  files(): Record<string, string> {
    const runs = path.join(this.folder, 'runs');
    const content: Record<string, string> = {};
    for (const entry of fs.readdirSync(runs, { recursive: true, withFileTypes: true }))
      if (entry.isFile() && !entry.name.endsWith('.old')) {
        const file = path.join(entry.parentPath, entry.name);
        content[path.relative(runs, file)] = fs.readFileSync(file, 'utf8');
      }
    return content;
  }
  async dispose(): Promise<void> {
    await this.#exporter?.stop();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

it('however often it crashes, every table ends as if it had never crashed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { minLength: 1, maxLength: 25 }),
      fc.integer({ min: 1, max: 3 }),
      async (events, maxOpenRuns) => {
        const calm = new Driver(10);
        const driver = new Driver(maxOpenRuns);
        try {
          const maker = new BatchMaker();
          await calm.start();
          await driver.start();
          let written = new Set<number>();
          for (const one of events) {
            if (one.kind === 'commit') {
              await driver.commit();
              written = new Set();
            } else if (one.kind === 'crash') await driver.crash(one, written);
            else {
              const rows = Array.from({ length: one.size }, (_, i) => ({
                values: { a: i, [`m${i}`]: Number.NaN },
                // Two runs in one batch, and steps that we count.
                attributes: { 'kymo.run.id': `r${(one.run + i) % 3}` },
                ...(i % 2 === 0 ? { step: i } : {}),
              }));
              const batch = maker.rows({ resource: { 'service.instance.id': `i${one.size}` } }, rows);
              for (const i of rows.keys()) written.add((one.run + i) % 3);
              await calm.export(batch);
              await driver.export(batch);
            }
          }
          await calm.commit();
          await driver.commit();
          expect(driver.files()).toEqual(calm.files());
        } finally {
          await calm.dispose();
          await driver.dispose();
        }
      },
    ),
    { numRuns: 15 },
  );
});
