// JSON is refused with a place, or becomes a request that the check accepts.
import { checkRequest } from '../../../src/otlp/check.ts';
import { jsonToProtobuf, OtlpJsonError } from '../../../src/otlp/json.ts';
import { SIGNALS } from '../../../src/otlp/model.ts';
import { law, type Target } from '../target.ts';

const value =
  '{"arrayValue":{"values":[{"intValue":"9223372036854775807"},{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"AA=="}}]}}]}}';
const resource = `"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"p"}},{"key":"v","value":${value}}]}`;
const SEEDS = [
  `{"resourceSpans":[{${resource},"scopeSpans":[{"scope":{"name":"s"},"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"n","kind":1,"startTimeUnixNano":"1","endTimeUnixNano":2,"events":[{"timeUnixNano":"1","name":"e"}],"links":[{"traceId":"","spanId":"00"}],"status":{"code":2}}]}]}]}`,
  `{"resourceMetrics":[{${resource},"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asDouble":"NaN","timeUnixNano":"1","exemplars":[{"asInt":"-1","filteredAttributes":[]}]}]}},{"name":"h","histogram":{"aggregationTemporality":1,"dataPoints":[{"count":"3","bucketCounts":["1",2],"explicitBounds":[0.5,"Infinity"],"min":-0.0}]}},{"name":"x","exponentialHistogram":{"dataPoints":[{"scale":-1,"positive":{"offset":1,"bucketCounts":["1"]}}]}},{"name":"s","summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5,"value":1e308}]}]}}]}]}]}`,
  `{"resourceLogs":[{${resource},"schemaUrl":"u","scopeLogs":[{"scope":{},"logRecords":[{"timeUnixNano":"1","severityNumber":9,"body":${value},"eventName":"e","flags":1,"traceId":"0AF7651916CD43DD8448EB211C80319C"}]}]}]}`,
];

export const target: Target = {
  name: 'otlp-json',
  maxBytes: 4_096,
  covers: /\/src\/otlp\//,
  words: [
    '"intValue":',
    '"1e400"',
    '"-9223372036854775808"',
    '"\\ud800"',
    '[[[[',
    '{"a":',
    '__proto__',
    '1e400',
    '"Infinity"',
    'null',
    '"AA=="',
  ],
  seeds: () => SEEDS.map((text, signal) => Buffer.concat([Buffer.from([signal]), Buffer.from(text)])),
  run(bytes) {
    const signal = SIGNALS[(bytes[0] ?? 0) % SIGNALS.length]!;
    const text = new TextDecoder().decode(bytes.subarray(1));
    let request: Uint8Array;
    try {
      request = jsonToProtobuf(signal, text);
    } catch (error) {
      law(error instanceof OtlpJsonError, `${String(error)} instead of what is wrong with the text`);
      return;
    }
    const checked = checkRequest(signal, request);
    law(checked.ok, `made a request that cannot be read: ${checked.ok ? '' : checked.reason}`);
    law(
      request.length <= text.length * 4 + 1_024,
      `${text.length} characters became ${request.length} bytes`,
    );
  },
};
