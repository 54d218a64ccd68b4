import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { writeFrame } from '../../src/otlp/frame.ts';
import { encodeSpoolHeader, spoolFileName } from '../../src/otlp/spool-file.ts';
import { paths } from '../../src/semconv/local.ts';
import { removeFolder, runKymo, temporaryFolder } from '../collector/service/collector-process.ts';

const COMMANDS = [
  ...['collector', 'run', 'runs', 'show', 'tail', 'export', 'import', 'sync'],
  ...['status', 'journal', 'replay', 'spool', 'env'],
];

let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
  writeFileSync(join(folder, 'package.json'), '{}');
  writeFileSync(
    join(folder, 'good.yaml'),
    `receivers: {otlp: {protocols: {http: {endpoint: localhost:4318}}}}
exporters: {otlp_http: {endpoint: "http://localhost:1", headers: {authorization: "Bearer \${env:TOKEN}"}}}
service: {pipelines: {metrics: {receivers: [otlp], exporters: [otlp_http]}}}
`,
  );
  writeFileSync(join(folder, 'bad.yaml'), 'receivers: {otlp: {protocls: }}\nexporters: {jsonl: }\n');
});
afterAll(() => removeFolder(folder));
const kymo = (args: string[], env: NodeJS.ProcessEnv = {}) => runKymo(args, folder, env);

describe('kymo', () => {
  it('prints its version and its help', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(await kymo(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    const help = await kymo(['--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    for (const command of COMMANDS) {
      expect(help.stdout).toContain(`\n  ${command} `);
    }
    expect(await kymo([])).toEqual({ code: 2, stdout: '', stderr: help.stdout });
  });

  it.each(COMMANDS)('%s --help says how to use it', async command => {
    const { code, stdout } = await kymo([command, '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Usage: kymo ${command}`));
  });

  it.each([
    [['colector'], 'kymo: unknown command "colector" (did you mean "collector"?); see kymo --help\n'],
    [['toString'], 'kymo: unknown command "toString"; see kymo --help\n'],
    [['x\u001b[2J'], 'kymo: unknown command "x\\u{1b}[2J"; see kymo --help\n'],
    [
      ['collector', 'validte'],
      'kymo collector: unknown subcommand "validte" (did you mean "validate"?); see kymo collector --help\n',
    ],
    [
      ['collector', '--confg', 'x'],
      'kymo collector: unknown option --confg (did you mean "--config"?); see kymo collector --help\n',
    ],
    [
      ['collector', '--config', 'good.yaml', '--drain-timeout', '5'],
      'kymo collector: --drain-timeout is not a duration: write 10s or 500ms; see kymo collector --help\n',
    ],
    [['status', 'x'], 'kymo status: unexpected argument "x"; see kymo status --help\n'],
    [['replay', '--run', 'r'], 'kymo replay: --run and --exporter are needed; see kymo replay --help\n'],
  ])('%j is a mistake of use: exit code 2', async (args, stderr) => {
    expect(await kymo(args)).toEqual({ code: 2, stdout: '', stderr });
  });
});

describe('kymo collector', () => {
  it('validate is silent and 0 for a good configuration, and tells all of a bad one with 1', async () => {
    expect(await kymo(['collector', 'validate', '--config', 'good.yaml'], { TOKEN: 't' })).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    expect(await kymo(['collector', 'validate', '--config', 'bad.yaml'])).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining(
        'bad.yaml:1:20: receivers::otlp: unknown key "protocls" (did you mean "protocols"?)\n',
      ),
    });
    expect(
      (await kymo(['collector', 'validate', '--config', 'bad.yaml', '--config', 'good.yaml'])).code,
    ).toBe(1);
    expect(await kymo(['collector', 'validate'])).toMatchObject({
      code: 1,
      stderr: 'at least one config flag must be provided\n',
    });
  });

  it('print-config shows the merged configuration without its secrets', async () => {
    const { code, stdout } = await kymo(
      ['collector', 'print-config', '--config', 'good.yaml', '--set', 'exporters::otlp_http::timeout=9s'],
      { TOKEN: 'hunter2' },
    );
    expect(code).toBe(0);
    expect(stdout).not.toContain('hunter2');
    expect(parse(stdout).exporters.otlp_http).toEqual({
      endpoint: 'http://localhost:1',
      headers: { authorization: '[REDACTED]' },
      timeout: '9s',
    });
  });

  it('components lists what there is as YAML', async () => {
    const { stdout } = await kymo(['collector', 'components']);
    const listed = parse(stdout);
    expect(listed.receivers.map((one: { name: string }) => one.name)).toEqual(['otlp', 'local']);
    expect(listed.exporters).toContainEqual({
      name: 'otlp_grpc',
      aliases: ['otlp'],
      stability: { traces: 'beta', metrics: 'beta', logs: 'beta' },
    });
    expect(listed.extensions.map((one: { name: string }) => one.name)).toContain('journal');
  });
});

describe('kymo status', () => {
  it('says with 1 that no collector runs, and where it looked', async () => {
    const { code, stderr } = await kymo(['status']);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `no collector runs on ${paths(folder).journal} or ${join(folder, '.kymo/journal')}`,
    );
  });
});

describe('kymo env', () => {
  it('shows every variable with its value, but no secret', async () => {
    const { stdout } = await kymo(['env', '--json'], {
      KYMO_DIR: '/x',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=hunter2',
      KYMO_ENDPOINT: 'http://me:hunter2@host:4318',
      WANDB_API_KEY: 'hunter2',
      WANDB_BASE_URL: 'http://me:hunter2@wandb',
    });
    expect(stdout).not.toContain('hunter2');
    const variables = JSON.parse(stdout);
    expect(variables).toContainEqual(expect.objectContaining({ name: 'KYMO_DIR', value: '/x' }));
    expect(variables).toContainEqual(
      expect.objectContaining({ name: 'OTEL_EXPORTER_OTLP_HEADERS', value: '[REDACTED]' }),
    );
    expect(variables).toContainEqual(expect.objectContaining({ name: 'WANDB_API_KEY', value: '[REDACTED]' }));
    expect((await kymo(['env'])).stdout).toMatch(/^KYMO_ENDPOINT +- /);
  });
});

describe('kymo spool list', () => {
  it('shows what waits, for whom, and whether its process lives', async () => {
    expect((await kymo(['spool', 'list'])).stdout).toContain('nothing waits in');
    const { spool } = paths(folder);
    mkdirSync(spool, { recursive: true });
    const header = encodeSpoolHeader({
      endpoint: 'http://h:4318',
      instance: 'i1',
      sender: 's1',
      run: 'r\u001b[31m',
      pid: process.pid,
      createdUnixMs: 1,
    });
    const frame = writeFrame({
      signal: 'logs',
      encoding: 0,
      receivedUnixNano: 1n,
      batchKey: 'i1/s1/logs/1',
      body: new Uint8Array(3),
    });
    writeFileSync(
      join(spool, spoolFileName('i1', 's1')),
      Buffer.concat([header, ...frame, Buffer.from('torn')]),
    );
    const { stdout } = await kymo(['spool', 'list']);
    expect(stdout).toMatch(/i1-s1\.spool +r\\u\{1b\}\[31m +http:\/\/h:4318 +1 .*living/);
    expect(JSON.parse((await kymo(['spool', 'list', '--json'])).stdout)).toMatchObject([
      { batches: 1, damaged: 0, living: true },
    ]);
  });
});
