// `kymo collector healthcheck`: asks a collector's health_check extension, for containers without a shell.
import {
  type Command,
  EXIT_FAILED,
  EXIT_OK,
  print,
  printError,
  readArguments,
  UsageError,
} from './command.ts';

const DEFAULT_URL = 'http://127.0.0.1:13133/';
const TIMEOUT_MS = 4_000;
/** As much of an answer as is shown. */
const MAX_SHOWN = 300;

export const healthcheck: Command['run'] = async args => {
  const { values } = readArguments(args, { url: { type: 'string', default: DEFAULT_URL } });
  if (!URL.canParse(values.url)) throw new UsageError(`--url is no URL: ${values.url}`);
  try {
    const answer = await fetch(values.url, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' });
    const text = (await answer.text()).slice(0, MAX_SHOWN);
    if (answer.ok) print(text);
    else printError(`unhealthy: HTTP ${answer.status} ${text}`);
    return answer.ok ? EXIT_OK : EXIT_FAILED;
  } catch (error) {
    const { cause, message } = error as Error;
    printError(`no answer from ${values.url}: ${cause instanceof Error ? cause.message : message}`);
    return EXIT_FAILED;
  }
};
