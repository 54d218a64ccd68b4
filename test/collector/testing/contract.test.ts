// The contract of `kymo/testing` accepts an exporter that keeps it, and finds each fault in one that does not.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { ExporterType } from '../../../src/collector/component.ts';
import {
  batchOf,
  type ContractOptions,
  exporterContract,
  logBatchOf,
  spanBatchOf,
} from '../../../src/collector/testing/index.ts';
import { type Fault, readSample, sampleExporter, sampleSink } from './sample-exporter.ts';

afterEach(() => {
  sampleSink.state = 'up';
});

const OPTIONS: ContractOptions = {
  read: readSample,
  outage: () => sinkIs('out'),
  refusal: () => sinkIs('refusing'),
};

function sinkIs(state: 'out' | 'refusing'): () => void {
  sampleSink.state = state;
  return () => {
    sampleSink.state = 'up';
  };
}

/** Names of the tests that fail, with what they say. */
async function faults(
  type: ExporterType,
  options: ContractOptions = OPTIONS,
): Promise<Record<string, string>> {
  const tests: [string, () => Promise<void>][] = [];
  exporterContract(type, { ...options, it: (name, test) => tests.push([name, test]) });
  const failed: Record<string, string> = {};
  for (const [name, test] of tests) {
    try {
      await test();
    } catch (error) {
      failed[name] = String((error as Error).message);
    }
  }
  return failed;
}

describe('an exporter that keeps the contract', () =>
  exporterContract(sampleExporter('none'), { it, ...OPTIONS }));

describe('the contract finds an exporter that', () => {
  it.each<[Fault, RegExp, RegExp]>([
    [
      'does not cut',
      /exactly once, wherever an instance is killed/,
      /not exactly what was sent: it is killed after batch 1/,
    ],
    ['forgets what is buffered', /exactly once, wherever an instance is killed/, /not exactly what was sent/],
    ['believes names', /hostile/, /written beside the folder|export of a logs batch failed/],
    ['throws at nothing', /nothing in them/, /an empty batch/],
    ['keeps a Map', /starts and stops without data/, /must be JSON/],
    ['writes into the batch', /changes nothing in a batch/, /no longer what it was/],
    ['hides its outage', /asks for another try/, /must give a RetryableError/],
    ['retries for ever', /refuses for good/, /must not be tried for ever/],
    ['requires a setting', /default settings/, /refuses the settings/],
    ['stops once', /twice/, /stopped already/],
  ])('%s', async (fault, name, message) => {
    const failed = await faults(sampleExporter(fault));
    const found = Object.keys(failed).find(one => name.test(one));
    expect([Object.keys(failed), found]).toEqual([expect.anything(), expect.stringMatching(name)]);
    expect(failed[found!]).toMatch(message);
  });

  it('is local and cannot be read', () => {
    expect(() => exporterContract(sampleExporter('none'), { it: () => undefined })).toThrow(
      /"sample" is local, so it needs \{read/,
    );
  });
});

describe('batchOf', () => {
  it('makes rows with their run, scope, mode and step, each batch behind the one before', () => {
    const first = batchOf([
      { run: 'a', scope: 'env.x', mode: 'eval', step: 3, values: { loss: 0.5, big: 2n ** 60n } },
      { run: 'b', values: { loss: 1 } },
    ]);
    const second = logBatchOf([{ run: 'a', scope: 's', body: 'hello' }]);
    expect(second.position).toBe(first.next);
    const { columns, resolved, rows } = first.scalars!;
    expect(
      Array.from(columns.seriesIndex, i => resolved[i]!).map(one => [one.run.id, one.scope, one.sinkName]),
    ).toEqual(
      expect.arrayContaining([
        ['a', 'env.x', 'env.x/eval/loss'],
        ['a', 'env.x', 'env.x/eval/big'],
        ['b', 'global', 'loss'],
      ]),
    );
    expect(rows.count).toBe(2);
    expect([...columns.bigValue!.values()]).toEqual([2n ** 60n]);
    expect(second.logs).toMatchObject([{ run: { id: 'a' }, scope: 's', record: { body: 'hello' } }]);
    expect(spanBatchOf([{ name: 'x' }]).spans).toMatchObject([{ record: { name: 'x' } }]);
    expect(batchOf([]).scalars).toBeUndefined();
  });
});

describe('outside jest', () => {
  it('runs under node:test', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kymo-contract-node-'));
    const url = (file: string) => JSON.stringify(pathToFileURL(file).href);
    try {
      const file = join(folder, 'sample.test.mjs');
      writeFileSync(
        file,
        `import { describe } from 'node:test';
         import { exporterContract } from ${url('src/collector/testing/index.ts')};
         import { readSample, sampleExporter } from ${url('test/collector/testing/sample-exporter.ts')};
         describe('good', () => exporterContract(sampleExporter('none'), { read: readSample }));
         describe('bad', () => exporterContract(sampleExporter('does not cut'), { read: readSample }));`,
      );
      const child = spawn(process.execPath, ['--test', '--test-reporter=tap', file], {
        env: { PATH: process.env.PATH },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      child.stdout.on('data', chunk => {
        output += chunk;
      });
      const code = await new Promise(done => child.on('close', done));
      expect(code).toBe(1);
      expect(output).toMatch(/^ *ok 1 - good/m);
      expect(output).toMatch(/^ *not ok 2 - bad/m);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 30_000);
});
