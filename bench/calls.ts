// What a call costs the thread that makes it: Kymo's calls to a null sink and to the bundled collector, beside peers.
import type { CallFigures } from './call-timer.ts';
import { here, measured, startNullSink, temporaryFolder } from './processes.ts';
import { pythonPeers } from './python-peers.ts';
import { duration, median, publish, QUICK, type Report, rate } from './report.ts';

const REPETITIONS = QUICK ? 1 : 3;
const PER_SECOND = 10_000;
const PACED = QUICK ? 5_000 : 20_000;

interface Measured {
  readonly full: CallFigures;
  readonly slow: CallFigures;
  readonly emitted?: number;
  readonly delivered?: number;
}
interface Case {
  readonly name: string;
  readonly samples: Measured[];
  run(): Promise<Measured>;
}

/** Kind of call, what to call it, calls of the measured loop, and how many of them fit into the recorder. */
const KINDS = [
  ['scalar', 'run.scalar', 1_000_000, 200_000],
  ['log10', 'run.log of 10', 200_000, 50_000],
  ['log100', 'run.log of 100', 20_000, 5_000],
  ['info', 'logger.info', 50_000, 10_000],
  ['timeit', 'timeit', 20_000, 5_000],
  ['timeit-many', 'timeit, short and many', 200_000, 200_000],
] as const;
const OTEL_KINDS = [
  ['gauge', 'OTel gauge.record (keeps the last value only)', 200_000],
  ['emit', 'OTel logger.emit of an event with a scalar', 50_000],
  ['span', 'OTel startSpan and end', 50_000],
] as const;
const PYTHON_KINDS = [
  ['goggles', 'scalar', 'goggles logger.scalar', 5_000],
  ['goggles', 'log10', 'goggles logger.push of 10', 2_000],
  ['goggles', 'log100', 'goggles logger.push of 100', 1_000],
  ['goggles', 'info', 'goggles logger.info', 5_000],
  ['goggles', 'timeit', 'goggles timeit', 2_000],
  ['wandb', 'scalar', 'wandb offline run.log of 1', 5_000],
  ['wandb', 'log100', 'wandb offline run.log of 100', 500],
  ['tensorboardX', 'scalar', 'tensorboardX add_scalar', 10_000],
  ['tensorboardX', 'log100', 'tensorboardX add_scalar × 100', 200],
] as const;

const notes = [
  `Median of ${REPETITIONS} interleaved repetitions, a process each. At full speed: p50 from blocks of 1,000 calls in bursts; the tail and`,
  "what is sustained from single calls of one loop without a pause, less the clock's cost: waiting for others is in it.",
  `Paced: ${PER_SECOND.toLocaleString('en')} calls a second from a thread that is busy in between; Python's peers 1,000, and rows of 100 100.`,
];
const sink = await startNullSink();
const cases: Case[] = [];
for (const [kind, name, calls, burst] of KINDS)
  for (const target of ['null sink', 'collector'] as const)
    cases.push({
      name: `${name} → ${target}`,
      samples: [],
      run: () =>
        measured<Measured>(
          [
            process.execPath,
            here('calls-kymo.ts'),
            kind,
            ...[QUICK ? calls / 5 : calls, burst, PACED, PER_SECOND].map(String),
          ],
          {
            env: {
              KYMO_DIR: temporaryFolder(),
              KYMO_QUIET: '1',
              KYMO_COLLECTOR_LINGER_MS: '0',
              ...(target === 'null sink' ? { KYMO_ENDPOINT: sink.url } : {}),
            },
          },
        ),
    });
for (const [kind, name, calls] of OTEL_KINDS)
  cases.push({
    name: `${name} → null sink`,
    samples: [],
    run: () =>
      measured<Measured>([
        process.execPath,
        ...[
          here('calls-otel.ts'),
          kind,
          sink.url,
          String(QUICK ? calls / 5 : calls),
          String(PACED),
          String(PER_SECOND),
        ],
      ]),
  });
const peers = pythonPeers();
if ('missing' in peers) notes.push(`skipped goggles, wandb, tensorboardX: ${peers.missing}`);
else
  for (const [peer, kind, name, calls] of PYTHON_KINDS)
    cases.push({
      name,
      samples: [],
      run: () => {
        const folder = temporaryFolder();
        const perSecond = kind === 'log100' ? 100 : 1_000;
        return measured<Measured>(
          [
            peers.python,
            here('peers/calls.py'),
            peer,
            kind,
            String(calls),
            String(perSecond),
            String(perSecond),
            folder,
          ],
          { cwd: folder },
        );
      },
    });

for (let repetition = 0; repetition < REPETITIONS; repetition++)
  for (const one of cases) one.samples.push(await one.run());
await sink.stop();

const figure = (name: string, speed: 'full' | 'slow', key: keyof CallFigures) =>
  median(cases.find(one => one.name === name)?.samples.map(sample => sample[speed][key]) ?? []);
const figures = (name: string, speed: 'full' | 'slow') =>
  (['p50', 'p99', 'p999', 'max'] as const).map(key => duration(figure(name, speed, key)));
const scalar = (key: keyof CallFigures) => figure('run.scalar → collector', 'full', key);
const targets: Report['targets'][number][] = [
  {
    what: 'run.scalar p50 at full speed',
    target: '≤ 200 ns',
    measured: duration(scalar('p50')),
    met: scalar('p50') <= 200,
  },
  {
    what: 'run.scalar p99.9 at full speed',
    target: '≤ 20 µs',
    measured: duration(scalar('p999')),
    met: scalar('p999') <= 20_000,
  },
];
if ('python' in peers) {
  const ratio = figure('goggles logger.scalar', 'full', 'p50') / scalar('p50');
  targets.push({
    what: 'below goggles',
    target: '≥ 50 times',
    measured: `${ratio.toFixed(0)} times`,
    met: ratio >= 50,
  });
}
const lost = cases.filter(one => one.samples.some(({ emitted, delivered }) => emitted !== delivered));
for (const one of lost) notes.push(`${one.name}: not everything was delivered`);
publish({
  title: "Cost of a call on the caller's thread",
  columns: ['call', 'p50', 'p99', 'p99.9', 'max', 'sustained', 'paced p50', 'p99', 'p99.9', 'max'],
  rows: cases.map(({ name }) => [
    name,
    ...figures(name, 'full'),
    rate(figure(name, 'full', 'perSecond')),
    ...figures(name, 'slow'),
  ]),
  targets,
  notes,
});
