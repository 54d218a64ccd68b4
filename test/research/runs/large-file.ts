// A metrics file of any size, streamed by a process of its own that says how much memory that took.
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const READER = new URL('./stream-file.ts', import.meta.url).pathname;
const METRICS = 20;

export interface Streamed {
  readonly rows: number;
  readonly sum: number;
  /** What the process had at most beyond what it had before the first row. */
  readonly grownMib: number;
  readonly seconds: number;
}

/** Writes a file of about `mib` mebibytes into `folder`, streams it as columns and (a part of it) as rows, and removes it. */
export async function streamLargeFile(folder: string, mib: number): Promise<Streamed> {
  const file = join(folder, `large-${mib}.jsonl`);
  let block = '';
  for (let step = 0; block.length < 2 ** 20 - 600; step++) {
    block += `{"step":${step},"time":1795262400.123456`;
    for (let m = 0; m < METRICS; m++) block += `,"train/metric_${m}":${Math.sqrt(step * METRICS + m)}`;
    block += '}\n';
  }
  const fd = openSync(file, 'w');
  try {
    for (let i = 0; i < mib; i++) writeSync(fd, block);
  } finally {
    closeSync(fd);
  }
  try {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--expose-gc', '--disable-warning=ExperimentalWarning', READER, file],
      {
        encoding: 'utf8',
      },
    );
    if (status !== 0) throw new Error(`the reader ended with ${status}: ${stderr}`);
    return JSON.parse(stdout) as Streamed;
  } finally {
    rmSync(file);
  }
}
