// Playing: several cart-poles side by side under the current policy, and what was seen, done and earned in them.
import type { Agent } from './agent.ts';
import { ACTION_COUNT, CartPole, OBSERVATION_SIZE } from './environment.ts';
import { type Random, seededRandom } from './random.ts';

/** Column i belongs to step ⌊i / environments⌋ of environment i mod environments. */
export interface Rollout {
  readonly environments: number;
  readonly horizon: number;
  readonly observations: Float32Array;
  readonly actions: Int32Array;
  /** Of the action taken. */
  readonly logProbabilities: Float32Array;
  readonly rewards: Float32Array;
  readonly values: Float32Array;
  /** The critic's value of the state after the step; 0 where the pole fell. */
  readonly nextValues: Float32Array;
  readonly done: Uint8Array;
  readonly episodes: readonly Episode[];
}

export interface Episode {
  readonly return: number;
  /** Which of the steps played since the start of training ended it; no two episodes share one. */
  readonly endedAtStep: number;
}

export class Players {
  /** Steps played in all environments together since the start of training. */
  stepsPlayed = 0;
  readonly #agent: Agent;
  readonly #environments: readonly CartPole[];
  readonly #random: Random;

  constructor(agent: Agent, count: number, random: Random) {
    this.#agent = agent;
    this.#environments = Array.from({ length: count }, () => new CartPole(random));
    this.#random = random;
  }

  play(horizon: number): Rollout {
    const count = this.#environments.length;
    const size = count * horizon;
    const episodes: Episode[] = [];
    const rollout = {
      environments: count,
      horizon,
      observations: new Float32Array(size * OBSERVATION_SIZE),
      actions: new Int32Array(size),
      logProbabilities: new Float32Array(size),
      rewards: new Float32Array(size),
      values: new Float32Array(size),
      nextValues: new Float32Array(size),
      done: new Uint8Array(size),
      episodes,
    };
    let decision = this.#agent.decide(observe(this.#environments));
    for (let step = 0; step < horizon; step++) {
      const reached = new Float32Array(count * OBSERVATION_SIZE);
      const fell = new Uint8Array(count);
      for (const [e, environment] of this.#environments.entries()) {
        const i = step * count + e;
        const action = sample(decision.logProbabilities, e * ACTION_COUNT, this.#random);
        rollout.observations.set(environment.state, i * OBSERVATION_SIZE);
        rollout.actions[i] = action;
        rollout.logProbabilities[i] = decision.logProbabilities[e * ACTION_COUNT + action]!;
        rollout.values[i] = decision.values[e]!;
        const result = environment.step(action);
        this.stepsPlayed++;
        rollout.rewards[i] = result.reward;
        rollout.done[i] = Number(result.done);
        fell[e] = Number(result.fell);
        reached.set(environment.state, e * OBSERVATION_SIZE);
        if (!result.done) continue;
        episodes.push({ return: environment.steps, endedAtStep: this.stepsPlayed });
        environment.reset();
      }
      const ended = rollout.done.subarray(step * count, (step + 1) * count).includes(1);
      decision = this.#agent.decide(observe(this.#environments));
      // Where an episode ended, the next decision is about a fresh state and says nothing of the one that was reached.
      const { values } = ended ? this.#agent.decide(reached) : decision;
      for (let e = 0; e < count; e++) rollout.nextValues[step * count + e] = fell[e] ? 0 : values[e]!;
    }
    return rollout;
  }
}

/** Mean return of `count` episodes in which the likeliest action is always taken. The same starts for the same seed. */
export function evaluate(agent: Agent, count: number, seed: number): number {
  const random = seededRandom(seed);
  const playing = new Set(Array.from({ length: count }, () => new CartPole(random)));
  let total = 0;
  while (playing.size > 0) {
    const environments = [...playing];
    const { logProbabilities } = agent.decide(observe(environments));
    for (const [e, environment] of environments.entries()) {
      const left = logProbabilities[e * ACTION_COUNT]!;
      const right = logProbabilities[e * ACTION_COUNT + 1]!;
      if (!environment.step(right > left ? 1 : 0).done) continue;
      total += environment.steps;
      playing.delete(environment);
    }
  }
  return total / count;
}

function observe(environments: readonly CartPole[]): Float32Array {
  const observations = new Float32Array(environments.length * OBSERVATION_SIZE);
  for (const [e, environment] of environments.entries())
    observations.set(environment.state, e * OBSERVATION_SIZE);
  return observations;
}

function sample(logProbabilities: Float32Array, offset: number, random: Random): number {
  let left = random();
  for (let action = 0; action < ACTION_COUNT - 1; action++) {
    left -= Math.exp(logProbabilities[offset + action]!);
    if (left < 0) return action;
  }
  return ACTION_COUNT - 1;
}
