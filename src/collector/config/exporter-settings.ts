// The settings that every exporter has beside its own: its route, and the module of an exporter that is not built in.
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { ExporterType } from '../component.ts';
import { loadExporterType } from './exporter-module.ts';
import type { ComponentId } from './ids.ts';
import type { Place, Problem } from './problem.ts';
import { checkSchema } from './schema.ts';
import { type ConfigNode, describeKind, type Entry, type MapNode } from './tree.ts';

/** As long as scopes get (runs/resolve.ts). */
const MAX_SCOPE_CHARACTERS = 500;
const MAX_SCOPES = 10_000;

const scopesSchema = z
  .array(z.string().min(1).max(MAX_SCOPE_CHARACTERS))
  .min(1)
  .max(MAX_SCOPES)
  .describe('Only telemetry of these scopes, and of those below them');

export const COMMON_KEYS: readonly string[] = ['scopes', 'module'];

export interface CommonSettings<T> {
  /** The settings without those that all exporters have; undefined where there are none of these. */
  readonly own?: ConfigNode;
  readonly scopes: readonly string[] | undefined;
  /** Of an exporter that names a module: what is in it. */
  readonly module: { readonly type: T | undefined } | undefined;
  readonly problems: readonly Problem[];
}

export const NO_COMMON_SETTINGS = { scopes: undefined, module: undefined, problems: [] } as const;

/**
 * @param builtIn the type of this collector that has the id's name
 * @param directory where a relative path starts that stands in no file
 */
export function commonSettings(
  id: ComponentId,
  value: ConfigNode,
  path: string,
  builtIn: ExporterType | undefined,
  directory: string,
): CommonSettings<ExporterType> {
  if (value.kind !== 'map' || !COMMON_KEYS.some(key => value.entries.has(key))) return NO_COMMON_SETTINGS;
  const problems: Problem[] = [];
  const moduleEntry = value.entries.get('module');
  const module =
    moduleEntry === undefined ? undefined : readModule(id, moduleEntry, path, builtIn, directory, problems);
  const scopesEntry = value.entries.get('scopes');
  const scopes =
    scopesEntry === undefined ? undefined : readScopes(scopesEntry, path, builtIn ?? module?.type, problems);
  return { own: without(value, COMMON_KEYS), scopes, module, problems };
}

function readScopes(
  { keyPlace, value }: Entry,
  path: string,
  type: ExporterType | undefined,
  problems: Problem[],
): readonly string[] | undefined {
  if (value.kind === 'scalar' && value.value === null) return undefined;
  const at = `${path}::scopes`;
  if (type?.forwards === true) {
    const message = `"${type.type}" forwards whole requests, which may hold several scopes: it cannot be given some of them`;
    problems.push({ place: keyPlace, path: at, message });
  }
  const checked = checkSchema(scopesSchema, value, at, keyPlace);
  if (checked.ok) return checked.value as readonly string[];
  problems.push(...checked.problems);
  return undefined;
}

function readModule(
  id: ComponentId,
  { keyPlace, value }: Entry,
  path: string,
  builtIn: ExporterType | undefined,
  directory: string,
  problems: Problem[],
): { readonly type: ExporterType | undefined } {
  const at = `${path}::module`;
  const complain = (place: Place, message: string) => {
    problems.push({ place, path: at, message });
    return { type: undefined };
  };
  if (builtIn !== undefined)
    return complain(
      keyPlace,
      `"${id.type}" is built in: give an exporter of your own another id, such as my_${id.type}`,
    );
  if (value.kind === 'scalar' && value.unreadable === true) return { type: undefined };
  if (value.kind !== 'scalar' || typeof value.value !== 'string')
    return complain(
      value.place,
      `expected the path of a module, such as ./my-exporter.js, got ${describeKind(value)}`,
    );
  const loaded = loadExporterType(value.value, id.type, folderOf(value.place, directory));
  return 'problem' in loaded ? complain(value.place, loaded.problem) : loaded;
}

/** The folder of the file that the path stands in. */
function folderOf(place: Place, directory: string): string {
  // Only what stands in a file has lines and a name that is a path; `env:NAME` has lines as well.
  const isFile = place.line > 0 && !place.source.startsWith('env:');
  return isFile ? dirname(resolve(place.source.replace(/^file:/, ''))) : directory;
}

function without(node: MapNode, keys: readonly string[]): MapNode {
  return { ...node, entries: new Map([...node.entries].filter(([key]) => !keys.includes(key))) };
}
