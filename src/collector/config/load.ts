// From the sources named on the command line to a checked configuration, with every problem found on the way.
import { readFileSync } from 'node:fs';
import type { Environment } from '../../semconv/local.ts';
import { check } from './check.ts';
import type { CollectorConfig, Components } from './config.ts';
import { expand, systemReason } from './expand.ts';
import { MAX_SOURCE_BYTES, parseSource } from './parse.ts';
import { type Place, type Problem, sortProblems } from './problem.ts';
import { type ConfigNode, emptyMap, merge } from './tree.ts';

export interface LoadOptions {
  /** Left to right: file paths, `file:path`, `env:VARIABLE` or `yaml:text`. Later ones are laid over earlier ones. */
  readonly sources: readonly string[];
  /** `a.b.c=value` or `a::b::c=value`, laid over all sources. */
  readonly set?: readonly string[];
  readonly env: Environment;
  readonly components: Components;
  /** Where relative paths of `${file:…}` start, and those of modules that stand in no file; the working directory by default. */
  readonly directory?: string;
}

export interface Loaded {
  /** Undefined when there are problems. */
  readonly config: CollectorConfig | undefined;
  /** Merged and expanded, for `print-config`; undefined when a source cannot be read. */
  readonly tree: ConfigNode | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Reads, merges, expands and checks. Never throws for what a configuration holds. */
export function loadConfig(options: LoadOptions): Loaded {
  const merged = loadTree(options);
  if (merged.tree === undefined) return { config: undefined, ...merged };
  const checked = check(merged.tree, options.components, options.directory ?? process.cwd());
  const problems = sortProblems([...merged.problems, ...checked.problems]);
  return {
    config: problems.length > 0 ? undefined : checked.config,
    tree: merged.tree,
    problems,
    warnings: sortProblems([...merged.warnings, ...checked.warnings]),
  };
}

/** The same without the checks that need components. */
export function loadTree(options: Omit<LoadOptions, 'components'>): Omit<Loaded, 'config'> {
  const { sources, set = [], env, directory = process.cwd() } = options;
  if (sources.length === 0) {
    const message = 'at least one config flag must be provided';
    return { tree: undefined, problems: [{ place: undefined, path: '', message }], warnings: [] };
  }
  const problems: Problem[] = [];
  let merged: ConfigNode | undefined;
  const add = (text: string, name: string, at?: Place) => {
    const parsed = parseSource(text, name, at);
    problems.push(...parsed.problems);
    if (parsed.root === undefined) return;
    const root = asMap(parsed.root, problems);
    if (root !== undefined) merged = merged === undefined ? root : merge(merged, root);
  };

  sources.forEach((source, index) => {
    const read = readSource(source, index, env);
    if ('message' in read) problems.push({ place: undefined, path: '', message: read.message });
    else add(read.text, read.name, read.at);
  });
  for (const assignment of set) {
    const equals = assignment.indexOf('=');
    const key = (equals < 0 ? assignment : assignment.slice(0, equals)).trim();
    if (equals < 0 || key === '') {
      const message = `--set ${key}: write key::key=value`;
      problems.push({ place: undefined, path: '', message });
      continue;
    }
    const name = `--set ${key}`;
    const keys = key.includes('::') ? key : key.replaceAll('.', '::');
    add(`${keys}: ${assignment.slice(equals + 1)}`, name, { source: name, line: 0, column: 0 });
  }
  if (problems.length > 0 || merged === undefined) {
    return { tree: undefined, problems: sortProblems(problems), warnings: [] };
  }
  const expanded = expand(merged, env, directory);
  return { tree: expanded.root, problems: expanded.problems, warnings: expanded.warnings };
}

type Source = { readonly text: string; readonly name: string; readonly at?: Place };

/** Text of one source. Its own text is never part of a name: it may hold secrets. */
function readSource(source: string, index: number, env: Environment): Source | { readonly message: string } {
  // One letter before the colon is a drive of Windows, not a scheme.
  const match = /^([A-Za-z][A-Za-z0-9+.-]+):(.*)$/s.exec(source);
  const scheme = match?.[1] ?? 'file';
  const rest = match?.[2] ?? source;
  switch (scheme) {
    case 'file':
      return readFile(rest);
    case 'env': {
      const text = env[rest];
      if (text === undefined || text === '') {
        return { message: `--config env:${rest}: environment variable ${rest} is not set` };
      }
      return { text, name: `env:${rest}` };
    }
    case 'yaml': {
      const name = `--config yaml (${index + 1})`;
      return { text: rest, name, at: { source: name, line: 0, column: 0 } };
    }
    case 'http':
    case 'https':
      return { message: `--config ${scheme}:…: configuration is not fetched from the network; give a file` };
    default:
      return {
        message: `--config ${scheme}:…: scheme "${scheme}" is not supported (valid: file, env, yaml)`,
      };
  }
}

function readFile(path: string): Source | { readonly message: string } {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_SOURCE_BYTES)
      return { message: `${path}: is larger than ${MAX_SOURCE_BYTES} bytes` };
    return { text: bytes.toString('utf8'), name: path };
  } catch (error) {
    return { message: `${path}: cannot be read: ${systemReason(error)}` };
  }
}

function asMap(root: ConfigNode, problems: Problem[]): ConfigNode | undefined {
  if (root.kind === 'map') return root;
  if (root.kind === 'scalar' && root.value === null) return emptyMap(root.place);
  problems.push({
    place: root.place,
    path: '',
    message: 'a configuration is a map: receivers, exporters, extensions, service',
  });
  return undefined;
}
