// Exporters of one's own, loaded from a module beside the configuration, and routes by scope; with the real command line.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { paths } from '../../../src/semconv/local.ts';
import { endCollectors } from '../../sdk/collectors.ts';
import { train } from '../../sdk/trainer.ts';
import { readText, removeFolder, runKymo, temporaryFolder } from './collector-process.ts';

const folders: string[] = [];
let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
  folders.push(folder);
  mkdirSync(join(folder, 'conf'));
  mkdirSync(join(folder, 'elsewhere'));
});
afterAll(async () => {
  for (const each of folders) await endCollectors(each);
  folders.forEach(removeFolder);
});

const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);

/** Writes the name of each point into a file; its schema is no zod schema. */
const COLLECTOR = JSON.stringify(resolve('src/collector/component.ts'));
const MODULE = `
import { appendFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { RetryableError } from ${COLLECTOR};
const config = {
  safeParse(value) {
    const { file = 'points.txt', ...rest } = value;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined)
      return { success: false, error: { issues: [{ code: 'unrecognized_keys', keys: [unknown], path: [], message: 'unknown key' }] } };
    if (typeof file !== 'string') return { success: false, error: { issues: [{ path: ['file'], message: 'must be a path' }] } };
    return { success: true, data: { file } };
  },
};
let busy = 2;
export const points = {
  kind: 'exporter', type: 'points', signals: ['metrics'], local: true, config,
  create: ({ baseDirectory, id }, { file }) => ({
    start() {},
    export(batch) {
      if (busy-- > 0) throw new RetryableError('busy', { retryAfterMs: 1 });
      const { columns, resolved } = batch.scalars;
      for (let i = 0; i < columns.count; i++) {
        const { companion, sinkName } = resolved[columns.seriesIndex[i]];
        if (!companion) appendFileSync(resolve(baseDirectory, file), id + ' ' + sinkName + '\\n');
      }
    },
    commit: () => undefined,
    stop() {},
  }),
};
`;
const pipelines = (exporters: string) => `
service:
  pipelines:
    metrics: {receivers: [local], exporters: [${exporters}]}
`;

