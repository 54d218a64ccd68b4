// Prints a merged and expanded configuration as YAML, without its secrets.
import { stringify } from 'yaml';
import { isSecretPath, REDACTED, withoutCredentials } from './secrets.ts';
import type { ConfigNode } from './tree.ts';

/** `service` and the kinds of component are one key deep, component ids the second: settings begin behind these. */
const SETTINGS_DEPTH = 2;

export function printConfig(root: ConfigNode): string {
  const plain = redacted(root, []);
  return stringify(plain, { lineWidth: 0, aliasDuplicateObjects: false });
}

function redacted(node: ConfigNode, path: readonly string[]): unknown {
  if (node.kind === 'list') return node.items.map((item, index) => redacted(item, [...path, String(index)]));
  if (node.kind === 'map') {
    const plain = new Map<string, unknown>();
    for (const [key, { value }] of node.entries) plain.set(key, redacted(value, [...path, key]));
    return plain;
  }
  if (node.value === null) return null;
  if (isSecretPath(path.slice(SETTINGS_DEPTH)) && !namesAnAttribute(path)) return REDACTED;
  return typeof node.value === 'string' ? withoutCredentials(node.value) : node.value;
}

/** `key` of an action of the resource and attributes processors. */
function namesAnAttribute(path: readonly string[]): boolean {
  return path[0] === 'processors' && path.at(-1) === 'key';
}
