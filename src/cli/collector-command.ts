// `kymo collector`: runs a collector until it is told to stop, or looks at its configuration without running it.
import { type Loaded, loadConfig, loadTree } from '../collector/config/load.ts';
import { didYouMean, formatProblem } from '../collector/config/problem.ts';
import { parseDurationMs } from '../collector/config/values.ts';
import { COLLECTOR_ENVIRONMENT, COLLECTOR_NODE_FLAGS } from '../semconv/collector-process.ts';
import { type Command, EXIT_FAILED, EXIT_OK, printError, readArguments, UsageError } from './command.ts';

const SUBCOMMANDS = ['validate', 'components', 'print-config', 'healthcheck'] as const;
const SOURCE_OPTIONS = {
  config: { type: 'string', multiple: true },
  set: { type: 'string', multiple: true },
} as const;

export const collectorCommand: Command = {
  help: `Usage: kymo collector --config FILE [--config FILE …] [--set KEY::KEY=VALUE …] [--drain-timeout 10s]
       kymo collector validate --config FILE [--set …]
       kymo collector print-config --config FILE [--set …]
       kymo collector components
       kymo collector healthcheck [--url URL]

Runs a collector until SIGTERM or SIGINT; then it takes nothing more, writes what it has and says what is left.
A second signal ends it at once. SIGHUP reads the configuration again and keeps the old one if it is not valid.

  --config SOURCE       A file, env:VARIABLE or yaml:TEXT. Several are laid over each other, left to right
  --set KEY=VALUE       One setting laid over all files: --set exporters::jsonl::directory=/data/runs
  --drain-timeout TIME  Longest wait for exporters when stopping (default 10s)

validate      Checks a configuration and says everything that is wrong with it; silent when nothing is
print-config  Prints the configuration as merged and expanded, without secrets
components    Lists the components that this build has
healthcheck   Exit code 0 when a running collector's health_check extension says it can take data`,

  async run(args) {
    const [first, ...rest] = args;
    switch (first) {
      case 'validate':
        return validate(rest);
      case 'components':
        return listComponents(rest);
      case 'print-config':
        return printMerged(rest);
      case 'healthcheck':
        return (await import('./healthcheck.ts')).healthcheck(rest);
    }
    if (first !== undefined && !first.startsWith('-')) {
      throw new UsageError(`unknown subcommand "${first}"${didYouMean(first, SUBCOMMANDS)}`);
    }
    return runCollector(args);
  },
};

async function runCollector(args: readonly string[]): Promise<number> {
  const { values } = readArguments(args, {
    ...SOURCE_OPTIONS,
    'drain-timeout': { type: 'string', default: '10s' },
    embedded: { type: 'boolean' },
    directory: { type: 'string' },
  });
  if (values.embedded === true) {
    if (values.directory === undefined) throw new UsageError('--embedded needs --directory');
    const { runEmbedded } = await import('../collector/embedded.ts');
    return runEmbedded({ directory: values.directory, env: process.env });
  }
  startAsCollector();
  const drainTimeoutMs = parseDurationMs(values['drain-timeout']);
  if (drainTimeoutMs === undefined) {
    throw new UsageError('--drain-timeout is not a duration: write 10s or 500ms');
  }
  const { COMPONENTS } = await import('../collector/components.ts');
  const { runStandalone } = await import('../collector/standalone.ts');
  const load = () =>
    loadConfig({
      sources: values.config ?? [],
      set: values.set ?? [],
      env: process.env,
      components: COMPONENTS,
    });
  const loaded = load();
  report(loaded);
  if (loaded.config === undefined) return EXIT_FAILED;
  return runStandalone({ config: loaded.config, load, drainTimeoutMs });
}

/**
 * Starts this process again, in its place and under its pid, with the settings of a collector's memory; nothing where the
 * system cannot do that, or where it was started with them.
 */
function startAsCollector(): void {
  const isSet = Object.keys(COLLECTOR_ENVIRONMENT).every(name => process.env[name] !== undefined);
  if (isSet || process.platform !== 'linux' || process.execve === undefined) return;
  const args = [process.execPath, ...COLLECTOR_NODE_FLAGS, ...process.execArgv, ...process.argv.slice(1)];
  process.execve(process.execPath, args, { ...process.env, ...COLLECTOR_ENVIRONMENT });
}

async function validate(args: readonly string[]): Promise<number> {
  const { values } = readArguments(args, SOURCE_OPTIONS);
  const { COMPONENTS } = await import('../collector/components.ts');
  const loaded = loadConfig({
    sources: values.config ?? [],
    set: values.set ?? [],
    env: process.env,
    components: COMPONENTS,
  });
  report(loaded);
  return loaded.config === undefined ? EXIT_FAILED : EXIT_OK;
}

async function printMerged(args: readonly string[]): Promise<number> {
  const { values } = readArguments(args, SOURCE_OPTIONS);
  const loaded = loadTree({ sources: values.config ?? [], set: values.set ?? [], env: process.env });
  report(loaded);
  if (loaded.tree === undefined || loaded.problems.length > 0) return EXIT_FAILED;
  const { printConfig } = await import('../collector/config/print.ts');
  process.stdout.write(printConfig(loaded.tree));
  return EXIT_OK;
}

async function listComponents(args: readonly string[]): Promise<number> {
  readArguments(args, {});
  const { COMPONENTS } = await import('../collector/components.ts');
  const { packageVersion } = await import('../semconv/version.ts');
  const { stringify } = await import('yaml');
  const describe = (type: {
    readonly type: string;
    readonly aliases?: readonly string[];
    readonly stability: string;
    readonly signals?: readonly string[];
  }) => ({
    name: type.type,
    ...(type.aliases === undefined ? {} : { aliases: [...type.aliases] }),
    stability:
      type.signals === undefined
        ? { extension: type.stability }
        : Object.fromEntries(type.signals.map(signal => [signal, type.stability])),
  });
  const text = stringify({
    buildinfo: { command: 'kymo', description: 'Kymo collector', version: packageVersion() },
    receivers: COMPONENTS.receivers.map(describe),
    processors: COMPONENTS.processors.map(describe),
    exporters: COMPONENTS.exporters.map(describe),
    connectors: [],
    extensions: [
      { name: 'journal', stability: { extension: 'beta' } },
      ...COMPONENTS.extensions.map(describe),
    ],
  });
  process.stdout.write(text);
  return EXIT_OK;
}

function report({ problems, warnings }: Pick<Loaded, 'problems' | 'warnings'>): void {
  for (const warning of warnings) printError(`warning: ${formatProblem(warning)}`);
  for (const problem of problems) printError(formatProblem(problem));
}
