// The judge of real files is judged first: what is planted in them it finds, and what is right it accepts.
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ChaosError } from '../arena.ts';
import { PLANTS, plantIn } from '../plant.ts';
import { type Scenario, scenario } from '../scenario.ts';
import { somePlan } from './kills.ts';

const planted = scenario(
  'what is planted in a sink is found',
  async arena => {
    arena.start(somePlan(arena, 'run', 300), { burst: 10, pauseMs: 3 });
    await arena.settle();
    const file = join(arena.runs, 'run', 'logs', 'metrics.jsonl');
    copyFileSync(file, `${file}.right`);
    for (const kind of PLANTS) {
      plantIn(arena.runs, ['run'], kind);
      const found = new Set(arena.judgeSink('jsonl').faults.map(fault => fault.kind));
      if (!found.has(kind))
        throw new ChaosError(`${kind} was not found, but ${[...found].join(', ') || 'nothing'}`);
      copyFileSync(`${file}.right`, file);
    }
    rmSync(`${file}.right`);
    arena.judgeAll();
  },
  { short: true },
);

export const JUDGE: readonly Scenario[] = [planted];
