// Public entry `kymo/collector`: runs a collector inside another program, or checks a configuration.
export type { Signal } from '../otlp/model.ts';
export type {
  Batch,
  CommittedState,
  Effect,
  Exporter,
  ExporterContext,
  ExporterType,
  Extension,
  ExtensionContext,
  ExtensionType,
  Health,
  Ingest,
  Instruments,
  Logger,
  Position,
  Processor,
  ProcessorContext,
  ProcessorSurroundings,
  ProcessorType,
  Receiver,
  ReceiverContext,
  ReceiverType,
  ResolvedHistogram,
  ResolvedLog,
  ResolvedSpan,
  ScalarBatch,
} from './component.ts';
export { RetryableError } from './component.ts';
export { COMPONENTS } from './components.ts';
export type { CollectorConfig, Components, Pipeline } from './config/config.ts';
export { type Loaded, type LoadOptions, loadConfig } from './config/load.ts';
export { formatProblem, type Place, type Problem } from './config/problem.ts';
export type { ResolvedSeries, Run } from './runs/run.ts';
export { type Collector, type CollectorOptions, CollectorRunningError, startCollector } from './service.ts';
export type { CollectorStatus, ExporterStatus, ReceiverStatus } from './status.ts';
export { createLogger, type LoggerOptions, type RootLogger } from './telemetry/logger.ts';
