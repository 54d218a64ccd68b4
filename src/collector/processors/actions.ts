// What the `resource` and `attributes` processors do to attributes: upstream's actions.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { newAttributes } from '../../otlp/attributes.ts';
import type { AnyValue, Attributes } from '../../otlp/model.ts';
import { isMap, valueJson } from '../runs/json.ts';
import { compilePattern, type Pattern } from './pattern.ts';

const scalar = z.union([z.string(), z.number(), z.boolean()]);

const actionSchema = z.strictObject({
  key: z.string().min(1).max(1_000).optional().describe('The attribute'),
  action: z
    .enum(['insert', 'update', 'upsert', 'delete', 'hash', 'extract', 'convert'])
    .describe('What is done to it'),
  value: z
    .union([scalar, z.array(scalar)])
    .optional()
    .describe('For insert, update and upsert'),
  from_attribute: z
    .string()
    .min(1)
    .optional()
    .describe('For insert, update and upsert: the attribute that has the value'),
  pattern: z
    .string()
    .min(1)
    .optional()
    .describe('For extract: its named groups become attributes. For delete and hash: all keys that match'),
  converted_type: z.enum(['int', 'double', 'string']).optional().describe('For convert'),
});
type Action = z.infer<typeof actionSchema>;

const MAX_ACTIONS = 1_000;

/** A list of actions, each checked for what it needs. */
export function actionsSchema() {
  return z
    .array(
      actionSchema.superRefine((action, context) => {
        for (const { path, message } of problemsOf(action))
          context.addIssue({ code: 'custom', path: [...path], message, input: action });
      }),
    )
    .min(1)
    .max(MAX_ACTIONS);
}

interface Complaint {
  readonly path: readonly string[];
  readonly message: string;
}

function problemsOf({ action, key, value, from_attribute: from, pattern, converted_type: to }: Action) {
  const found: Complaint[] = [];
  const say = (path: string, message: string) =>
    void found.push({ path: path === '' ? [] : [path], message });
  const sets = action === 'insert' || action === 'update' || action === 'upsert';
  const takesPattern = action === 'delete' || action === 'hash';
  if (key === undefined && !(takesPattern && pattern !== undefined))
    say('', takesPattern ? 'needs a key or a pattern' : `${action} needs a key`);
  if (sets && (value === undefined) === (from === undefined))
    say('', `${action} needs either a value or a from_attribute`);
  if (!sets && value !== undefined) say('value', `${action} takes no value`);
  if (!sets && from !== undefined) say('from_attribute', `${action} takes no from_attribute`);
  if (action === 'extract' && pattern === undefined) say('', 'extract needs a pattern');
  if (action === 'convert' && to === undefined) say('', 'convert needs a converted_type');
  if (action !== 'convert' && to !== undefined) say('converted_type', `${action} takes no converted_type`);
  if (pattern !== undefined && !takesPattern && action !== 'extract')
    say('pattern', `${action} takes no pattern`);
  else if (pattern !== undefined) {
    const compiled = compilePattern(pattern);
    if ('problem' in compiled) say('pattern', compiled.problem);
    else if (action === 'extract' && compiled.names.length === 0)
      say('pattern', 'has no named groups, such as (?P<name>.*): nothing would be extracted');
  }
  return found;
}

/** All of them, one after the other. Returns the map itself where nothing changes; never changes it. */
export function actionsFunction(actions: readonly Action[]): (attributes: Attributes) => Attributes {
  const steps = actions.map(step);
  return attributes => {
    const draft = new Draft(attributes);
    for (const act of steps) act(draft);
    return draft.result;
  };
}

type Step = (draft: Draft) => void;

function step({
  action,
  key = '',
  value,
  from_attribute: from,
  pattern: text,
  converted_type: to,
}: Action): Step {
  const pattern = text === undefined ? undefined : patternOf(text);
  const given: AnyValue | undefined = value;
  const valueIn = (draft: Draft) => (from === undefined ? given : draft.get(from));
  switch (action) {
    case 'insert':
      return draft => !draft.has(key) && draft.set(key, valueIn(draft));
    case 'update':
      return draft => draft.has(key) && draft.set(key, valueIn(draft));
    case 'upsert':
      return draft => draft.set(key, valueIn(draft));
    case 'delete':
      return draft => eachKey(draft, key, pattern, name => draft.delete(name));
    case 'hash':
      return draft => eachKey(draft, key, pattern, name => draft.set(name, hashOf(draft.get(name))));
    case 'extract':
      return draft => {
        const source = draft.get(key);
        const groups = typeof source === 'string' ? pattern?.groups(source) : undefined;
        for (const [name, part] of Object.entries(groups ?? {}))
          if (part !== undefined) draft.set(name, part);
      };
    case 'convert':
      return draft => draft.has(key) && draft.set(key, converted(draft.get(key), to));
  }
}

function eachKey(draft: Draft, key: string, pattern: Pattern | undefined, act: (key: string) => void): void {
  if (key !== '' && draft.has(key)) act(key);
  if (pattern !== undefined) for (const name of draft.keys()) if (pattern.test(name)) act(name);
}

/** Attributes that are copied when they are first changed. */
class Draft {
  result: Attributes;
  readonly #original: Attributes;

  constructor(attributes: Attributes) {
    this.#original = attributes;
    this.result = attributes;
  }
  keys(): readonly string[] {
    return Object.keys(this.result);
  }
  has(key: string): boolean {
    return this.result[key] !== undefined;
  }
  get(key: string): AnyValue | undefined {
    return this.result[key];
  }
  set(key: string, value: AnyValue | undefined): void {
    if (value === undefined || this.result[key] === value) return;
    this.#own()[key] = value;
  }
  delete(key: string): void {
    delete this.#own()[key];
  }
  #own(): Attributes {
    if (this.result === this.#original) {
      const copy = newAttributes();
      for (const key of Object.keys(this.#original)) copy[key] = this.#original[key]!;
      this.result = copy;
    }
    return this.result;
  }
}

/** SHA-256, as hex, of the value's text. */
function hashOf(value: AnyValue | undefined): string {
  const bytes = value instanceof Uint8Array ? value : Buffer.from(textOf(value));
  return createHash('sha256').update(bytes).digest('hex');
}

/** Undefined where it cannot be, which leaves the attribute as it is. */
function converted(value: AnyValue | undefined, to: Action['converted_type']): AnyValue | undefined {
  if (value === undefined) return undefined;
  if (to === 'string') return textOf(value);
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'bigint') return to === 'double' ? Number(value) : value;
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || Number.isNaN(number)) return undefined;
  if (to === 'double') return number;
  if (typeof value === 'string' && /^-?\d{16,19}$/.test(value)) return BigInt.asIntN(64, BigInt(value));
  return Number.isFinite(number) ? Math.trunc(number) : undefined;
}

function textOf(value: AnyValue | undefined): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value) || isMap(value) || value instanceof Uint8Array) return valueJson(value);
  return String(value);
}

function patternOf(text: string): Pattern {
  const compiled = compilePattern(text);
  if ('problem' in compiled) throw new Error(`pattern ${compiled.problem}`);
  return compiled;
}
