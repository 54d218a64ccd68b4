// A metrics file larger than memory may be: 5 GiB, streamed as columns, take no more than a small one. Needs that much disk.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { streamLargeFile } from '../research/runs/large-file.ts';

const GIB = 5;
const MAX_GROWTH_MIB = 128;

it('5 GiB are streamed in flat memory', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kymo-limits-'));
  try {
    const small = await streamLargeFile(folder, 16);
    const large = await streamLargeFile(folder, GIB * 1_024);
    expect(large.rows).toBe((small.rows / 16) * GIB * 1_024);
    // The file is the same mebibyte again and again; sums of floats differ in their last digits.
    const sum = (small.sum / 16) * GIB * 1_024;
    expect(sum).toBeGreaterThan(0);
    expect(large.sum / sum).toBeCloseTo(1, 6);
    expect(large.grownMib).toBeLessThan(MAX_GROWTH_MIB);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 600_000);
