// The receiver's counters, named as the upstream Collector's, so that existing dashboards work.

import type { Signal } from '../../../otlp/model.ts';
import type { Instruments } from '../../component.ts';

export type ReceiverTransport = 'http' | 'grpc' | 'local';
/** Why a request was turned away before its items were counted. */
export type Rejection =
  | 'path'
  | 'method'
  | 'content_type'
  | 'encoding'
  | 'host'
  | 'origin'
  | 'auth'
  | 'batch_key'
  | 'too_large'
  | 'memory'
  | 'slow'
  | 'aborted'
  | 'undecodable'
  | 'connections'
  | 'flood'
  | 'internal';

const ITEMS: Readonly<Record<Signal, string>> = {
  traces: 'spans',
  metrics: 'metric_points',
  logs: 'log_records',
};

export interface ReceiverCounters {
  accepted(signal: Signal, items: number): void;
  /** A retry of a request that the journal already had: its items were counted the first time. */
  duplicate(): void;
  /** Pushed back: the sender should come again. */
  refused(signal: Signal, items: number): void;
  /** Lost to a fault of the collector itself. */
  failed(signal: Signal, items: number): void;
  rejected(reason: Rejection): void;
}

export function receiverCounters(
  instruments: Instruments,
  receiver: string,
  transport: ReceiverTransport,
): ReceiverCounters {
  const attributes = { receiver, transport };
  const count = (outcome: string, signal: Signal, items: number): void => {
    if (items > 0) instruments.count(`otelcol_receiver_${outcome}_${ITEMS[signal]}`, items, attributes);
  };
  return {
    accepted: (signal, items) => count('accepted', signal, items),
    duplicate: () => instruments.count('kymo_receiver_duplicate_requests', 1, attributes),
    refused: (signal, items) => count('refused', signal, items),
    failed: (signal, items) => count('failed', signal, items),
    rejected: reason =>
      instruments.count('kymo_receiver_rejected_requests', 1, { receiver, transport, reason }),
  };
}
