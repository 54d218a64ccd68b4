// Errors: a function that fails says with what it was called, secrets left out, and the error goes on as it was.
import * as kymo from 'kymo';

const run = kymo.init({ project: 'examples', name: 'errors' });
kymo.configure({ console: true, level: 'error' });

/** Arguments are recorded by name: `apiKey` is redacted, a long array is told by its shape. */
const upload = kymo.traceOnError(function upload(url: string, apiKey: string, weights: Float32Array) {
  if (apiKey.length < 20) throw new RangeError(`${url} does not take this key`);
  return weights.length;
});

/** Promises and generators too; methods can be decorated with `@kymo.traceOnError()` where decorators are compiled. */
const load = kymo.traceOnError('load', async (settings: { path: string; token: string }) => {
  try {
    JSON.parse('{"broken": ');
  } catch (cause) {
    throw new Error(`cannot read ${settings.path}`, { cause });
  }
});

for (let step = 0; step < 3; step++) run.log({ loss: 1 / (step + 1) });
try {
  upload('https://example.invalid/models', 'sk-123', new Float32Array(1_000));
} catch (error) {
  console.log(`upload: ${error}`);
}
await load({ path: 'data.json', token: 'hf_abc' }).catch(error => console.log(`load: ${error.message}`));

await run.finish();
console.log(`see ${run.dir}/logs/logs.jsonl`);
