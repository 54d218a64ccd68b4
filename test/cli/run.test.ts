// `kymo run -- command`: one run around a program, whatever it is written in.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readRuns } from '../collector/exporters/wandb/logs.ts';
import {
  KYMO,
  removeFolder,
  runKymo,
  temporaryFolder,
  until,
} from '../collector/service/collector-process.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
  writeFileSync(join(folder, 'package.json'), '{}');
});
afterEach(() => removeFolder(folder));

const kymo = (args: string[], env: NodeJS.ProcessEnv = {}) =>
  runKymo(['run', ...args], folder, { KYMO_COLLECTOR_LINGER_MS: '0', KYMO_DIR: folder, ...env });

function theRun(below = '.'): {
  record: Record<string, unknown>;
  lines(file: string): Record<string, unknown>[];
} {
  const names = readdirSync(join(folder, below, 'runs'));
  expect(names).toHaveLength(1);
  const place = join(folder, below, 'runs', names[0]!);
  return {
    record: JSON.parse(readFileSync(join(place, 'run.json'), 'utf8')),
    lines(file) {
      const name = join(place, 'logs', file);
      if (!existsSync(name)) return [];
      return readFileSync(name, 'utf8')
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line));
    },
  };
}

describe('kymo run', () => {
  it('records a Node program that does not know of it, and ends with its exit code', async () => {
    writeFileSync(join(folder, 'train.cjs'), "console.log('hello'); process.exit(5);");
    const ending = await kymo([
      '--project',
      'p',
      '--name',
      'first',
      '--tag',
      'a',
      '--',
      process.execPath,
      'train.cjs',
    ]);
    expect(ending).toEqual({ code: 5, stdout: 'hello\n', stderr: '' });
    const { record, lines } = theRun();
    expect(record).toMatchObject({ project: 'p', name: 'first', tags: ['a'], state: 'failed' });
    expect(record.instances).toHaveLength(2);
    const said = lines('logs.jsonl').filter(line => line.message === 'hello');
    expect(said.map(line => line.logger)).toEqual(['console']);
  });

  it('keeps the output of any other program, and takes numbers from it', async () => {
    const script = "printf 'step 1 loss=0.5\\nstep 2 lo'; sleep 0.1; echo 'ss=0.25'; echo careful >&2";
    const ending = await kymo(['--', 'sh', '-c', script], { KYMO_PARSE_STDOUT: '1' });
    expect(ending).toEqual({ code: 0, stdout: 'step 1 loss=0.5\nstep 2 loss=0.25\n', stderr: 'careful\n' });
    const { record, lines } = theRun();
    expect(record.state).toBe('finished');
    expect(lines('metrics.jsonl').map(({ step, loss }) => [step, loss])).toEqual([
      [1, 0.5],
      [2, 0.25],
    ]);
    const kept = lines('logs.jsonl').filter(line => line.logger === 'stdout' || line.logger === 'stderr');
    expect(kept.map(({ logger, level, message }) => [logger, level, message])).toEqual([
      ['stdout', 'INFO', 'step 1 loss=0.5'],
      ['stdout', 'INFO', 'step 2 loss=0.25'],
      ['stderr', 'WARN', 'careful'],
    ]);
  });

  it('tells the program where to send OTLP; what comes there without the right token is refused', async () => {
    const send = `curl -s -o /dev/null -w '%{http_code} ' -X POST $OTEL_EXPORTER_OTLP_ENDPOINT/v1/logs -H 'content-type: application/json'`;
    const body = `-d '{"resourceLogs":[{"resource":{"attributes":[{"key":"kymo.run.id","value":{"stringValue":"'$KYMO_RUN_ID'"}}]},"scopeLogs":[{"logRecords":[{"body":{"stringValue":"by curl"}}]}]}]}'`;
    const header = `-H "authorization: $(echo $OTEL_EXPORTER_OTLP_HEADERS | sed 's/authorization=//; s/%20/ /')"`;
    const retry = `for i in 1 2 3 4 5 6 7 8 9; do code=$(${send} ${header} ${body}); echo $code; [ $code = 200 ] && break; sleep 0.5; done`;
    const ending = await kymo(['--', 'sh', '-c', `${retry}; ${send} ${body}`]);
    expect(ending.stdout.trim().split(/\s+/).slice(-2)).toEqual(['200', '401']);
    expect(
      theRun()
        .lines('logs.jsonl')
        .filter(line => line.message === 'by curl'),
    ).toHaveLength(1);
  });

  it('writes below --log-dir, with --wandb a W&B run of the project named too', async () => {
    const options = ['--name', 'first', '--log-dir', 'logs-of', '--wandb', '--wandb-project', 'board'];
    const env = { KYMO_PARSE_STDOUT: '1', WANDB_MODE: 'offline' };
    const script = "echo 'step 1 loss=0.5'; echo 'step 2 loss=0.25'";
    const ending = await kymo([...options, '--', 'sh', '-c', script], env);
    expect(ending).toMatchObject({ code: 0, stdout: 'step 1 loss=0.5\nstep 2 loss=0.25\n' });
    const { record, lines } = theRun('logs-of');
    expect(record).toMatchObject({ name: 'first', state: 'finished' });
    expect(lines('metrics.jsonl')).toHaveLength(2);
    expect(existsSync(join(folder, 'runs'))).toBe(false);
    // `kymo run` does not wait for this exporter.
    const log = await until('the log of W&B to have its end', () => {
      try {
        return readRuns(join(folder, 'logs-of', 'wandb')).find(one => one.exit !== undefined);
      } catch {
        return undefined; // half a record, at the moment
      }
    });
    expect(log.rows.map(row => [row['kymo/step'], row.loss])).toEqual([
      [1, 0.5],
      [2, 0.25],
    ]);
    const head = log.records.find(one => one.kind === 'run')!.run;
    expect(head).toMatchObject({ project: 'board', name: 'first' });
  });

  it('passes signals on, and ends as shells say it', async () => {
    const ending = await kymo(['--', 'sh', '-c', 'kill -TERM $$']);
    expect(ending.code).toBe(143);
    expect(theRun().record.state).toBe('killed');
  });

  it('says what is wrong with the command', async () => {
    expect(await kymo(['--', 'no-such-program'])).toMatchObject({
      code: 127,
      stderr: 'kymo run: no-such-program: there is no such program\n',
    });
    expect(await kymo([])).toMatchObject({
      code: 2,
      stderr: 'kymo run: a command is needed: kymo run -- node train.js; see kymo run --help\n',
    });
    expect((await kymo(['python3', 'x.py'])).stderr).toContain(
      'put -- before the program: kymo run -- python3 x.py',
    );
    expect((await kymo(['--capture', 'maybe', '--', 'true'])).stderr).toContain(
      '--capture is one of auto, always, never',
    );
  });
});

it('a run inside a run is the same run', async () => {
  const inner = `${process.execPath} --disable-warning=ExperimentalWarning ${KYMO} run -- true`;
  expect((await kymo(['--', 'sh', '-c', inner])).code).toBe(0);
  expect(theRun().record.state).toBe('finished');
});
