// `kymo run -- command`: a run around any program, whatever it is written in.
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { basename, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { LineReader } from '../register/line-reader.ts';
import { lineScalars } from '../register/line-scalars.ts';
import { isTrue } from '../register/start.ts';
import { type Severity, TextRecords } from '../register/text-records.ts';
import { init } from '../research/init.ts';
import type { Run } from '../research/run.ts';
import { type Command, printError, readArguments, UsageError } from './command.ts';
import { type OtlpBridge, openOtlpBridge } from './otlp-bridge.ts';

const CAPTURE = ['auto', 'always', 'never'] as const;
type Capture = (typeof CAPTURE)[number];
/** What shells answer with for a command that is not there, or that may not be run. */
const EXIT_NOT_FOUND = 127;
const EXIT_NOT_RUN = 126;
const SIGNAL_BASE = 128;
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const REGISTER = new URL(`../register${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export const runCommand: Command = {
  help: `Usage: kymo run [options] -- COMMAND [ARGUMENT …]

Runs a program as a run of Kymo. A Node program is recorded as with --require kymo/register; any other program joins with
what it sends by OpenTelemetry (the OTEL_EXPORTER_OTLP_* variables are set), and its output is kept as log records.
Ends with the program's exit code.

  --project NAME        What the run belongs to (default: the name in package.json, or the folder's)
  --name NAME           The run's name
  --group NAME          Runs that belong together
  --tag TAG             A tag; may be given several times
  --log-dir DIR         The folder in which runs/ lies (default: the project folder)
  --wandb               Write to Weights & Biases too
  --wandb-project NAME  Its project there
  --config FILE         The collector's configuration
  --capture WHEN        Keep the program's output: auto (default: unless it is Node, which keeps its own), always, never

Environment: all KYMO_* variables count (kymo env lists them); KYMO_PARSE_STDOUT=1 makes scalars of lines such as
\`step 100 loss=0.42\`.`,

  async run(args) {
    const split = args.indexOf('--');
    const own = split < 0 ? args : args.slice(0, split);
    const command = split < 0 ? [] : args.slice(split + 1);
    const first = own.find(arg => !arg.startsWith('-'));
    if (split < 0 && first !== undefined && first === own[0])
      throw new UsageError(`put -- before the program: kymo run -- ${own.join(' ')}`);
    const { values } = readArguments(own, {
      project: { type: 'string' },
      name: { type: 'string' },
      group: { type: 'string' },
      tag: { type: 'string', multiple: true },
      'log-dir': { type: 'string' },
      wandb: { type: 'boolean' },
      'wandb-project': { type: 'string' },
      config: { type: 'string' },
      capture: { type: 'string', default: 'auto' },
    });
    const capture = CAPTURE.find(one => one === values.capture);
    if (capture === undefined) throw new UsageError(`--capture is one of ${CAPTURE.join(', ')}`);
    const [program, ...rest] = command;
    if (program === undefined) throw new UsageError('a command is needed: kymo run -- node train.js');
    if (values.config !== undefined) process.env.KYMO_CONFIG = resolve(values.config);
    if (values.wandb === true) process.env.KYMO_EXPORTERS = withWandb(process.env.KYMO_EXPORTERS);
    if (values['wandb-project'] !== undefined) process.env.WANDB_PROJECT = values['wandb-project'];
    const run = init({
      ...(values.project === undefined ? {} : { project: values.project }),
      ...(values.name === undefined ? {} : { name: values.name }),
      ...(values.group === undefined ? {} : { group: values.group }),
      ...(values.tag === undefined ? {} : { tags: values.tag }),
      ...(values['log-dir'] === undefined ? {} : { dir: values['log-dir'] }),
      config: { command: [program, ...rest].join(' ') },
    });
    return await runProgram(run, program, rest, capture);
  },
};

function withWandb(exporters = 'jsonl,tensorboard'): string {
  return exporters.split(',').some(one => one.trim().split('/')[0] === 'wandb')
    ? exporters
    : `${exporters},wandb`;
}

async function runProgram(
  run: Run,
  program: string,
  args: readonly string[],
  when: Capture,
): Promise<number> {
  const isNode = /^node(\.exe)?$/.test(basename(program));
  const captured = when === 'always' || (when === 'auto' && !isNode);
  const bridge = process.env.KYMO_ENDPOINT ? undefined : await openOtlpBridge(run.runtime.projectDirectory);
  const child = spawn(program, args, {
    stdio: captured ? ['inherit', 'pipe', 'pipe'] : 'inherit',
    env: childEnvironment(run, bridge, captured),
  });
  // The terminal sends its signals to the child as well; we stay to see how it ends.
  const forward = (signal: NodeJS.Signals): void => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  const output = captured
    ? [
        keep(run, child.stdout, process.stdout, 'stdout', [9, 'INFO']),
        keep(run, child.stderr, process.stderr, 'stderr', [13, 'WARN']),
      ]
    : [];
  const { code, signal } = await ended(child, program);
  await Promise.all(output);
  for (const name of FORWARDED) process.off(name, forward);
  await run.finish({ state: signal !== null ? 'killed' : code === 0 ? 'finished' : 'failed' });
  bridge?.close();
  return signal === null ? (code ?? 1) : SIGNAL_BASE + constants.signals[signal];
}

/** What the program finds in its environment, besides the run that `init` has put there. */
function childEnvironment(run: Run, bridge: OtlpBridge | undefined, captured: boolean): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env };
  env.NODE_OPTIONS = `${env.NODE_OPTIONS ?? ''} --import=${REGISTER.href}`.trim();
  // What is kept here is not kept a second time by the program itself.
  if (captured) Object.assign(env, { KYMO_CONSOLE: '0', KYMO_PARSE_STDOUT: '0', PYTHONUNBUFFERED: '1' });
  const endpoint = bridge?.endpoint ?? process.env.KYMO_ENDPOINT;
  if (endpoint !== undefined) {
    env.OTEL_EXPORTER_OTLP_ENDPOINT = endpoint;
    env.OTEL_EXPORTER_OTLP_PROTOCOL = 'http/protobuf';
  }
  if (bridge !== undefined) {
    env.KYMO_OTLP_BRIDGE = bridge.endpoint;
    env.OTEL_EXPORTER_OTLP_HEADERS = `authorization=${encodeURIComponent(bridge.authorization)}`;
  }
  env.OTEL_SERVICE_NAME ??= run.project;
  const attributes = { 'kymo.run.id': run.id, 'kymo.project': run.project, 'kymo.run.name': run.name };
  const own = Object.entries(attributes).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  env.OTEL_RESOURCE_ATTRIBUTES = [env.OTEL_RESOURCE_ATTRIBUTES, ...own].filter(Boolean).join(',');
  return env;
}

