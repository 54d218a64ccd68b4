// The workloads of goggles' own benchmark (scalars at four rates, images and videos of growing size), through Kymo and through goggles.
import { here, measured, temporaryFolder } from './processes.ts';
import { pythonPeers } from './python-peers.ts';
import { duration, medians, publish, QUICK, type Report } from './report.ts';

const REPETITIONS = QUICK ? 1 : 3;

type Figure = 'p50' | 'p99' | 'max' | 'loopSeconds' | 'seconds' | 'sent' | 'delivered';
type Sample = Record<Figure, number>;
interface Case {
  readonly kind: 'scalar' | 'image' | 'video';
  readonly name: string;
  readonly size: number;
  readonly calls: number;
  readonly delayMs: number;
}

/** Its presets, but for the two of a minute each; its 500 images and 200 videos only where they are small. */
const CASES: readonly Case[] = [
  { kind: 'scalar', name: 'scalar, 30 a second', size: 0, calls: QUICK ? 60 : 300, delayMs: 33 },
  { kind: 'scalar', name: 'scalar, 1,000 a second', size: 0, calls: QUICK ? 500 : 1_000, delayMs: 1 },
  { kind: 'scalar', name: 'scalar, 10,000 a second', size: 0, calls: QUICK ? 2_000 : 10_000, delayMs: 0.1 },
  { kind: 'scalar', name: 'scalar, as fast as it goes', size: 0, calls: QUICK ? 10_000 : 50_000, delayMs: 0 },
  ...[32, 64, 128, 256, 512, 1024].map(
    (size): Case => ({
      kind: 'image',
      name: `image ${size} × ${size} RGB`,
      size,
      calls: size >= 512 ? (QUICK ? 20 : 100) : QUICK ? 100 : 500,
      delayMs: 0,
    }),
  ),
  ...[32, 64, 128, 256].map(
    (size): Case => ({
      kind: 'video',
      name: `video 10 × ${size} × ${size} RGB`,
      size,
      calls: size >= 256 ? (QUICK ? 20 : 50) : QUICK ? 40 : 200,
      delayMs: 0,
    }),
  ),
];

const notes = [
  `Median of ${REPETITIONS}. Both into files: a line of JSON per call, PNG, GIF. The calls are what the calling thread pays; the rest is what finish()`,
  'takes after the last of them (Kymo: until all is durable; goggles: until its handler is closed); all of it includes the pauses.',
];
const samples = new Map<string, Sample[]>();
const peers = pythonPeers();
if ('missing' in peers) notes.push(`skipped goggles: ${peers.missing}`);

for (let repetition = 0; repetition < REPETITIONS; repetition++)
  for (const one of CASES) {
    await take(`kymo ${one.name}`, () => kymo(one));
    if ('python' in peers) await take(`goggles ${one.name}`, () => goggles(peers.python, one));
  }

const rows: string[][] = [];
const targets: Report['targets'][number][] = [];
for (const one of CASES) {
  const ours = figuresOf(`kymo ${one.name}`);
  const theirs = figuresOf(`goggles ${one.name}`);
  rows.push(rowOf(`kymo ${one.name}`, ours!), ...(theirs ? [rowOf(`goggles ${one.name}`, theirs)] : []));
}
const all = CASES.map(one => figuresOf(`kymo ${one.name}`)!);
const sent = all.reduce((sum, { sent }) => sum + sent, 0);
const delivered = all.reduce((sum, { delivered }) => sum + delivered, 0);
targets.push({
  what: 'goggles’ workloads: delivered = sent',
  target: String(sent),
  measured: String(delivered),
  met: all.every(figures => figures.delivered === figures.sent),
});
publish({
  title: 'Goggles’ benchmark: scalars, image sweep, video sweep',
  columns: ['', 'call p50', 'p99', 'max', 'finish()', 'all', 'delivered / sent'],
  rows,
  targets,
  notes,
});

async function take(name: string, measure: () => Promise<Sample>): Promise<void> {
  samples.set(name, [...(samples.get(name) ?? []), await measure()]);
}

function kymo({ kind, size, calls, delayMs }: Case): Promise<Sample> {
  const args = [here('media-kymo.ts'), kind, ...[size, calls, delayMs].map(String)];
  return measured<Sample>([process.execPath, ...args], {
    env: {
      KYMO_DIR: temporaryFolder(),
      KYMO_QUIET: '1',
      KYMO_EXPORTERS: 'jsonl',
      KYMO_COLLECTOR_LINGER_MS: '0',
      KYMO_EXIT_TIMEOUT_MS: '120000',
      // Nothing is dropped here for want of memory: the caller waits, and that is in its figures.
      KYMO_BLOCK_MAX_MS: '60000',
    },
  });
}

function goggles(python: string, { kind, size, calls, delayMs }: Case): Promise<Sample> {
  const folder = temporaryFolder();
  const args = [here('peers/media.py'), kind, ...[size, calls, delayMs / 1e3].map(String), folder];
  return measured<Sample>([python, ...args], { cwd: folder });
}

function figuresOf(name: string): Sample | undefined {
  const taken = samples.get(name);
  if (taken === undefined) return undefined;
  // The worst repetition says what was lost.
  return { ...medians<Figure>(taken), delivered: Math.min(...taken.map(sample => sample.delivered)) };
}

function rowOf(name: string, figures: Sample): string[] {
  const { seconds, loopSeconds } = figures;
  return [
    name,
    ...(['p50', 'p99', 'max'] as const).map(key => duration(figures[key])),
    duration((seconds - loopSeconds) * 1e9),
    duration(seconds * 1e9),
    `${figures.delivered} / ${figures.sent}`,
  ];
}
