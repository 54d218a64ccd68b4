// The public entry point of `kymo`: what a researcher calls.
export type { InitOptions } from './research/identity.ts';
export { init } from './research/init.ts';
export { getLogger, type Logger, type LoggerOptions } from './research/logger.ts';
export { config, finish, flush, histogram, log, run, scalar, summary } from './research/module.ts';
export type { RecordedMap, RecordedValue } from './research/record-map.ts';
export type { HistogramOptions, LogOptions, Row, ScalarOptions } from './research/row-options.ts';
export type { FinishOptions, Run } from './research/run.ts';
export type { Fields, Level, Severity, SeverityName } from './research/text.ts';
export { type TimeitDecorator, type TimeitOptions, timeit } from './research/timeit.ts';
export type { DeliveryReport } from './sdk/recorder.ts';
