// Text of a run as console lines, and what its resource says about the machine and the program.
import type { AnyValue, LogRecord, Resource } from '../../../otlp/model.ts';
import { MODE, RUN_ID, SCOPE, STEP } from '../../../semconv/names.ts';
import { valueJson } from '../../runs/json.ts';

const SAID: ReadonlySet<string> = new Set([MODE, RUN_ID, SCOPE, STEP]);
const FACTS = [
  'host.name',
  'os.type',
  'os.description',
  'process.runtime.name',
  'process.runtime.version',
  'process.command',
  'process.executable.path',
];
const MAX_FACT_CHARACTERS = 1_024;

/** `INFO trainer: done {"seed":3}`. */
export function consoleLine({ severityText, scope, body, attributes }: LogRecord): string {
  const level = severityText === '' ? '' : `${severityText} `;
  const logger = scope.name === '' ? '' : `${scope.name}: `;
  const message = typeof body === 'string' ? body : body === null ? '' : valueJson(body);
  const fields: string[] = [];
  for (const key of Object.keys(attributes)) {
    if (!SAID.has(key) && !key.startsWith('code.'))
      fields.push(`${JSON.stringify(key)}:${valueJson(attributes[key])}`);
  }
  return `${level}${logger}${message}${fields.length === 0 ? '' : ` {${fields}}`}`;
}

const known = new WeakMap<Resource, Readonly<Record<string, string>>>();

export function environmentOf(resource: Resource): Readonly<Record<string, string>> {
  const cached = known.get(resource);
  if (cached !== undefined) return cached;
  const facts: Record<string, string> = {};
  for (const key of FACTS) {
    const value = resource.attributes[key];
    if (typeof value === 'string' && value !== '') facts[key] = value.slice(0, MAX_FACT_CHARACTERS);
  }
  const args: AnyValue | undefined = resource.attributes['process.command_args'];
  if (Array.isArray(args))
    facts['process.command_args'] = args.map(String).join('\0').slice(0, MAX_FACT_CHARACTERS);
  known.set(resource, facts);
  return facts;
}
