// A collector in the foreground: `kymo collector --config …`, until a signal ends it.
import type { CollectorConfig } from './config/config.ts';
import type { Loaded } from './config/load.ts';
import { formatProblem } from './config/problem.ts';
import { preflight } from './preflight.ts';
import { type Collector, startCollector } from './service.ts';
import { createLogger, type RootLogger } from './telemetry/logger.ts';

export interface StandaloneOptions {
  readonly config: CollectorConfig;
  /** Reads the configuration again, for SIGHUP. */
  readonly load: () => Loaded;
  readonly drainTimeoutMs: number;
}

type Wish = 'stop' | 'reload';

/** @returns the exit code */
export async function runStandalone({
  config: first,
  load,
  drainTimeoutMs,
}: StandaloneOptions): Promise<number> {
  const baseDirectory = process.cwd();
  let config = first;
  let logger = createLogger(config.telemetry.logs);
  const wishes = listenForWishes();
  const problems = await preflight({ config, baseDirectory });
  if (problems.length > 0) {
    for (const problem of problems) logger.error(`cannot start: ${problem}`);
    return 1;
  }
  let collector: Collector;
  try {
    collector = await start(config, baseDirectory, logger, wishes.wish);
  } catch (error) {
    logger.error(`cannot start: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
  for (;;) {
    if ((await wishes.next()) === 'stop') break;
    const loaded = load();
    for (const warning of loaded.warnings) logger.warn(formatProblem(warning));
    if (loaded.config === undefined) {
      for (const problem of loaded.problems) logger.error(formatProblem(problem));
      logger.error('the new configuration is not valid; going on with the old one');
      continue;
    }
    // The old collector goes on until the new one is known to have everything it needs.
    const obstacles = await preflight({ config: loaded.config, baseDirectory, running: config });
    if (obstacles.length > 0) {
      for (const obstacle of obstacles) logger.error(obstacle);
      logger.error('the new configuration cannot be started; going on with the old one');
      continue;
    }
    logger.info('the new configuration is good: changing over to it');
    await collector.stop(drainTimeoutMs);
    const newLogger = createLogger(loaded.config.telemetry.logs);
    try {
      collector = await start(loaded.config, baseDirectory, newLogger, wishes.wish);
      config = loaded.config;
      logger = newLogger;
    } catch (error) {
      logger.error(`the new configuration cannot be started, going back to the old one: ${String(error)}`);
      try {
        collector = await start(config, baseDirectory, logger, wishes.wish);
      } catch (again) {
        logger.error(`the old configuration cannot be started any more: ${String(again)}`);
        return 1;
      }
    }
  }
  logger.info('stopping: taking nothing more, writing what is there', { drain_timeout_ms: drainTimeoutMs });
  wishes.forceNext();
  await collector.stop(drainTimeoutMs);
  logger.info('stopped');
  return 0;
}

async function start(
  config: CollectorConfig,
  baseDirectory: string,
  logger: RootLogger,
  wish: (wish: Wish) => void,
): Promise<Collector> {
  const collector = await startCollector({
    config,
    baseDirectory,
    logger,
    onStopRequested: () => wish('stop'),
  });
  logger.info('everything is ready', {
    pid: process.pid,
    journal: collector.journal.directory,
    exporters: collector.exporters.map(({ id }) => id),
  });
  return collector;
}

/** Signals as a queue: SIGTERM and SIGINT end, SIGHUP reloads. Once stopping, the next signal ends the process at once. */
export function listenForWishes() {
  const queue: Wish[] = [];
  let waiting: ((wish: Wish) => void) | undefined;
  let forced = false;
  const wish = (one: Wish): void => {
    if (forced && one === 'stop') process.exit(1);
    if (waiting === undefined) {
      queue.push(one);
      return;
    }
    const resolve = waiting;
    waiting = undefined;
    resolve(one);
  };
  process.on('SIGTERM', () => wish('stop'));
  process.on('SIGINT', () => wish('stop'));
  process.on('SIGHUP', () => wish('reload'));
  return {
    wish,
    next: (): Promise<Wish> => {
      const ready = queue.shift();
      if (ready !== undefined) return Promise.resolve(ready);
      return new Promise(resolve => {
        waiting = resolve;
      });
    },
    forceNext: () => {
      forced = true;
    },
  };
}
