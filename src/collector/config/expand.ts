// Replaces `${env:NAME}`, `${NAME}`, `${file:…}` and `${yaml:…}` in the values of a merged configuration.
//
// Rules as upstream's (confmap): after parsing, value by value, so that nothing expanded can change the structure around
// it; inner-most reference first; a value that is exactly one reference becomes whatever its text means as YAML, and a
// string setting still gets the text; `$$` is a dollar.
import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import type { Environment } from '../../semconv/local.ts';
import { MAX_DEPTH, MAX_NODES, MAX_SOURCE_BYTES, parseSource } from './parse.ts';
import type { Place, Problem } from './problem.ts';
import type { ConfigNode, ScalarNode } from './tree.ts';

/** Rounds of replacement within one value; upstream's bound. More means references that name each other. */
const MAX_ROUNDS = 1000;
/** Longest text one value may grow to. */
const MAX_VALUE_CHARACTERS = 1024 * 1024;
const ENV_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

export interface Expanded {
  /** Undefined when references turned out to be endless. */
  readonly root: ConfigNode | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** @param directory where relative paths of `${file:…}` start */
export function expand(root: ConfigNode, environment: Environment, directory: string): Expanded {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  let nodes = 0;
  // Set once references turn out to be endless: nothing further is followed, and only this is reported.
  let stopped = false;
  const endless = (place: Place, path: string, message: string) => {
    if (!stopped) problems.push({ place, path, message });
    stopped = true;
  };

  const visit = (node: ConfigNode, path: string, depth: number): ConfigNode => {
    if (++nodes > MAX_NODES || depth > MAX_DEPTH) {
      endless(node.place, path, 'grows without bound when references are followed');
    }
    if (stopped) return { kind: 'scalar', place: node.place, value: null };
    if (node.kind === 'list') {
      return {
        ...node,
        items: node.items.map((item, index) => visit(item, join(path, String(index)), depth + 1)),
      };
    }
    if (node.kind === 'map') {
      const entries = [...node.entries].map(
        ([key, entry]) => [key, { ...entry, value: visit(entry.value, join(path, key), depth + 1) }] as const,
      );
      return { ...node, entries: new Map(entries) };
    }
    return typeof node.value === 'string' ? expandText(node, node.value, path, depth) : node;
  };

  /** @param asText the text itself is wanted, whatever it would mean as YAML */
  const expandText = (
    node: ScalarNode,
    written: string,
    path: string,
    depth: number,
    asText = false,
  ): ConfigNode => {
    const { place } = node;
    const fail = (message: string): ConfigNode => {
      problems.push({ place, path, message });
      return { kind: 'scalar', place, value: null, unreadable: true };
    };
    let text = written;
    for (let round = 0; ; round++) {
      const found = findReference(text);
      if (found === undefined) return { kind: 'scalar', place, value: withSingleDollars(text) };
      if (round === MAX_ROUNDS) endless(place, path, 'too many recursive expansions');
      if (stopped) return { kind: 'scalar', place, value: null };
      const content = text.slice(found.start + 2, found.end - 1);
      // What an earlier round put in may be a secret: no message repeats it.
      const shown = round === 0 ? content : '…';
      if (content.includes('$')) return fail('a reference cannot hold a "$"');
      const value = retrieve(content, shown, environment, directory);
      if (value.kind === 'problem') return fail(value.message);
      const whole = found.start === 0 && found.end === text.length;
      if (value.kind === 'unset') {
        if (!asText) warnings.push({ place, path, message: `environment variable ${value.name} is not set` });
        if (whole) return { kind: 'scalar', place, value: null };
      }
      const replacement = value.kind === 'unset' ? '' : value.text;
      if (text.length + replacement.length > MAX_VALUE_CHARACTERS) {
        return fail(`expands to more than ${MAX_VALUE_CHARACTERS} characters`);
      }
      text = text.slice(0, found.start) + replacement + text.slice(found.end);
      if (!whole || asText) continue;
      const parsed = parseSource(text, place.source, place).root;
      // What is not YAML is a string, as upstream has it; so is what YAML calls one, quotes included.
      if (parsed === undefined || (parsed.kind === 'scalar' && typeof parsed.value === 'string')) continue;
      if (parsed.kind === 'scalar') return { ...parsed, original: withSingleDollars(text) };
      const original = expandText(node, text, path, depth, true);
      const kept = original.kind === 'scalar' && typeof original.value === 'string' ? original.value : '';
      return { ...visit(parsed, path, depth + 1), original: kept };
    }
  };

  const expanded = visit(root, '', 0);
  return { root: stopped ? undefined : expanded, problems, warnings };
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}::${key}`;
}

/** `$$` is a dollar; a single one is itself. */
function withSingleDollars(text: string): string {
  return text.replaceAll('$$', '$');
}

/** The first inner-most `${…}` that is not escaped by an odd number of dollars before it; `end` is behind its brace. */
function findReference(text: string): { readonly start: number; readonly end: number } | undefined {
  for (let from = 0; ; ) {
    const close = text.indexOf('}', from);
    if (close < 0) return undefined;
    const open = text.lastIndexOf('${', close);
    if (open >= from) {
      let dollars = 0;
      while (open - dollars - 1 >= from && text[open - dollars - 1] === '$') dollars++;
      if (dollars % 2 === 0) return { start: open, end: close + 1 };
    }
    from = close + 1;
  }
}

type Retrieved =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'unset'; readonly name: string }
  | { readonly kind: 'problem'; readonly message: string };

/** @param shown the content as messages may repeat it */
function retrieve(content: string, shown: string, environment: Environment, directory: string): Retrieved {
  const match = /^([A-Za-z][A-Za-z0-9+.-]+):(.*)$/s.exec(content);
  const scheme = match?.[1] ?? 'env';
  const rest = match?.[2] ?? content;
  switch (scheme) {
    case 'env':
      return retrieveVariable(rest, shown, environment);
    case 'file':
      return retrieveFile(rest, shown, directory);
    case 'yaml':
      return { kind: 'text', text: rest };
    case 'http':
    case 'https':
      return {
        kind: 'problem',
        message: 'configuration is not fetched from the network; download it and name the file',
      };
    default:
      return {
        kind: 'problem',
        message: rest.startsWith('-')
          ? `a default needs the scheme: write \${env:${shown}}`
          : `"\${${shown}}" has no scheme that is supported (valid: env, file, yaml)`,
      };
  }
}

function retrieveVariable(rest: string, shown: string, environment: Environment): Retrieved {
  const split = rest.indexOf(':-');
  const name = split < 0 ? rest : rest.slice(0, split);
  if (!ENV_NAME.test(name)) {
    return { kind: 'problem', message: `"\${${shown}}" names no valid environment variable` };
  }
  const value = environment[name];
  if (value !== undefined) return { kind: 'text', text: value };
  if (split >= 0) return { kind: 'text', text: rest.slice(split + 2) };
  return { kind: 'unset', name: shown === '…' ? shown : name };
}

function retrieveFile(path: string, shown: string, directory: string): Retrieved {
  const file = isAbsolute(path) ? path : resolve(directory, path);
  try {
    const bytes = readFileSync(file);
    if (bytes.length > MAX_SOURCE_BYTES) {
      return { kind: 'problem', message: `"\${${shown}}" is larger than ${MAX_SOURCE_BYTES} bytes` };
    }
    // Editors end a file with a line break, which is no part of a token.
    return { kind: 'text', text: bytes.toString('utf8').replace(/\r?\n$/, '') };
  } catch (error) {
    return { kind: 'problem', message: `"\${${shown}}" cannot be read: ${systemReason(error)}` };
  }
}

/** What the system said, in words without the path again. */
export function systemReason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  switch (code) {
    case 'ENOENT':
      return 'no such file';
    case 'EACCES':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a folder';
    default:
      return code ?? (error instanceof Error ? error.message : String(error));
  }
}
