// The demo: it learns, its run holds what it measured, one seed walks one curve, and the physics are the published ones.
import { afterAll, describe, expect, it, jest } from '@jest/globals';
import { Curve, sparkline, table } from '../../examples/cartpole/display.ts';
import { CartPole } from '../../examples/cartpole/environment.ts';
import { seededRandom } from '../../examples/cartpole/random.ts';
import { type Outcome, Project } from './run-example.ts';

// Processes on a machine that may be busy.
jest.setTimeout(60_000);

describe('the cart-pole demo', () => {
  const project = new Project();
  afterAll(() => project.remove());

  it('learns, logs everything, and ends with a table, the folder and what to do next', async () => {
    const { run, stdout, stderr } = await project.run('cartpole/main.ts', '--updates', '20', '--seed', '1');
    expect(stderr).toBe('');
    expect(stdout).not.toContain('\x1b');
    expect(stdout).toMatch(/^metric +first +last +best$/m);
    expect(stdout).toContain('tensorboard --logdir runs');
    expect(stdout).toContain(`runs/${run.path.split('/').at(-1)}`);

    const rows = run.lines('metrics.jsonl');
    const returns = rows.filter(row => 'return' in row).map(row => row.return as number);
    expect(returns[0]).toBeLessThan(40);
    expect(Math.max(...returns)).toBeGreaterThan(100);
    const update = rows.find(row => 'return' in row)!;
    for (const name of ['loss/policy', 'loss/value', 'entropy', 'learning_rate', 'gradient/norm'])
      expect(update[name]).toEqual(expect.any(Number));
    expect(rows.filter(row => row.mode === 'eval' && 'eval/return' in row).length).toBeGreaterThanOrEqual(2);
    const histograms = new Set(rows.map(row => row.histogram));
    expect(histograms).toContain('weights/actor/dense_0/kernel');
    expect(histograms).toContain('gradients/critic/dense_2/bias');
    const timed = new Set(run.lines('spans.jsonl').map(span => span.name));
    expect(timed).toEqual(new Set(['evaluation', 'rollout', 'update']));
    const messages = run.lines('logs.jsonl').map(line => line.message);
    expect(messages).toContain('training starts');
    expect(messages).toContain('training ends');
    expect(run.json('config.json')).toMatchObject({ seed: 1, learningRate: 1e-3 });
    expect(run.json('run.json')).toMatchObject({ state: 'finished', project: 'cartpole' });
  });

  it('walks the same curve for the same seed and another one for another', async () => {
    const [one, again, other] = await Promise.all(
      ['5', '5', '6'].map(async seed => {
        const own = new Project();
        try {
          return curveOf(await own.run('cartpole/main.ts', '--updates', '2', '--seed', seed));
        } finally {
          await own.remove();
        }
      }),
    );
    const length = Math.min(one!.length, again!.length, other!.length);
    expect(length).toBe(2);
    expect(again!.slice(0, length)).toEqual(one!.slice(0, length));
    expect(other!.slice(0, length)).not.toEqual(one!.slice(0, length));
  });

  it.each([
    ['--seconds', 'soon'],
    ['--seconds', '-1'],
    ['--seed', '1.5'],
    ['--speed', '1'],
  ])('refuses %s %s and says how it is used', async (option, value) => {
    const { code, stderr, stdout } = await project.start('cartpole/main.ts', `${option}=${value}`);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(option);
    expect(stderr).toContain('--seed N');
  });

  it('explains itself', async () => {
    const { code, stdout } = await project.start('cartpole/main.ts', '--help');
    expect(code).toBe(0);
    expect(stdout).toContain('--seconds N');
  });
});

describe('the cart-pole itself', () => {
  it('falls within some 20 steps when pushed at random, and sooner when always pushed one way', () => {
    const random = seededRandom(1);
    const lengths = Array.from({ length: 200 }, () => episode(() => Number(random() < 0.5), random));
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    expect(mean).toBeGreaterThan(17);
    expect(mean).toBeLessThan(27);
    expect(episode(() => 1, random)).toBeLessThan(12);
  });

  it('stands for 500 steps under a known balancing rule', () => {
    const random = seededRandom(2);
    const rule = ([, velocity, angle, spin]: ArrayLike<number> & Iterable<number>) =>
      Number(angle! + 0.2 * spin! + 0.02 * velocity! > 0);
    for (let i = 0; i < 20; i++) expect(episode(rule, random)).toBe(500);
  });

  it('moves as the published equations say', () => {
    const cart = new CartPole(() => 0.5);
    expect([...cart.state]).toEqual([0, 0, 0, 0]);
    cart.step(1);
    // At rest and upright, without friction: θ¨ = -F/M / (l (4/3 - m/M)), x¨ = (F - m l θ¨) / M.
    const spin = -10 / 1.1 / (0.5 * (4 / 3 - 0.1 / 1.1));
    expect(cart.state[3]).toBeCloseTo(0.02 * spin, 12);
    expect(cart.state[1]).toBeCloseTo((0.02 * (10 - 0.05 * spin)) / 1.1, 12);
    cart.step(0);
    // Equal pushes to both sides leave it nearly at rest again.
    expect(Math.abs(cart.state[1]!)).toBeLessThan(1e-3);
  });
});

describe('the terminal', () => {
  it('draws a sparkline of at most the width asked for', () => {
    expect(sparkline([0, 7], 8)).toBe('▁█');
    expect(
      sparkline(
        Array.from({ length: 80 }, (_, i) => i),
        8,
      ),
    ).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline([3, 3, 3], 8)).toBe('▁▁▁');
    expect(sparkline([], 8)).toBe('');
  });

  it('finds first, last and best, and shows a dash where there is nothing', () => {
    const loss = new Curve('loss', 'lower');
    for (const value of [3, Number.NaN, 1, 2]) loss.add(value);
    const lines = table([loss, new Curve('empty', 'higher')]).split('\n');
    expect(lines[1]!.split(/ {2,}/)).toEqual(['loss', '3.00', '2.00', '1.00', '█▁▅']);
    expect(lines[2]!.split(/ +/)).toEqual(['empty', '–', '–', '–']);
  });
});

function episode(act: (state: ArrayLike<number> & Iterable<number>) => number, random: () => number): number {
  const cart = new CartPole(random);
  while (!cart.step(act(cart.state)).done);
  return cart.steps;
}

function curveOf({ run }: Outcome): unknown[] {
  return run
    .lines('metrics.jsonl')
    .filter(row => 'loss/policy' in row)
    .map(({ step, return: mean, 'loss/policy': policy, 'loss/value': value }) => ({
      step,
      mean,
      policy,
      value,
    }));
}
