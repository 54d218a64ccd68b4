// The debug exporter: what each verbosity shows, that hostile text stays one harmless line, sampling, files.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Batch } from '../../../../src/collector/component.ts';
import { describe as describeBatch, MAX_LINES } from '../../../../src/collector/exporters/debug/describe.ts';
import { debugExporter } from '../../../../src/collector/exporters/debug/index.ts';
import { exporterContext } from '../otlp_http/harness.ts';
import { batches } from './batches.ts';

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-debug-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

function create(settings: Record<string, unknown>) {
  const made = exporterContext('debug', folder);
  return { ...made, exporter: debugExporter.create(made.context, debugExporter.config.parse(settings)) };
}
async function shown(settings: Record<string, unknown>, ...batches: Batch[]): Promise<string[]> {
  const { exporter, logger } = create(settings);
  await exporter.start(undefined);
  for (const batch of batches) await exporter.export(batch);
  await exporter.commit();
  await exporter.stop();
  return logger.lines.map(line => line.message);
}

describe('verbosity', () => {
  it('basic is one line a batch', async () => {
    const lines = await shown({}, batches.metrics([1, 2]), batches.logs(['a', 'b', 'c']));
    expect(lines).toEqual([
      'Metrics  {resource metrics: 1, series: 1, rows: 2, data points: 2}',
      'Logs  {resource logs: 1, log records: 3}',
    ]);
  });

  it('normal adds a line a record, detailed all there is to it', async () => {
    expect(await shown({ verbosity: 'normal' }, batches.metrics([0.5]))).toEqual([
      'Metrics  {resource metrics: 1, series: 1, rows: 1, data points: 1}',
      'train/loss {layer=a} step=0 0.5',
    ]);
    const detailed = await shown({ verbosity: 'detailed' }, batches.spans('step'));
    expect(detailed.join('\n')).toMatch(
      /Span step .* 1 ms\n.*resource: \{service.name: "test"\}\n.*scope: s/,
    );
  });
});

it('keeps hostile text on one line, without control characters', async () => {
  const hostile = 'a\nb\u001b]52;c;x\u0007\u202egnp\u009b2J';
  for (const verbosity of ['normal', 'detailed']) {
    const lines = await shown({ verbosity }, batches.logs([hostile]), batches.spans(hostile));
    for (const line of lines) expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
    expect(lines.join('|')).toContain('a\\nb\\u{1b}]52');
  }
});

it('shows a bounded number of lines and says how many records are hidden', () => {
  const batch = batches.logs(Array.from({ length: MAX_LINES + 50 }, () => 'x'));
  const lines = describeBatch(batch, 'normal');
  expect(lines.length).toBeLessThanOrEqual(MAX_LINES + 1);
  expect(lines.at(-1)).toBe('… 51 records more, not shown');
});

it('samples, and counts what it leaves out', async () => {
  const { exporter, logger, instruments } = create({ sampling_initial: 2, sampling_thereafter: 3 });
  await exporter.start(undefined);
  for (let i = 0; i < 8; i++) await exporter.export(batches.logs(['x']));
  expect(logger.lines).toHaveLength(2 + 2);
  expect(instruments.sum('kymo_exporter_sampled_out_batches')).toBe(4);
});

it('writes to a file when it is told to', async () => {
  const settings = { use_internal_logger: false, output_paths: ['debug.txt'], verbosity: 'normal' };
  expect(await shown(settings, batches.logs(['hello']))).toEqual([]);
  expect(fs.readFileSync(path.join(folder, 'debug.txt'), 'utf8').split('\n')).toHaveLength(3);
});
