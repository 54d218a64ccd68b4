// Streams a metrics file of 5 GiB and fails unless memory stays flat. Run: npm run test:limits [-- GiB]. Needs that much disk.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Streamed, streamLargeFile } from '../research/runs/large-file.ts';

const gib = Number(process.argv[2] ?? 5);
const MAX_GROWTH_MIB = 128;

const folder = mkdtempSync(join(tmpdir(), 'kymo-limits-'));
try {
  const { rows, grownMib, seconds }: Streamed = await streamLargeFile(folder, gib * 1_024);
  console.log(
    `${gib} GiB, ${rows} rows: ${seconds.toFixed(1)} s, ${grownMib.toFixed(0)} MiB more than at the start`,
  );
  if (!(grownMib < MAX_GROWTH_MIB)) throw new Error(`memory grew by more than ${MAX_GROWTH_MIB} MiB`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
