// Reads the records of a transaction log, Kymo's and the official client's. What is unknown is skipped, what is broken is thrown as a WireError.
import { WireError, WireReader } from '../../../../otlp/wire-reader.ts';
import {
  type ArtifactEntry,
  type FileEntry,
  type LogItem,
  type LogRecord,
  SUMMARY_KINDS,
  type SummaryKind,
} from './model.ts';
import { FILE_TYPES, POLICIES, RECORD_FIELDS } from './write-record.ts';

const NS_PER_SECOND = 1_000_000_000n;
const KINDS = new Map(Object.entries(RECORD_FIELDS).map(([kind, field]) => [field as number, kind]));
/** Fields of `Record` that are no record. */
const NO_RECORD = new Set([1, 16, 19, 200]);
const WIRE_BYTES = 2;

/** @throws WireError */
export function readRecord(bytes: Uint8Array): LogRecord {
  const from = new WireReader(bytes);
  let record: LogRecord | undefined;
  for (let tag = from.tag(); tag !== 0; tag = from.tag()) {
    const field = tag >>> 3;
    if (NO_RECORD.has(field) || (tag & 7) !== WIRE_BYTES) {
      from.skip(tag);
      continue;
    }
    record = nested(from, () => readOne(from, field));
  }
  if (record === undefined) throw new WireError('a record without content', 0);
  return record;
}

function readOne(from: WireReader, field: number): LogRecord {
  switch (KINDS.get(field)) {
    case 'history': {
      const items: LogItem[] = [];
      let step = 0;
      fields(from, {
        1: () => items.push(readItem(from)),
        2: () => fields(from, { 1: () => (step = Number(from.int64())) }),
      });
      return { kind: 'history', items, step };
    }
    case 'summary':
    case 'config': {
      const update: LogItem[] = [];
      const remove: LogItem[] = [];
      fields(from, { 1: () => update.push(readItem(from)), 2: () => remove.push(readItem(from)) });
      return { kind: KINDS.get(field) as 'summary' | 'config', update, remove };
    }
    case 'stats': {
      const items: LogItem[] = [];
      let timeUnixNano = 0n;
      fields(from, { 2: () => (timeUnixNano = readTime(from)), 3: () => items.push(readItem(from)) });
      return { kind: 'stats', timeUnixNano, items };
    }
    case 'output': {
      let stream: 'stdout' | 'stderr' = 'stderr';
      let timeUnixNano = 0n;
      let line = '';
      fields(from, {
        1: () => (stream = from.int32() === 1 ? 'stdout' : 'stderr'),
        2: () => (timeUnixNano = readTime(from)),
        3: () => (line = readText(from)),
      });
      return { kind: 'output', stream, timeUnixNano, text: line };
    }
    case 'files': {
      const files: FileEntry[] = [];
      fields(from, {
        1: () => {
          let path = '';
          let policy = 0;
          let type = 0;
          fields(from, {
            1: () => (path = readText(from)),
            2: () => (policy = from.int32()),
            3: () => (type = from.int32()),
          });
          files.push({ path, policy: POLICIES[policy] ?? 'end', type: FILE_TYPES[type] ?? 'other' });
        },
      });
      return { kind: 'files', files };
    }
    case 'run':
      return readRun(from);
    case 'metric':
      return readMetric(from);
    case 'exit': {
      let exitCode = 0;
      let runtime = 0;
      fields(from, { 1: () => (exitCode = from.int32()), 2: () => (runtime = from.int32()) });
      return { kind: 'exit', exitCode, runtime };
    }
    case 'environment': {
      const read = { os: '', runtime: '', program: '', host: '', executable: '', writerId: '' };
      const args: string[] = [];
      let startedAtUnixNano = 0n;
      fields(from, {
        1: () => (read.os = readText(from)),
        2: () => (read.runtime = readText(from)),
        3: () => (startedAtUnixNano = readTime(from)),
        5: () => args.push(readText(from)),
        6: () => (read.program = readText(from)),
        12: () => (read.host = readText(from)),
        14: () => (read.executable = readText(from)),
        199: () => (read.writerId = readText(from)),
      });
      return { kind: 'environment', environment: { ...read, args, startedAtUnixNano } };
    }
    case 'telemetry': {
      const features: number[] = [];
      let pythonVersion = '';
      let cliVersion = '';
      fields(from, {
        3: () => {
          for (let tag = from.tag(); tag !== 0; tag = from.tag()) {
            if ((tag & 7) === 0) {
              if (from.varint() !== 0) features.push(tag >>> 3);
            } else from.skip(tag);
          }
        },
        4: () => (pythonVersion = readText(from)),
        5: () => (cliVersion = readText(from)),
      });
      return { kind: 'telemetry', telemetry: { pythonVersion, cliVersion, features } };
    }
    case 'artifact':
      return readArtifact(from);
    case 'alert': {
      const read = { title: '', text: '', level: '' };
      fields(from, {
        1: () => (read.title = readText(from)),
        2: () => (read.text = readText(from)),
        3: () => (read.level = readText(from)),
      });
      return { kind: 'alert', ...read };
    }
    case 'header': {
      let producer = '';
      let minConsumer = '';
      fields(from, {
        1: () =>
          fields(from, { 1: () => (producer = readText(from)), 2: () => (minConsumer = readText(from)) }),
      });
      return { kind: 'header', producer, minConsumer };
    }
    case 'preempting':
      return { kind: 'preempting' };
    case 'final':
      return { kind: 'final' };
    case 'footer':
      return { kind: 'footer' };
    default:
      return { kind: 'other', field };
  }
}

