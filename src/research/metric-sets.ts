// The names that well-known trainers give their metrics, and rows of them as types: a slip of the pen is an error of the compiler.

/** Of an episode, with any algorithm (vibe-rl). */
const EPISODE = ['episode_return', 'episode_length'] as const;

/**
 * `ppo`, `sac`, `dqn`: what vibe-rl's runners log. `pufferlib`: what its trainer logs; the names with `losses/` beside, where entropy is
 * negated, are `pufferlibLosses`.
 */
export const METRIC_SETS = {
  ppo: ['actor_loss', 'critic_loss', 'entropy', 'approx_kl', 'clip_fraction'],
  sac: ['actor_loss', 'critic_loss', 'alpha', 'entropy', 'q_mean'],
  dqn: ['loss', 'q_mean', 'epsilon'],
  pufferlib: [
    'train/reward',
    'train/episode_length',
    'train/policy_loss',
    'train/value_loss',
    'train/entropy',
    'train/learning_rate',
  ],
  pufferlibLosses: ['losses/policy', 'losses/value', 'losses/entropy'],
} as const;

export type MetricSet = keyof typeof METRIC_SETS;

/**
 * A row with all metrics of a set, and an episode's if there is one.
 *
 * @example
 * const row: MetricSetRow<'dqn'> = { loss, q_mean, epsilon, episode_return };
 * run.log(row, { step });
 */
export type MetricSetRow<Name extends MetricSet> = {
  readonly [Key in (typeof METRIC_SETS)[Name][number]]: number;
} & { readonly [Key in (typeof EPISODE)[number]]?: number };
