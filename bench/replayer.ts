// Sends requests made beforehand to a collector as fast as it takes them: URL SIGNAL REQUESTS CONNECTIONS. Each connection is a run of its own,
// with its requests in order. Prints one line of JSON when all are acknowledged.
import http from 'node:http';
import type { Signal } from '../src/otlp/model.ts';
import { makeLoad } from './load.ts';

const [base = '', signal = 'metrics', requestsText = '10', connectionsText = '2'] = process.argv.slice(2);
const connections = Number(connectionsText);
const perConnection = Math.ceil(Number(requestsText) / connections);
const url = new URL(`/v1/${signal}`, base);
const agent = new http.Agent({ keepAlive: true, maxSockets: connections });

const senders = Array.from({ length: connections }, (_, c) => {
  const run = `load-${process.pid}-${c}`;
  const load = makeLoad(signal as Signal, run);
  return { run, items: load.items, bodies: Array.from({ length: perConnection }, (_, n) => load.request(n)) };
});
const bytes = senders.reduce(
  (sum, { bodies }) => sum + bodies.reduce((all, body) => all + body.length, 0),
  0,
);
let pushedBack = 0;

const startedAt = performance.now();
await Promise.all(
  senders.map(async ({ run, bodies }) => {
    for (const [n, body] of bodies.entries())
      for (let status = 0; status !== 200; ) {
        status = await post(body, `${run}/replayer/${signal}/${n + 1}`);
        if (status === 200) continue;
        if (status !== 429 && status !== 503) throw new Error(`the collector answered ${status}`);
        pushedBack++;
        await new Promise(resolve => setTimeout(resolve, 100));
      }
  }),
);
const seconds = (performance.now() - startedAt) / 1e3;
agent.destroy();
const items = senders.reduce((sum, sender) => sum + sender.items * sender.bodies.length, 0);
console.log(JSON.stringify({ items, bytes, seconds, pushedBack }));

function post(body: Uint8Array, batchKey: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/x-protobuf',
      'content-length': body.length,
      'kymo-batch': batchKey,
    };
    const request = http.request(url, { method: 'POST', agent, headers }, response => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    request.once('error', reject);
    request.end(body);
  });
}
