// The public entry point `kymo/history`. It loads no TensorFlow: callers pass theirs.
import '../semconv/require-node.ts';

export { type FlightOptions, type FlightRecorder, recordFlight } from './flight-recorder.ts';
export {
  type CreateOptions,
  createHistory,
  type FrameOf,
  type Frames,
  type History,
  type UpdateOptions,
  updateHistory,
  type Windows,
} from './history.ts';
export { type Observation, type ObserveOptions, observeHistory } from './observe.ts';
export type { Statistic } from './partials.ts';
export { peekLast, type Slices, sliceHistory } from './slice.ts';
export {
  type FieldConfig,
  type FieldDType,
  type FieldInit,
  type HistoryConfig,
  type HistoryFieldSpec,
  HistorySpec,
} from './spec.ts';
export type { TensorFlow } from './tensorflow.ts';
export { type HostField, type HostHistory, mergeHistories, toDevice, toHost } from './transfer.ts';
