// What is wrong with a configuration, where, and what was probably meant.
import { printable } from '../../semconv/printable.ts';

/** A place in a source, 1-based; line 0 means the source is one short text (`--set`, `yaml:`) and has no lines worth naming. */
export interface Place {
  readonly source: string;
  readonly line: number;
  readonly column: number;
}

export interface Problem {
  readonly place: Place | undefined;
  /** `exporters::jsonl::directory`; empty for the configuration as a whole. */
  readonly path: string;
  readonly message: string;
}

/** `a.yaml:12:5: exporters::jsonl: unknown key "directry" (did you mean "directory"?)`, one line wherever it is printed. */
export function formatProblem(problem: Problem): string {
  const place = problem.place === undefined ? '' : `${formatPlace(problem.place)}: `;
  const path = problem.path === '' ? '' : `${problem.path}: `;
  return printable(place + path + problem.message);
}

export function formatPlace(place: Place): string {
  return place.line === 0 ? place.source : `${place.source}:${place.line}:${place.column}`;
}

/** In order of source (as first seen), line and column, so that a reader goes through a file once. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  const sources = new Map<string, number>();
  for (const { place } of problems) {
    if (place !== undefined && !sources.has(place.source)) sources.set(place.source, sources.size);
  }
  const rank = (problem: Problem) => sources.get(problem.place?.source ?? '') ?? -1;
  return [...problems].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (a.place?.line ?? 0) - (b.place?.line ?? 0) ||
      (a.place?.column ?? 0) - (b.place?.column ?? 0),
  );
}

/** ` (did you mean "directory"?)`, or nothing where no known name is near. */
export function didYouMean(written: string, known: Iterable<string>): string {
  const near = nearest(written, known);
  return near === undefined ? '' : ` (did you mean "${near}"?)`;
}

/** The known name with the fewest edits from `written`, where these are few for its length. */
export function nearest(written: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  const from = written.toLowerCase();
  // A third of the letters may differ; one always may, so that `otpl` finds `otlp` and `x` finds nothing.
  let fewest = Math.max(1, Math.floor(from.length / 3)) + 1;
  for (const name of known) {
    if (Math.abs(name.length - from.length) >= fewest) continue;
    const count = edits(from, name.toLowerCase());
    if (count < fewest && count < Math.max(from.length, name.length)) {
      fewest = count;
      best = name;
    }
  }
  return best;
}

/** Optimal string alignment distance: insert, delete, replace, and swap of neighbours cost one each. */
function edits(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(previous[j]! + 1, current[j - 1]! + 1, previous[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, before[j - 2]! + 1);
      }
      current.push(least);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length]!;
}
