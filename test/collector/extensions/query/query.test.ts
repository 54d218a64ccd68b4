// The query extension in a real collector on a real port: every operation, what it refuses, and its description against its answers.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parquetReadObjects } from 'hyparquet';
import type { Batch } from '../../../../src/collector/component.ts';
import { COMPONENTS } from '../../../../src/collector/components.ts';
import { loadConfig } from '../../../../src/collector/config/load.ts';
import { type Collector, startCollector } from '../../../../src/collector/service.ts';
import { batchOf, logBatchOf, spanBatchOf } from '../../../../src/collector/testing/index.ts';
import { type HttpAnswer, recordingLogger, request } from '../../receivers/otlp/harness.ts';
import { schemaProblems } from './json-schema.ts';

const HOSTILE = '../../etc/passwd,"__proto__"\u202e<script>';
const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');
const HTML = Buffer.from('<script>alert(1)</script>');
const CONFIG = `
receivers: {local: {}}
exporters: {jsonl: {directory: runs}}
extensions: {journal: {directory: journal}, query: {endpoint: "localhost:0"}}
service:
  extensions: [journal, query]
  pipelines:
    metrics: {receivers: [local], exporters: [jsonl]}
    logs: {receivers: [local], exporters: [jsonl]}
    traces: {receivers: [local], exporters: [jsonl]}
`;

let folder = '';
let collector: Collector;
let port = 0;

async function start(config = CONFIG): Promise<{ collector: Collector; port: number }> {
  const { config: checked, problems } = loadConfig({
    sources: [`yaml:${config}`],
    env: {},
    components: COMPONENTS,
  });
  expect(problems).toEqual([]);
  const logger = recordingLogger();
  const started = await startCollector({
    config: checked!,
    baseDirectory: folder,
    logger: { ...logger, with: () => logger, flush: () => {} },
  });
  const line = logger.lines.find(({ message }) => message.startsWith('queries at'))!;
  return { collector: started, port: Number(/127\.0\.0\.1:(\d+)/.exec(line.message)![1]) };
}

let end = 0;
async function send(batch: Batch): Promise<void> {
  const { signal, bytes } = batch;
  const result = await collector.ingest.submit({ signal, bytes, batchKey: '', items: 1 });
  expect(result.kind).toBe('stored');
  if (result.kind === 'stored') end = result.position;
}
const get = (url: string, headers = {}, method = 'GET'): Promise<HttpAnswer> =>
  request(port, { method, path: url, headers });
/** Something of an answer; what it must look like is the description's business. */
interface Entry {
  readonly [key: string]: unknown;
}
async function ask(url: string) {
  const answer = await get(url);
  expect([answer.status, answer.status === 200 ? '' : answer.body.toString()]).toEqual([200, '']);
  return JSON.parse(answer.body.toString());
}

