// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the references that the configuration expands
// Every file in testdata/bad says in `# expect:` lines exactly what must be said about it.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../../src/collector/config/load.ts';
import { formatProblem } from '../../../src/collector/config/problem.ts';
import { SAMPLE_COMPONENTS } from './sample-components.ts';

const folder = 'test/collector/config/testdata/bad';
const env = { LOOP_A: '${env:LOOP_B}', LOOP_B: '${env:LOOP_A}' };

describe('a bad configuration', () => {
  it.each(readdirSync(folder))('%s: every problem is told with its line, and nothing else', file => {
    const path = `${folder}/${file}`;
    const expected = [...readFileSync(path, 'utf8').matchAll(/^# expect: (.*)$/gm)].map(([, text]) => text);
    const { config, problems } = loadConfig({ sources: [path], env, components: SAMPLE_COMPONENTS });
    expect(config).toBeUndefined();
    expect(problems.map(formatProblem)).toEqual(expected.map(text => `${path}:${text}`));
  });
});

describe('a source', () => {
  const said = (sources: string[], set: string[] = []) =>
    loadConfig({ sources, set, env: { EMPTY: '' }, components: SAMPLE_COMPONENTS }).problems.map(
      formatProblem,
    );

  it.each([
    [[], 'at least one config flag must be provided'],
    [['/no/such/file.yaml'], '/no/such/file.yaml: cannot be read: no such file'],
    [['file:/no/such/file.yaml'], '/no/such/file.yaml: cannot be read: no such file'],
    [['/tmp'], '/tmp: cannot be read: it is a folder'],
    [['env:EMPTY'], '--config env:EMPTY: environment variable EMPTY is not set'],
    [
      ['https://example.com/c.yaml'],
      '--config https:…: configuration is not fetched from the network; give a file',
    ],
    [['s3://x'], '--config s3:…: scheme "s3" is not supported (valid: file, env, yaml)'],
    [['yaml:[1]'], '--config yaml (1): a configuration is a map: receivers, exporters, extensions, service'],
  ])('%j is refused with a reason', (sources, message) => {
    expect(said(sources)).toEqual([message]);
  });

  it('names the whole --set whose key or value is wrong, without the value', () => {
    const text = said(['yaml:receivers: {}'], ['exporters.jsonl.max_open=pass:word: x', 'nonsense']).join(
      '\n',
    );
    expect(text).toContain('--set nonsense: write key::key=value');
    expect(text).not.toContain('word');
  });
});

describe('secrets', () => {
  it('are in no message, whatever is wrong with them', () => {
    const hidden = 'hunter2';
    const config = `
receivers: {otlp: {protocols: {grpc: }}}
exporters:
  otlp_http:
    endpoint: http://user:${hidden}@localhost
    headers: {authorization: "a\\n${hidden}", "${'x'}": [${hidden}]}
    api_key: [${hidden}]
    timeout: \${env:KEY}
    compression: \${env:\${env:KEY}}
service: {pipelines: {metrics: {receivers: [otlp], exporters: [otlp_http]}}}
`;
    const { problems, warnings } = loadConfig({
      sources: [`yaml:${config}`],
      env: { KEY: `${hidden}-` },
      components: SAMPLE_COMPONENTS,
    });
    expect(problems.length).toBeGreaterThan(2);
    expect([...problems, ...warnings].map(formatProblem).join('\n')).not.toContain(hidden);
  });
});
