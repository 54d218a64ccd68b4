// Checks a merged configuration as a whole: sections, ids, types, settings, pipelines and the references between them.
import { SIGNALS } from '../../otlp/model.ts';
import type {
  AuthenticatorReference,
  ComponentType,
  ExporterType,
  ExtensionType,
  ProcessorType,
  ReceiverType,
} from '../component.ts';
import { referenceProblem } from './authenticators.ts';
import { Chains } from './chains.ts';
import type { CollectorConfig, Components, Configured, Pipeline } from './config.ts';
import { COMMON_KEYS, type CommonSettings, commonSettings, NO_COMMON_SETTINGS } from './exporter-settings.ts';
import { configured, type Found, type Reference } from './found.ts';
import { type ComponentId, parseId } from './ids.ts';
import { JOURNAL_TYPE, type JournalSettings, journalSchema } from './journal-settings.ts';
import { didYouMean, type Place, type Problem } from './problem.ts';
import { checkSchema } from './schema.ts';
import { type TelemetrySettings, telemetrySchema } from './telemetry-settings.ts';
import { type ConfigNode, describeKind, type Entry, type MapNode, nodeAt } from './tree.ts';

const SECTIONS = ['receivers', 'processors', 'exporters', 'connectors', 'extensions', 'service'] as const;
const SERVICE_KEYS = ['extensions', 'pipelines', 'telemetry'] as const;
const PIPELINE_KEYS = ['receivers', 'processors', 'exporters'] as const;

