// Sends plans' rows as OTLP requests, as fast as a collector takes them and faster, over a connection for each plan; notes what was acknowledged.
import { existsSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { encodeAttributes, encodeResource, encodeScope } from '../../src/otlp/encode-records.ts';
import { encodeScalars } from '../../src/otlp/encode-scalars.ts';
import { RUN_ATTEMPT, RUN_ID } from '../../src/semconv/names.ts';
import type { FloodReport, FloodTask } from './flood-task.ts';
import { metricAt, nameOf, type Plan, stepsOf, valueAt } from './plan.ts';

const RETRY_MS = 50;
const task = JSON.parse(process.env.CHAOS_FLOOD ?? '{}') as FloodTask;
const agent = new Agent({ keepAlive: true });
const endsAtMs = performance.now() + task.seconds * 1_000;
/** Whoever was to stop it may be gone. */
const givesUpAtMs = endsAtMs + 60_000;
const report: FloodReport = {
  rows: task.plans.map(() => 0),
  answers: {},
  mebibytes: 0,
  withoutRetryAfter: 0,
};

// The first requests are made beforehand, so that all of them come at once however slow this machine is.
const senders = task.plans.map(plan => {
  const encode = encoder(plan);
  return { plan, encode, first: encode(0, Math.min(plan.rows, task.rowsPerRequest)) };
});
process.stdout.write('flooding\n');
await Promise.all(senders.map(flood));
agent.destroy();
writeFileSync(task.reportFile, JSON.stringify(report));

async function flood({ plan, encode, first }: (typeof senders)[number], place: number): Promise<void> {
  for (let row = 0; row < plan.rows && goesOn(); ) {
    const body = row === 0 ? first : encode(row, Math.min(plan.rows, row + task.rowsPerRequest));
    // Until it is taken, also after the end: an answer that got lost says nothing.
    for (let answer = ''; answer !== '200'; ) {
      answer = await post(body, `flood-${place}/${plan.prefix}/metrics/${row / task.rowsPerRequest + 1}`);
      report.answers[answer] = (report.answers[answer] ?? 0) + 1;
      if (answer !== '200') await new Promise(resolve => setTimeout(resolve, RETRY_MS));
    }
    row = Math.min(plan.rows, row + task.rowsPerRequest);
    report.rows[place] = row;
    report.mebibytes += body.length / 1024 / 1024;
  }
}

function goesOn(): boolean {
  const nowMs = performance.now();
  return nowMs < endsAtMs || (nowMs < givesUpAtMs && !existsSync(task.stopFile));
}

function encoder(plan: Plan): (from: number, to: number) => Uint8Array {
  const resourceBytes = encodeResource({
    'service.name': 'chaos',
    'service.instance.id': plan.prefix,
    [RUN_ID]: plan.run,
    [RUN_ATTEMPT]: plan.attempt,
  });
  const scopeBytes = encodeScope('flood', '', {});
  const attributeBytes = encodeAttributes({});
  const series = Array.from({ length: plan.metrics }, (_, metric) => ({
    resourceBytes,
    scopeBytes,
    attributeBytes,
    name: nameOf(plan, metric),
  }));
  const steps = stepsOf(plan);
  const started = BigInt(Date.now()) * 1_000_000n;
  return (from, to) => {
    const count = (to - from) * plan.perRow;
    const seriesIndex = new Uint32Array(count);
    const timeUnixNano = new BigUint64Array(count);
    const value = new Float64Array(count);
    const step = new Float64Array(count);
    for (let row = from, at = 0; row < to; row++)
      for (let k = 0; k < plan.perRow; k++, at++) {
        const metric = metricAt(plan, steps[row]!, k);
        seriesIndex[at] = metric;
        timeUnixNano[at] = started + BigInt(row);
        value[at] = valueAt(plan, steps[row]!, metric);
        step[at] = steps[row]!;
      }
    const nothing = { isInteger: undefined, spanIndex: undefined, spans: undefined } as const;
    return encodeScalars(series, {
      count,
      seriesIndex,
      timeUnixNano,
      value,
      step,
      axesIndex: undefined,
      axes: undefined,
      ...nothing,
    });
  };
}

/** The status, or the code of the error that there was instead of an answer. */
function post(body: Uint8Array, key: string): Promise<string> {
  return new Promise(resolve => {
    const headers = {
      'content-type': 'application/x-protobuf',
      'content-length': body.length,
      'kymo-batch': key,
    };
    const sent = request(`${task.url}/v1/metrics`, { method: 'POST', agent, headers }, answer => {
      const status = String(answer.statusCode);
      if (status !== '200' && answer.headers['retry-after'] === undefined) report.withoutRetryAfter++;
      answer.resume();
      answer.once('end', () => resolve(status));
      answer.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? 'error'));
    });
    sent.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? 'error'));
    sent.end(body);
  });
}