describe('a module', () => {
  it('named in a configuration is loaded from beside it, and gets what its route says', async () => {
    write('conf/points.mjs', MODULE);
    write(
      'conf/c.yaml',
      `receivers: {local: }
exporters:
  jsonl:
  jsonl/eval: {directory: eval-runs, scopes: [eval]}
  points: {module: ./points.mjs}
  points/eval: {module: ./points.mjs, file: eval.txt, scopes: [eval.deep, other]}
service:
  pipelines:
    metrics: {receivers: [local], exporters: [jsonl, jsonl/eval, points, points/eval]}
    logs: {receivers: [local], exporters: [jsonl, jsonl/eval]}
`,
    );
    const { code, stderr } = await train(
      folder,
      `const run = kymo.init({ project: 'p', id: 'r', config: { lr: 0.1 } });
       run.log({ loss: 1 }, { step: 0 });
       kymo.getLogger('a', { scope: 'eval' }).log({ accuracy: 0.5 }, { step: 0 });
       kymo.getLogger('b', { scope: 'eval.deep' }).log({ score: 2 }, { step: 0 });
       kymo.getLogger('b', { scope: 'eval.deep' }).info('in eval');
       kymo.getLogger('c', { scope: 'evaluation' }).info('not in eval');
       await run.finish();`,
      { KYMO_CONFIG: 'conf/c.yaml', KYMO_COLLECTOR_LINGER_MS: '0' },
    ).ended;
    expect([code, stderr]).toEqual([0, '']);
    const lines = (file: string) => readText(join(folder, file)).trim().split('\n').filter(Boolean).sort();
    expect(lines('points.txt')).toEqual(['points eval.deep/score', 'points eval/accuracy', 'points loss']);
    expect(lines('eval.txt')).toEqual(['points/eval eval.deep/score']);
    const rows = (runs: string) =>
      lines(`${runs}/r/logs/metrics.jsonl`).flatMap(line => Object.keys(JSON.parse(line) as object));
    expect(rows('runs')).toEqual(expect.arrayContaining(['loss', 'eval/accuracy', 'eval.deep/score']));
    expect(rows('eval-runs')).toEqual(expect.arrayContaining(['eval/accuracy', 'eval.deep/score']));
    expect(rows('eval-runs')).not.toContain('loss');
    const texts = lines('eval-runs/r/logs/logs.jsonl').map(
      line => JSON.parse(line) as Record<string, unknown>,
    );
    expect(
      texts.map(line => line.message).filter(message => message === 'in eval' || message === 'not in eval'),
    ).toEqual(['in eval']);
    // What the run says about itself is in every route.
    expect(JSON.parse(readText(join(folder, 'eval-runs/r/run.json')))).toMatchObject({ state: 'finished' });
    expect(JSON.parse(readText(join(folder, 'eval-runs/r/config.json')))).toEqual({ lr: 0.1 });
  }, 30_000);

  it('named in KYMO_EXPORTERS is loaded from the project folder', async () => {
    write('my-points.mjs', MODULE);
    const { code, stderr } = await train(
      folder,
      `const run = kymo.init({ project: 'p', id: 'r' }); run.log({ loss: 1 }, { step: 0 }); await run.finish();`,
      { KYMO_EXPORTERS: 'jsonl,./my-points.mjs', KYMO_COLLECTOR_LINGER_MS: '0' },
    ).ended;
    expect([code, stderr]).toEqual([0, '']);
    expect(readText(join(folder, 'points.txt'))).toBe('my_points loss\n');
  }, 30_000);

  it('that cannot be used is told with its place and what is wrong', async () => {
    write('conf/points.mjs', MODULE);
    write('conf/broken.mjs', 'throw new RangeError("it is Sunday");');
    write('conf/syntax.mjs', 'export const = 1;');
    write('conf/empty.mjs', 'export const nothing = 1;');
    write('conf/awaits.mjs', 'await 1; export const x = {};');
    write(
      'conf/cjs.cjs',
      'module.exports = { kind: "exporter", type: "c", signals: ["metrics"], config: { safeParse: v => ({ success: true, data: v }) }, create() {} };',
    );
    const two = (name: string) => `export const ${name} = { kind: 'exporter', type: '${name}' };`;
    write('conf/two.mjs', two('one') + two('other'));
    write('conf/signals.mjs', "export default { kind: 'exporter', type: 'x', signals: ['metric'] };");
    write(
      'conf/schema.mjs',
      "export const x = { kind: 'exporter', type: 'x', signals: ['logs'], config: {} };",
    );
    write(
      'conf/create.mjs',
      "export const x = { kind: 'exporter', type: 'x', signals: ['logs'], config: { safeParse() {} } };",
    );
    write(
      'conf/answer.mjs',
      "export const x = { kind: 'exporter', type: 'x', signals: ['metrics'], config: { safeParse() {} }, create() {} };",
    );
    const bad: [string, string][] = [
      ['a: {module: ./missing.mjs}', `4:15: exporters::a::module: no such module in ${join(folder, 'conf')}`],
      [
        'b: {module: https://example.com/x.js}',
        '5:15: exporters::b::module: modules are loaded from files only, not from https: give a path such as ./my-exporter.js',
      ],
      ['c: {module: ./broken.mjs}', '6:15: exporters::c::module: cannot be loaded: RangeError: it is Sunday'],
      [
        'd: {module: ./empty.mjs}',
        '7:15: exporters::d::module: exports no exporter: it must export an object {kind: "exporter", type, signals, config, create}',
      ],
      [
        'e: {module: ./awaits.mjs}',
        '8:15: exporters::e::module: cannot be loaded: it uses await at its top level, which is not waited for',
      ],
      [
        'f: {module: ./two.mjs}',
        '9:15: exporters::f::module: exports "one", "other", and none of them is named "f" as this id is',
      ],
      [
        'g: {module: ./signals.mjs}',
        '10:15: exporters::g::module: its exporter "x" must have "signals", a list of traces, metrics, logs',
      ],
      [
        'h: {module: ./schema.mjs}',
        '11:15: exporters::h::module: its exporter "x" must have "config", a zod schema or another object with safeParse',
      ],
      [
        'i: {module: ./create.mjs}',
        '12:15: exporters::i::module: its exporter "x" must have "create", a function of context and settings',
      ],
      [
        'j: {module: [x]}',
        '13:15: exporters::j::module: expected the path of a module, such as ./my-exporter.js, got list',
      ],
      [
        'jsonl: {module: ./points.mjs}',
        '14:11: exporters::jsonl::module: "jsonl" is built in: give an exporter of your own another id, such as my_jsonl',
      ],
      ['k: {module: ./points.mjs, flie: x}', '15:29: exporters::k: unknown key "flie"'],
      ['l: {module: ./points.mjs, file: 7}', '16:35: exporters::l::file: must be a path'],
      ['m: {module: fs}', '17:15: exporters::m::module: is a module of Node, not an exporter'],
      [
        'n: {module: ./answer.mjs}',
        '18:3: exporters::n: its schema does not answer: safeParse must return {success, data} or {success, error}',
      ],
      ['o: {module: ./syntax.mjs}', '19:15: exporters::o::module: cannot be loaded: SyntaxError: '],
      ['q: {}', '20:3: exporters: unknown type: "q" for id: "q"'],
    ];
    write(
      'conf/bad.yaml',
      `receivers: {local: }\nexporters:\n  fine: {module: ./cjs.cjs}\n${bad.map(([text]) => `  ${text}\n`).join('')}${pipelines('fine')}`,
    );
    const { code, stderr } = await runKymo(
      ['collector', 'validate', '--config', '../conf/bad.yaml'],
      join(folder, 'elsewhere'),
    );
    expect(code).toBe(1);
    const lines = stderr.trimEnd().split('\n');
    const expected = bad.map(([, text]) => expect.stringContaining(`../conf/bad.yaml:${text}`));
    expect(lines).toEqual(expected);
  });

  it('whose exporter lacks a method harms nobody else, and the collector says which', async () => {
    write(
      'half.mjs',
      "export const x = { kind: 'exporter', type: 'x', signals: ['metrics'], config: { safeParse: data => ({ success: true, data }) }, create: () => ({ start() {}, export() {} }) };",
    );
    const { code } = await train(
      folder,
      `const run = kymo.init({ project: 'p', id: 'r' }); run.log({ loss: 1 }, { step: 0 }); await run.finish();`,
      { KYMO_EXPORTERS: 'jsonl,half.mjs', KYMO_COLLECTOR_LINGER_MS: '0' },
    ).ended;
    expect(code).toBe(0);
    expect(readText(join(folder, 'runs/r/logs/metrics.jsonl'))).toContain('"loss":1');
    expect(readText(paths(folder).log)).toContain(
      'exporter "x": what create returned has no method commit()',
    );
  }, 30_000);
});