export interface CheckedConfig {
  readonly config: CollectorConfig | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** @param directory where paths of modules start that stand in no file */
export function check(root: ConfigNode, components: Components, directory: string): CheckedConfig {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const complain = (place: Place | undefined, path: string, message: string) =>
    void problems.push({ place, path, message });
  const warn = (place: Place, path: string, message: string) => void warnings.push({ place, path, message });

  const top = asEntries(root, '', complain);
  unknownKeys(top, SECTIONS, '', complain);

  const section = <T extends ComponentType>(
    key: string,
    types: readonly T[],
    common: (
      id: ComponentId,
      value: ConfigNode,
      path: string,
      type: T | undefined,
    ) => CommonSettings<T> = () => NO_COMMON_SETTINGS,
  ): Map<string, Found<T>> => {
    const found = new Map<string, Found<T>>();
    const entry = top.get(key);
    if (entry === undefined) return found;
    for (const [text, { keyPlace, value }] of asEntries(entry.value, key, complain)) {
      const id = parseId(text);
      const path = `${key}::${text}`;
      if ('problem' in id) {
        complain(keyPlace, key, id.problem);
        continue;
      }
      if (found.has(id.id)) {
        complain(keyPlace, key, `"${id.id}" is configured twice`);
        continue;
      }
      const builtIn = types.find(one => one.type === id.type || one.aliases?.includes(id.type) === true);
      const { own = value, problems: more, module, scopes } = common(id, value, path, builtIn);
      problems.push(...more);
      const type = builtIn ?? module?.type;
      if (type === undefined && module !== undefined) {
        // What is wrong with the module has been told.
        found.set(id.id, { id: id.id, type, settings: undefined, place: keyPlace, node: value, scopes });
        continue;
      }
      if (type === undefined) {
        const valid = types.map(one => one.type);
        complain(
          keyPlace,
          key,
          `unknown type: "${id.type}" for id: "${id.id}" (valid values: [${valid.join(' ')}])${didYouMean(id.type, valid)}`,
        );
        found.set(id.id, { id: id.id, type, settings: undefined, place: keyPlace, node: value, scopes });
        continue;
      }
      if (builtIn !== undefined && type.type !== id.type) {
        warn(keyPlace, path, `"${id.type}" is a deprecated name of "${type.type}"`);
      }
      const known = key === 'exporters' ? COMMON_KEYS : [];
      const checked = checkSchema(type.config, own, path, keyPlace, known);
      if (!checked.ok) problems.push(...checked.problems);
      const settings = checked.ok ? checked.value : undefined;
      found.set(id.id, { id: id.id, type, settings, place: keyPlace, node: value, scopes });
    }
    return found;
  };

  const receivers = section<ReceiverType>('receivers', components.receivers);
  const exporters = section<ExporterType>('exporters', components.exporters, (id, value, path, type) =>
    commonSettings(id, value, path, type, directory),
  );
  const processors = section<ProcessorType>('processors', components.processors);
  section('connectors', []);
  const extensions = section<ExtensionType>('extensions', [JOURNAL, ...components.extensions]);
  if (receivers.size === 0)
    complain(top.get('receivers')?.keyPlace, '', 'no receiver configuration specified in config');
  if (exporters.size === 0)
    complain(top.get('exporters')?.keyPlace, '', 'no exporter configuration specified in config');

  const service = top.get('service');
  const serviceEntries = service === undefined ? NO_ENTRIES : asEntries(service.value, 'service', complain);
  unknownKeys(serviceEntries, SERVICE_KEYS, 'service', complain);

  const telemetryNode = serviceEntries.get('telemetry')?.value ?? nullAt(root.place);
  const telemetry = checkSchema(
    telemetrySchema,
    telemetryNode,
    'service::telemetry',
    serviceEntries.get('telemetry')?.keyPlace ?? root.place,
  );
  if (!telemetry.ok) problems.push(...telemetry.problems);

  const used = references(
    serviceEntries.get('extensions')?.value,
    'service::extensions',
    'extension',
    extensions,
    complain,
  );
  const journal = oneJournal([...extensions.values()], complain);

  const started = new Set(used.map(({ found }) => found.id));
  const checkAuth = (key: string, side: 'server' | 'client', found: Iterable<Found<AuthUser>>): void => {
    for (const { id, type, settings, place } of found) {
      if (settings === undefined) continue;
      for (const reference of type?.authenticators?.(settings) ?? []) {
        const problem = referenceProblem(reference, side, extensions, started);
        const path = [key, id, ...reference.path];
        if (problem !== undefined)
          complain(nodeAt(root, path)?.place ?? place, path.slice(0, -1).join('::'), problem);
      }
    }
  };
  checkAuth('receivers', 'server', receivers.values());
  checkAuth('exporters', 'client', exporters.values());
  checkAuth('extensions', 'server', extensions.values());

  const pipelines: Pipeline[] = [];
  const chains = new Chains();
  const pipelinesEntry = serviceEntries.get('pipelines');
  const pipelineEntries =
    pipelinesEntry === undefined
      ? NO_ENTRIES
      : asEntries(pipelinesEntry.value, 'service::pipelines', complain);
  for (const [text, { keyPlace, value }] of pipelineEntries) {
    const path = `service::pipelines::${text}`;
    const id = parseId(text);
    if ('problem' in id) {
      complain(keyPlace, 'service::pipelines', id.problem);
      continue;
    }
    const signal = SIGNALS.find(one => one === id.type);
    if (signal === undefined) {
      const valid = SIGNALS.join(' ');
      const message = `unknown signal "${id.type}" (valid values: [${valid}])${didYouMean(id.type, SIGNALS)}`;
      complain(keyPlace, path, message);
    }
    const entries = asEntries(value, path, complain);
    unknownKeys(entries, PIPELINE_KEYS, path, complain);
    const from = references(entries.get('receivers')?.value, path, 'receiver', receivers, complain);
    const through = references(entries.get('processors')?.value, path, 'processor', processors, complain);
    const to = references(entries.get('exporters')?.value, path, 'exporter', exporters, complain);
    if (from.length === 0 && isEmptyList(entries.get('receivers'))) {
      complain(keyPlace, path, 'must have at least one receiver');
    }
    if (to.length === 0 && isEmptyList(entries.get('exporters'))) {
      complain(keyPlace, path, 'must have at least one exporter');
    }
    if (signal === undefined) continue;
    for (const { found, place } of [...from, ...through, ...to]) {
      const takes = found.type?.signals;
      if (takes !== undefined && !takes.includes(signal)) {
        complain(place, path, `"${found.id}" does not support ${signal} (it supports ${takes.join(', ')})`);
      }
    }
    const place = entries.get('processors')?.keyPlace ?? keyPlace;
    for (const { found } of to) chains.add(found, signal, id.id, through, place);
    pipelines.push({
      id: id.id,
      signal,
      receivers: from.map(({ found }) => found.id),
      processors: through.map(({ found }) => found.id),
      exporters: to.map(({ found }) => found.id),
    });
  }
  if (pipelineEntries.size === 0) {
    complain(pipelinesEntry?.keyPlace ?? service?.keyPlace, '', 'service must have at least one pipeline');
  }
  problems.push(...chains.problems([...exporters.keys()]));
  warnOfSharedReceivers(pipelines, pipelinesEntry?.keyPlace ?? root.place, warn);

  if (problems.length > 0) return { config: undefined, problems, warnings };
  const config: CollectorConfig = {
    receivers: inUse(receivers, pipelines, 'receivers'),
    processors: inUse(processors, pipelines, 'processors'),
    exporters: inUse(exporters, pipelines, 'exporters').map(exporter => ({
      ...exporter,
      scopes: exporters.get(exporter.id)?.scopes,
      processors: chains.of(exporter.id),
      takes: new Set(pipelines.filter(one => one.exporters.includes(exporter.id)).map(one => one.signal)),
    })),
    extensions: used.flatMap(({ found }) => (found.type === JOURNAL ? [] : [configured(found)])),
    pipelines,
    journal,
    telemetry: (telemetry as { value: unknown }).value as TelemetrySettings,
  };
  return { config, problems, warnings };
}

/** A component type whose settings may name authenticators. */
interface AuthUser {
  authenticators?(settings: unknown): readonly AuthenticatorReference[];
}
type Complain = (place: Place | undefined, path: string, message: string) => void;
const NO_ENTRIES: MapNode['entries'] = new Map();

/** The journal is written as an extension, but every collector has one: it is no component that could be left out. */
const JOURNAL: ExtensionType = {
  kind: 'extension',
  type: JOURNAL_TYPE,
  stability: 'beta',
  config: journalSchema,
  create: () => {
    throw new Error('the journal is made by the service');
  },
};

function oneJournal(extensions: readonly Found<ExtensionType>[], complain: Complain): JournalSettings {
  const journals = extensions.filter(extension => extension.type === JOURNAL);
  for (const { id, place } of journals.slice(1)) {
    complain(place, `extensions::${id}`, `a collector has one journal, and "${journals[0]!.id}" is it`);
  }
  return (journals[0]?.settings as JournalSettings | undefined) ?? journalSchema.parse({});
}

/** A list of ids, each of which must be configured and named once. */
function references<T>(
  node: ConfigNode | undefined,
  path: string,
  kind: 'receiver' | 'processor' | 'exporter' | 'extension',
  configured: ReadonlyMap<string, Found<T>>,
  complain: Complain,
): Reference<T>[] {
  if (node === undefined || (node.kind === 'scalar' && node.value === null)) return [];
  if (node.kind !== 'list') {
    complain(node.place, path, `${kind}s: expected list, got ${describeKind(node)}`);
    return [];
  }
  const seen = new Set<string>();
  const result: Reference<T>[] = [];
  for (const item of node.items) {
    if (item.kind !== 'scalar' || typeof item.value !== 'string') {
      complain(item.place, path, `${kind}s: expected the id of a ${kind}, got ${describeKind(item)}`);
      continue;
    }
    const parsed = parseId(item.value);
    const id = 'problem' in parsed ? item.value : parsed.id;
    if (seen.has(id)) {
      complain(item.place, path, `references ${kind} "${id}" multiple times`);
      continue;
    }
    seen.add(id);
    const found = configured.get(id);
    if (found === undefined) {
      const hint = didYouMean(id, configured.keys());
      complain(item.place, path, `references ${kind} "${id}" which is not configured${hint}`);
      continue;
    }
    result.push({ found, place: item.place });
  }
  return result;
}

function isEmptyList(entry: Entry | undefined): boolean {
  if (entry === undefined) return true;
  const { value } = entry;
  return value.kind === 'list' ? value.items.length === 0 : value.kind === 'scalar' && value.value === null;
}

/** All receivers write into one journal, which exporters read: pipelines cannot keep two receivers of a signal apart. */
function warnOfSharedReceivers(
  pipelines: readonly Pipeline[],
  place: Place,
  warn: (place: Place, path: string, message: string) => void,
): void {
  for (const signal of SIGNALS) {
    const same = pipelines.filter(pipeline => pipeline.signal === signal);
    const key = (ids: readonly string[]) => [...ids].sort().join(' ');
    const receivers = new Set(same.map(pipeline => key(pipeline.receivers)));
    const exporters = new Set(same.map(pipeline => key(pipeline.exporters)));
    if (receivers.size > 1 && exporters.size > 1) {
      warn(
        place,
        'service::pipelines',
        `the ${signal} pipelines share one journal: each of their exporters gets the ${signal} of all their receivers`,
      );
    }
  }
}

function inUse<T>(
  found: ReadonlyMap<string, Found<T>>,
  pipelines: readonly Pipeline[],
  side: 'receivers' | 'processors' | 'exporters',
): Configured<T>[] {
  const ids = new Set(pipelines.flatMap(pipeline => pipeline[side]));
  return [...found.values()].filter(one => ids.has(one.id)).map(configured);
}

function asEntries(node: ConfigNode, path: string, complain: Complain): MapNode['entries'] {
  if (node.kind === 'map') return node.entries;
  if (node.kind !== 'scalar' || node.value !== null) {
    complain(node.place, path, `expected map, got ${describeKind(node)}`);
  }
  return NO_ENTRIES;
}

function unknownKeys(
  entries: MapNode['entries'],
  known: readonly string[],
  path: string,
  complain: Complain,
): void {
  for (const [key, { keyPlace }] of entries) {
    if (!known.includes(key)) complain(keyPlace, path, `unknown key "${key}"${didYouMean(key, known)}`);
  }
}

function nullAt(place: Place): ConfigNode {
  return { kind: 'scalar', place, value: null };
}
