// The filters, under one name: `filters.average(3)`.
import { concat } from './concat.ts';
import { stream } from './filter.ts';
import { available, fromConfiguration } from './from-configuration.ts';
import { rangeReject, stdReject } from './reject.ts';
import { minMax, quantization, scale } from './stateless.ts';
import { average, expAverage, median } from './windows.ts';

/**
 * Smoothing and outlier rejection. Each makes a pure filter: `init(sample)` gives a state, `apply(state, sample)` the next state and the
 * output. `stream(filter)` keeps the state for one signal.
 */
export const filters = {
  scale,
  minMax,
  average,
  median,
  expAverage,
  quantization,
  rangeReject,
  stdReject,
  concat,
  stream,
  fromConfiguration,
  available,
} as const;
