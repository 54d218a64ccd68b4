// What KYMO_* and OTEL_* variables change, seen by a real receiver or in the project folder.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { makeCertificates } from '../collector/receivers/otlp/certificates.ts';
import { decode, type Plain, TYPES } from '../otlp/oracle.ts';
import { endCollectors } from './collectors.ts';
import { type Ending, projectFolder, train } from './trainer.ts';

interface Taken {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly client: string | undefined;
}

let project: ReturnType<typeof projectFolder>;
const servers: Server[] = [];
let taken: Taken[];

beforeEach(() => {
  project = projectFolder();
  taken = [];
});
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
  }
  await endCollectors(project.path);
  project.remove();
});

/** A receiver that takes everything; with `answer` it says something else than 200. */
async function receive(
  options: { tls?: Record<string, string | boolean>; headers?: Record<string, string>; status?: number } = {},
): Promise<number> {
  const handler: Parameters<typeof createServer>[1] = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const { subject } = (request.socket as TLSSocket).getPeerCertificate?.() ?? {};
      taken.push({
        path: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks),
        client: subject?.CN as string | undefined,
      });
      response.writeHead(options.status ?? 200, {
        'content-type': 'application/x-protobuf',
        ...options.headers,
      });
      response.end();
    });
  };
  const server = options.tls === undefined ? createServer(handler) : createSecureServer(options.tls, handler);
  servers.push(server as Server);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const run = (script: string, env: Record<string, string>): Promise<Ending> =>
  train(project.path, `const run = kymo.init({ project: 'p', id: 'r' });\n${script}`, env).ended;
const LOOP = 'for (let step = 0; step < 2000; step++) run.log({ loss: step / 2 }, { step });';

function points(): Plain[] {
  return taken
    .filter(({ path }) => path.endsWith('/v1/metrics'))
    .flatMap(({ headers, body }) => {
      const encoding = headers['content-encoding'];
      const bytes =
        encoding === 'gzip' ? gunzipSync(body) : encoding === 'zstd' ? zstdDecompressSync(body) : body;
      return decode(TYPES.metrics, bytes).resourceMetrics as Plain[];
    })
    .flatMap((resource: Plain) => resource.scopeMetrics as Plain[])
    .flatMap((scope: Plain) => scope.metrics as Plain[])
    .filter((metric: Plain) => metric.name === 'loss')
    .flatMap((metric: Plain) => metric.gauge.dataPoints as Plain[]);
}
const encodings = () => new Set(taken.map(({ headers }) => headers['content-encoding'] ?? 'identity'));

