// Checks one part of the tree against a zod schema and says what is wrong in the words and places of the configuration.
import type { z } from 'zod';
import { didYouMean, type Place, type Problem } from './problem.ts';
import { isSecretPath } from './secrets.ts';
import { type ConfigNode, describeKind, keyPlaceAt, nodeAt, type Path, placeAt, toPlain } from './tree.ts';

/** Rounds of putting references' original texts and defaults in place; each round mends all that the one before found. */
const MAX_MENDS = 8;

export type Checked =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Validates a node (null stands for "all defaults"). A null inside means the default, or an empty map where a map is
 * wanted; a reference's value falls back to its original text where a string is wanted.
 * @param keyPlace where the key of this node is written, for what is missing in it
 * @param alsoKnown keys beside the schema's own, for hints
 */
export function checkSchema(
  schema: z.ZodType,
  node: ConfigNode,
  path: string,
  keyPlace: Place,
  alsoKnown: readonly string[] = [],
): Checked {
  const isEmpty = node.kind === 'scalar' && node.value === null;
  let input: unknown = isEmpty ? {} : toPlain(node);
  let result = parse(schema, input);
  for (let round = 0; !result.ok && round < MAX_MENDS; round++) {
    const mended = mend(input, node, result.issues);
    if (mended === undefined) break;
    input = mended;
    result = parse(schema, input);
  }
  if (result.ok) return { ok: true, value: result.value };
  const problems = result.issues.flatMap(issue => toProblems(issue, schema, node, path, keyPlace, alsoKnown));
  return { ok: false, problems };
}

type Issue = z.core.$ZodIssue;

/** A schema of a custom exporter need not be zod's: whatever has `safeParse` and says what it found. */
function parse(
  schema: z.ZodType,
  input: unknown,
):
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly issues: readonly Issue[] } {
  const fail = (message: string) => ({ ok: false as const, issues: [custom(message, input)] });
  try {
    const result: unknown = schema.safeParse(input);
    if (typeof result !== 'object' || result === null || 'then' in result)
      return fail('its schema does not answer: safeParse must return {success, data} or {success, error}');
    const { success, data, error } = result as { success?: unknown; data?: unknown; error?: unknown };
    if (success === true) return { ok: true, value: data };
    const issues = readIssues(error, input);
    return issues.length > 0 ? { ok: false, issues } : fail(messageOf(error));
  } catch (error) {
    return fail(`its schema failed: ${messageOf(error)}`);
  }
}

function custom(message: string, input: unknown): Issue {
  return { code: 'custom', path: [], message, input };
}

function readIssues(error: unknown, input: unknown): Issue[] {
  const { issues } = (typeof error === 'object' && error !== null ? error : {}) as { issues?: unknown };
  if (!Array.isArray(issues)) return [];
  return issues.flatMap(issue => {
    if (typeof issue !== 'object' || issue === null) return [];
    const { code = 'custom', path = [], message = 'is not valid' } = issue as Record<string, unknown>;
    if (!Array.isArray(path)) return [];
    return [{ input, ...issue, code, path, message: String(message) } as Issue];
  });
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : undefined;
  return message === undefined || message === '' ? 'is not valid' : message.split('\n')[0]!;
}

/** The input with what issues point at replaced, or undefined where nothing can be. */
function mend(input: unknown, root: ConfigNode, issues: readonly Issue[]): unknown {
  let changed = false;
  let mended = input;
  for (const issue of issues) {
    const path = toPath(issue.path);
    if (path === undefined) continue;
    const node = nodeAt(root, path);
    if (node === undefined) continue;
    const current = valueAt(mended, path);
    if (node.original !== undefined && current !== node.original && typeof current !== 'string') {
      mended = replaceAt(mended, path, node.original);
      changed = true;
    } else if (node.kind === 'scalar' && node.value === null && current === null && path.length > 0) {
      mended = replaceAt(mended, path, wantsMap(issue) ? {} : undefined);
      changed = true;
    }
  }
  return changed ? mended : undefined;
}

function wantsMap(issue: Issue): boolean {
  if (issue.code === 'invalid_type') return issue.expected === 'object' || issue.expected === 'record';
  if (issue.code === 'invalid_union') {
    return (issue.errors ?? []).some(branch =>
      branch.some(inner => inner.path.length === 0 && wantsMap(inner)),
    );
  }
  return false;
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const part of path) {
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Record<string | number, unknown>)[part];
  }
  return current;
}

/** A copy with one value replaced; undefined removes the key. */
function replaceAt(value: unknown, path: Path, replacement: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return replacement;
  if (Array.isArray(value)) {
    return value.map((item, index) => (index === first ? replaceAt(item, rest, replacement) : item));
  }
  const copy: Record<string, unknown> = Object.create(null);
  for (const [key, item] of Object.entries(value as object)) {
    if (key !== String(first)) copy[key] = item;
    else if (rest.length > 0 || replacement !== undefined) copy[key] = replaceAt(item, rest, replacement);
  }
  return copy;
}