/** Passes output on as it comes, and keeps its lines. */
function keep(
  run: Run,
  from: ChildProcess['stdout'],
  to: Writable,
  logger: string,
  severity: Severity,
): Promise<void> {
  if (from === null) return Promise.resolve();
  const records = new TextRecords(logger);
  const parses = logger === 'stdout' && isTrue(process.env.KYMO_PARSE_STDOUT);
  const lines = new LineReader(line => {
    if (line.trim() !== '') records.add(run, severity, line);
    const scalars = parses ? lineScalars(line) : undefined;
    if (scalars !== undefined)
      run.log(scalars.values, scalars.step === undefined ? {} : { step: scalars.step });
  });
  return new Promise(done => {
    from.on('data', (chunk: Buffer) => {
      lines.add(chunk);
      if (to.destroyed || to.write(chunk)) return;
      from.pause();
      to.once('drain', () => from.resume());
    });
    from.on('close', () => {
      lines.end();
      done();
    });
  });
}

function ended(
  child: ChildProcess,
  program: string,
): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> {
  return new Promise(done => {
    child.once('close', (code, signal) => done({ code, signal }));
    child.once('error', (error: NodeJS.ErrnoException) => {
      const isMissing = error.code === 'ENOENT';
      printError(`kymo run: ${program}: ${isMissing ? 'there is no such program' : error.message}`);
      done({ code: isMissing ? EXIT_NOT_FOUND : EXIT_NOT_RUN, signal: null });
    });
  });
}