describe('OTEL_EXPORTER_OTLP_*', () => {
  it('ENDPOINT gets paths, HEADERS are decoded and on every request, and no compression is the default', async () => {
    const port = await receive();
    const ending = await run(LOOP, {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}/base/`,
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20secret%2C1, X-Team=rl ,broken',
    });
    expect(ending.code).toBe(0);
    expect(ending.stderr).toContain('OTEL_EXPORTER_OTLP_HEADERS: "an entry" is not name=value; left out');
    expect(new Set(taken.map(({ path }) => path))).toEqual(new Set(['/base/v1/metrics', '/base/v1/logs']));
    for (const { headers } of taken)
      expect(headers).toMatchObject({ authorization: 'Bearer secret,1', 'x-team': 'rl' });
    expect(encodings()).toEqual(new Set(['identity']));
    expect(points()).toHaveLength(2000);
  });

  it('METRICS_, LOGS_ and TRACES_ENDPOINT are taken as they are', async () => {
    const port = await receive();
    await run(`run.log({ loss: 1 }); kymo.timeit('t', () => 1)();`, {
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `http://127.0.0.1:${port}/m`,
      OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: `http://127.0.0.1:${port}/l`,
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${port}/t`,
    });
    expect(new Set(taken.map(({ path }) => path))).toEqual(new Set(['/m', '/l', '/t']));
  });

  it("a signal's own HEADERS, COMPRESSION and TIMEOUT go before the common ones", async () => {
    const port = await receive();
    const ending = await run(LOOP, {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_HEADERS: 'for=all',
      OTEL_EXPORTER_OTLP_METRICS_HEADERS: 'for=metrics',
      OTEL_EXPORTER_OTLP_METRICS_COMPRESSION: 'gzip',
      OTEL_EXPORTER_OTLP_LOGS_TIMEOUT: 'soon',
    });
    expect(ending.stderr).toBe(
      'kymo: OTEL_EXPORTER_OTLP_LOGS_TIMEOUT="soon" is not a number from 1 to 600000; using 10000\n',
    );
    const sent = taken.map(
      ({ path, headers }) => `${path} ${headers.for} ${headers['content-encoding'] ?? ''}`,
    );
    expect(new Set(sent)).toEqual(new Set(['/v1/metrics metrics gzip', '/v1/logs all ']));
  });

  it('KYMO_ENDPOINT and KYMO_HEADERS win over them', async () => {
    const port = await receive();
    await run('run.log({ loss: 1 });', {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
      OTEL_EXPORTER_OTLP_HEADERS: 'who=otel',
      KYMO_ENDPOINT: `http://127.0.0.1:${port}`,
      KYMO_HEADERS: 'who=kymo',
    });
    expect(new Set(taken.map(({ headers }) => headers.who))).toEqual(new Set(['kymo']));
  });

  it.each([
    ['gzip to anybody who is said to take it', { OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' }, {}, 'gzip'],
    ['zstd to who has answered as Kymo', {}, { 'kymo-journal': 'j' }, 'zstd'],
    [
      'nothing where it is none',
      { OTEL_EXPORTER_OTLP_COMPRESSION: 'none' },
      { 'kymo-journal': 'j' },
      'identity',
    ],
  ])('COMPRESSION: %s', async (_name, env, headers, encoding) => {
    const port = await receive({ headers });
    await run(`run.log({ loss: -1 }, { step: 0 }); await run.flush(); ${LOOP}`, {
      KYMO_ENDPOINT: `http://127.0.0.1:${port}`,
      ...env,
    } as Record<string, string>);
    expect(encodings().has(encoding)).toBe(true);
    if (encoding !== 'zstd') expect(encodings().has('zstd')).toBe(false);
    expect(points()).toHaveLength(2001);
  });

  describe('CERTIFICATE', () => {
    let certificates: string;
    beforeAll(() => {
      certificates = mkdtempSync(join(tmpdir(), 'kymo-tls-'));
      makeCertificates(certificates);
    });
    afterAll(() => rmSync(certificates, { recursive: true, force: true }));
    const file = (name: string) => join(certificates, name);
    const tls = () => ({
      key: readFileSync(file('server.key'), 'utf8'),
      cert: readFileSync(file('server.pem'), 'utf8'),
      ca: readFileSync(file('ca.pem'), 'utf8'),
      requestCert: true,
      rejectUnauthorized: true,
    });
    const client = () => ({
      OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: file('client.pem'),
      OTEL_EXPORTER_OTLP_CLIENT_KEY: file('client.key'),
    });

    it('and CLIENT_CERTIFICATE make an https endpoint trusted, and us', async () => {
      const port = await receive({ tls: tls() });
      const ending = await run(LOOP, {
        KYMO_ENDPOINT: `https://localhost:${port}`,
        OTEL_EXPORTER_OTLP_CERTIFICATE: file('ca.pem'),
        ...client(),
      });
      expect(ending).toMatchObject({ code: 0, stderr: '' });
      expect(points()).toHaveLength(2000);
      expect(new Set(taken.map(one => one.client))).toEqual(new Set(['client']));
    });

    it.each([
      ['without them nothing is sent, and the reason is told', {}, /certificate|self.signed/i],
      [
        'that cannot be read is named',
        { OTEL_EXPORTER_OTLP_CERTIFICATE: '/nowhere/ca.pem' },
        /ENOENT.*\/nowhere\/ca\.pem/,
      ],
    ])('%s; everything is kept', async (_name, env, told) => {
      const port = await receive({ tls: tls() });
      const ending = await run(LOOP, {
        KYMO_ENDPOINT: `https://localhost:${port}`,
        KYMO_EXIT_TIMEOUT_MS: '500',
        ...env,
      } as Record<string, string>);
      expect(ending.code).toBe(0);
      expect(ending.stderr).toMatch(/2002 items are not delivered yet \(.*\); 2002 of them are kept in/);
      expect(ending.stderr).toMatch(told);
      expect(taken).toEqual([]);
    });
  });
});

describe('KYMO_STEP_AS', () => {
  it('is the exemplar by default: a step is no part of a series', async () => {
    const port = await receive();
    await run('run.log({ loss: 0.5 }, { step: 7 });', { KYMO_ENDPOINT: `http://127.0.0.1:${port}` });
    expect(points()).toMatchObject([
      { exemplars: [{ filteredAttributes: [{ key: 'kymo.step', value: { intValue: '7' } }] }] },
    ]);
    expect(points()[0].attributes.map((one: Plain) => one.key)).not.toContain('kymo.step');
  });

  it('attribute puts it on the point too', async () => {
    const port = await receive();
    await run('run.log({ loss: 0.5 }, { step: 7 });', {
      KYMO_ENDPOINT: `http://127.0.0.1:${port}`,
      KYMO_STEP_AS: 'attribute',
    });
    expect(points()[0].attributes).toContainEqual({ key: 'kymo.step', value: { intValue: '7' } });
  });
});

describe('KYMO_OVERFLOW', () => {
  it('drop never waits: what does not fit is counted by its reason, and the rest is all there', async () => {
    // Nobody takes anything, and there is no room but the ring's and 1 MiB behind it.
    const port = await receive({ status: 503 });
    const ending = await run(
      `let longest = 0;
       for (let step = 0; step < 400_000; step++) {
         const before = performance.now();
         run.scalar('loss', step, { step });
         longest = Math.max(longest, performance.now() - before);
       }
       console.log(JSON.stringify({ longest, ...await run.finish() }));`,
      {
        KYMO_ENDPOINT: `http://127.0.0.1:${port}`,
        KYMO_OVERFLOW: 'drop',
        KYMO_RING_MIB: '1',
        KYMO_MEMORY_MIB: '1',
        KYMO_SPOOL_MAX_MIB: '1',
        KYMO_EXIT_TIMEOUT_MS: '200',
      },
    );
    expect(ending.code).toBe(0);
    const report = JSON.parse(ending.stdout) as {
      longest: number;
      emitted: number;
      delivered: number;
      pending: number;
      dropped: Record<string, number>;
    };
    expect(report.dropped.overflow).toBeGreaterThan(100_000);
    expect(Object.keys(report.dropped)).toEqual(['overflow']);
    expect(report.emitted).toBe(report.delivered + report.pending + report.dropped.overflow!);
    expect(report.emitted).toBeGreaterThanOrEqual(400_000);
    expect(report.longest).toBeLessThan(900);
    expect(ending.stderr).toMatch(/dropped \d+ of \d+ items \(overflow \d+\)/);
  });

  it('that says something else is told, and the default is used', async () => {
    const port = await receive();
    const ending = await run('run.log({ loss: 1 });', {
      KYMO_ENDPOINT: `http://127.0.0.1:${port}`,
      KYMO_OVERFLOW: 'wait',
      KYMO_EXIT_TIMEOUT_MS: 'soon',
    });
    expect(ending).toMatchObject({ code: 0 });
    expect(ending.stderr.trim().split('\n').sort()).toEqual([
      'kymo: KYMO_EXIT_TIMEOUT_MS="soon" is not a number from 0 to 86400000; using 10000',
      'kymo: KYMO_OVERFLOW="wait" is none of block, drop; using block',
    ]);
    expect(points()).toHaveLength(1);
  });
});

describe('a mistake in', () => {
  const LINGER = { KYMO_COLLECTOR_LINGER_MS: '0', KYMO_EXPORTERS: 'jsonl' };

  it.each([
    [
      { KYMO_ENDPOINT: 'localhost:4318' },
      'KYMO_ENDPOINT="localhost:4318" is no http:// or https:// URL (did you mean "http://localhost:4318"?); using the bundled collector',
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'ftp://host' },
      'OTEL_EXPORTER_OTLP_ENDPOINT="ftp://host" is no http:// or https:// URL; using the bundled collector',
    ],
    [
      { KYMO_MODE: 'offline' },
      'KYMO_MODE="offline" is neither "online" nor "disabled" (nothing needs a network: see KYMO_ENDPOINT); going on as "online"',
    ],
  ])('%j is told once, with a way out, and the run is written', async (env, said) => {
    const again = `kymo.init({ project: 'p', id: 'second' }).log({ a: 1 });`;
    const ending = await run(`run.log({ loss: 1 }); await run.finish(); ${again}`, { ...LINGER, ...env });
    expect(ending.code).toBe(0);
    // A busy machine may make the end wait, which is said too.
    const told = ending.stderr.split('\n').filter(line => !line.startsWith('kymo: waiting for '));
    expect(told).toEqual([`kymo: ${said}`, '']);
    expect(readdirSync(join(project.path, 'runs')).sort()).toEqual(['r', 'second']);
  });
});

