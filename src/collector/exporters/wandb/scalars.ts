// Scalar points to rows: what one call wrote for one step goes to its run as one, whatever scope, mode or rank its names say.
import type { PointContext } from '../../../otlp/model.ts';
import { USER_TIME } from '../../../semconv/names.ts';
import type { ScalarBatch } from '../../component.ts';
import type { ResolvedSeries } from '../../runs/run.ts';
import { extendedNumber } from './extended-json.ts';
import type { RowName } from './open-rows.ts';
import type { OpenRun } from './open-run.ts';

/** What is the same for all points of a series in a batch. */
interface SeriesPlan {
  readonly run: OpenRun;
  readonly name: RowName;
  /** Tells series apart that have no steps and therefore count. */
  readonly counter: string;
}

interface Part {
  readonly run: OpenRun;
  readonly step: number;
  readonly context: PointContext | undefined;
  readonly names: RowName[];
  readonly values: string[];
}

/** `plan` gives run and key of a series, or nothing for one that is left out. */
export function addRows(
  { columns, rows, resolved }: ScalarBatch,
  receivedUnixNano: bigint,
  plan: (
    resolved: ResolvedSeries,
    series: ScalarBatch['columns']['series'][number],
  ) => SeriesPlan | undefined,
): void {
  const plans = columns.series.map((series, i) =>
    resolved[i]!.companion ? undefined : plan(resolved[i]!, series),
  );
  const { seriesIndex, value, step: steps, timeUnixNano, context, bigValue } = columns;
  const parts: Part[] = [];
  for (let row = 0; row < rows.count; row++) {
    parts.length = 0;
    const to = rows.first[row + 1]!;
    let time = 0n;
    for (let i = rows.first[row]!; i < to; i++) {
      const point = rows.points[i]!;
      const found = plans[seriesIndex[point]!];
      if (found === undefined) continue;
      const { run, name } = found;
      const own = steps[point]!;
      const step = Number.isNaN(own) ? run.steps.next(found.counter) : own;
      const about = context?.get(point);
      time = timeUnixNano[point]!;
      // Nearly always the first one.
      let part = parts.find(one => one.run === run && one.step === step && sameAxes(one.context, about));
      if (part === undefined) {
        part = { run, step, context: about, names: [], values: [] };
        parts.push(part);
      }
      part.names.push(name);
      part.values.push(bigValue?.get(point)?.toString() ?? extendedNumber(value[point]!));
    }
    for (const part of parts) addPart(part, time, receivedUnixNano);
  }
}

function addPart({ run, step, context, names, values }: Part, time: bigint, receivedUnixNano: bigint): void {
  let at = time;
  if (context !== undefined) {
    for (const key of Object.keys(context.attributes)) {
      const said = context.attributes[key];
      if (typeof said !== 'number' && typeof said !== 'bigint') continue;
      if (key === USER_TIME) {
        at = userTime(said) ?? at;
        continue;
      }
      if (key.startsWith('kymo.')) continue;
      const name = run.nameOf(key);
      if (names.includes(name)) continue;
      name.isAxis = true;
      names.push(name);
      values.push(typeof said === 'number' ? extendedNumber(said) : said.toString());
    }
  }
  for (const [oneNames, oneValues] of withoutRepeats(names, values))
    run.addRow(step, at === 0n ? receivedUnixNano : at, receivedUnixNano, oneNames, oneValues);
}

/** A name that one request gives twice for one step stands in rows of its own. */
function withoutRepeats(names: RowName[], values: string[]): [RowName[], string[]][] {
  if (new Set(names).size === names.length) return [[names, values]];
  const rows: [RowName[], string[]][] = [];
  const seen = new Map<RowName, number>();
  for (const [i, name] of names.entries()) {
    const nth = seen.get(name) ?? 0;
    seen.set(name, nth + 1);
    rows[nth] ??= [[], []];
    rows[nth][0].push(name);
    rows[nth][1].push(values[i]!);
  }
  return rows;
}

function sameAxes(a: PointContext | undefined, b: PointContext | undefined): boolean {
  if (a === b || a?.attributes === b?.attributes) return true;
  const left = a?.attributes ?? {};
  const right = b?.attributes ?? {};
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every(key => left[key] === right[key]);
}

/** A caller's own time is Unix seconds or nanoseconds; anything else is not believed. */
function userTime(value: number | bigint): bigint | undefined {
  if (typeof value === 'bigint') return value > 0n ? value : undefined;
  if (!Number.isFinite(value) || value <= 0) return undefined;
  return value < 1e11 ? BigInt(Math.round(value * 1e6)) * 1_000n : BigInt(Math.round(value));
}
