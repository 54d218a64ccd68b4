// Where a configuration has its runs: the directory of its jsonl exporter.
import { loadTree } from '../collector/config/load.ts';
import { nodeAt } from '../collector/config/tree.ts';

/** Undefined where the configuration names none, or cannot be read: the collector says what is wrong with it. */
export function configuredRuns(file: string): string | undefined {
  const { tree } = loadTree({ sources: [file], env: process.env });
  const exporters = tree === undefined ? undefined : nodeAt(tree, ['exporters']);
  if (exporters?.kind !== 'map') return undefined;
  for (const [id, { value }] of exporters.entries) {
    if (id.split('/')[0]?.trim() !== 'jsonl') continue;
    const directory = nodeAt(value, ['directory']);
    if (directory?.kind === 'scalar' && typeof directory.value === 'string') return directory.value;
  }
  return undefined;
}
