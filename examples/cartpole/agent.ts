// An actor and a critic, small dense networks in TensorFlow.js, improved by proximal policy optimization
// (J. Schulman et al., 2017, arXiv:1707.06347) with generalized advantage estimation (arXiv:1506.02438).
import * as tf from '@tensorflow/tfjs';
import { ACTION_COUNT, OBSERVATION_SIZE } from './environment.ts';
import { type Random, shuffle } from './random.ts';
import type { Rollout } from './rollout.ts';

export interface AgentConfig {
  readonly seed: number;
  readonly hiddenUnits: number;
  readonly learningRate: number;
  readonly discount: number;
  readonly advantageDecay: number;
  readonly clipRatio: number;
  readonly entropyWeight: number;
  readonly valueWeight: number;
  readonly epochs: number;
  readonly minibatchSize: number;
}

/** Means over the minibatches of one update. */
export interface UpdateStatistics {
  readonly policyLoss: number;
  readonly valueLoss: number;
  readonly entropy: number;
  /** How far the policy moved: mean of old minus new log probability. */
  readonly approximateKl: number;
  /** Share of samples whose probability ratio was clipped. */
  readonly clipFraction: number;
  readonly gradientNorm: number;
  /** How much of the variance of the returns the critic had explained before the update. */
  readonly explainedVariance: number;
}

/** What one forward pass says about a batch of observations. */
export interface Decision {
  /** Log probabilities, [batch × actions]. */
  readonly logProbabilities: Float32Array;
  readonly values: Float32Array;
}

interface Layer {
  readonly kernel: tf.Variable;
  readonly bias: tf.Variable;
}

interface Terms {
  policyLoss: number;
  valueLoss: number;
  entropy: number;
  approximateKl: number;
  clipFraction: number;
  gradientNorm: number;
}

export class Agent {
  readonly #config: AgentConfig;
  readonly #random: Random;
  readonly #actor: readonly Layer[];
  readonly #critic: readonly Layer[];
  readonly #optimizer: tf.Optimizer;
  /** The last minibatch's gradients, by variable name. */
  #gradients = new Map<string, Float32Array>();

