// What was logged and must be shown: points are written down while they are sent, and compared with what a TensorBoard serves.

import { setTimeout as delay } from 'node:timers/promises';
import { expect } from '@jest/globals';
import type { Batch } from '../../../src/collector/component.ts';
import type { Histogram, Process, Row, Sender } from '../../collector/exporters/tensorboard/batches.ts';
import type { Curve, Histograms, TensorBoard } from './server.ts';

const PATIENCE_MS = 60_000;
const POLL_MS = 200;

type Point = [wallTime: number, step: number, value: number];

export class Logged {
  readonly #runs = new Map<string, Map<string, Point[]>>();
  readonly #histograms = new Map<string, Map<string, [number, number[][]][]>>();
  readonly #sender: Sender;
  #time = 1_700_000_000;

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** A batch of rows that counts. Rows need a step. `tagOf` says how a name is shown where that differs. */
  rows(process: Process, rows: readonly Row[], tagOf: (name: string) => string = name => name): Batch {
    const timed = rows.map(row => ({ ...row, time: row.time ?? this.#time++ }));
    const run = this.#run(process.run);
    for (const { step, time, values } of timed) {
      for (const [name, value] of Object.entries(values)) {
        const tag = tagOf(name);
        const curve = run.get(tag) ?? [];
        run.set(tag, curve);
        curve.push([time, step!, Math.fround(value)]);
      }
    }
    return this.#sender.rows(process, timed);
  }

  /** A histogram, and the rows it must become. */
  histogram(process: Process, histogram: Histogram, rows: number[][]): Batch {
    const run = this.#histograms.get(process.run) ?? new Map<string, [number, number[][]][]>();
    this.#histograms.set(process.run, run);
    run.set(histogram.name, [...(run.get(histogram.name) ?? []), [histogram.step, rows]]);
    return this.#sender.rows(process, [], [histogram]);
  }

  /** A resumed attempt undoes what was logged from this step on. */
  undo(run: string, step: number): void {
    const curves = this.#run(run);
    for (const [tag, curve] of curves) {
      curves.set(
        tag,
        curve.filter(point => point[1] < step),
      );
    }
  }

  get runs(): string[] {
    return [...this.#runs.keys()];
  }

  /** Waits until everything is shown, exactly: tags, steps, times, values, order. Fails with the difference. */
  async expectShown(tensorboard: TensorBoard, runs: readonly string[] = this.runs): Promise<void> {
    for (const deadline = Date.now() + PATIENCE_MS; ; await delay(POLL_MS)) {
      try {
        await this.#compare(tensorboard, runs);
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  }

  async #compare(tensorboard: TensorBoard, runs: readonly string[]): Promise<void> {
    const shownTags = await tensorboard.tags();
    for (const run of runs) {
      const expected = this.#run(run);
      const tags = [...expected].filter(([, curve]) => curve.length > 0).map(([tag]) => tag);
      expect({ run, tags: shownTags.get(run) ?? [] }).toEqual({ run, tags: tags.sort() });
      for (const tag of tags) {
        const shown: Curve = await tensorboard.scalars(run, tag);
        const curve = [...expected.get(tag)!].sort((a, b) => a[1] - b[1]);
        expect({ run, tag, reader: tensorboard.reader, shown }).toEqual({
          run,
          tag,
          reader: tensorboard.reader,
          shown: curve,
        });
      }
      for (const [tag, histograms] of this.#histograms.get(run) ?? []) {
        const shown: Histograms = await tensorboard.histograms(run, tag);
        expect(shown.map(([, step, rows]) => [step, rows])).toEqual(
          [...histograms].sort((a, b) => a[0] - b[0]),
        );
      }
    }
  }

  #run(run: string): Map<string, Point[]> {
    const known = this.#runs.get(run) ?? new Map<string, Point[]>();
    this.#runs.set(run, known);
    return known;
  }
}
