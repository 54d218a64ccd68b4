// Every exporter of this package keeps the contract that `kymo/testing` offers to the authors of others.
import fs from 'node:fs';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, it } from '@jest/globals';
import type { ExporterType } from '../../../src/collector/component.ts';
import { COMPONENTS } from '../../../src/collector/components.ts';
import { type ContractOptions, exporterContract } from '../../../src/collector/testing/index.ts';
import { ScriptedSink } from './scripted-sink.ts';
import { pythonCurves, rustCurves } from './tensorboard/readers.ts';
import { valuesOf } from './wandb/logs.ts';

const sink = new ScriptedSink();
beforeAll(() => sink.listen());
afterAll(() => sink.close());

const forwarding: ContractOptions = {
  read: () => [...sink.taken],
  empty: () => sink.empty(),
  outage: () => sink.refuseWith(503, status.UNAVAILABLE),
  refusal: () => sink.refuseWith(400, status.INVALID_ARGUMENT),
};
const OPTIONS: Readonly<Record<string, ContractOptions>> = {
  jsonl: { read: folder => filesOf(path.join(folder, 'runs')) },
  csv: { read: folder => filesOf(path.join(folder, 'runs')) },
  tensorboard: { read: folder => curvesOf(path.join(folder, 'runs')) },
  wandb: { config: { mode: 'offline' }, read: folder => valuesOf(path.join(folder, 'wandb')) },
  otlp_http: { ...forwarding, config: () => ({ endpoint: sink.httpUrl }) },
  otlp_grpc: { ...forwarding, config: () => ({ endpoint: sink.grpcEndpoint }) },
};

for (const type of COMPONENTS.exporters) {
  // Offline, its logs are files of its own, exactly once as those of the local ones.
  const judged = type.type === 'wandb' ? { ...type, local: true } : type;
  describe(type.type, () => exporterContract(judged as ExporterType, { it, ...OPTIONS[type.type] }));
}

function filesOf(folder: string): Record<string, string> {
  const content: Record<string, string> = {};
  if (!fs.existsSync(folder)) return content;
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    content[path.relative(folder, file)] = fs.readFileSync(file, 'utf8');
  }
  return content;
}

/** What both readers of TensorBoard show of each run. */
function curvesOf(folder: string): unknown {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .sort()
    .map(run => {
      const place = path.join(folder, run);
      return [run, sorted(rustCurves(place)), sorted(pythonCurves(place))];
    });
}

function sorted(curves: ReadonlyMap<string, unknown>): unknown[] {
  return [...curves].sort(([a], [b]) => (a < b ? -1 : 1));
}
