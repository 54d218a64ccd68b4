// Starts runs, and knows the one that a call means which names none.
import { join, relative, resolve } from 'node:path';
import { installGlobals } from '../sdk/providers-globals.ts';
import { processResource } from '../sdk/providers-resource.ts';
import { getRuntime, type Runtime } from '../sdk/runtime.ts';
import { namedEndpoint } from '../semconv/env.ts';
import { findProjectDirectory } from '../semconv/local.ts';
import { printable } from '../semconv/printable.ts';
import { escapeRunId } from '../semconv/run-folder.ts';
import { tell } from './complaints.ts';
import { disabledByEnvironment, disabledRuntime } from './disabled.ts';
import { inheritedRun } from './environment.ts';
import { attachInherited } from './handlers/attach.ts';
import {
  checkInitOptions,
  type InitOptions,
  RUNS_FOLDER,
  resumeRequest,
  settleIdentity,
} from './identity.ts';
import { Run } from './run.ts';
import { settleResume } from './runs/resume.ts';

/** The runtime of this process, where it has one already: see runtime.ts. */
const RUNTIME = Symbol.for('kymo.runtime.v1');

let runtime: Runtime | undefined;
/** The innermost disabled run; while there is one, nothing is logged anywhere. */
let disabled: Run | undefined;
/** The run that ended last: what comes after it is told so, instead of starting a new one. */
let last: Run | undefined;
/** A run that nobody asked for, started by the first call that needed one. */
let implicit: Run | undefined;

/**
 * Starts a run, or joins one that has the same id in another process. Returns at once: no network, no waiting.
 *
 * Throws a TypeError when an option has the wrong type or is unknown, and, where `resume` names a mode, a RunError or CheckpointError when the
 * run on the disk is not as it must be. Nothing else is thrown: a collector that is down, a full disk or a slow network is the worker
 * thread's business.
 *
 * @example
 * const run = init({ project: 'cartpole', config: { lr: 1e-2 } });
 * run.log({ loss: 0.31 });
 * await run.finish();
 */
export function init(options: InitOptions = {}): Run {
  checkInitOptions(options);
  if (implicit !== undefined && !implicit.ended)
    tell(`something was logged before init(); it is in a run of its own, ${implicit.id}`);
  implicit = undefined;
  return start(options);
}

/**
 * The run that calls without one act on: the one started last of those that have not finished. When there is none so far, one
 * is started with default options (it joins the run in `KYMO_RUN_ID`, if a parent process has set that).
 */
export function currentRun(): Run {
  if (disabled !== undefined && !disabled.ended) return disabled;
  const open = runtime?.runs;
  if (open !== undefined && open.length > 0) return open[open.length - 1] as Run;
  return openRun();
}

/** Like `currentRun`, but starts none: the run that ended last when none is open, undefined when there never was one. */
export function knownRun(): Run | undefined {
  if (disabled !== undefined && !disabled.ended) return disabled;
  runtime ??= (globalThis as { [RUNTIME]?: Runtime })[RUNTIME];
  return (runtime?.currentRun() as Run | undefined) ?? last;
}

function openRun(): Run {
  const known = knownRun();
  if (known !== undefined) return known;
  const run = start({});
  // A child of a run has been told what it belongs to: that is not a run that nobody asked for.
  if (inheritedRun().id === run.id) return run;
  implicit = run;
  return run;
}

function start(options: InitOptions): Run {
  const off = options.mode === 'disabled' || (options.mode === undefined && disabledByEnvironment());
  if (!off) settleEnvironment(options);
  const strict = options.strict ?? process.env.NODE_ENV === 'test';
  const { resume: _, ...withoutResume } = options;
  if (!off) attachInherited();
  // A run that does nothing does not count as an attempt either.
  const folder = projectDirectory();
  const request = off ? undefined : resumeRequest(options, folder);
  const resumption = request === undefined ? undefined : settleResume(request);
  const identity = settleIdentity(off ? withoutResume : options, folder, resumption);
  const used = off ? disabledRuntime() : startRuntime(identity.id);
  const run = new Run(used, identity, {
    base: processResource(used),
    config: options.config,
    modeFromName: options.modeFromName ?? false,
    complaints: off ? 'quiet' : strict ? 'strict' : 'print',
    checkpoints: options.checkpoints,
    resumption,
  });
  if (off) disabled = run;
  else {
    installGlobals(used);
    if (process.stderr.isTTY === true && inheritedRun().id !== run.id) greet(run);
  }
  last = run;
  return run;
}

/** Who starts a run at a terminal is told where it goes; a log file or a pipe is not disturbed. */
function greet(run: Run): void {
  if (process.env.KYMO_QUIET === '1' || process.env.KYMO_QUIET === 'true') return;
  const endpoint = namedEndpoint();
  const isConfigured = process.env.KYMO_CONFIG || process.env.KYMO_EXPORTERS;
  const folder = join(projectDirectory(), RUNS_FOLDER, escapeRunId(run.id));
  // The origin only: the rest of a URL may hold a secret.
  if (endpoint && URL.canParse(endpoint))
    tell(printable(`run ${run.id} goes to ${new URL(endpoint).origin}`));
  else if (isConfigured) tell(printable(`run ${run.id}`));
  else tell(printable(`writing ${relative(process.cwd(), folder)}`));
}

function startRuntime(run: string): Runtime {
  runtime = getRuntime(run);
  return runtime;
}

function projectDirectory(): string {
  const { [RUNTIME]: known } = globalThis as { [RUNTIME]?: Runtime };
  return known?.projectDirectory ?? findProjectDirectory(process.env, process.cwd());
}

/** What the runtime reads from the environment when it starts: the first run of a process decides. */
function settleEnvironment(options: InitOptions): void {
  const holder = globalThis as { [RUNTIME]?: Runtime };
  const settings = {
    KYMO_DIR: options.dir === undefined ? undefined : resolve(options.dir),
    KYMO_ENDPOINT: options.endpoint,
  };
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || process.env[name] === value) continue;
    if (holder[RUNTIME] === undefined) process.env[name] = value;
    else
      tell(`init: ${name}=${value} comes too late, the first run of this process has settled it; left out`);
  }
}
