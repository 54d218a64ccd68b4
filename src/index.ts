// The public entry point of `kymo`: what a researcher calls.
import './semconv/require-node.ts';

export { instrumentTfjs, type Tfjs, type TfjsOptions } from './register/tfjs.ts';
export type { Axes } from './research/axes.ts';
export { CheckpointError } from './research/checkpoints/manifest.ts';
export type {
  CheckpointOptions,
  LoadedCheckpoint,
  LoadOptions as LoadCheckpointOptions,
  SavedCheckpoint,
  SaveOptions as SaveCheckpointOptions,
  SaveResult,
} from './research/checkpoints/options.ts';
export type { Serializer } from './research/checkpoints/serializer.ts';
export type { SavedTensor, TensorMaker } from './research/checkpoints/tensors.ts';
export {
  type Configuration,
  ConfigurationError,
  type ConfigurationIssue,
  type LoadOptions,
  loadConfiguration,
  prettyConfig,
  saveConfiguration,
} from './research/configuration.ts';
export type { Filter, Filtered, Sample, Stream } from './research/filters/filter.ts';
export { filters } from './research/filters/filters.ts';
export type { FilterConfiguration } from './research/filters/from-configuration.ts';
export type { RangeRejectOptions, StdRejectOptions } from './research/filters/reject.ts';
export { GracefulShutdown, type GracefulShutdownOptions } from './research/graceful-shutdown.ts';
export {
  type AttachOptions,
  attach,
  detach,
  type HandlerFactory,
  type RegisterOptions,
  registerHandler,
} from './research/handlers/attach.ts';
export {
  type ConfigureOptions,
  configure,
  type LoggingOptions,
  setupLogging,
} from './research/handlers/configure.ts';
export {
  type ConsoleFormat,
  ConsoleHandler,
  type ConsoleOptions,
  type PathStyle,
} from './research/handlers/console.ts';
export type {
  ConfigEvent,
  EventRun,
  Handler,
  HandlerEvent,
  HistogramEvent,
  LevelName,
  LogEvent,
  MediaEvent,
  RowEvent,
  RunEvent,
} from './research/handlers/event.ts';
export { MetricsConsole, type MetricsConsoleOptions } from './research/handlers/metrics-console.ts';
export type { InitOptions } from './research/identity.ts';
export { init } from './research/init.ts';
export { getLogger, type Logger, type LoggerOptions } from './research/logger.ts';
export {
  artifact,
  audio,
  dictionary,
  html,
  image,
  pointCloud,
  push,
  table,
  text,
  trajectories,
  vector,
  vectorField,
  video,
} from './research/media/module.ts';
export type {
  ArrayOptions,
  ArtifactOptions,
  AudioOptions,
  FieldOptions,
  ImageOptions,
  MediaOptions,
  RowMediaOptions,
  TableOptions,
  TextOptions,
  VideoOptions,
} from './research/media/options.ts';
export type { ArrayInput } from './research/media/shapes.ts';
export type { Message } from './research/messages.ts';
export type { MetricDefinition, MetricSummary } from './research/metric-definition.ts';
export {
  type HyperparameterValue,
  type MetricLogger,
  MultiLogger,
  RunMetricLogger,
} from './research/metric-logger.ts';
export { METRIC_SETS, type MetricSet, type MetricSetRow } from './research/metric-sets.ts';
export {
  config,
  defineMetric,
  event,
  finish,
  flush,
  flushSync,
  histogram,
  log,
  logRollout,
  run,
  scalar,
  summary,
} from './research/module.ts';
export type { EventOptions } from './research/raw-event.ts';
export type { RecordedMap, RecordedValue } from './research/record-map.ts';
export type { Rollout } from './research/rollout.ts';
export type { HistogramOptions, LogOptions, Row, ScalarOptions } from './research/row-options.ts';
export type { FinishOptions, Run } from './research/run.ts';
export { type FindOptions, type FoundRun, findRuns } from './research/runs/find-runs.ts';
export { type LogBackend, MetricsLogger } from './research/runs/metrics-logger.ts';
export {
  type MetricColumns,
  type MetricRecord,
  MetricsFileError,
  type MetricsSource,
  type ReadMetricsOptions,
  readMetrics,
  type StreamMetricsOptions,
  streamMetrics,
} from './research/runs/read-metrics.ts';
export type { ResumeMode, ResumeOptions } from './research/runs/resume.ts';
export { RunDir, type RunDirOptions } from './research/runs/run-dir.ts';
export { RunError, type RunProblem } from './research/runs/run-error.ts';
export { logStepProgress, type StepProgressOptions } from './research/step-progress.ts';
export type { Fields, Level, Severity, SeverityName } from './research/text.ts';
export { type TimeitDecorator, type TimeitOptions, timeit } from './research/timeit.ts';
export {
  type TraceOnErrorDecorator,
  type TraceOnErrorOptions,
  traceOnError,
} from './research/trace-on-error.ts';
export { type ProgressOptions, TrainingProgress } from './research/training-progress.ts';
export type { DeliveryReport } from './sdk/recorder.ts';
