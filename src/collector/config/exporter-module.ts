// Loads an exporter that somebody else wrote: a module of the local file system that exports an ExporterType.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SIGNALS } from '../../otlp/model.ts';
import type { Exporter, ExporterContext, ExporterType, Stability } from '../component.ts';

const STABILITIES: readonly Stability[] = ['development', 'alpha', 'beta', 'stable'];
const EXPORTER_METHODS = ['start', 'export', 'commit', 'stop'] as const;
/** Longest message of a module's own error that is repeated. */
const MAX_MESSAGE = 300;
const EXAMPLE = '{kind: "exporter", type, signals, config, create}';

/**
 * The type that a module exports: the only one, or of several the one named `wanted`. Loaded synchronously and once per
 * process; whatever is wrong with it is said, not thrown.
 * @param specifier a path relative to `folder`, an absolute one, a `file:` URL, or a package installed above the folder
 */
export function loadExporterType(
  specifier: string,
  wanted: string,
  folder: string,
): { readonly type: ExporterType } | { readonly problem: string } {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(specifier)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'file')
    return {
      problem: `modules are loaded from files only, not from ${scheme}: give a path such as ./my-exporter.js`,
    };
  // Nothing of that name is looked for: it only says where the search begins.
  const load = createRequire(join(folder, 'config.js'));
  let file: string;
  try {
    // `my-exporter.js` without `./` is the file beside, as people mean it, before it is a package.
    const beside = join(folder, specifier);
    const path = scheme === 'file' ? fileURLToPath(specifier) : existsSync(beside) ? beside : specifier;
    file = load.resolve(path);
  } catch {
    return { problem: `no such module in ${folder}` };
  }
  if (!isAbsolute(file)) return { problem: 'is a module of Node, not an exporter' };
  let exported: unknown;
  try {
    exported = load(file);
  } catch (error) {
    return { problem: `cannot be loaded: ${reasonOf(error)}` };
  }
  const types = exporterTypes(exported);
  const type = types.length === 1 ? types[0] : types.find(one => one.type === wanted);
  if (type === undefined) {
    if (types.length === 0) return { problem: `exports no exporter: it must export an object ${EXAMPLE}` };
    const names = types.map(one => `"${String(one.type)}"`).join(', ');
    return { problem: `exports ${names}, and none of them is named "${wanted}" as this id is` };
  }
  const problem = problemWith(type);
  return problem === undefined ? { type: complete(type, wanted) } : { problem };
}

type Candidate = { readonly [Key in keyof ExporterType]?: unknown };

/** Named exports, the default one, and for CommonJS the module itself. */
function exporterTypes(exported: unknown): Candidate[] {
  if (!isObject(exported)) return [];
  const values = [exported, ...Object.values(exported)];
  if (isObject(exported.default)) values.push(...Object.values(exported.default));
  return [...new Set(values)].filter(
    (value): value is Candidate => isObject(value) && value.kind === 'exporter',
  );
}

function problemWith(type: Candidate): string | undefined {
  const { signals, config, create, stability, aliases, local } = type;
  if (typeof type.type !== 'string' || !/^[a-zA-Z][0-9a-zA-Z_]{0,62}$/.test(type.type))
    return 'its "type" must be a name of letters, digits and _';
  const said = (problem: string): string => `its exporter "${String(type.type)}" ${problem}`;
  const takes = Array.isArray(signals) && signals.length > 0 && signals.every(one => SIGNALS.includes(one));
  if (!takes) return said(`must have "signals", a list of ${SIGNALS.join(', ')}`);
  if (!isObject(config) || typeof config.safeParse !== 'function')
    return said('must have "config", a zod schema or another object with safeParse');
  if (typeof create !== 'function') return said('must have "create", a function of context and settings');
  if (stability !== undefined && !STABILITIES.includes(stability as Stability))
    return said(`may have "stability" ${STABILITIES.join(', ')}`);
  if (local !== undefined && typeof local !== 'boolean') return said('may have "local" true or false');
  if (aliases !== undefined && !Array.isArray(aliases)) return said('may have "aliases", a list');
  return undefined;
}

/** @param name what the configuration calls it, which no built-in type is called */
function complete(candidate: Candidate, name: string): ExporterType {
  const type = candidate as Partial<ExporterType> &
    Pick<ExporterType, 'kind' | 'type' | 'signals' | 'config' | 'create'>;
  return {
    kind: 'exporter',
    type: name,
    signals: [...new Set(type.signals)],
    stability: type.stability ?? 'development',
    local: type.local ?? false,
    ...(type.forwards === true ? { forwards: true } : {}),
    config: type.config,
    create: (context: ExporterContext, settings: unknown): Exporter => {
      const exporter: unknown = type.create(context, settings);
      for (const method of EXPORTER_METHODS)
        if (!isObject(exporter) || typeof exporter[method] !== 'function')
          throw new TypeError(`exporter "${type.type}": what create returned has no method ${method}()`);
      return exporter as unknown as Exporter;
    },
  };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return `it threw ${typeof error}`;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ERR_REQUIRE_ASYNC_MODULE') return 'it uses await at its top level, which is not waited for';
  const message = error.message.split('\n')[0]!.slice(0, MAX_MESSAGE);
  return `${error.name}: ${message}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return (typeof value === 'object' || typeof value === 'function') && value !== null;
}
