// Does to a real sink what the judge has to find: takes a row out of it, doubles one, changes a value, invents one.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const PLANTS = ['lost', 'doubled', 'changed', 'invented'] as const;
export type Planted = (typeof PLANTS)[number];

/** Changes the last row of one of the runs. Throws when no run has one. */
export function plantIn(runs: string, names: readonly string[], kind: Planted): void {
  for (const run of names) {
    const file = join(runs, run, 'logs', 'metrics.jsonl');
    if (!existsSync(file)) continue;
    const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
    const at = lines.findLastIndex(line => /"[^"/]+\/m\d+":/.test(line));
    if (at < 0) continue;
    const line = lines[at]!;
    if (kind === 'lost') lines.splice(at, 1);
    else if (kind === 'doubled') lines.push(line);
    else if (kind === 'invented') lines.push(line.replace(/"step":\d+/, '"step":987654321'));
    else lines[at] = line.replace(/("[^"/]+\/m\d+":)[^,}]+/, '$10.123456789');
    writeFileSync(file, `${lines.join('\n')}\n`);
    return;
  }
  throw new Error('there is no row to plant anything in');
}