it('a file in place of runs/ is named while the end waits for it', async () => {
  writeFileSync(join(project.path, 'runs'), '');
  const env = { KYMO_COLLECTOR_LINGER_MS: '0', KYMO_EXPORTERS: 'jsonl', KYMO_EXIT_TIMEOUT_MS: '30000' };
  const script = "const run = kymo.init({ project: 'p', id: 'r' }); run.log({ loss: 1 });";
  const trainer = train(project.path, script, env);
  const reason = `jsonl: start: ${project.path}/runs: is not a folder; name another one in the jsonl exporter's directory`;
  let stderr = '';
  await new Promise<void>((resolve, reject) => {
    trainer.child.stderr!.on('data', chunk => {
      stderr += chunk;
      if (/waiting for the collector to write the files \(\d+ s\): .*\n/.test(stderr)) resolve();
    });
    trainer.child.on('close', () => reject(new Error(`it ended without having said it: ${stderr}`)));
  });
  trainer.child.kill('SIGKILL');
  await trainer.ended;
  expect(stderr).toContain(reason);
});

describe.each([{ KYMO_MODE: 'disabled' }, { OTEL_SDK_DISABLED: 'true' }])('%j', off => {
  it('sends nothing, writes nothing, says nothing, and every call still works', async () => {
    const port = await receive();
    const ending = await run(
      `import { createRequire } from 'node:module';
       const { trace, metrics } = createRequire(${JSON.stringify(import.meta.url)})('@opentelemetry/api');
       ${LOOP}
       run.histogram('h', [1, 2]); run.summary.best = 1; kymo.getLogger('l').info('x', { a: 1 });
       kymo.timeit('t', () => 1)(); kymo.log({ a: 1 }); kymo.config.lr = 1;
       trace.getTracer('mine').startSpan('s').end(); metrics.getMeter('mine').createCounter('c').add(1);
       console.log(JSON.stringify(await run.finish()));`,
      { KYMO_ENDPOINT: `http://127.0.0.1:${port}`, ...(off as Record<string, string>) },
    );
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(ending.stdout)).toMatchObject({ emitted: 0, delivered: 0, dropped: {} });
    expect(taken).toEqual([]);
    expect(readdirSync(project.path).filter(name => !name.startsWith('train-'))).toEqual([]);
  });
});

