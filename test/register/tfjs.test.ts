// Training with TensorFlow.js in a script that knows nothing of Kymo: curves, spans and configuration, and the same result.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const require = createRequire(import.meta.url);
const register = fileURLToPath(new URL('../../src/register.ts', import.meta.url));
const path = (name: string): string => JSON.stringify(require.resolve(name));
const EPOCHS = 3;
const BATCHES = 6;

/** Weights from fixed seeds: with and without Kymo the numbers are the same to the bit. */
const TRAINING = `
const kernel = seed => tf.initializers.glorotUniform({ seed });
const model = tf.sequential({ layers: [
  tf.layers.dense({ units: 4, inputShape: [2], activation: 'tanh', kernelInitializer: kernel(1) }),
  tf.layers.dense({ units: 1, kernelInitializer: kernel(2) }),
] });
model.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError', metrics: ['mae'] });
const x = tf.tensor2d(Array.from({ length: 64 }, (_, i) => [Math.sin(i), Math.cos(i)]));
const y = x.sum(1, true);
const epochs = [];
const history = await model.fit(x, y, {
  epochs: ${EPOCHS}, batchSize: 8, validationSplit: 0.25, shuffle: false, verbose: 0,
  callbacks: { onEpochEnd: (epoch, logs) => { epochs.push([epoch, logs.loss]); } },
});
const before = tf.memory().numTensors;
const [loss] = model.evaluate(x, y);
const evaluated = loss.dataSync()[0];
const trained = await model.trainOnBatch(x, y);
console.log(JSON.stringify({ history: history.history, epochs, evaluated, trained, leaked: tf.memory().numTensors - before }));
`;

const programs = {
  'train.cjs': `const tf = require(${path('@tensorflow/tfjs')}); (async () => {${TRAINING}})();`,
  'train.mjs': `import * as tf from ${path('@tensorflow/tfjs')}; ${TRAINING}`,
};

describe.each(Object.entries(programs))('%s', (name, script) => {
  let project: string;
  let bare: ReturnType<typeof spawnSync>;
  let ours: ReturnType<typeof spawnSync>;

  beforeAll(() => {
    project = mkdtempSync(join(tmpdir(), 'kymo-tfjs-'));
    const file = join(project, name);
    writeFileSync(file, script);
    const how = (args: string[]) =>
      spawnSync(process.execPath, [...args, '--disable-warning=ExperimentalWarning', file], {
        cwd: project,
        encoding: 'utf8',
        env: {
          PATH: process.env.PATH,
          KYMO_DIR: project,
          KYMO_COLLECTOR_LINGER_MS: '0',
          KYMO_TFJS_WEIGHTS: '1',
        },
      });
    bare = how([]);
    ours = how(['--require', register]);
  }, 60_000);
  afterAll(() => rmSync(project, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));

  function lines(file: string): Record<string, unknown>[] {
    const [run] = readdirSync(join(project, 'runs'));
    return readFileSync(join(project, 'runs', run!, 'logs', file), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>);
  }
  const result = () =>
    JSON.parse(String(bare.stdout)) as {
      history: Record<string, number[]>;
      evaluated: number;
      trained: number[];
    };

  it('trains to the same numbers, prints the same and leaves no tensor behind', () => {
    expect(bare.status).toBe(0);
    expect(ours).toMatchObject({ status: 0, stdout: bare.stdout, stderr: bare.stderr });
  });

  it('loss and metrics of each batch and epoch are rows, of validation in mode eval', () => {
    const rows = lines('metrics.jsonl');
    const batches = rows.filter(row => 'batch/loss' in row);
    // One more of trainOnBatch.
    expect(batches.map(row => row.step)).toEqual(
      Array.from({ length: EPOCHS * BATCHES + 1 }, (_, i) => i + 1),
    );
    expect(batches.at(-1)!['batch/loss']).toBe(result().trained[0]);
    const epochs = rows.filter(row => 'epoch/loss' in row);
    expect(epochs.map(row => [row.step, row['epoch/loss'], row['epoch/mae']])).toEqual(
      [1, 2, 3].map((n, i) => [n * BATCHES, result().history.loss![i], result().history.mae![i]]),
    );
    const validation = rows.filter(row => 'eval/epoch/loss' in row);
    expect(validation.map(row => row['eval/epoch/loss'])).toEqual(result().history.val_loss);
    expect(rows.filter(row => 'optimizer/learning_rate' in row)).toHaveLength(EPOCHS);
    expect(rows.find(row => 'eval/loss' in row)).toMatchObject({ 'eval/loss': result().evaluated });
    const weights = new Set(rows.map(row => row.histogram).filter(one => String(one).startsWith('weights/')));
    expect(weights.size).toBe(4);
  });

  it('fit, epochs and batches are spans, one inside the other', () => {
    const spans = lines('spans.jsonl');
    const fit = spans.find(span => span.name === 'fit')!;
    const epochs = spans.filter(span => /^epoch \d$/.test(String(span.name)));
    expect(epochs.map(span => span.parent_span_id)).toEqual(Array(EPOCHS).fill(fit.span_id));
    const batches = spans.filter(span => span.name === 'batch');
    expect(batches).toHaveLength(EPOCHS * BATCHES);
    expect(new Set(batches.map(span => span.parent_span_id))).toEqual(
      new Set(epochs.map(span => span.span_id)),
    );
  });

  it('the model and how it was compiled are in the config', () => {
    const [run] = readdirSync(join(project, 'runs'));
    const config = JSON.parse(readFileSync(join(project, 'runs', run!, 'config.json'), 'utf8')) as object;
    expect(config).toMatchObject({
      tfjs: {
        optimizer: 'SGD',
        learning_rate: 0.1,
        loss: 'meanSquaredError',
        parameters: 17,
        fit: { batchSize: 8 },
      },
    });
  });
});