function readRun(from: WireReader): LogRecord {
  const read = { id: '', entity: '', project: '', group: '', jobType: '', name: '', notes: '', host: '' };
  const config: LogItem[] = [];
  const tags: string[] = [];
  let startTimeUnixNano = 0n;
  let startingStep = 0;
  let resumed = false;
  let runtime = 0;
  fields(from, {
    1: () => (read.id = readText(from)),
    2: () => (read.entity = readText(from)),
    3: () => (read.project = readText(from)),
    4: () => fields(from, { 1: () => config.push(readItem(from)) }),
    6: () => (read.group = readText(from)),
    7: () => (read.jobType = readText(from)),
    8: () => (read.name = readText(from)),
    9: () => (read.notes = readText(from)),
    10: () => tags.push(readText(from)),
    13: () => (read.host = readText(from)),
    14: () => (startingStep = Number(from.int64())),
    17: () => (startTimeUnixNano = readTime(from)),
    18: () => (resumed = from.varint() !== 0),
    20: () => (runtime = from.int32()),
  });
  return {
    kind: 'run',
    run: { ...read, config, tags, startTimeUnixNano, startingStep, resumed, runtime },
  };
}

function readMetric(from: WireReader): LogRecord {
  const read = { name: '', glob: '', stepMetric: '', stepSync: false, hidden: false, defined: false };
  const summary: SummaryKind[] = [];
  let goal = 0;
  let expandedFromGlob = false;
  fields(from, {
    1: () => (read.name = readText(from)),
    2: () => (read.glob = readText(from)),
    4: () => (read.stepMetric = readText(from)),
    6: () =>
      fields(from, {
        1: () => (read.stepSync = from.varint() !== 0),
        2: () => (read.hidden = from.varint() !== 0),
        3: () => (read.defined = from.varint() !== 0),
      }),
    7: () => {
      for (let tag = from.tag(); tag !== 0; tag = from.tag()) {
        const kind = SUMMARY_KINDS[(tag >>> 3) - 1];
        if ((tag & 7) !== 0) from.skip(tag);
        else if (from.varint() !== 0 && kind !== undefined) summary.push(kind);
      }
    },
    8: () => (goal = from.int32()),
    10: () => (expandedFromGlob = from.varint() !== 0),
  });
  return {
    kind: 'metric',
    metric: {
      ...read,
      summary,
      goal: goal === 1 ? 'minimize' : goal === 2 ? 'maximize' : undefined,
      expandedFromGlob,
    },
  };
}

function readArtifact(from: WireReader): LogRecord {
  const read = {
    ...{ runId: '', project: '', entity: '', type: '', name: '', digest: '', description: '', metadata: '' },
    ...{ clientId: '', sequenceClientId: '' },
  };
  const aliases: string[] = [];
  const entries: ArtifactEntry[] = [];
  fields(from, {
    1: () => (read.runId = readText(from)),
    2: () => (read.project = readText(from)),
    3: () => (read.entity = readText(from)),
    4: () => (read.type = readText(from)),
    5: () => (read.name = readText(from)),
    6: () => (read.digest = readText(from)),
    7: () => (read.description = readText(from)),
    8: () => (read.metadata = readText(from)),
    11: () => aliases.push(readText(from)),
    12: () =>
      fields(from, {
        4: () => {
          const entry = { path: '', digest: '', reference: '', localPath: '', size: 0 };
          fields(from, {
            1: () => (entry.path = readText(from)),
            2: () => (entry.digest = readText(from)),
            3: () => (entry.reference = readText(from)),
            4: () => (entry.size = Number(from.int64())),
            6: () => (entry.localPath = readText(from)),
          });
          entries.push(entry);
        },
      }),
    15: () => (read.clientId = readText(from)),
    16: () => (read.sequenceClientId = readText(from)),
  });
  return { kind: 'artifact', artifact: { ...read, aliases, entries } };
}

function readItem(from: WireReader): LogItem {
  let key = '';
  let json = '';
  let path: string[] | undefined;
  for (let tag = from.tag(); tag !== 0; tag = from.tag()) {
    const field = tag >>> 3;
    if ((tag & 7) !== WIRE_BYTES || (field !== 1 && field !== 2 && field !== 16)) {
      from.skip(tag);
      continue;
    }
    const length = from.length();
    const value = from.bytes.toString('utf8', from.position, from.position + length);
    from.position += length;
    if (field === 1) key = value;
    else if (field === 16) json = value;
    else {
      path ??= [];
      path.push(value);
    }
  }
  return { key, path: path ?? NO_PATH, json };
}
const NO_PATH: readonly string[] = [];

/** Reads one message, field by field. A handler of a length-delimited field is called with the reader bounded to it. */
function fields(from: WireReader, handlers: Readonly<Record<number, () => unknown>>): void {
  for (let tag = from.tag(); tag !== 0; tag = from.tag()) {
    const handler = handlers[tag >>> 3];
    const type = tag & 7;
    if (handler === undefined || (type !== WIRE_BYTES && type !== 0)) from.skip(tag);
    else if (type === WIRE_BYTES) nested(from, handler);
    else handler();
  }
}

function nested<T>(from: WireReader, read: () => T): T {
  const length = from.length();
  const { end } = from;
  from.end = from.position + length;
  const result = read();
  from.position = from.end;
  from.end = end;
  return result;
}

/** What is left of the message, as text. */
function readText(from: WireReader): string {
  const value = from.bytes.toString('utf8', from.position, from.end);
  from.position = from.end;
  return value;
}

function readTime(from: WireReader): bigint {
  let seconds: number | bigint = 0;
  let nanos = 0;
  fields(from, { 1: () => (seconds = from.int64()), 2: () => (nanos = from.int32()) });
  return BigInt(seconds) * NS_PER_SECOND + BigInt(nanos);
}
