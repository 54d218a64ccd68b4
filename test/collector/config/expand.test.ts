// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the references that the configuration expands
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig, loadTree } from '../../../src/collector/config/load.ts';
import { formatProblem } from '../../../src/collector/config/problem.ts';
import { toPlain } from '../../../src/collector/config/tree.ts';
import { SAMPLE_COMPONENTS } from './sample-components.ts';

const env = {
  PORT: '4318',
  HOST: 'localhost',
  OCTAL: '0123',
  EMPTY: '',
  NAME: 'PORT',
  NESTED: 'http://${env:HOST}:${env:PORT}',
  MAP: 'directory: ${env:HOST}\nmax_open: 7',
  LIST: '[a, 2]',
  QUOTED: '"quoted"',
  NOT_YAML: '{a: [',
  DOLLARS: 'a$$b',
  INJECTION: 'x\nevil: true',
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kymo-config-'));
  writeFileSync(join(folder, 'token'), 'abc\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

function expandOne(text: string) {
  const loaded = loadTree({
    sources: [`yaml:value: ${JSON.stringify(text)}`],
    env,
    directory: folder,
  });
  return {
    value: loaded.tree && (toPlain(loaded.tree) as { value: unknown }).value,
    problems: loaded.problems.map(formatProblem),
    warnings: loaded.warnings.map(warning => warning.message),
  };
}

describe('expansion', () => {
  it.each([
    ['${env:PORT}', 4318],
    ['${PORT}', 4318],
    ['port ${PORT}', 'port 4318'],
    ['${env:HOST}:${env:PORT}', 'localhost:4318'],
    ['${env:${env:NAME}}', 4318],
    ['${env:NESTED}', 'http://localhost:4318'],
    ['${env:LIST}', ['a', 2]],
    ['${env:MAP}', { directory: 'localhost', max_open: 7 }],
    ['${env:OCTAL}', 83],
    ['${env:QUOTED}', '"quoted"'],
    ['${env:NOT_YAML}', '{a: ['],
    ['${env:EMPTY}', null],
    ['${env:MISSING:-fallback}', 'fallback'],
    ['${env:MISSING:-}', null],
    ['${env:MISSING:-${env:PORT}}', 4318],
    ['${env:EMPTY:-unused}', null],
    ['${yaml:[1, 2]}', [1, 2]],
    ['${file:token}', 'abc'],
    ['$PORT', '$PORT'],
    ['$${env:PORT}', '${env:PORT}'],
    ['$$${env:PORT}', '$4318'],
    ['$$$${env:PORT}', '$${env:PORT}'],
    ['a$$b', 'a$b'],
    ['${env:DOLLARS}', 'a$b'],
    ['$${env:PORT} ${env:PORT}', '${env:PORT} 4318'],
    ['${', '${'],
    ['}${env:PORT}', '}4318'],
    ['v ${env:INJECTION}', 'v x\nevil: true'],
  ])('%s becomes %j', (text, value) => {
    const result = expandOne(text);
    expect(result.problems).toEqual([]);
    expect(result.value).toEqual(value);
  });

  it('makes an unset variable null where it stands alone, empty text elsewhere, and warns', () => {
    expect(expandOne('${env:MISSING}')).toEqual({
      value: null,
      problems: [],
      warnings: ['environment variable MISSING is not set'],
    });
    expect(expandOne('a${env:MISSING}b').value).toBe('ab');
  });

  it('does not expand keys', () => {
    const { tree } = loadTree({ sources: ['yaml:"${env:PORT}": 1'], env });
    expect(toPlain(tree!)).toEqual({ '${env:PORT}': 1 });
  });

  it.each([
    ['${http://example.com}', /not fetched from the network/],
    ['${env:${env:INJECTION}}', /names no valid environment variable/],
    ['${env:a$b}', /cannot hold a "\$"/],
    ['${file:missing}', /cannot be read: no such file/],
  ])('refuses %s', (text, message) => {
    const [problem] = expandOne(text).problems;
    expect(problem).toMatch(message);
    expect(problem).not.toContain('evil');
  });

  it('ends when references grow without bound', () => {
    const bomb = Object.fromEntries(
      Array.from({ length: 30 }, (_, i) => [
        `B${i}`,
        `[\${env:B${i + 1}}, \${env:B${i + 1}}]`
          .replaceAll('[', '["')
          .replaceAll(',', '",')
          .replaceAll(', ', ', "')
          .replaceAll(']', '"]'),
      ]),
    );
    const { problems } = loadTree({ sources: ['yaml:a: ${env:B0}'], env: bomb });
    expect(problems.map(problem => problem.message)).toEqual([
      expect.stringMatching(/grows without bound|expands to more than|too many/),
    ]);
  });
});

describe('the type of a setting', () => {
  const load = (setting: string) => {
    const base =
      'yaml:{receivers: {otlp: {protocols: {grpc: }}}, exporters: {jsonl: , otlp_http: {endpoint: http://h}}, service: {pipelines: {metrics: {receivers: [otlp], exporters: [jsonl, otlp_http]}}}}';
    const { config, problems } = loadConfig({
      sources: [base],
      set: [setting],
      env,
      components: SAMPLE_COMPONENTS,
    });
    return { exporters: config?.exporters.map(one => one.settings), problems: problems.map(formatProblem) };
  };

  it('decides between a value and its text: 0123 stays text for a text setting, and is 83 for a number', () => {
    expect(load('exporters.jsonl.directory=${env:OCTAL}').exporters).toContainEqual({
      directory: '0123',
      max_open: 100,
    });
    expect(load('exporters.jsonl.max_open=${env:OCTAL}').exporters).toContainEqual({
      directory: 'runs',
      max_open: 83,
    });
  });

  it('takes text for a text setting also where the text is a list', () => {
    expect(load('exporters.jsonl.directory=${env:LIST}').exporters).toContainEqual({
      directory: '[a, 2]',
      max_open: 100,
    });
  });

  it('stays strict for what is written out', () => {
    expect(load('exporters.jsonl.directory=5').problems).toEqual([
      '--set exporters.jsonl.directory: exporters::jsonl::directory: expected string, got number',
    ]);
    expect(load('exporters.jsonl.max_open=${env:HOST}').problems).toEqual([
      '--set exporters.jsonl.max_open: exporters::jsonl::max_open: expected number, got string',
    ]);
  });

  it('takes null for the default', () => {
    expect(load('exporters.jsonl.directory=').exporters).toContainEqual({ directory: 'runs', max_open: 100 });
    expect(load('exporters.otlp_http.tls=').exporters).toContainEqual(
      expect.objectContaining({ tls: { insecure: false, min_version: '1.2' } }),
    );
  });
});