describe('what the embedded collector writes', () => {
  const LINGER = { KYMO_COLLECTOR_LINGER_MS: '0' };
  const runFiles = () =>
    readdirSync(join(project.path, 'runs/r')).map(name => name.replace(/\.tfevents.*/, '.tfevents'));

  it('is what KYMO_EXPORTERS names', async () => {
    expect(await run(LOOP, { ...LINGER, KYMO_EXPORTERS: 'jsonl' })).toMatchObject({ code: 0, stderr: '' });
    expect(runFiles().sort()).toEqual(['logs', 'run.json']);
  });

  it('is what the file in KYMO_CONFIG says, its paths from the project folder', async () => {
    const port = await receive();
    writeFileSync(
      join(project.path, 'mine.yaml'),
      `receivers: {local: }
exporters:
  jsonl: {directory: elsewhere}
  otlp_http: {endpoint: "http://127.0.0.1:\${env:PORT}"}
service:
  pipelines:
    metrics: {receivers: [local], exporters: [jsonl, otlp_http]}
    logs: {receivers: [local], exporters: [jsonl]}
`,
    );
    expect(await run(LOOP, { ...LINGER, KYMO_CONFIG: 'mine.yaml', PORT: String(port) })).toMatchObject({
      code: 0,
      stderr: '',
    });
    const lines = readFileSync(join(project.path, 'elsewhere/r/logs/metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(2000);
    expect(existsSync(join(project.path, 'runs'))).toBe(false);
    // A remote sink may lag behind the end of the trainer.
    for (const deadline = Date.now() + 10_000; points().length < 2000 && Date.now() < deadline; )
      await new Promise(resolve => setTimeout(resolve, 20));
    expect(points()).toHaveLength(2000);
  });

  it('is what a file beside the program says, too', async () => {
    mkdirSync(join(project.path, 'sub'));
    writeFileSync(
      join(project.path, 'sub/mine.yaml'),
      'receivers: {local: }\nexporters: {jsonl: {directory: elsewhere}}\nservice: {pipelines: {metrics: {receivers: [local], exporters: [jsonl]}}}\n',
    );
    const script = `process.chdir('sub'); const run = kymo.init({ id: 'r' }); run.log({ a: 1 });`;
    const ending = await train(project.path, script, { ...LINGER, KYMO_CONFIG: 'mine.yaml' }).ended;
    expect(ending).toMatchObject({ code: 0, stderr: '' });
    expect(existsSync(join(project.path, 'elsewhere/r/logs/metrics.jsonl'))).toBe(true);
  });

  it.each([
    [{ KYMO_CONFIG: 'bad.yaml' }, /bad\.yaml:1:13: exporters: unknown type: "jsnl" .*did you mean "jsonl"/],
    [{ KYMO_CONFIG: 'nowhere.yaml' }, /nowhere\.yaml: cannot be read: no such file/],
    [{ KYMO_EXPORTERS: 'jsonl,tensorbord' }, /env:KYMO_EXPORTERS.*did you mean "tensorboard"/],
  ])(
    '%j that is wrong: the training goes on, is told where and what, and everything is kept',
    async (env, told) => {
      writeFileSync(
        join(project.path, 'bad.yaml'),
        'exporters: {jsnl: }\nreceivers: {local: }\nservice: {pipelines: {metrics: {receivers: [local], exporters: [jsnl]}}}\n',
      );
      const ending = await run(LOOP, {
        ...LINGER,
        // Nobody waits so long for a collector whose configuration is wrong.
        KYMO_EXIT_TIMEOUT_MS: '600000',
        ...(env as Record<string, string>),
      });
      expect(ending.code).toBe(0);
      expect(ending.stderr).toMatch(told);
      expect(ending.stderr).toMatch(
        /2002 items are not delivered yet \(the bundled collector does not start: .*collector\.log\)/,
      );
      expect((await run('', LINGER)).stderr).toBe('');
      const lines = readFileSync(join(project.path, 'runs/r/logs/metrics.jsonl'), 'utf8')
        .trimEnd()
        .split('\n');
      expect(lines).toHaveLength(2000);
    },
  );
});