function mediaEvent(name: string, mime: string, content: Buffer, run: string) {
  const sha256 = createHash('sha256').update(content).digest('hex');
  return {
    run,
    eventName: 'kymo.media',
    attributes: {
      'kymo.media.name': name,
      'kymo.media.kind': mime.split('/')[0]!,
      'kymo.media.mime_type': mime,
      'kymo.media.sha256': sha256,
      'kymo.media.size': content.length,
      'kymo.media.content': new Uint8Array(content),
      'kymo.step': 1,
    },
  };
}

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-query-'));
  ({ collector, port } = await start());
  const loss = (step: number): number =>
    step === 700 ? Number.NaN : step === 800 ? Number.POSITIVE_INFINITY : 1000 - step;
  await send(
    logBatchOf([
      { run: 'a', eventName: 'kymo.run.start', attributes: { 'kymo.run.state': 'running' } },
      {
        run: 'a',
        eventName: 'kymo.run.config',
        attributes: { 'kymo.run.config': { lr: 0.1, deep: { seed: 9007199254740993n } } },
      },
    ]),
  );
  await send(
    batchOf(
      Array.from({ length: 1000 }, (_, step) => ({
        run: 'a',
        step,
        values: { loss: loss(step), 'eval/acc': step / 1000 },
      })),
    ),
  );
  await send(
    batchOf(
      Array.from({ length: 500 }, (_, i) => ({
        run: 'b',
        step: i * 2,
        values: { loss: i, epoch: Math.floor(i / 100) },
      })),
    ),
  );
  await send(batchOf([{ run: HOSTILE, step: 1, values: { ['__proto__']: 4, 'a,b': 5 } }]));
  await send(
    logBatchOf(
      Array.from({ length: 250 }, (_, i) => ({
        run: 'a',
        body: `line ${i}`,
        severityNumber: i % 50 === 0 ? 17 : 9,
      })),
    ),
  );
  await send(
    spanBatchOf([
      { run: 'a', name: 'train' },
      { run: 'a', name: 'evaluate' },
    ]),
  );
  await send(
    logBatchOf([mediaEvent('pic', 'image/png', PNG, 'a'), mediaEvent('page', 'text/html', HTML, 'a')]),
  );
  await Promise.all(
    collector.exporters.map(({ runner }) => runner.progress(end, AbortSignal.timeout(30_000))),
  );
});
afterAll(async () => {
  await collector?.stop(5_000);
  fs.rmSync(folder, { recursive: true, force: true });
});

describe('runs', () => {
  it('are listed, filtered and paged', async () => {
    const all = await ask('/api/v1/runs');
    expect(all.runs.map((run: Entry) => run.id).sort()).toEqual([HOSTILE, 'a', 'b'].sort());
    expect(all.total).toBe(3);
    const a = all.runs.find((run: Entry) => run.id === 'a');
    expect(a).toMatchObject({ state: 'running', points: 2000, last_step: 999, project: 'contract' });
    expect((await ask('/api/v1/runs?limit=1&offset=1')).runs).toHaveLength(1);
    expect((await ask('/api/v1/runs?state=finished,failed')).total).toBe(0);
    expect((await ask('/api/v1/runs?filter=SCRIPT')).runs.map((run: Entry) => run.id)).toEqual([HOSTILE]);
  });

  it('have a config with all its digits, and a summary', async () => {
    const answer = await get('/api/v1/runs/a');
    expect(answer.body.toString()).toContain('9007199254740993');
    const { run, config } = JSON.parse(answer.body.toString());
    expect(run.metrics.loss).toMatchObject({ count: 1000, nonfinite: 2, last: 1 });
    expect(config.lr).toBe(0.1);
    expect((await ask('/api/v1/runs/b')).config).toBeNull();
  });

  it('may have any id', async () => {
    const { run } = await ask(`/api/v1/runs/${encodeURIComponent(HOSTILE)}`);
    expect(run.id).toBe(HOSTILE);
    const { metrics } = await ask(`/api/v1/metrics?run=${encodeURIComponent(HOSTILE)}`);
    expect(metrics.map((metric: Entry) => metric.name)).toEqual(['__proto__', 'a,b']);
    const answer = await get(
      `/api/v1/curves?run=${encodeURIComponent(HOSTILE)}&metric=__proto__&metric=a,b&shape=wide`,
    );
    expect(answer.body.toString()).toContain(`"rows":[{"step":1,`);
    const { series, rows } = JSON.parse(answer.body.toString());
    expect(series.map((one: Entry) => rows[0][(one.columns as string[])[0]!])).toEqual([4, 5]);
  });

  it.each(['..', '../runs', '%2e%2e%2f', 'a%00', 'x'.repeat(2_000), '~x', 'A'])(
    'that are not there are 404 or 400: %s',
    async id => {
      const answer = await get(`/api/v1/runs/${encodeURIComponent(id)}`);
      expect([400, 404]).toContain(answer.status);
      expect(JSON.parse(answer.body.toString()).error.message).toMatch(/run/);
    },
  );
});

