// The `memory_limiter` processor of upstream's configurations. Here it stands before the journal, for all receivers at once.
import { z } from 'zod';
import type { ProcessorType } from '../../component.ts';
import type { CollectorConfig } from '../../config/config.ts';
import { duration, positiveDuration } from '../../config/values.ts';
import type { MemoryLimits } from '../../memory/limiter.ts';
import { DEFAULT_SPIKE_SHARE } from '../../memory/limits.ts';

const MIB = 1024 * 1024;
const percentage = () => z.int().min(0).max(100).default(0);
const mib = () => z.int().min(0).default(0);

const memoryLimiterConfig = z.strictObject({
  check_interval: positiveDuration()
    .prefault('1s')
    .describe('How often memory is looked at when nothing comes'),
  limit_mib: mib().describe('The process stays below this many MiB, as the system counts them (RSS)'),
  spike_limit_mib: mib().describe(
    'From so much below the limit on what comes is pushed back; 20 % of the limit by default',
  ),
  limit_percentage: percentage().describe("The limit as a part of the machine's or container's memory"),
  spike_limit_percentage: percentage().describe('The same for `spike_limit_mib`'),
  min_gc_interval_when_soft_limited: duration()
    .prefault('1s')
    .describe('Shortest time between two forced collections above the soft limit'),
  min_gc_interval_when_hard_limited: duration().prefault('100ms').describe('The same above the limit itself'),
});

type Settings = z.infer<typeof memoryLimiterConfig>;

export const memoryLimiterProcessor: ProcessorType<typeof memoryLimiterConfig> = {
  kind: 'processor',
  type: 'memory_limiter',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: memoryLimiterConfig,
  effect: () => 'none',
  check: settings => {
    const { limit_mib: limit, spike_limit_mib: spike } = settings;
    const { limit_percentage: share, spike_limit_percentage: spikeShare } = settings;
    if (limit === 0 && share === 0)
      return [{ path: [], message: '"limit_mib" or "limit_percentage" must be greater than zero' }];
    if (limit > 0 && spike >= limit)
      return [{ path: ['spike_limit_mib'], message: 'must be smaller than limit_mib' }];
    if (limit === 0 && spikeShare >= share)
      return [{ path: ['spike_limit_percentage'], message: 'must be smaller than limit_percentage' }];
    return [];
  },
  create: () => ({ process: batch => batch }),
};

/** The limits that a configuration sets; of several limiters the lowest. Undefined when it has none. */
export function memoryLimitsOf(
  { processors }: Pick<CollectorConfig, 'processors'>,
  totalBytes: number,
): MemoryLimits | undefined {
  const limits = processors
    .filter(({ type }) => type.type === memoryLimiterProcessor.type)
    .map(({ settings }) => toLimits(settings as Settings, totalBytes));
  return limits.sort((a, b) => a.hardBytes - b.hardBytes)[0];
}

function toLimits(settings: Settings, totalBytes: number): MemoryLimits {
  const of = (mebibytes: number, share: number) =>
    mebibytes > 0 ? mebibytes * MIB : (totalBytes * share) / 100;
  const hardBytes = of(settings.limit_mib, settings.limit_percentage);
  const spike =
    settings.limit_mib > 0 ? settings.spike_limit_mib * MIB : of(0, settings.spike_limit_percentage);
  return {
    hardBytes,
    softBytes: hardBytes - (spike > 0 ? spike : hardBytes * DEFAULT_SPIKE_SHARE),
    checkIntervalMs: settings.check_interval,
    minGcIntervalSoftMs: settings.min_gc_interval_when_soft_limited,
    minGcIntervalHardMs: settings.min_gc_interval_when_hard_limited,
  };
}