describe('scopes', () => {
  it.each([
    ['jsonl: {scopes: eval}', 'exporters::jsonl::scopes: expected list, got string'],
    ['jsonl: {scopes: []}', 'exporters::jsonl::scopes: must be at least 1 entries'],
    ['jsonl: {scopes: [7]}', 'exporters::jsonl::scopes::0: expected string, got number'],
    ['jsonl: {scope: [eval]}', 'exporters::jsonl: unknown key "scope" (did you mean "scopes"?)'],
    [
      'otlp_http: {endpoint: "http://localhost:1", scopes: [eval]}',
      'exporters::otlp_http::scopes: "otlp_http" forwards whole requests',
    ],
  ])('%s is refused with its place', async (exporter, message) => {
    const [id = ''] = exporter.split(':');
    write('c.yaml', `receivers: {local: }\nexporters:\n  ${exporter}\n${pipelines(id)}`);
    const { code, stderr } = await runKymo(['collector', 'validate', '--config', 'c.yaml'], folder);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^c\.yaml:3:\d+: /);
    expect(stderr).toContain(message);
  });

  it('of null are none: everything is taken', async () => {
    write('c.yaml', `receivers: {local: }\nexporters:\n  jsonl: {scopes: }\n${pipelines('jsonl')}`);
    expect(await runKymo(['collector', 'validate', '--config', 'c.yaml'], folder)).toMatchObject({
      code: 0,
      stderr: '',
    });
  });
});
