// Public entry `kymo/testing`: what the author of an exporter needs to test it. README.md shows how.
export {
  type BatchOrigin,
  batchOf,
  histogramBatchOf,
  logBatchOf,
  spanBatchOf,
  type TestHistogram,
  type TestLog,
  type TestRow,
  type TestSpan,
} from './batches.ts';
export { type ContractOptions, exporterContract } from './contract.ts';