describe('curves', () => {
  it('have one row per step where there is room, and buckets where there is not', async () => {
    const fine = await ask('/api/v1/curves?runs=b&metric=loss');
    expect(fine.rows).toHaveLength(500);
    expect(fine.rows[7]).toEqual({
      run: 'b',
      metric: 'loss',
      x: 14,
      last: 7,
      min: 7,
      max: 7,
      count: 1,
      nan: 0,
      positive_infinity: 0,
      negative_infinity: 0,
    });
    const coarse = await ask('/api/v1/curves?runs=a&metric=loss&points=10');
    expect(coarse.width).toBe(100);
    expect(coarse.rows[0]).toMatchObject({ x: 99, min: 901, max: 1000, last: 901, count: 100, nan: 0 });
    expect(coarse.rows[7]).toMatchObject({
      x: 799,
      max: 299,
      min: 201,
      count: 100,
      nan: 1,
      positive_infinity: 0,
    });
    expect(coarse.rows[8]).toMatchObject({ count: 100, max: 199, nan: 0, positive_infinity: 1 });
  });

  it('of several runs share their x in the wide shape', async () => {
    const { rows, series, missing } = await ask(
      '/api/v1/curves?runs=a,b&metric=loss&metric=eval/acc&shape=wide&values=last,max',
    );
    expect(series.map((one: Entry) => one.columns)).toEqual([
      ['a loss last', 'a loss max'],
      ['a eval/acc last', 'a eval/acc max'],
      ['b loss last', 'b loss max'],
    ]);
    expect(missing).toEqual([{ run: 'b', metric: 'eval/acc' }]);
    expect(rows).toHaveLength(1000);
    expect(rows[4]).toEqual({
      step: 4,
      'a loss last': 996,
      'a loss max': 996,
      'a eval/acc last': 0.004,
      'a eval/acc max': 0.004,
      'b loss last': 2,
      'b loss max': 2,
    });
    expect(rows[5]['b loss last']).toBeNull();
    expect(rows[700]['a loss last']).toBeNull();
  });

  it('go over time, over a metric, and over a part of either', async () => {
    const whole = await ask('/api/v1/curves?runs=a&metric=eval/acc&x=time&points=1000');
    expect(whole.rows).toHaveLength(1000);
    const [from, to] = [whole.rows[100].x, whole.rows[199].x];
    const part = await ask(`/api/v1/curves?runs=a&metric=eval/acc&x=time&points=1000&from=${from}&to=${to}`);
    expect(part.rows).toEqual(whole.rows.slice(100, 200));
    const byEpoch = await ask('/api/v1/curves?runs=b&metric=loss&x=epoch');
    expect(byEpoch.rows.map((row: Entry) => [row.x, row.min, row.max, row.last, row.count])).toEqual(
      [0, 1, 2, 3, 4].map(epoch => [epoch, epoch * 100, epoch * 100 + 99, epoch * 100 + 99, 100]),
    );
  });

  it('show what came a moment ago', async () => {
    await send(batchOf([{ run: 'live', step: 1, values: { m: 1 } }]));
    await Promise.all(
      collector.exporters.map(({ runner }) => runner.progress(end, AbortSignal.timeout(30_000))),
    );
    expect((await ask('/api/v1/curves?runs=live&metric=m')).rows).toHaveLength(1);
    await send(batchOf([{ run: 'live', step: 2, values: { m: 2 } }]));
    await Promise.all(
      collector.exporters.map(({ runner }) => runner.progress(end, AbortSignal.timeout(30_000))),
    );
    const { rows, behind_bytes } = await ask('/api/v1/curves?runs=live&metric=m');
    expect([rows.length, behind_bytes]).toEqual([2, 0]);
  });

  it.each(['wide', 'long'])('are the same as Parquet: %s', async shape => {
    const url = `/api/v1/curves?runs=a,b&metric=loss&points=50&shape=${shape}`;
    const answer = await get(`${url}&format=parquet`);
    expect(answer.headers['content-type']).toBe('application/vnd.apache.parquet');
    const { buffer, byteOffset, byteLength } = answer.body;
    const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
    expect(await parquetReadObjects({ file })).toEqual((await ask(url)).rows);
  });
});

