// The two TensorBoard readers' rules, as small models: what each shows of a run folder. test/interop/tensorboard holds them against the real ones.
import fs from 'node:fs';
import path from 'node:path';
import {
  type DecodedEvent,
  decodeFile,
} from '../../../../src/collector/exporters/tensorboard/event-reader.ts';

export type Curve = readonly (readonly [step: number, value: number])[];

export function eventFiles(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .filter(name => name.includes('tfevents'))
    .sort();
}

/** Those that hold more than their first record: a file that was replaced is emptied, so that readers can leave it. */
export function filledFiles(folder: string): string[] {
  return eventFiles(folder).filter(name => fs.statSync(path.join(folder, name)).size > 100);
}

/** Every event of a folder in reading order. Throws for a file that does not end with a whole record. */
export function events(folder: string): DecodedEvent[] {
  return eventFiles(folder).flatMap(name => {
    const { events: found, end } = decodeFile(fs.readFileSync(path.join(folder, name)));
    if (end.kind !== 'end') throw new Error(`${name}: ${JSON.stringify(end)}`);
    return found;
  });
}

/** The Rust reader: a point takes away all points of its tag with an equal or higher step that came before it. */
export function rustCurves(folder: string): Map<string, Curve> {
  const curves = new Map<string, [number, number][]>();
  for (const event of events(folder)) {
    for (const value of event.values) {
      const curve = curves.get(value.tag) ?? [];
      while (curve.length > 0 && curve.at(-1)![0] >= event.step) curve.pop();
      curve.push([event.step, value.scalar]);
      curves.set(value.tag, curve);
    }
  }
  return curves;
}

/** The Python reader: each START but the first takes away every point with an equal or higher step. */
export function pythonCurves(folder: string): Map<string, Curve> {
  const curves = new Map<string, [number, number][]>();
  let started = false;
  for (const event of events(folder)) {
    if (event.start) {
      if (started) {
        for (const [tag, curve] of curves)
          curves.set(
            tag,
            curve.filter(([step]) => step < event.step),
          );
      }
      started = true;
    }
    for (const value of event.values) {
      const curve = curves.get(value.tag) ?? [];
      curve.push([event.step, value.scalar]);
      curves.set(value.tag, curve);
    }
  }
  return curves;
}
