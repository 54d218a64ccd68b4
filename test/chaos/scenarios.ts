// Every chaos scenario, in the order in which they run.
import type { Scenario } from './scenario.ts';
import { AWAY } from './scenarios/away.ts';
import { CHECKPOINTS } from './scenarios/checkpoints.ts';
import { DISK } from './scenarios/disk.ts';
import { JUDGE } from './scenarios/judge.ts';
import { KILLS } from './scenarios/kills.ts';
import { LOAD } from './scenarios/load.ts';
import { REQUESTS } from './scenarios/requests.ts';
import { SHAPE } from './scenarios/shape.ts';
import { TIME } from './scenarios/time.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...JUDGE,
  ...KILLS,
  ...AWAY,
  ...REQUESTS,
  ...DISK,
  ...CHECKPOINTS,
  ...TIME,
  ...SHAPE,
  ...LOAD,
];