describe('logs, spans and media', () => {
  it.each(['asc', 'desc'])('are paged without loss: %s', async order => {
    const seen: string[] = [];
    let cursor = '';
    for (let pages = 0; pages < 20; pages++) {
      const page = await ask(`/api/v1/runs/a/logs?limit=37&order=${order}&search=line${cursor}`);
      seen.push(...page.lines.map((line: Entry) => line.message));
      if (page.next === null) break;
      cursor = `&cursor=${page.next}`;
    }
    const all = Array.from({ length: 250 }, (_, i) => `line ${i}`);
    expect(seen).toEqual(order === 'asc' ? all : all.reverse());
  });

  it('are filtered', async () => {
    expect((await ask('/api/v1/runs/a/logs?severity=17')).lines).toHaveLength(5);
    expect((await ask('/api/v1/runs/a/logs?search=LINE%2024')).lines).toHaveLength(11);
    expect((await ask('/api/v1/runs/a/spans?name=train')).lines).toMatchObject([
      { name: 'train', duration: 0.5 },
    ]);
    const { lines } = await ask('/api/v1/runs/a/logs?search=line');
    const at = lines[20].time;
    expect((await ask(`/api/v1/runs/a/logs?search=line&from=${at}&to=${at}`)).lines).toHaveLength(1);
  });

  it('come with their bytes: shown where that is safe, else to be saved; in parts for players', async () => {
    const { lines } = await ask('/api/v1/runs/a/media');
    const of = (name: string) => lines.find((line: Entry) => line.name === name).content;
    const picture = await get(of('pic'));
    expect(picture.headers['content-type']).toBe('image/png');
    expect(picture.body).toEqual(PNG);
    expect(picture.headers['content-security-policy']).toContain('sandbox');
    const page = await get(of('page'));
    expect(page.headers['content-type']).toBe('application/octet-stream');
    expect(page.headers['content-disposition']).toMatch(/^attachment/);
    expect(page.body).toEqual(HTML);
    const part = await get(of('pic'), { range: 'bytes=1-3' });
    expect([part.status, part.body.toString(), part.headers['content-range']]).toEqual([
      206,
      'PNG',
      'bytes 1-3/16',
    ]);
    expect((await get(of('pic'), { range: 'bytes=99-' })).status).toBe(416);
  });

  it('lead nowhere else: a line that names another file is not followed', async () => {
    const media = path.join(folder, 'runs/a/logs/media.elsewhere.jsonl');
    fs.writeFileSync(path.join(folder, 'secret'), 'secret');
    fs.symlinkSync(path.join(folder, 'secret'), path.join(folder, 'runs/a/media/link'));
    const paths = [
      '../../secret',
      '/etc/passwd',
      'media/../../../secret',
      'run.json',
      'media/link',
      'media/\0',
    ];
    fs.writeFileSync(media, paths.map(one => `${JSON.stringify({ name: 'x', path: one })}\n`).join(''));
    const { lines } = await ask('/api/v1/runs/a/media?name=x');
    expect(lines).toHaveLength(paths.length);
    for (const { content } of lines) {
      const answer = await get(content);
      expect([404, 500]).toContain(answer.status);
      expect(answer.body.toString()).not.toMatch(/^secret|root:/);
    }
    fs.rmSync(media);
    expect((await get('/api/v1/runs/a/media/0-5')).status).toBe(404);
  });
});

