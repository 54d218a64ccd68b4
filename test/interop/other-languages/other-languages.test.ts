// The programs of examples/other-languages, run as their README says: rows with steps, an image and text are in the run's files.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { decodeFile } from '../../../src/collector/exporters/tensorboard/event-reader.ts';
import { describeWithPeers } from '../peers.ts';
import { run, startKymoCollector, temporaryFolder } from '../programs.ts';
import { readLines } from '../sent.ts';

const EXAMPLES = fileURLToPath(new URL('../../../examples/other-languages/', import.meta.url));
const MAX_LINES = 40;

describe('the examples', () => {
  it.each(['train.py', 'go/train.go', 'train.sh'])('%s has at most 40 lines', file => {
    const lines = fs
      .readFileSync(EXAMPLES + file, 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines.length).toBeLessThanOrEqual(MAX_LINES);
  });
});

describeWithPeers('the example in Python', ['otel-python'], python => {
  logsARun('python', [python!, `${EXAMPLES}train.py`]);
});

describeWithPeers('the example in Go', ['example-go'], program => {
  logsARun('go', [program!]);
});

const hasCurl = spawnSync('curl', ['--version']).status === 0;
(hasCurl ? describe : describe.skip)('the example with curl', () => {
  logsARun('curl', ['/bin/sh', `${EXAMPLES}train.sh`]);
});

function logsARun(name: string, [program, ...args]: readonly [string, ...string[]]): void {
  it('logs rows with steps, an image and text into a run', async () => {
    const folder = temporaryFolder();
    const runId = `${name}_example`;
    const collector = await startKymoCollector(folder, otlp => ({
      receivers: { otlp },
      extensions: { journal: { directory: 'journal' } },
      exporters: { jsonl: { directory: 'runs' }, tensorboard: { directory: 'runs' } },
      service: {
        extensions: ['journal'],
        pipelines: {
          metrics: { receivers: ['otlp'], exporters: ['jsonl', 'tensorboard'] },
          logs: { receivers: ['otlp'], exporters: ['jsonl', 'tensorboard'] },
        },
      },
    }));
    try {
      await run(program, args, {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.http,
        OTEL_SERVICE_NAME: 'other-languages',
        OTEL_RESOURCE_ATTRIBUTES: `kymo.run.id=${runId}`,
      });
      expect(await collector.stop()).toBe(0);
      expect(fs.readdirSync(path.join(folder, 'runs'))).toEqual([runId]);
      const runFolder = path.join(folder, 'runs', runId);

      const rows = readLines(runFolder, 'metrics.jsonl').filter(line => 'train/loss' in line);
      expect(rows.map(row => row.step)).toEqual(Array.from({ length: 100 }, (_, step) => step));
      for (const row of rows) expect(row['train/loss']).toBeCloseTo(Math.exp(-(row.step as number) / 30), 5);

      expect(readLines(runFolder, 'logs.jsonl')).toContainEqual(
        expect.objectContaining({ message: 'training is done', attributes: { epochs: 1 } }),
      );

      const images = filesUnder(runFolder).filter(file => file.endsWith('.png'));
      expect(images).toHaveLength(1);
      const png = fs.readFileSync(images[0]!);
      expect(png.subarray(1, 4).toString()).toBe('PNG');

      const events = fs.readdirSync(runFolder).filter(file => file.includes('tfevents'));
      const tags = events.flatMap(file =>
        decodeFile(fs.readFileSync(path.join(runFolder, file))).events.flatMap(event =>
          event.values.map(value => value.tag),
        ),
      );
      expect(new Set(tags)).toEqual(new Set(['train/loss', 'gradient']));
    } finally {
      await collector.stop();
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
}

function filesUnder(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.join(entry.parentPath, entry.name));
}