  constructor(config: AgentConfig, random: Random) {
    // Without this TensorFlow.js greets every program in Node with an advertisement on stderr.
    tf.enableProdMode();
    this.#config = config;
    this.#random = random;
    this.#actor = network(
      'actor',
      [OBSERVATION_SIZE, config.hiddenUnits, config.hiddenUnits, ACTION_COUNT],
      0.01,
      config.seed,
    );
    this.#critic = network(
      'critic',
      [OBSERVATION_SIZE, config.hiddenUnits, config.hiddenUnits, 1],
      1,
      config.seed + 100,
    );
    this.#optimizer = tf.train.adam(config.learningRate, 0.9, 0.999, 1e-5);
  }

  /** @param observations [batch × OBSERVATION_SIZE] */
  decide(observations: Float32Array): Decision {
    return tf.tidy(() => {
      const input = tf.tensor2d(observations, [observations.length / OBSERVATION_SIZE, OBSERVATION_SIZE]);
      return {
        logProbabilities: tf.logSoftmax(forward(this.#actor, input)).dataSync<'float32'>(),
        values: forward(this.#critic, input).dataSync<'float32'>(),
      };
    });
  }

  setLearningRate(learningRate: number): void {
    // Adam reads it at every step, but its type does not say that it may change.
    (this.#optimizer as unknown as { learningRate: number }).learningRate = learningRate;
  }

  /** Several passes of clipped policy gradient over what was just played. */
  update(rollout: Rollout): UpdateStatistics {
    const { returns, advantages } = this.#estimate(rollout);
    const indices = Int32Array.from(returns, (_, i) => i);
    const sums: Terms = {
      policyLoss: 0,
      valueLoss: 0,
      entropy: 0,
      approximateKl: 0,
      clipFraction: 0,
      gradientNorm: 0,
    };
    let minibatches = 0;
    for (let epoch = 0; epoch < this.#config.epochs; epoch++) {
      shuffle(indices, this.#random);
      for (let start = 0; start < indices.length; start += this.#config.minibatchSize) {
        const chosen = indices.subarray(start, start + this.#config.minibatchSize);
        const terms = this.#improve(rollout, returns, advantages, chosen);
        for (const name of Object.keys(sums) as (keyof Terms)[]) sums[name] += terms[name];
        minibatches++;
      }
    }
    for (const name of Object.keys(sums) as (keyof Terms)[]) sums[name] /= minibatches;
    return { ...sums, explainedVariance: explainedVariance(returns, rollout.values) };
  }

  /** Every weight, by name (`actor/dense_0/kernel`), as a plain array. */
  weights(): Map<string, Float32Array> {
    return new Map(this.#variables().map(variable => [variable.name, variable.dataSync<'float32'>()]));
  }

  gradients(): ReadonlyMap<string, Float32Array> {
    return this.#gradients;
  }

  #variables(): tf.Variable[] {
    return [...this.#actor, ...this.#critic].flatMap(layer => [layer.kernel, layer.bias]);
  }

  /** Generalized advantage estimation, backwards through each environment's steps. */
  #estimate(rollout: Rollout): { returns: Float32Array; advantages: Float32Array } {
    const { discount, advantageDecay } = this.#config;
    const { environments, horizon } = rollout;
    const advantages = new Float32Array(environments * horizon);
    const returns = new Float32Array(environments * horizon);
    for (let environment = 0; environment < environments; environment++) {
      let following = 0;
      for (let step = horizon - 1; step >= 0; step--) {
        const i = environment * horizon + step;
        const error = rollout.rewards[i]! + discount * rollout.nextValues[i]! - rollout.values[i]!;
        following = error + (rollout.done[i] ? 0 : discount * advantageDecay * following);
        advantages[i] = following;
        returns[i] = following + rollout.values[i]!;
      }
    }
    return { returns, advantages: standardized(advantages) };
  }

  #improve(rollout: Rollout, returns: Float32Array, advantages: Float32Array, chosen: Int32Array): Terms {
    const { clipRatio, entropyWeight, valueWeight } = this.#config;
    const terms: Terms = {
      policyLoss: 0,
      valueLoss: 0,
      entropy: 0,
      approximateKl: 0,
      clipFraction: 0,
      gradientNorm: 0,
    };
    tf.tidy(() => {
      const observations = tf.tensor2d(pickRows(rollout.observations, chosen, OBSERVATION_SIZE), [
        chosen.length,
        OBSERVATION_SIZE,
      ]);
      const taken = tf.oneHot(tf.tensor1d(pick(rollout.actions, chosen), 'int32'), ACTION_COUNT);
      const oldLogProbability = tf.tensor1d(pick(rollout.logProbabilities, chosen));
      const advantage = tf.tensor1d(pick(advantages, chosen));
      const target = tf.tensor1d(pick(returns, chosen));

      const { grads } = tf.variableGrads(() => {
        const logProbabilities = tf.logSoftmax(forward(this.#actor, observations));
        const change = tf.sub(tf.sum(tf.mul(logProbabilities, taken), 1), oldLogProbability);
        const ratio = tf.exp(change);
        const clipped = tf.clipByValue(ratio, 1 - clipRatio, 1 + clipRatio);
        const policyLoss = tf.neg(tf.mean(tf.minimum(tf.mul(ratio, advantage), tf.mul(clipped, advantage))));
        const entropy = tf.neg(tf.mean(tf.sum(tf.mul(tf.exp(logProbabilities), logProbabilities), 1)));
        const value = tf.squeeze(forward(this.#critic, observations), [1]);
        const valueLoss = tf.mean(tf.square(tf.sub(value, target)));
        terms.policyLoss = scalarOf(policyLoss);
        terms.valueLoss = scalarOf(valueLoss);
        terms.entropy = scalarOf(entropy);
        terms.approximateKl = -scalarOf(tf.mean(change));
        terms.clipFraction = scalarOf(
          tf.mean(tf.cast(tf.greater(tf.abs(tf.sub(ratio, 1)), clipRatio), 'float32')),
        );
        return tf
          .addN([policyLoss, tf.mul(valueLoss, valueWeight), tf.mul(entropy, -entropyWeight)])
          .asScalar();
      });
      this.#optimizer.applyGradients(grads);
      this.#gradients = new Map(
        Object.entries(grads).map(([name, gradient]) => [name, gradient.dataSync<'float32'>()]),
      );
    });
    let squares = 0;
    for (const gradient of this.#gradients.values()) for (const g of gradient) squares += g * g;
    terms.gradientNorm = Math.sqrt(squares);
    return terms;
  }
}

/** Dense layers with tanh between them; the last layer's weights are scaled by `outputScale`. */
function network(name: string, sizes: readonly number[], outputScale: number, seed: number): Layer[] {
  const layers: Layer[] = [];
  for (let i = 0; i + 1 < sizes.length; i++) {
    const inputs = sizes[i]!;
    const outputs = sizes[i + 1]!;
    const scale = (i + 2 === sizes.length ? outputScale : Math.SQRT2) / Math.sqrt(inputs);
    layers.push({
      kernel: tf.variable(
        tf.randomNormal([inputs, outputs], 0, scale, 'float32', seed + i),
        true,
        `${name}/dense_${i}/kernel`,
      ),
      bias: tf.variable(tf.zeros([outputs]), true, `${name}/dense_${i}/bias`),
    });
  }
  return layers;
}

function forward(layers: readonly Layer[], input: tf.Tensor2D): tf.Tensor2D {
  let activation = input;
  for (const [i, layer] of layers.entries()) {
    const sum = tf.add(
      tf.matMul(activation, layer.kernel as unknown as tf.Tensor2D),
      layer.bias,
    ) as tf.Tensor2D;
    activation = i + 1 < layers.length ? tf.tanh(sum) : sum;
  }
  return activation;
}

function scalarOf(tensor: tf.Tensor): number {
  return tensor.dataSync()[0]!;
}

function pick<T extends Float32Array | Int32Array>(values: T, chosen: Int32Array): T {
  return (values as Float32Array).constructor === Float32Array
    ? (Float32Array.from(chosen, i => values[i]!) as T)
    : (Int32Array.from(chosen, i => values[i]!) as T);
}

function pickRows(values: Float32Array, chosen: Int32Array, width: number): Float32Array {
  const picked = new Float32Array(chosen.length * width);
  for (const [row, i] of chosen.entries())
    picked.set(values.subarray(i * width, (i + 1) * width), row * width);
  return picked;
}

function moments(values: Float32Array): { mean: number; deviation: number } {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / values.length) };
}

function standardized(values: Float32Array): Float32Array {
  const { mean, deviation } = moments(values);
  return values.map(value => (value - mean) / (deviation + 1e-8));
}

function explainedVariance(returns: Float32Array, predictions: Float32Array): number {
  const total = moments(returns).deviation;
  const left = moments(returns.map((value, i) => value - predictions[i]!)).deviation;
  return total === 0 ? 0 : 1 - (left / total) ** 2;
}
