// What keeping a history costs: updates and whole-window reads on each backend at hand, beside shift-and-concat in the same operations and
// beside goggles under JAX.
import fs from 'node:fs';
import path from 'node:path';
import { here, measured } from './processes.ts';
import { CACHE } from './python-peers.ts';
import { duration, median, publish, QUICK } from './report.ts';

const BATCH = 32;
const REPETITIONS = QUICK ? 1 : 3;
const SECONDS = QUICK ? 0.5 : 1.5;
/** Of the task that goggles was made for: 32 rows, the last 100 states of 64 × 64 × 2. */
const MAIN = { length: 100, elements: 64 * 64 * 2 };
const SHAPES = [MAIN, { length: 10, elements: MAIN.elements }, { length: 100, elements: 512 }];
/** The task's own figures: how many times faster than goggles, and how much memory against the history itself. */
const FASTER_THAN_GOGGLES = 300;
const MEMORY = 2.1;

interface Figures {
  readonly ms: number;
  readonly memory?: number;
}
interface Case {
  readonly subject: string;
  readonly work: string;
  readonly shape: (typeof SHAPES)[number];
  readonly command: readonly string[];
  readonly samples: Figures[];
}

const notes = [
  `Median of ${REPETITIONS} interleaved repetitions, a process each; float32, ${BATCH} rows, one row reset by a mask on the device in every step.`,
  'update: the frame is on the device, as what a model has computed is; upload: it comes from an array of the host; read: update, then the whole window.',
];
const cases: Case[] = [];
const backends: readonly (readonly [name: string, folder: string])[] = [
  ['cpu', ''],
  ['wasm', ''],
  ...prepared('tensorflow'),
  ...prepared('webgpu'),
];
for (const [backend, folder] of backends)
  for (const shape of SHAPES) {
    // Plain JavaScript takes a quarter of a minute for one step of shift-and-concat at the large shape.
    const small = shape.elements <= 512;
    for (const [algorithm, work] of [
      ['kymo', 'update'],
      ['kymo', 'upload'],
      ['kymo', 'read'],
      ['concat', 'update'],
    ] as const) {
      if (backend === 'cpu' && algorithm === 'concat' && !small) continue;
      if (shape !== MAIN && work === 'upload') continue;
      const command = [process.execPath, here('history-loop.ts'), backend, folder, algorithm, work];
      cases.push({
        subject: algorithm === 'kymo' ? `kymo on ${backend}` : `shift and concat on ${backend}`,
        work: algorithm === 'concat' ? 'update, read' : work,
        shape,
        command: [...command, String(shape.length), String(shape.elements), String(SECONDS)],
        samples: [],
      });
    }
  }
for (const [, environment] of prepared('goggles'))
  for (const shape of SHAPES)
    for (const mode of shape === MAIN ? ['zeros', 'randn'] : ['zeros'])
      cases.push({
        subject: `goggles under JAX, jitted${mode === 'randn' ? ', init randn' : ''}`,
        work: 'update, read',
        shape,
        command: [
          path.join(environment, 'bin', 'python'),
          here('peers/history.py'),
          ...[shape.length, shape.elements, mode, SECONDS].map(String),
        ],
        samples: [],
      });

for (let repetition = 0; repetition < REPETITIONS; repetition++)
  for (const one of cases) {
    if (repetition > 0 && one.samples[0]!.ms > 2_000) continue;
    one.samples.push(await measured<Figures>(one.command, { env: { JAX_PLATFORMS: 'cpu' } }));
  }

const ms = (one: Case): number => median(one.samples.map(sample => sample.ms));
const goggles = (shape: Case['shape']): number => {
  const found = cases.find(one => one.subject === 'goggles under JAX, jitted' && one.shape === shape);
  return found === undefined ? Number.NaN : ms(found);
};
const best = (work: string): Case | undefined =>
  cases
    .filter(one => one.shape === MAIN && one.work === work && /^kymo on (wasm|tensorflow)/.test(one.subject))
    .sort((a, b) => ms(a) - ms(b))[0];
const fastest = { update: best('update'), upload: best('upload'), read: best('read') };
const memory = Math.max(
  ...cases.filter(one => one.subject.startsWith('kymo')).flatMap(one => one.samples.map(s => s.memory ?? 0)),
);
const times = (one: Case | undefined): number => (one === undefined ? Number.NaN : goggles(MAIN) / ms(one));

publish({
  title: 'histories: one step',
  columns: ['', 'T', 'values in a frame', 'work', 'per step', 'goggles takes', 'memory / history'],
  rows: cases.map(one => [
    one.subject,
    String(one.shape.length),
    String(one.shape.elements * BATCH),
    one.work,
    duration(ms(one) * 1e6),
    one.subject.startsWith('goggles') ? '' : ratio(goggles(one.shape) / ms(one)),
    one.subject.startsWith('kymo')
      ? median(one.samples.map(sample => sample.memory ?? Number.NaN)).toFixed(2)
      : '',
  ]),
  targets: Number.isNaN(goggles(MAIN))
    ? []
    : [
        {
          what: `update at (32, 100, 64, 64, 2), ${fastest.update?.subject}, against goggles on this CPU`,
          target: `≥ ${FASTER_THAN_GOGGLES} times`,
          measured: `${times(fastest.update).toFixed(0)} times`,
          met: times(fastest.update) >= FASTER_THAN_GOGGLES,
        },
        {
          what: `the same with a frame from the host, ${fastest.upload?.subject}`,
          target: `≥ ${FASTER_THAN_GOGGLES} times`,
          measured: `${times(fastest.upload).toFixed(0)} times`,
          met: times(fastest.upload) >= FASTER_THAN_GOGGLES,
        },
        {
          what: `the whole window every step, ${fastest.read?.subject}, against goggles' update`,
          target: '≥ 1 times',
          measured: `${times(fastest.read).toFixed(2)} times`,
          met: times(fastest.read) >= 1,
        },
        {
          what: 'tensor memory against the history',
          target: `≤ ${MEMORY} times`,
          measured: `${memory.toFixed(2)} times`,
          met: memory <= MEMORY,
        },
      ],
  notes,
});

/** Times as long, in two digits. */
function ratio(times: number): string {
  if (Number.isNaN(times)) return '-';
  return `${Number(times.toPrecision(2)).toLocaleString('en', { maximumSignificantDigits: 2 })} ×`;
}

/** What the interop tests have prepared: a backend, or goggles. */
function prepared(backend: 'tensorflow' | 'webgpu' | 'goggles'): readonly (readonly [string, string])[] {
  const name = `history-${backend}-`;
  const folder = (fs.existsSync(CACHE) ? fs.readdirSync(CACHE) : [])
    .filter(entry => entry.startsWith(name))
    .map(entry => path.join(CACHE, entry))
    .filter(entry => fs.existsSync(path.join(entry, '.complete')))
    .sort((a, b) => fs.statSync(a).mtimeMs - fs.statSync(b).mtimeMs)
    .at(-1);
  if (folder === undefined) {
    notes.push(`${backend} skipped: npm run test:interop -- --prepare-only history-${backend} prepares it`);
    return [];
  }
  return [[backend, folder]];
}
