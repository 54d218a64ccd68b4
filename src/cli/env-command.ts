// `kymo env`: every environment variable that Kymo reads, what it means and what it is set to.
import { ENVIRONMENT, type EnvironmentVariable } from '../semconv/env.ts';
import { type Command, print, readArguments, table } from './command.ts';

export const envCommand: Command = {
  help: `Usage: kymo env [--json]

Lists the environment variables that Kymo reads: name, value now (secrets are not shown), meaning and what holds
when it is unset.

  --json  One JSON array instead of text`,

  async run(args) {
    const { values } = readArguments(args, { json: { type: 'boolean' } });
    const variables = ENVIRONMENT.map((variable: EnvironmentVariable) => ({
      name: variable.name,
      value: shown(variable),
      meaning: variable.meaning,
      otherwise: variable.otherwise,
      reader: variable.reader,
    }));
    if (values.json === true) {
      process.stdout.write(`${JSON.stringify(variables, undefined, 2)}\n`);
      return 0;
    }
    const rows = variables.map(({ name, value, meaning, otherwise }) => [
      name,
      value === undefined ? '-' : value,
      otherwise === '' ? meaning : `${meaning} (default: ${otherwise})`,
    ]);
    for (const line of table(rows)) print(line);
    return 0;
  },
};

function shown(variable: EnvironmentVariable): string | undefined {
  const value = process.env[variable.name];
  if (value === undefined || value === '') return undefined;
  if (variable.secret === true) return '[REDACTED]';
  // A URL may carry a password whatever the variable is called.
  return value.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/gi, '$1[REDACTED]@');
}
