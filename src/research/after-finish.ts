// Where a run's writers write once it has finished: nowhere, counted, and said once.
import type { DeliveryReport, Recorder } from '../sdk/recorder.ts';
import type { Complaints } from './complaints.ts';

/** Stands in for `recorder` from a run's end on. Only what belongs to rows and histograms is ever called. */
export function afterFinish(recorder: Recorder, complaints: Complaints, runId: string): Recorder {
  let items = 0;
  const lost = (count: number): void => {
    recorder.drop('after_finish', count);
    complaints.once('after_finish', `run ${runId} has finished; what is logged to it now is dropped`);
  };
  return {
    sender: recorder.sender,
    defineResource: attributes => recorder.defineResource(attributes),
    defineScope: (resource, name, version, attributes) =>
      recorder.defineScope(resource, name, version, attributes),
    // A series that nobody will use: any id but 0, which means that there are no more.
    defineSeries: () => 1,
    defineSpan: (traceId, spanId) => recorder.defineSpan(traceId, spanId),
    beginRow: () => {
      items = 0;
    },
    add: () => {
      items++;
    },
    addInteger: () => {
      items++;
    },
    endRow: () => lost(items),
    abortRow: () => undefined,
    histogram: () => lost(1),
    record: () => lost(1),
    recordLast: () => lost(1),
    media: () => {
      lost(1);
      return false;
    },
    request: (_signal, _bytes, count) => lost(count),
    watchSystem: () => undefined,
    drop: (reason, count) => recorder.drop(reason, count),
    now: () => recorder.now(),
    flush: (options): Promise<DeliveryReport> => recorder.flush(options),
    flushSync: (options): DeliveryReport => recorder.flushSync(options),
    report: (): DeliveryReport => recorder.report(),
  };
}
