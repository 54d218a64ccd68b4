// Records of a transaction log as protobuf: package wandb_internal, message Record, the fields that Kymo writes.
import { WireWriter } from '../../../../otlp/wire-writer.ts';
import {
  type ArtifactFields,
  type EnvironmentFields,
  type LogItem,
  type LogRecord,
  type MetricFields,
  type RunFields,
  SUMMARY_KINDS,
  type TelemetryFields,
} from './model.ts';

/** Fields of `Record`, by kind. */
export const RECORD_FIELDS = {
  history: 2,
  summary: 3,
  config: 5,
  files: 6,
  stats: 7,
  artifact: 8,
  alert: 10,
  telemetry: 11,
  metric: 12,
  output: 13,
  run: 17,
  exit: 18,
  final: 20,
  header: 21,
  footer: 22,
  preempting: 23,
  environment: 26,
} as const;

const NUM = 1;
const ITEM_KEY = 1;
const ITEM_PATH = 2;
const ITEM_JSON = 16;
const NS_PER_SECOND = 1_000_000_000n;
export const POLICIES = ['now', 'end', 'live'] as const;
export const FILE_TYPES = ['other', 'wandb', 'media', 'artifact'] as const;
/** `MetricSummary` fields in the order of `SUMMARY_KINDS`. */
const SUMMARY_FIELD = (kind: (typeof SUMMARY_KINDS)[number]): number => SUMMARY_KINDS.indexOf(kind) + 1;

/** Appends the record to a writer that was reset. `num` counts the records of a log from 1. */
export function writeRecord(
  to: WireWriter,
  record: Exclude<LogRecord, { kind: 'other' }>,
  num: number,
): void {
  to.varintField(NUM, num);
  const mark = to.beginMessage(RECORD_FIELDS[record.kind]);
  switch (record.kind) {
    case 'header': {
      const version = to.beginMessage(1);
      text(to, 1, record.producer);
      text(to, 2, record.minConsumer);
      to.endMessage(version);
      break;
    }
    case 'run':
      writeRun(to, record.run);
      break;
    case 'history': {
      for (const item of record.items) writeItem(to, 1, item);
      writeHistoryStep(to, record.step);
      break;
    }
    case 'summary':
    case 'config':
      for (const item of record.update) writeItem(to, 1, item);
      for (const item of record.remove) writeItem(to, 2, item);
      break;
    case 'stats': {
      timestamp(to, 2, record.timeUnixNano);
      for (const item of record.items) writeItem(to, 3, item);
      break;
    }
    case 'output':
      if (record.stream === 'stdout') to.varintField(1, 1);
      timestamp(to, 2, record.timeUnixNano);
      text(to, 3, record.text);
      break;
    case 'files':
      for (const file of record.files) {
        const inner = to.beginMessage(1);
        text(to, 1, file.path);
        count(to, 2, POLICIES.indexOf(file.policy));
        count(to, 3, FILE_TYPES.indexOf(file.type));
        to.endMessage(inner);
      }
      break;
    case 'metric':
      writeMetric(to, record.metric);
      break;
    case 'environment':
      writeEnvironment(to, record.environment);
      break;
    case 'telemetry':
      writeTelemetry(to, record.telemetry);
      break;
    case 'artifact':
      writeArtifact(to, record.artifact);
      break;
    case 'alert':
      text(to, 1, record.title);
      text(to, 2, record.text);
      text(to, 3, record.level);
      break;
    case 'exit':
      if (record.exitCode !== 0) to.varintField(1, record.exitCode);
      count(to, 2, record.runtime);
      break;
    case 'preempting':
    case 'final':
    case 'footer':
      break;
  }
  to.endMessage(mark);
}

/** A row straight from its parts: this is where nearly all bytes of a log come from. */
export function writeHistory(
  to: WireWriter,
  num: number,
  step: number,
  encodedKeys: readonly Uint8Array[],
  values: readonly string[],
): void {
  to.varintField(NUM, num);
  const mark = to.beginMessage(RECORD_FIELDS.history);
  for (let i = 0; i < values.length; i++) {
    const item = to.beginMessage(1);
    to.raw(encodedKeys[i]!);
    to.stringField(ITEM_JSON, values[i]!);
    to.endMessage(item);
  }
  writeHistoryStep(to, step);
  to.endMessage(mark);
}

const keyWriter = new WireWriter(256);

/** What `writeHistory` takes for a key: its field, or one field per part of a nested place. */
export function encodeKey(key: string, path: readonly string[] = []): Uint8Array {
  keyWriter.reset();
  writeKey(keyWriter, key, path);
  return keyWriter.copy();
}

function writeKey(to: WireWriter, key: string, path: readonly string[]): void {
  if (path.length === 0) to.stringField(ITEM_KEY, key);
  else for (const part of path) to.stringField(ITEM_PATH, part);
}

