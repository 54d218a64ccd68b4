// `--require` and `--import` of the entry point: a run around a script that does not know of it.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));
const register = join(root, 'src/register.ts');
let project: string;

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'kymo-register-'));
});
afterEach(() => {
  rmSync(project, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

function run(
  script: string,
  env: Record<string, string> = {},
  how = '--import',
): { stdout: string; stderr: string; status: number | null } {
  const file = join(project, 'train.cjs');
  writeFileSync(file, script);
  return spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', how, register, file], {
    cwd: project,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, KYMO_DIR: project, KYMO_COLLECTOR_LINGER_MS: '0', ...env },
  });
}

function states(): string[] {
  return readdirSync(join(project, 'runs')).map(
    name =>
      (JSON.parse(readFileSync(join(project, 'runs', name, 'run.json'), 'utf8')) as { state: string }).state,
  );
}

describe('kymo/register', () => {
  it.each(['--import', '--require'])('with %s records a run and changes nothing that is printed', how => {
    const ending = run("console.log('hello');", {}, how);
    expect(ending).toMatchObject({ stdout: 'hello\n', stderr: '', status: 0 });
    expect(states()).toEqual(['finished']);
  });

  it('marks the run of a script that throws failed, with the same exit code and message', () => {
    const ending = run("throw new Error('went wrong');");
    expect(ending.status).toBe(1);
    expect(ending.stderr).toContain('went wrong');
    expect(states()).toEqual(['failed']);
  });

  it('does nothing inside processes that Kymo starts for itself', () => {
    expect(run("console.log('hello');", { KYMO_INTERNAL: '1' })).toMatchObject({
      stdout: 'hello\n',
      status: 0,
    });
    expect(readdirSync(project)).toEqual(['train.cjs']);
  });

  it('leaves the providers of an OTEL_CONFIG_FILE to OpenTelemetry, and records the run all the same', () => {
    mkdirSync(join(project, 'conf'));
    const config = join(project, 'conf/otel.yaml');
    writeFileSync(
      config,
      'file_format: "1.0"\ntracer_provider:\n  processors:\n    - simple:\n        exporter:\n          console:\n',
    );
    const api = JSON.stringify(join(root, 'node_modules/@opentelemetry/api'));
    const ending = run(`require(${api}).trace.getTracer('mine').startSpan('declared').end();`, {
      OTEL_CONFIG_FILE: config,
    });
    expect(ending.stdout).toContain('declared');
    expect(ending.stderr).toContain('provider');
    expect(states()).toEqual(['finished']);
  });
});
