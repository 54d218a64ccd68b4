// Plain OpenTelemetry: what libraries emit through @opentelemetry/api ends up in the run, with no further set-up.
import { logs, metrics, SeverityNumber, trace } from '@opentelemetry/api';
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'opentelemetry' });

const tracer = trace.getTracer('a-library');
const requests = metrics.getMeter('a-library').createCounter('requests');
const logger = logs.getLogger('a-library');

for (let step = 0; step < 5; step++) {
  tracer.startActiveSpan('request', { attributes: { step } }, span => {
    requests.add(1);
    logger.emit({ severityNumber: SeverityNumber.INFO, severityText: 'INFO', body: `request ${step} came` });
    // A row logged under an open span carries its ids.
    run.log({ latency: 0.1 * step }, { step });
    span.end();
  });
}

await run.finish();
console.log(`spans, log records and metrics are in ${run.dir}/logs`);
