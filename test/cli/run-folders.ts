// Run folders for tests of the command line, written by the exporters that write them in earnest.
import fs from 'node:fs';
import path from 'node:path';
import type { Batch, ExporterType } from '../../src/collector/component.ts';
import { csvExporter } from '../../src/collector/exporters/csv/index.ts';
import { jsonlExporter } from '../../src/collector/exporters/jsonl/index.ts';
import { attributesOf, BatchMaker, testContext } from '../collector/batches.ts';

export const maker = new BatchMaker();

/** Exports batches as `runs/…` of a project folder. */
export async function writeRuns(project: string, batches: readonly Batch[]): Promise<void> {
  for (const type of [jsonlExporter, csvExporter] as ExporterType[]) {
    const stateDirectory = path.join(project, '.state', type.type);
    fs.mkdirSync(stateDirectory, { recursive: true });
    const context = testContext({ baseDirectory: project, stateDirectory }, { id: type.type });
    const exporter = type.create(context, type.config.parse({}));
    await exporter.start(undefined);
    for (const batch of batches) if (type.signals.includes(batch.signal)) await exporter.export(batch);
    await exporter.commit();
    await exporter.stop();
  }
}

export interface RunOptions {
  readonly name?: string;
  readonly instance?: string;
  readonly attempt?: number;
  readonly rank?: number;
  readonly tags?: readonly string[];
}

export function sender(id: string, { name, instance = `${id}-1`, attempt, rank, tags }: RunOptions = {}) {
  return {
    resource: {
      'service.name': 'project',
      'service.instance.id': instance,
      'kymo.run.id': id,
      ...(name === undefined ? {} : { 'kymo.run.name': name }),
      ...(attempt === undefined ? {} : { 'kymo.run.attempt': attempt }),
      ...(rank === undefined ? {} : { 'kymo.rank': rank }),
      ...(tags === undefined ? {} : { 'kymo.run.tags': tags }),
    },
  };
}

/** Start, config, rows, finish. */
export function wholeRun(
  id: string,
  values: readonly Readonly<Record<string, number>>[],
  options: RunOptions & {
    readonly state?: string;
    readonly config?: Record<string, never | number | string>;
  } = {},
): Batch[] {
  const from = sender(id, options);
  const { state = 'finished', config = { lr: 0.1 } } = options;
  const events = [
    { eventName: 'kymo.run.start', attributes: { 'kymo.run.state': 'running' } },
    { eventName: 'kymo.run.config', attributes: { 'kymo.run.config': attributesOf(config) } },
  ];
  // In the order of the journal, which their positions follow.
  const batches = [
    maker.logs(from, events),
    maker.rows(
      from,
      values.map((one, step) => ({ values: one, step })),
    ),
  ];
  if (state === 'running') return batches;
  const finish = { eventName: 'kymo.run.finish', attributes: { 'kymo.run.state': state } };
  return [...batches, maker.logs(from, [finish])];
}
