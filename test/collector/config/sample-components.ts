// Component types with settings of every kind, for tests of the configuration alone: none of them can be started.
import { z } from 'zod';
import type {
  Effect,
  ExporterType,
  ExtensionType,
  ProcessorType,
  ReceiverType,
} from '../../../src/collector/component.ts';
import type { Components } from '../../../src/collector/config/config.ts';
import {
  duration,
  httpUrl,
  listenEndpoint,
  optionalBlock,
  secretHeaders,
  secretText,
} from '../../../src/collector/config/values.ts';

const never = (): never => {
  throw new Error('a sample cannot be started');
};

const otlp: ReceiverType = {
  kind: 'receiver',
  type: 'otlp',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: z.strictObject({
    protocols: z.strictObject({
      grpc: optionalBlock({ endpoint: listenEndpoint().prefault('localhost:4317') }),
      http: optionalBlock({ endpoint: listenEndpoint().prefault('localhost:4318') }),
    }),
  }),
  create: never,
};

const jsonl: ExporterType = {
  kind: 'exporter',
  type: 'jsonl',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  local: true,
  config: z.strictObject({ directory: z.string().default('runs'), max_open: z.int().min(1).default(100) }),
  create: never,
};

const tensorboard: ExporterType = {
  kind: 'exporter',
  type: 'tensorboard',
  signals: ['metrics', 'logs'],
  stability: 'beta',
  local: true,
  config: z.strictObject({ directory: z.string().default('runs') }),
  create: never,
};

const otlpHttp: ExporterType = {
  kind: 'exporter',
  type: 'otlp_http',
  aliases: ['otlphttp'],
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  local: false,
  forwards: true,
  config: z.strictObject({
    endpoint: httpUrl(),
    timeout: duration().prefault('5s'),
    compression: z.enum(['gzip', 'zstd', 'none']).default('gzip'),
    headers: secretHeaders().default({}),
    api_key: secretText().optional(),
    tls: z
      .strictObject({
        insecure: z.boolean().default(false),
        min_version: z.enum(['1.2', '1.3']).default('1.2'),
      })
      .prefault({}),
    queue_size: z.union([z.int(), z.literal('unlimited')]).default(1000),
  }),
  create: never,
};

const healthCheck: ExtensionType = {
  kind: 'extension',
  type: 'health_check',
  stability: 'beta',
  config: z.strictObject({ endpoint: listenEndpoint().prefault('localhost:13133') }),
  create: never,
};

const processor = (type: string, effect: Effect, more: Partial<ProcessorType> = {}): ProcessorType => ({
  kind: 'processor',
  type,
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: z.strictObject({ size: z.int().default(1), targets: z.array(z.string()).default([]) }),
  effect: () => effect,
  create: never,
  ...more,
});

/** Works on two signals at once, and names exporters. */
const sums = processor('sums', 'keeps', {
  signals: ['metrics', 'logs'],
  needsAllSignals: true,
  check: (settings, { exporters, behind }) =>
    (settings as { targets: string[] }).targets.flatMap((target, i) =>
      behind.includes(target)
        ? []
        : [
            {
              path: ['targets', i],
              message: exporters.includes(target)
                ? `"${target}" is not behind it`
                : `no exporter "${target}" is configured`,
            },
          ],
    ),
});

export const SAMPLE_COMPONENTS: Components = {
  receivers: [otlp],
  processors: [processor('batch', 'none'), processor('drop', 'drops'), sums],
  exporters: [jsonl, tensorboard, otlpHttp],
  extensions: [healthCheck],
};