function toProblems(
  issue: Issue,
  schema: z.ZodType,
  root: ConfigNode,
  base: string,
  keyPlace: Place,
  alsoKnown: readonly string[],
): Problem[] {
  const path = toPath(issue.path) ?? [];
  const at = [base, ...path].join('::');
  if (issue.code === 'unrecognized_keys') {
    const known = [...knownKeys(schemaAt(schema, path)), ...(path.length === 0 ? alsoKnown : [])];
    return issue.keys.map(key => ({
      place: keyPlaceAt(root, [...path, key]),
      path: at,
      message: `unknown key "${key}"${didYouMean(key, known)}`,
    }));
  }
  const node = nodeAt(root, path);
  if (node?.kind === 'scalar' && node.unreadable === true) return [];
  const isMissing = node === undefined || (node.kind === 'scalar' && node.value === null);
  if (isMissing && path.length > 0 && issue.code !== 'custom') {
    const key = String(path.at(-1));
    return [
      {
        place: placeAt(root, path, keyPlace),
        path: [base, ...path.slice(0, -1)].join('::'),
        message: `"${key}" is required`,
      },
    ];
  }
  const message = describe(issue, node, path);
  return [{ place: placeAt(root, path, keyPlace), path: at, message }];
}

/** What an issue says, without the value it says it of. */
function describe(issue: Issue, node: ConfigNode | undefined, path: Path): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${kindName(issue.expected)}${got(node)}`;
    case 'invalid_value': {
      const values = (issue.values ?? []).map(String);
      const written = node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : '';
      const hint = isSecretPath(path) ? '' : didYouMean(written, values);
      return values.length === 1 ? `must be ${values[0]}` : `must be one of ${values.join(', ')}${hint}`;
    }
    case 'invalid_union': {
      const branches = (issue.errors ?? []).flatMap(branch => branch.slice(0, 1));
      const kinds = branches.map(inner =>
        inner.code === 'invalid_type' && inner.path.length === 0 ? kindName(inner.expected) : undefined,
      );
      if (branches.length > 0 && kinds.every(kind => kind !== undefined)) {
        return `expected ${[...new Set(kinds)].join(' or ')}${got(node)}`;
      }
      // The branch that accepted the kind of value says more than those that did not.
      const inner = branches.find(one => one.code !== 'invalid_type' || one.path.length > 0) ?? branches[0];
      return inner === undefined ? 'is not valid' : describe(inner, node, path);
    }
    case 'too_small':
      return `must be ${issue.inclusive === false ? 'more than' : 'at least'} ${limit(issue.minimum, issue.origin)}`;
    case 'too_big':
      return `must be ${issue.inclusive === false ? 'less than' : 'at most'} ${limit(issue.maximum, issue.origin)}`;
    default:
      return isSecretPath(path) ? 'is not valid' : issue.message;
  }
}

function limit(value: number | bigint, origin: string): string {
  const unit = origin === 'string' ? ' characters' : origin === 'array' || origin === 'set' ? ' entries' : '';
  return `${value}${unit}`;
}

function got(node: ConfigNode | undefined): string {
  return node === undefined ? '' : `, got ${describeKind(node)}`;
}

function kindName(expected: string): string {
  if (expected === 'object' || expected === 'record') return 'map';
  if (expected === 'array') return 'list';
  return expected === 'int' ? 'whole number' : expected;
}

function toPath(path: readonly PropertyKey[]): (string | number)[] | undefined {
  return path.every(part => typeof part !== 'symbol') ? (path as (string | number)[]) : undefined;
}

/** The schema that a path leads to, through optional, default and pipe wrappers. */
function schemaAt(schema: z.ZodType, path: Path): z.ZodType | undefined {
  let current: z.ZodType | undefined = unwrap(schema);
  for (const part of path) {
    const definition = current?._zod?.def as unknown as Definition | undefined;
    let next: z.ZodType | undefined;
    if (definition?.type === 'object') next = definition.shape?.[part];
    else if (definition?.type === 'array') next = definition.element;
    else if (definition?.type === 'record') next = definition.valueType;
    current = next === undefined ? undefined : unwrap(next);
  }
  return current;
}

interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string | number, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly out?: z.ZodType;
  readonly options?: readonly z.ZodType[];
}

function unwrap(schema: z.ZodType): z.ZodType {
  let current = schema;
  // Wrappers nest a few levels at most; the bound is against a schema that refers to itself.
  for (let depth = 0; depth < 32; depth++) {
    // Not zod's, or not of this version of it.
    if (current._zod === undefined) return current;
    const definition = current._zod.def as unknown as Definition;
    const isPreprocess = definition.type === 'pipe' && definition.in?._zod.def.type === 'transform';
    const inner =
      definition.innerType ??
      (isPreprocess ? definition.out : definition.in) ??
      (definition.type === 'union'
        ? definition.options?.find(option => knownKeys(option).length > 0)
        : undefined);
    if (inner === undefined) return current;
    current = inner;
  }
  return current;
}

function knownKeys(schema: z.ZodType | undefined): string[] {
  if (schema === undefined) return [];
  const definition = unwrap(schema)._zod?.def as unknown as Definition | undefined;
  return definition?.type === 'object' ? Object.keys(definition.shape ?? {}) : [];
}
