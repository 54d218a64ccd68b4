// Aggregation in a real collector: two processes of one run, a collector that is killed on the way, every value in one result.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from '@jest/globals';
import { endCollectors } from '../../sdk/collectors.ts';
import { train } from '../../sdk/trainer.ts';
import { pythonCurves } from '../exporters/tensorboard/readers.ts';
import { readText, removeFolder, runKymo, temporaryFolder, until } from './collector-process.ts';

const folders: string[] = [];
let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
  folders.push(folder);
});
afterAll(async () => {
  for (const each of folders) await endCollectors(each);
  folders.forEach(removeFolder);
});

const CONFIG = `receivers: {local: }
processors:
  batch:
  aggregate:
    metrics:
      - {name: loss/sum, raw_event_name: loss, aggregation: sum}
      - {name: Steps, raw_event_name: step, aggregation: count, log_frequency_steps: 100}
      - {name: Episode/Score, raw_event_name: episode_end, context_key: score, aggregation: sum, log_frequency_steps: 500}
      - {name: only/board, raw_event_name: step, aggregation: latest, log_frequency_steps: 1000, log_to: [tensorboard]}
exporters:
  jsonl:
  tensorboard: {directory: runs}
service:
  pipelines:
    metrics: {receivers: [local], processors: [batch, aggregate], exporters: [jsonl, tensorboard]}
    logs: {receivers: [local], processors: [batch, aggregate], exporters: [jsonl, tensorboard]}
`;

const STEPS = 1_500;
/** A rank: some steps at a time, and at two of them it waits to be let on, so that a collector can be killed meanwhile. */
const SCRIPT = `
import { existsSync } from 'node:fs';
const rank = Number(process.env.KYMO_RANK);
const run = kymo.init({ project: 'p', id: 'r' });
let step = 0;
const timer = setInterval(() => {
  for (const gate of [300, 900]) if (step === gate && !existsSync(process.env.KYMO_DIR + '/' + gate)) return;
  for (const end = step + 10; step < end; step++) {
    run.log({ loss: step * (rank + 1) }, { step });
    kymo.event('step', 1, { step });
    if (step % 50 === 49) kymo.event('episode_end', 1, { step, context: { score: step } });
  }
  if (step === 300) console.log('at 300');
  if (step === 900) console.log('at 900');
  if (step >= ${STEPS}) { clearInterval(timer); void run.finish(); }
}, 10);
`;

/** The pid of the one that ran, which does no more. */
async function killCollector(): Promise<number> {
  const pid = await until('a collector', async () => {
    const { stdout } = await runKymo(['status', '--json'], folder);
    const status = JSON.parse(stdout === '' ? '{}' : stdout) as { pid?: number };
    return status.pid;
  });
  process.kill(pid, 'SIGKILL');
  return pid;
}

it('two ranks become one series, exactly once, although the collector is killed twice', async () => {
  mkdirSync(join(folder, 'conf'));
  writeFileSync(join(folder, 'conf/c.yaml'), CONFIG);
  const ranks = [0, 1].map(rank =>
    train(folder, SCRIPT, {
      KYMO_CONFIG: 'conf/c.yaml',
      KYMO_COLLECTOR_LINGER_MS: '0',
      KYMO_RANK: String(rank),
      KYMO_WORLD_SIZE: '2',
      KYMO_QUIET: '1',
      KYMO_EXIT_TIMEOUT_MS: '30000',
    }),
  );
  const killed = new Set<number>();
  for (const gate of ['300', '900']) {
    await ranks[0]!.said(`at ${gate}`);
    killed.add(await killCollector());
    writeFileSync(join(folder, gate), '');
  }
  expect(killed.size).toBe(2);
  const ends = await Promise.all(ranks.map(rank => rank.ended));
  expect(ends.map(({ code }) => code)).toEqual([0, 0]);

  const rowsIn = (runs: string) =>
    readText(join(folder, `${runs}/r/logs/metrics.jsonl`))
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, number | string | undefined>);
  const rows = rowsIn('runs');
  const results = rows.filter(row => row.instance === 'aggregate');
  expect(rows.length - results.filter(row => row.rank === undefined).length).toBe(2 * STEPS);
  const of = (name: string) => results.filter(row => row[name] !== undefined);
  const total = (name: string) => of(name).reduce((sum, row) => sum + Number(row[name]), 0);
  const triangle = (STEPS * (STEPS - 1)) / 2;
  expect(total('loss/sum')).toBe(3 * triangle);
  expect(total('Steps')).toBe(2 * STEPS);
  const ends50 = Array.from({ length: STEPS / 50 }, (_, i) => i * 50 + 49);
  expect(total('Episode/Score')).toBe(2 * ends50.reduce((sum, step) => sum + step, 0));
  // What waited for nobody in vain has both ranks in one result of its step.
  const both = of('loss/sum').filter(row => row['loss/sum'] === 3 * Number(row.step));
  expect(both.length).toBeGreaterThan(STEPS / 2);
  expect(of('only/board')).toEqual([]);
  expect(rows.every(row => row.step === undefined || Number(row.step) < STEPS)).toBe(true);

  // Whoever reads the journal again, in one go and without a crash, comes to the same.
  const again = ['replay', '--run', 'r', '--exporter', 'jsonl', '--into', 'again'];
  expect(await runKymo(again, folder, { KYMO_DIR: folder, KYMO_CONFIG: 'conf/c.yaml' })).toMatchObject({
    code: 0,
  });
  expect(rowsIn('again')).toEqual(rows);

  const curves = pythonCurves(join(folder, 'runs/r'));
  expect([...curves.keys()]).toEqual(
    expect.arrayContaining(['loss', 'loss/rank=1', 'loss/sum', 'only/board', 'Steps']),
  );
}, 60_000);