function writeItem(to: WireWriter, field: number, item: LogItem): void {
  const mark = to.beginMessage(field);
  writeKey(to, item.key, item.path);
  if (item.json !== '') to.stringField(ITEM_JSON, item.json);
  to.endMessage(mark);
}

function writeHistoryStep(to: WireWriter, step: number): void {
  const mark = to.beginMessage(2);
  count(to, 1, step);
  to.endMessage(mark);
}

function writeRun(to: WireWriter, run: RunFields): void {
  text(to, 1, run.id);
  text(to, 2, run.entity);
  text(to, 3, run.project);
  if (run.config.length > 0) {
    const config = to.beginMessage(4);
    for (const item of run.config) writeItem(to, 1, item);
    to.endMessage(config);
  }
  text(to, 6, run.group);
  text(to, 7, run.jobType);
  text(to, 8, run.name);
  text(to, 9, run.notes);
  for (const tag of run.tags) to.stringField(10, tag);
  text(to, 13, run.host);
  count(to, 14, run.startingStep);
  timestamp(to, 17, run.startTimeUnixNano);
  if (run.resumed) to.varintField(18, 1);
  count(to, 20, run.runtime);
}

function writeMetric(to: WireWriter, metric: MetricFields): void {
  text(to, 1, metric.name);
  text(to, 2, metric.glob);
  text(to, 4, metric.stepMetric);
  const options = to.beginMessage(6);
  if (metric.stepSync) to.varintField(1, 1);
  if (metric.hidden) to.varintField(2, 1);
  if (metric.defined) to.varintField(3, 1);
  to.endMessage(options);
  if (metric.summary.length > 0) {
    const summary = to.beginMessage(7);
    for (const kind of SUMMARY_KINDS)
      if (metric.summary.includes(kind)) to.varintField(SUMMARY_FIELD(kind), 1);
    to.endMessage(summary);
  }
  if (metric.goal !== undefined) to.varintField(8, metric.goal === 'minimize' ? 1 : 2);
  if (metric.expandedFromGlob) to.varintField(10, 1);
}

function writeEnvironment(to: WireWriter, environment: EnvironmentFields): void {
  text(to, 1, environment.os);
  text(to, 2, environment.runtime);
  timestamp(to, 3, environment.startedAtUnixNano);
  for (const argument of environment.args) to.stringField(5, argument);
  text(to, 6, environment.program);
  text(to, 12, environment.host);
  text(to, 14, environment.executable);
  text(to, 199, environment.writerId);
}

function writeTelemetry(to: WireWriter, telemetry: TelemetryFields): void {
  const features = to.beginMessage(3);
  for (const feature of telemetry.features) to.varintField(feature, 1);
  to.endMessage(features);
  text(to, 4, telemetry.pythonVersion);
  text(to, 5, telemetry.cliVersion);
}

function writeArtifact(to: WireWriter, artifact: ArtifactFields): void {
  text(to, 1, artifact.runId);
  text(to, 2, artifact.project);
  text(to, 3, artifact.entity);
  text(to, 4, artifact.type);
  text(to, 5, artifact.name);
  text(to, 6, artifact.digest);
  text(to, 7, artifact.description);
  text(to, 8, artifact.metadata);
  to.varintField(9, 1);
  for (const alias of artifact.aliases) to.stringField(11, alias);
  const manifest = to.beginMessage(12);
  to.varintField(1, 1);
  text(to, 2, 'wandb-storage-policy-v1');
  const layout = to.beginMessage(3);
  text(to, 1, 'storageLayout');
  text(to, 2, '"V2"');
  to.endMessage(layout);
  for (const entry of artifact.entries) {
    const inner = to.beginMessage(4);
    text(to, 1, entry.path);
    text(to, 2, entry.digest);
    text(to, 3, entry.reference);
    count(to, 4, entry.size);
    text(to, 6, entry.localPath);
    to.endMessage(inner);
  }
  to.endMessage(manifest);
  to.varintField(14, 1);
  text(to, 15, artifact.clientId);
  text(to, 16, artifact.sequenceClientId);
}

/** Proto3 leaves out what is empty. */
function text(to: WireWriter, field: number, value: string): void {
  if (value !== '') to.stringField(field, value);
}
function count(to: WireWriter, field: number, value: number): void {
  if (value !== 0) to.varintField(field, value);
}

function timestamp(to: WireWriter, field: number, unixNano: bigint): void {
  const mark = to.beginMessage(field);
  const seconds = unixNano / NS_PER_SECOND;
  const nanos = Number(unixNano % NS_PER_SECOND);
  if (seconds !== 0n) to.varintField(1, seconds);
  if (nanos !== 0) to.varintField(2, nanos);
  to.endMessage(mark);
}
