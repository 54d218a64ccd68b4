// PufferLib's seven calls over a run, several loggers at once, and rows of named sets.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { init } from '../../src/research/init.ts';
import { type MetricLogger, MultiLogger, RunMetricLogger } from '../../src/research/metric-logger.ts';
import { METRIC_SETS, type MetricSetRow } from '../../src/research/metric-sets.ts';
import { projectFolder, train } from '../sdk/trainer.ts';
import { testRuntime } from './recording.ts';

let around: ReturnType<typeof testRuntime>;
beforeEach(() => {
  around = testRuntime();
});
afterEach(() => around.remove());

describe('a logger of seven calls', () => {
  it('writes scalars, rows, histograms, images and hyperparameters to its run, at the steps it is given', async () => {
    const { recorder } = around;
    const logger = new RunMetricLogger({ project: 'puffer', id: 'r' });
    logger.logHyperparameters({ lr: 1e-3, layers: 2n, env: 'cartpole', norm: true });
    logger.logHyperparameters(new Map([['seed', 3]]));
    logger.logScalar('train/reward', 195, 10n);
    logger.logScalars('losses', { policy: 0.1, value: 0.5 }, 11);
    logger.logScalars('losses', new Map([['entropy', -1]]), 12);
    logger.logHistogram('weights/fc', [1, 2, 3], 1_000);
    logger.logImage('env', new Uint8Array(2 * 3 * 3), 3, 2, 7);
    expect(recorder.rows.map(({ step, values }) => [step, { ...values }])).toEqual([
      [10, { 'train/reward': 195 }],
      [11, { 'losses/policy': 0.1, 'losses/value': 0.5 }],
      [12, { 'losses/entropy': -1 }],
    ]);
    expect(recorder.histograms).toMatchObject([{ name: 'weights/fc', step: 1_000, point: { count: 3 } }]);
    expect(recorder.jobs).toHaveLength(1);
    expect(recorder.jobs[0]!.record.attributes).toMatchObject({ 'kymo.media.name': 'env', 'kymo.step': 7 });
    await Promise.resolve();
    const configs = recorder.logs().filter(record => record.eventName === 'kymo.run.config');
    expect(Object.assign({}, ...configs.map(record => record.attributes['kymo.run.config']))).toEqual({
      lr: 1e-3,
      layers: 2,
      env: 'cartpole',
      norm: true,
      seed: 3,
    });
    expect(() => logger.logScalars('x', [1] as never, 0)).toThrow(
      /logScalars\(values\) must be an object or a Map/,
    );
  });

  it('finishes the run that it has started, and only flushes one that it was given', () => {
    const own = new RunMetricLogger({ id: 'own' });
    own.flush();
    own.close();
    own.close();
    expect(own.run.ended).toBe(true);
    own.logScalar('late', 1, 1);
    expect(around.recorder.rows).toEqual([]);
    const run = init({ id: 'given' });
    new RunMetricLogger(run).close();
    expect(run.ended).toBe(false);
    run[Symbol.dispose]();
  });

  it('gives all to several loggers in their order, and one that throws stops no other', () => {
    const heard: string[] = [];
    const named = (name: string): MetricLogger =>
      new Proxy({} as MetricLogger, {
        get:
          (_target, call) =>
          (...args: unknown[]) => {
            heard.push(`${name}.${String(call)}(${JSON.stringify(args)})`);
            if (name === 'bad') throw new Error('down');
          },
      });
    const all = new MultiLogger(named('a'), named('bad')).add(named('b'));
    all.logScalar('x', 1, 2);
    all.logScalars('t', { y: 1 }, 3);
    all.logHistogram('h', [1], 4);
    all.logImage('i', Uint8Array.of(0), 1, 1, 5);
    all.logHyperparameters({ lr: 1 });
    all.flush();
    all.close();
    expect(heard.filter(call => call.startsWith('a.')).map(call => call.slice(2))).toEqual(
      heard.filter(call => call.startsWith('b.')).map(call => call.slice(2)),
    );
    expect(heard.slice(0, 3)).toEqual([
      'a.logScalar(["x",1,2])',
      'bad.logScalar(["x",1,2])',
      'b.logScalar(["x",1,2])',
    ]);
    expect(heard).toHaveLength(21);
    expect(() => all.add({} as never)).toThrow(/MultiLogger\.add\(logger\) must be a logger/);
  });

  it('names the one that throws: its class, or its place among the loggers', async () => {
    const project = projectFolder();
    const { code, stderr } = await train(
      project.path,
      `
      const bad = { logScalar() { throw new Error('down'); }, close() {} };
      class Remote { logScalar() { throw new Error('cut'); } close() {} }
      const bare = Object.assign(Object.create(null), bad);
      const anonymous = new (class extends Remote {})();
      const loggers = [new Remote(), bad, bare, anonymous];
      new kymo.MultiLogger(...loggers).logScalar('x', 1, 2);
      `,
    ).ended;
    project.remove();
    expect(code).toBe(0);
    expect(
      [...stderr.matchAll(/^kymo: (.*)\.logScalar\(\) throws; .*: (\w+)$/gm)].map(([, ...said]) => said),
    ).toEqual([
      ['Remote', 'cut'],
      ['logger 2', 'down'],
      ['logger 3', 'down'],
      ['logger 4', 'cut'],
    ]);
  });
});

describe('metric sets', () => {
  it('are rows whose names the compiler knows', () => {
    const ppo: MetricSetRow<'ppo'> = {
      actor_loss: 1,
      critic_loss: 2,
      entropy: 3,
      approx_kl: 4,
      clip_fraction: 5,
      episode_return: 6,
    };
    const sac: MetricSetRow<'sac'> = { actor_loss: 1, critic_loss: 2, alpha: 3, entropy: 4, q_mean: 5 };
    const dqn: MetricSetRow<'dqn'> = { loss: 1, q_mean: 2, epsilon: 3 };
    // @ts-expect-error a name that DQN does not have
    const _wrong: MetricSetRow<'dqn'> = { los: 1, q_mean: 2, epsilon: 3 };
    const pufferlib: MetricSetRow<'pufferlib'> = {
      'train/reward': 1,
      'train/episode_length': 2,
      'train/policy_loss': 3,
      'train/value_loss': 4,
      'train/entropy': 5,
      'train/learning_rate': 6,
    };
    const losses: MetricSetRow<'pufferlibLosses'> = {
      'losses/policy': 1,
      'losses/value': 2,
      'losses/entropy': -3,
    };
    const run = init({ id: 'r' });
    for (const row of [ppo, sac, dqn, pufferlib, losses]) run.log(row);
    expect(around.recorder.rows.map(row => Object.keys(row.values))).toEqual([
      [...METRIC_SETS.ppo, 'episode_return'],
      [...METRIC_SETS.sac],
      [...METRIC_SETS.dqn],
      [...METRIC_SETS.pufferlib],
      [...METRIC_SETS.pufferlibLosses],
    ]);
    expect(around.recorder.rows.slice(3).map(row => row.values)).toEqual([pufferlib, losses]);
    run[Symbol.dispose]();
  });
});
