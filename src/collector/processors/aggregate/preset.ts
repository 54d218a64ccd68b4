// The metrics that a training loop of reinforcement learning usually wants, by trieye's names.
import type { MetricSettings } from './settings.ts';

type Entry = Pick<MetricSettings, 'name' | 'aggregation'> & Partial<MetricSettings>;

const EVERY_10_STEPS = { log_frequency_steps: 10, log_frequency_seconds: 0 } as const;
const EVERY_5_SECONDS = { log_frequency_steps: 0, log_frequency_seconds: 5 } as const;
const EVERY_10_SECONDS = { log_frequency_steps: 0, log_frequency_seconds: 10 } as const;

const loss = (name: string): Entry => ({ name: `Loss/${name}`, aggregation: 'mean', ...EVERY_10_STEPS });
const ofEpisode = (name: string, key: string): Entry => ({
  name: `Episode/${name}`,
  aggregation: 'mean',
  raw_event_name: 'episode_end',
  context_key: key,
  ...EVERY_5_SECONDS,
});
const latest = (name: string, often: Partial<MetricSettings>): Entry => ({
  name,
  aggregation: 'latest',
  ...often,
});
const rate = (name: string, event: string): Entry => ({
  name: `Rate/${name}`,
  aggregation: 'rate',
  rate_numerator_event: event,
  ...EVERY_5_SECONDS,
});

export const PRESETS = {
  default: [
    ...['Total', 'Policy', 'Value', 'Entropy', 'Mean_Abs_TD_Error'].map(loss),
    latest('LearningRate', EVERY_10_STEPS),
    ofEpisode('Final_Score', 'score'),
    ofEpisode('Length', 'length'),
    ofEpisode('Triangles_Cleared_Total', 'triangles_cleared'),
    {
      name: 'MCTS/Avg_Simulations_Per_Step',
      aggregation: 'mean',
      raw_event_name: 'mcts_step',
      ...EVERY_10_SECONDS,
    },
    { name: 'RL/Step_Reward_Mean', aggregation: 'mean', raw_event_name: 'step_reward', ...EVERY_10_SECONDS },
    latest('Buffer/Size', EVERY_5_SECONDS),
    ...['Total_Simulations', 'Episodes_Played', 'Weight_Updates_Total'].map(name =>
      latest(`Progress/${name}`, EVERY_5_SECONDS),
    ),
    ...['Num_Active_Workers', 'Num_Pending_Tasks'].map(name => latest(`System/${name}`, EVERY_10_SECONDS)),
    rate('Steps_Per_Sec', 'step_completed'),
    rate('Episodes_Per_Sec', 'episode_end'),
    rate('Simulations_Per_Sec', 'mcts_step'),
    latest('PER/Beta', EVERY_10_STEPS),
  ],
} as const satisfies Readonly<Record<string, readonly Entry[]>>;

export const PRESET_NAMES = Object.keys(PRESETS) as [keyof typeof PRESETS, ...(keyof typeof PRESETS)[]];
