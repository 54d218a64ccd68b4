// Hands the points of a batch to the runs they belong to: rows become events, steps are completed, what does not count is counted.
import type { Instruments, ResolvedHistogram, ScalarBatch } from '../../component.ts';
import type { Run } from '../../runs/run.ts';
import { HistogramDeltas, histogramRows } from './histogram.ts';
import type { RunWriter } from './run-writer.ts';
import { type Tag, wholeStep } from './tags.ts';

export interface PointsOptions {
  readonly instruments: Instruments;
  /** The run's open writer. */
  readonly writerOf: (run: Run) => RunWriter;
  /** Runs work that may refuse the writer's run. */
  readonly guard: (writer: RunWriter, work: () => void) => void;
}

export class Points {
  readonly #options: PointsOptions;
  readonly #deltas = new HistogramDeltas();
  // Reused for each group of points.
  #groupTags: Tag[] = [];
  #groupValues = new Float64Array(256);

  constructor(options: PointsOptions) {
    this.#options = options;
  }

  scalars({ columns, resolved, rows }: ScalarBatch, receivedSeconds: number): void {
    const { seriesIndex, timeWords, value, step: steps } = columns;
    const { first, points } = rows;
    const writers: (RunWriter | undefined)[] = new Array(resolved.length);
    const tags: (Tag | undefined)[] = new Array(resolved.length);
    const limits = new Float64Array(resolved.length);
    for (let i = 0; i < resolved.length; i++) {
      const series = resolved[i]!;
      if (series.companion) continue;
      const writer = this.#options.writerOf(series.run);
      writers[i] = writer;
      tags[i] = writer.tag(series.sinkName, 'scalars');
      limits[i] = writer.supersededFrom(series.run.attempt);
    }
    let superseded = 0;
    let tagless = 0;
    let late = 0;
    for (let row = 0; row < rows.count; row++) {
      const rowEnd = first[row + 1]!;
      let group: RunWriter | undefined;
      let groupStep = 0;
      let count = 0;
      const firstPoint = points[first[row]!]!;
      const seconds = (timeWords[2 * firstPoint + 1]! * 4294967296 + timeWords[2 * firstPoint]!) / 1e9;
      const wallTime = seconds > 0 ? seconds : receivedSeconds;
      if (rowEnd - first[row]! > this.#groupValues.length) {
        this.#groupValues = new Float64Array(2 * (rowEnd - first[row]!));
      }
      const groupTags = this.#groupTags;
      const groupValues = this.#groupValues;
      for (let k = first[row]!; k < rowEnd; k++) {
        const point = points[k]!;
        const series = seriesIndex[point]!;
        const writer = writers[series];
        if (writer === undefined) continue;
        const tag = tags[series];
        if (tag === undefined) {
          tagless++;
          continue;
        }
        let step = steps[point]!;
        if (!Number.isSafeInteger(step)) {
          step = wholeStep(step);
          if (Number.isNaN(step)) {
            // A point without a step counts on from its tag's last, also from one that waits in the group.
            if (groupTags.lastIndexOf(tag, count - 1) >= 0 && count > 0) {
              late += this.#emit(group!, wallTime, groupStep, count);
              count = 0;
            }
            step = tag.last === -Infinity ? 0 : tag.last + 1;
          }
        }
        if (step >= limits[series]!) {
          superseded++;
          continue;
        }
        if (count > 0 && (writer !== group || step !== groupStep)) {
          late += this.#emit(group!, wallTime, groupStep, count);
          count = 0;
        }
        group = writer;
        groupStep = step;
        groupTags[count] = tag;
        groupValues[count++] = value[point]!;
      }
      if (count > 0) late += this.#emit(group!, wallTime, groupStep, count);
    }
    this.#count(LATE, late);
    this.#count(SUPERSEDED, superseded);
    this.#dropped(tagless, 'too_many_tags');
  }

  /** Writes the first `count` of the group. @returns how many were late */
  #emit(writer: RunWriter, wallTime: number, step: number, count: number): number {
    if (writer.refusal !== undefined) {
      this.#dropped(count, 'run_refused');
      return 0;
    }
    let late = 0;
    this.#options.guard(writer, () => {
      late = writer.scalars(wallTime, step, this.#groupTags, this.#groupValues, count);
    });
    return late;
  }

  histograms(histograms: readonly ResolvedHistogram[], receivedSeconds: number): void {
    let late = 0;
    for (const { point, resolved } of histograms) {
      const writer = this.#options.writerOf(resolved.run);
      if (writer.refusal !== undefined) {
        this.#dropped(1, 'run_refused');
        continue;
      }
      const tag = writer.tag(resolved.sinkName, 'histograms');
      if (tag === undefined) {
        this.#dropped(1, 'too_many_tags');
        continue;
      }
      let step = wholeStep(point.step);
      if (Number.isNaN(step)) step = tag.last === -Infinity ? 0 : tag.last + 1;
      if (step >= writer.supersededFrom(resolved.run.attempt)) {
        this.#count(SUPERSEDED, 1);
        continue;
      }
      // An instance counts its own cumulative histograms.
      const key = `${resolved.run.instance}\n${resolved.run.folder}\n${tag.name}`;
      const rows = histogramRows(point, this.#deltas.counts(key, point));
      const wallTime = point.timeUnixNano > 0n ? Number(point.timeUnixNano) / 1e9 : receivedSeconds;
      this.#options.guard(writer, () => {
        if (writer.histogram(wallTime, step, tag, rows)) late++;
      });
    }
    this.#count(LATE, late);
  }

  /** Of a value that is no scalar and no histogram. */
  count(what: 'late' | 'superseded' | 'too_many_tags' | 'run_refused', amount: number): void {
    if (what === 'late') this.#count(LATE, amount);
    else if (what === 'superseded') this.#count(SUPERSEDED, amount);
    else this.#dropped(amount, what);
  }

  #dropped(points: number, reason: string): void {
    if (points > 0) this.#options.instruments.count(DROPPED, points, { reason });
  }

  #count(name: string, amount: number): void {
    if (amount > 0) this.#options.instruments.count(name, amount);
  }
}

const LATE = 'kymo_tensorboard_late_points';
const SUPERSEDED = 'kymo_tensorboard_superseded_points';
const DROPPED = 'kymo_tensorboard_dropped_points';
