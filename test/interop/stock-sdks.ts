// The test of every stock SDK: what its emitter says that it sent must be in the files of a real collector process.

import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from '@jest/globals';
import { run, startKymoCollector, temporaryFolder } from './programs.ts';
import { expectEverything, type Sent } from './sent.ts';

/** @param emit the command that sends; it gets protocol, endpoint and run id */
export function arrivesOver(protocols: readonly string[], emit: readonly [string, ...string[]]): void {
  it.each(protocols)('everything sent over %s is in the files', async protocol => {
    const folder = temporaryFolder();
    const collector = await startKymoCollector(folder, otlp => ({
      receivers: { otlp },
      extensions: { journal: { directory: 'journal' } },
      exporters: { jsonl: { directory: 'runs' }, tensorboard: { directory: 'runs' } },
      service: {
        extensions: ['journal'],
        pipelines: {
          traces: { receivers: ['otlp'], exporters: ['jsonl'] },
          metrics: { receivers: ['otlp'], exporters: ['jsonl', 'tensorboard'] },
          logs: { receivers: ['otlp'], exporters: ['jsonl', 'tensorboard'] },
        },
      },
    }));
    try {
      const [program, ...args] = emit;
      const runId = `interop_${protocol}`;
      const endpoint = protocol.startsWith('grpc') ? collector.grpc : collector.http;
      const sent = JSON.parse(await run(program, [...args, protocol, endpoint, runId])) as Sent;
      expect(await collector.stop()).toBe(0);
      expect(fs.readdirSync(path.join(folder, 'runs'))).toEqual([runId]);
      expectEverything(sent, path.join(folder, 'runs', runId));
    } finally {
      await collector.stop();
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
}
