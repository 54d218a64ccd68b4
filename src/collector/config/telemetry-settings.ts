// Settings of `service::telemetry`: what the collector says about itself. Keys as upstream's.
import { z } from 'zod';
import { formatEndpoint, listenEndpoint } from './values.ts';

const logsSchema = z.strictObject({
  level: z
    .string()
    .transform(text => text.toLowerCase())
    .pipe(z.enum(['debug', 'info', 'warn', 'error']))
    .prefault('info')
    .describe('Lowest severity that is printed.'),
  encoding: z.enum(['console', 'json']).default('console').describe('`json` prints one object a line.'),
});

/** The pull reader of upstream's declarative form; the only kind we have. */
const readerSchema = z.strictObject({
  pull: z.strictObject({
    exporter: z.strictObject({
      prometheus: z.strictObject({
        host: z.string().min(1).default('localhost'),
        port: z.int().min(0).max(65_535).default(8888),
      }),
    }),
  }),
});

const metricsSchema = z
  .strictObject({
    level: z
      .enum(['none', 'basic', 'normal', 'detailed'])
      .default('normal')
      .describe('`none` counts nothing for outside; the other three are the same here.'),
    address: listenEndpoint()
      .optional()
      .describe('host:port where Prometheus finds `/metrics`. Nothing listens unless it is set.'),
    readers: z.array(readerSchema).max(1).optional().describe('The same in the newer form: one pull reader.'),
  })
  .refine(metrics => metrics.address === undefined || metrics.readers === undefined, {
    message: 'set either address or readers, not both',
  })
  .transform(({ level, address, readers }) => {
    const reader = readers?.[0]?.pull.exporter.prometheus;
    return { level, address: reader ?? address };
  });

export const telemetrySchema = z.strictObject({
  logs: logsSchema.prefault({}),
  metrics: metricsSchema.prefault({}),
});

export type TelemetrySettings = z.infer<typeof telemetrySchema>;

export function metricsAddress(settings: TelemetrySettings): string | undefined {
  return settings.metrics.address === undefined ? undefined : formatEndpoint(settings.metrics.address);
}
