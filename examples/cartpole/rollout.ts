// Playing: several cart-poles side by side under the current policy, and what was seen, done and earned in them.
import * as tf from '@tensorflow/tfjs';
import { createHistory, HistorySpec, updateHistory } from 'kymo/history';
import type { Agent } from './agent.ts';
import { ACTION_COUNT, CartPole, OBSERVATION_SIZE } from './environment.ts';
import { type Random, seededRandom } from './random.ts';

/** Column i belongs to step i mod horizon of environment ⌊i / horizon⌋. */
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

/** What is kept of each step, on the device of TensorFlow.js, for the last `horizon` steps. */
function rolloutSpec(horizon: number) {
  return HistorySpec.fromConfig({
    observations: { length: horizon, shape: [OBSERVATION_SIZE] },
    actions: { length: horizon, shape: [], dtype: 'int32' },
    logProbabilities: { length: horizon, shape: [] },
    rewards: { length: horizon, shape: [] },
    values: { length: horizon, shape: [] },
    nextValues: { length: horizon, shape: [] },
    done: { length: horizon, shape: [], dtype: 'bool' },
  });
}
type RolloutHistory = ReturnType<typeof newHistory>;
const newHistory = (horizon: number, environments: number) =>
  createHistory(tf, rolloutSpec(horizon), environments);

export class Players {
  /** Steps played in all environments together since the start of training. */
  stepsPlayed = 0;
  readonly #agent: Agent;
  readonly #environments: readonly CartPole[];
  readonly #horizon: number;
  readonly #random: Random;
  #history: RolloutHistory;

  constructor(agent: Agent, count: number, horizon: number, random: Random) {
    this.#agent = agent;
    this.#environments = Array.from({ length: count }, () => new CartPole(random));
    this.#horizon = horizon;
    this.#random = random;
    this.#history = newHistory(horizon, count);
  }

  play(): Rollout {
    const count = this.#environments.length;
    const episodes: Episode[] = [];
    let decision = this.#agent.decide(observe(this.#environments));
    for (let step = 0; step < this.#horizon; step++) {
      const observations = observe(this.#environments);
      const actions = new Int32Array(count);
      const logProbabilities = new Float32Array(count);
      const rewards = new Float32Array(count);
      const reached = new Float32Array(count * OBSERVATION_SIZE);
      const done = new Uint8Array(count);
      const fell = new Uint8Array(count);
      for (const [e, environment] of this.#environments.entries()) {
        const action = sample(decision.logProbabilities, e * ACTION_COUNT, this.#random);
        actions[e] = action;
        logProbabilities[e] = decision.logProbabilities[e * ACTION_COUNT + action]!;
        const result = environment.step(action);
        this.stepsPlayed++;
        rewards[e] = result.reward;
        done[e] = Number(result.done);
        fell[e] = Number(result.fell);
        reached.set(environment.state, e * OBSERVATION_SIZE);
        if (!result.done) continue;
        episodes.push({ return: environment.steps, endedAtStep: this.stepsPlayed });
        environment.reset();
      }
      const { values } = decision;
      decision = this.#agent.decide(observe(this.#environments));
      // Where an episode ended, the next decision is about a fresh state and says nothing of the one that was reached.
      const following = done.includes(1) ? this.#agent.decide(reached).values : decision.values;
      const nextValues = following.map((value, e) => (fell[e] ? 0 : value));
      this.#history = updateHistory(this.#history, {
        observations,
        actions,
        logProbabilities,
        rewards,
        values,
        nextValues,
        done,
      });
    }
    const { fields } = this.#history;
    return {
      environments: count,
      horizon: this.#horizon,
      observations: fields.observations.dataSync<'float32'>(),
      actions: fields.actions.dataSync<'int32'>(),
      logProbabilities: fields.logProbabilities.dataSync<'float32'>(),
      rewards: fields.rewards.dataSync<'float32'>(),
      values: fields.values.dataSync<'float32'>(),
      nextValues: fields.nextValues.dataSync<'float32'>(),
      done: fields.done.dataSync<'bool'>(),
      episodes,
    };
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
