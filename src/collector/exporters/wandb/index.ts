// The wandb exporter: every run as a Weights & Biases run, written to W&B's own transaction log and uploaded from there.
import type { Exporter, ExporterType } from '../../component.ts';
import { WandbExporter } from './exporter.ts';
import { config, resolveSettings } from './settings.ts';

export const wandbExporter: ExporterType<typeof config> = {
  kind: 'exporter',
  type: 'wandb',
  signals: ['metrics', 'logs'],
  stability: 'development',
  local: false,
  config,
  create: (context, given) => {
    const settings = resolveSettings(given, process.env, context.baseDirectory);
    return settings.mode === 'disabled' ? DISABLED : new WandbExporter(context, settings);
  },
};

const DISABLED: Exporter = {
  start: () => {},
  export: () => {},
  commit: () => undefined,
  stop: () => {},
};
