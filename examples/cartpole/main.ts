// The demo: an agent learns to balance a pole on a cart, and everything it measures goes through Kymo's public API.
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as kymo from 'kymo';
import { Agent } from './agent.ts';
import { Curve, ProgressLine, sparkline, table } from './display.ts';
import { MAX_EPISODE_STEPS } from './environment.ts';
import { readOptions } from './options.ts';
import { seededRandom } from './random.ts';
import { evaluate, Players, type Rollout } from './rollout.ts';

const HISTOGRAMS_EVERY = 5; // updates
const EVALUATE_EVERY = 20;
const EVALUATION_EPISODES = 10;
const RECENT_EPISODES = 20;
const SOLVED = 0.95 * MAX_EPISODE_STEPS;

const options = readOptions(process.argv.slice(2));
const config = {
  seed: options.seed,
  environments: 16,
  horizon: 64,
  hiddenUnits: 32,
  learningRate: 1e-3,
  /** Updates over which the learning rate falls to a tenth. Counted in updates and not in time, so that a seed decides everything. */
  learningRateDecay: 250,
  discount: 0.99,
  advantageDecay: 0.95,
  clipRatio: 0.2,
  entropyWeight: 0.01,
  valueWeight: 0.5,
  epochs: 4,
  minibatchSize: 256,
};

const run = kymo.init({ project: 'cartpole', config, tags: ['demo', 'ppo'] });
const log = kymo.getLogger('trainer');
const agent = new Agent(config, seededRandom(config.seed + 1));
const players = new Players(agent, config.environments, config.horizon, seededRandom(config.seed));

const curves = {
  return: new Curve('return', 'higher'),
  evaluation: new Curve('eval/return', 'higher'),
  policyLoss: new Curve('loss/policy', 'lower'),
  valueLoss: new Curve('loss/value', 'lower'),
  entropy: new Curve('entropy', 'lower'),
};
// Timed: a span, a scalar `timings/…` and a line of text for each call.
const play = kymo.timeit('rollout', () => players.play());
const improve = kymo.timeit('update', (rollout: Rollout) => agent.update(rollout));
const judge = kymo.timeit('evaluation', () => evaluate(agent, EVALUATION_EPISODES, config.seed + 2));

const progress = new ProgressLine(process.stdout);
const recentReturns: number[] = [];
const startedAt = performance.now();
const elapsedSeconds = () => (performance.now() - startedAt) / 1_000;

const counted = Number.isFinite(options.updates);
const ofSeconds = counted ? '' : ` of ${options.seconds} s`;
const ofUpdates = counted ? ` of ${options.updates}` : '';

log.info('training starts', { seconds: options.seconds, seed: options.seed });
let update = 0;
let solved = false;
evaluateAgent(0);
do {
  update++;
  const learningRate = config.learningRate * Math.max(0.1, 1 - (0.9 * update) / config.learningRateDecay);
  agent.setLearningRate(learningRate);
  const rollout = play();
  const statistics = improve(rollout);

  for (const episode of rollout.episodes) {
    run.log({ 'episode/return': episode.return }, { step: episode.endedAtStep });
    recentReturns.push(episode.return);
  }
  recentReturns.splice(0, recentReturns.length - RECENT_EPISODES);
  const meanReturn = recentReturns.reduce((sum, value) => sum + value, 0) / recentReturns.length;

  const step = players.stepsPlayed;
  run.log(
    {
      return: meanReturn,
      'loss/policy': statistics.policyLoss,
      'loss/value': statistics.valueLoss,
      entropy: statistics.entropy,
      learning_rate: learningRate,
      'policy/approximate_kl': statistics.approximateKl,
      'policy/clip_fraction': statistics.clipFraction,
      'gradient/norm': statistics.gradientNorm,
      'value/explained_variance': statistics.explainedVariance,
      'speed/steps_per_second': step / elapsedSeconds(),
    },
    { step },
  );
  if (update % HISTOGRAMS_EVERY === 1) {
    for (const [name, values] of agent.weights()) run.histogram(`weights/${name}`, values, { step });
    for (const [name, values] of agent.gradients()) run.histogram(`gradients/${name}`, values, { step });
  }
  if (update % EVALUATE_EVERY === 0) evaluateAgent(step);

  curves.return.add(meanReturn);
  curves.policyLoss.add(statistics.policyLoss);
  curves.valueLoss.add(statistics.valueLoss);
  curves.entropy.add(statistics.entropy);
  progress.show(
    `${elapsedSeconds().toFixed(0).padStart(3)} s${ofSeconds}  update ${update}${ofUpdates}  steps ${step}  ` +
      `return ${meanReturn.toFixed(1).padStart(5)}  ${sparkline(curves.return.values, 24)}`,
  );
  await nextTurn(); // lets Ctrl-C in
} while (update < options.updates && elapsedSeconds() < options.seconds);

evaluateAgent(players.stepsPlayed);
log.info('training ends', { updates: update, steps: players.stepsPlayed, return: curves.return.last });
progress.clear();
await run.finish();

const folder = path.relative(process.cwd(), run.dir) || '.';
process.stdout.write(`
${table(Object.values(curves))}

${update} updates, ${players.stepsPlayed} steps of the cart, ${elapsedSeconds().toFixed(0)} s; an episode ends at ${MAX_EPISODE_STEPS} steps.
Everything measured is in ${folder}

  npx kymo status                   (while a run goes on, from another terminal)
  tensorboard --logdir ${path.dirname(folder)}        (pip install tensorboard)
`);

function evaluateAgent(step: number): void {
  const mean = judge();
  run.log({ return: mean }, { step, mode: 'eval' });
  curves.evaluation.add(mean);
  if (mean < SOLVED || solved) return;
  solved = true;
  log.info('solved: the pole stays up without chance', { step, return: mean });
}