it('a list that cannot be is told with its places, all at once', async () => {
  writeFileSync(
    join(folder, 'bad.yaml'),
    `receivers: {local: }
processors:
  aggregate:
    metrics:
      - {name: a, aggregation: rate}
      - {name: b, agregation: mean}
      - {name: c, aggregation: median}
      - {name: d, aggregation: mean, log_frequency_steps: -1}
      - {name: e, aggregation: sum, rate_numerator_event: x}
  aggregate/two:
    preset: default
    metrics:
      - {name: a, aggregation: mean, log_to: [tensorbord, jsonl, debug]}
  aggregate/three:
  aggregate/four:
    metrics: [{name: d, aggregation: mean}, {name: d, aggregation: sum}]
exporters: {jsonl: , tensorboard: , debug: }
service:
  pipelines:
    metrics: {receivers: [local], processors: [aggregate/two], exporters: [jsonl]}
    logs: {receivers: [local], exporters: [jsonl, debug]}
`,
  );
  const { code, stderr } = await runKymo(['collector', 'validate', '--config', 'bad.yaml'], folder);
  expect(code).toBe(1);
  expect(stderr.trim().split('\n')).toEqual([
    'bad.yaml:5:9: processors::aggregate::metrics::0: "a" is a rate of what? Add rate_numerator_event: the event whose values are summed up, such as step_completed',
    'bad.yaml:6:9: processors::aggregate::metrics::1: "aggregation" is required',
    'bad.yaml:6:19: processors::aggregate::metrics::1: unknown key "agregation" (did you mean "aggregation"?)',
    'bad.yaml:7:32: processors::aggregate::metrics::2::aggregation: must be one of mean, sum, min, max, latest, rate, count, std (did you mean "mean"?)',
    'bad.yaml:8:59: processors::aggregate::metrics::3::log_frequency_steps: must be at least 0',
    'bad.yaml:9:59: processors::aggregate::metrics::4::rate_numerator_event: only a metric with aggregation: rate has a numerator',
    'bad.yaml:13:47: processors::aggregate/two::metrics::0::log_to::0: no exporter "tensorbord" is configured (did you mean "tensorboard"?): configure it, or take it from the list (behind this processor is jsonl)',
    'bad.yaml:13:66: processors::aggregate/two::metrics::0::log_to::2: exporter "debug" is in no pipeline with this processor: put it into one, or take it from the list',
    'bad.yaml:14:3: processors::aggregate/three: aggregates nothing: list metrics, or take preset: default',
    'bad.yaml:16:52: processors::aggregate/four::metrics::1::name: "d" is the name of metrics::0 already: give each metric a name of its own',
    'bad.yaml:20:48: service::pipelines::metrics: "aggregate/two" works on metrics and logs together: list it in a logs pipeline with exporter "jsonl" too',
  ]);
}, 30_000);