describe('a request', () => {
  it.each([
    ['/api/v1/curves?runs=a', 'metric'],
    ['/api/v1/curves?metric=loss', 'runs'],
    ['/api/v1/curves?runs=a&metric=loss&points=0', 'points'],
    ['/api/v1/curves?runs=a&metric=loss&points=1e9', 'points'],
    ['/api/v1/curves?runs=a&metric=loss&points=ten', 'points'],
    ['/api/v1/curves?runs=a&metric=loss&from=NaN', 'from'],
    ['/api/v1/curves?runs=a&metric=loss&from=2&to=1', 'to'],
    ['/api/v1/curves?runs=a&metric=loss&shape=tall', 'shape'],
    ['/api/v1/curves?runs=a&metric=loss&shape=long&values=min', 'values'],
    ['/api/v1/curves?runs=a&metric=loss&shape=wide&shape=long', 'shape'],
    ['/api/v1/curves?runs=a&metric=loss&pionts=10', 'pionts'],
    [`/api/v1/curves?runs=a&metric=loss&runs=${Array.from({ length: 201 }, (_, i) => i).join(',')}`, 'runs'],
    [
      `/api/v1/curves?runs=a,b&points=20000&${Array.from({ length: 10 }, (_, i) => `metric=${i}`).join('&')}`,
      'points',
    ],
    ['/api/v1/runs?state=asleep', 'state'],
    ['/api/v1/runs/a/logs?cursor=99-1', 'cursor'],
    ['/api/v1/runs/a/logs?cursor=nonsense', 'cursor'],
    ['/api/v1/runs/a/logs?limit=1001', 'limit'],
  ])('that is wrong is told which parameter: %s', async (url, parameter) => {
    const answer = await get(url);
    const { error } = JSON.parse(answer.body.toString());
    expect([answer.status, error.parameter]).toEqual([400, parameter]);
    expect(error.message).toContain(parameter);
  });

  it('from a web page, for another host, or with another method is refused', async () => {
    expect((await get('/api/v1/runs', { origin: 'https://evil.example' })).status).toBe(403);
    expect((await get('/api/v1/runs', { host: 'rebound.example:4319' })).status).toBe(403);
    expect((await get('/api/v1/runs', { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect((await get('/api/v1/runs', {}, 'POST')).status).toBe(405);
    expect((await get(`/api/v1/runs?filter=${'x'.repeat(15_000)}`)).status).toBe(414);
    expect((await get('/api/v1/nothing')).status).toBe(404);
    expect((await get('/api/v1/runs/%ff')).status).toBe(400);
    const head = await get('/api/v1/runs', {}, 'HEAD');
    expect([head.status, head.body.length]).toEqual([200, 0]);
  });
});

describe('the description', () => {
  /** Requests that together use every operation and every parameter. */
  const USES: readonly string[] = [
    '/api/v1/openapi.json',
    '/api/v1/runs?state=running&project=contract&group=&tag=&filter=a&limit=5&offset=0',
    '/api/v1/runs?group=g&tag=t',
    '/api/v1/runs/a',
    '/api/v1/metrics?runs=a,b&run=b&prefix=lo&search=SS&limit=5&offset=0',
    '/api/v1/curves?runs=a&run=b&metric=loss&metric=none&x=step&from=1&to=500&points=20&shape=wide&values=min,max&label=name&format=json',
    '/api/v1/curves?runs=a&metric=loss',
    '/api/v1/curves?runs=a&metric=none',
    '/api/v1/runs/a/logs?severity=9&search=line&from=0&to=1e12&limit=3&order=desc&cursor=0-end',
    '/api/v1/runs/a/spans?name=train&trace_id=0af7651916cd43dd8448eb211c80319c&from=0&to=1e12&limit=3&order=asc&cursor=0-0',
    '/api/v1/runs/a/media?name=pic&kind=image&limit=3&order=asc&cursor=0-0',
    '/api/v1/runs/a/media/0-0',
  ];

  it('is what is answered: every path, parameter and shape', async () => {
    const document = await ask('/api/v1/openapi.json');
    const unused = new Set<string>();
    for (const [template, { get: operation }] of Object.entries(
      document.paths as Record<string, { get: { parameters: { name: string }[] } }>,
    )) {
      unused.add(template);
      for (const parameter of operation.parameters) unused.add(`${template} ${parameter.name}`);
    }
    for (const use of USES) {
      const url = new URL(use, 'http://localhost');
      const template = Object.keys(document.paths).find(one =>
        new RegExp(`^${one.replace(/\{[^}]+\}/g, '[^/]+')}$`).test(url.pathname),
      )!;
      unused.delete(template);
      for (const [, name] of template.matchAll(/\{([^}]+)\}/g)) unused.delete(`${template} ${name}`);
      for (const name of url.searchParams.keys()) unused.delete(`${template} ${name}`);
      const answer = await get(use);
      const content = document.paths[template].get.responses[answer.status]?.content;
      const type = answer.headers['content-type']!.split(';')[0]!;
      expect([use, answer.status, Object.keys(content)]).toEqual([
        use,
        200,
        expect.arrayContaining([content['*/*'] ? '*/*' : type]),
      ]);
      const schema = content[type]?.schema;
      if (schema === undefined) continue;
      expect([use, schemaProblems(schema, JSON.parse(answer.body.toString()), document)]).toEqual([use, []]);
    }
    expect([...unused]).toEqual([]);
    for (const bad of ['/api/v1/runs?state=x', '/api/v1/runs/none', '/api/v1/nothing']) {
      const answer = await get(bad);
      const error = document.components.schemas.Error;
      expect(schemaProblems(error, JSON.parse(answer.body.toString()), document)).toEqual([]);
    }
  });
});

it('a restart answers the same from the index that was kept', async () => {
  const url = '/api/v1/curves?runs=a,b&metric=loss&points=100';
  const before = (await ask(url)).rows;
  await collector.stop(5_000);
  const state = path.join(folder, 'journal/state');
  const kept = fs
    .readdirSync(state, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('/index'));
  expect(kept.length).toBeGreaterThanOrEqual(3);
  ({ collector, port } = await start());
  expect((await ask(url)).rows).toEqual(before);
});

describe('with an authenticator', () => {
  const guarded = CONFIG.replace('directory: journal', 'directory: guarded').replace(
    'query: {endpoint: "localhost:0"}',
    'query: {endpoint: "localhost:0", auth: {authenticator: bearertokenauth}}, bearertokenauth: {token: open-sesame}',
  );

  it('answers only who shows the token, whatever the order of extensions', async () => {
    const other = await start(guarded.replace('[journal, query]', '[query, journal, bearertokenauth]'));
    try {
      const asked = (headers: Record<string, string>, url = '/api/v1/runs') =>
        request(other.port, { method: 'GET', path: url, headers });
      for (const url of ['/api/v1/runs', '/api/v1/openapi.json', '/nowhere']) {
        const answer = await asked({}, url);
        expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer']);
      }
      expect((await asked({ authorization: 'Bearer wrong' })).status).toBe(401);
      const answer = await asked({ authorization: 'Bearer open-sesame' });
      expect([answer.status, JSON.parse(answer.body.toString()).total > 0]).toEqual([200, true]);
    } finally {
      await other.collector.stop(5_000);
    }
  });

  it('that is not there, or not started, no configuration is made', () => {
    for (const config of [
      guarded,
      guarded.replace('authenticator: bearertokenauth', 'authenticator: nobody'),
    ]) {
      const { problems } = loadConfig({ sources: [`yaml:${config}`], env: {}, components: COMPONENTS });
      expect(problems.map(problem => problem.path)).toEqual(['extensions::query::auth']);
    }
  });
});

it('without the record of runs it says what is missing', async () => {
  const other = CONFIG.replaceAll('jsonl: {directory: runs}', 'debug: {}')
    .replaceAll('[jsonl]', '[debug]')
    .replace('directory: journal', 'directory: other');
  await expect(start(other)).rejects.toThrow('extensions::query: needs the jsonl exporter');
});
