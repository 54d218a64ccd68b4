// Wide rows: 20,000 steps of 100 metrics from the first call until everything is durable in JSONL and TensorBoard files; beside peers.
import { here, measured, temporaryFolder } from './processes.ts';
import { pythonPeers } from './python-peers.ts';
import { duration, median, publish, QUICK, rate } from './report.ts';

const METRICS = 100;
const STEPS = QUICK ? 4_000 : 20_000;
/** A tenth for the peers, which would take minutes; they are compared by rate. */
const PEER_STEPS = QUICK ? 200 : 2_000;
const REPETITIONS = QUICK ? 1 : 3;

interface Sample {
  readonly seconds: number;
  readonly loopSeconds: number;
  readonly written?: boolean;
}
const notes = [
  `Median of ${REPETITIONS}; the first call to the last byte durable (kymo: init to finish()), peers: to the end of their finish or close.`,
];
const cases: { name: string; steps: number; samples: Sample[]; run: () => Promise<Sample> }[] = [
  {
    name: 'kymo run.log → JSONL + TensorBoard',
    steps: STEPS,
    samples: [],
    run: () =>
      measured<Sample>([process.execPath, here('wide-loop.ts'), String(STEPS), String(METRICS)], {
        env: { KYMO_DIR: temporaryFolder(), KYMO_QUIET: '1', KYMO_COLLECTOR_LINGER_MS: '0' },
      }),
  },
];
const peers = pythonPeers();
if ('missing' in peers) notes.push(`skipped goggles, wandb, tensorboardX: ${peers.missing}`);
else
  for (const [peer, name] of [
    ['goggles', 'goggles push → JSONL'],
    ['wandb', 'wandb offline log → .wandb'],
    ['tensorboardX', 'tensorboardX add_scalar × 100 → event file'],
  ] as const)
    cases.push({
      name,
      steps: PEER_STEPS,
      samples: [],
      run: () => {
        const folder = temporaryFolder();
        const args = [here('peers/wide.py'), peer, String(PEER_STEPS), String(METRICS), folder];
        return measured<Sample>([peers.python, ...args], { cwd: folder });
      },
    });

for (let repetition = 0; repetition < REPETITIONS; repetition++)
  for (const one of cases) one.samples.push(await one.run());

const seconds = (samples: readonly Sample[], key: 'seconds' | 'loopSeconds') =>
  median(samples.map(one => one[key]));
const ours = cases[0]!.samples;
const written = ours.every(one => one.written === true);
publish({
  title: 'Wide rows: from the first call to durable files',
  columns: ['', 'steps × metrics', 'calls', 'until durable', 'points'],
  rows: cases.map(({ name, steps, samples }) => [
    name,
    `${steps.toLocaleString('en')} × ${METRICS}`,
    duration(seconds(samples, 'loopSeconds') * 1e9),
    duration(seconds(samples, 'seconds') * 1e9),
    rate((steps * METRICS) / seconds(samples, 'seconds')),
  ]),
  targets: [
    {
      what: `${STEPS.toLocaleString('en')} steps × ${METRICS} until durable`,
      target: '≤ 10 s',
      measured:
        duration(seconds(ours, 'seconds') * 1e9) + (written ? '' : ', but not everything was written'),
      met: written && seconds(ours, 'seconds') <= 10,
    },
  ],
  notes,
});
