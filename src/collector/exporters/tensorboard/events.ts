// Encoders for the `Event` messages that TensorBoard reads, each appending one whole record.
// Field numbers: tensorboard/compat/proto/{event,summary,tensor,tensor_shape}.proto and plugins/hparams/plugin_data.proto.
import { message, type RecordBuffer, varintLength } from './record-buffer.ts';

export const FILE_VERSION = 'brain.Event:2';
export const WRITER = 'kymo.tensorboard';

export const HPARAMS_PREFIX = '_hparams_/';
export const SESSION_START_TAG = '_hparams_/session_start_info';
export const SESSION_END_TAG = '_hparams_/session_end_info';

/** What every point of one tag repeats: the encoded `Summary.Value` up to its float. */
export function scalarPrefix(tag: string): Uint8Array {
  const name = UTF8.encode(tag);
  return message(into => {
    into.reserve(name.length + 32);
    into.bytes[into.length++] = 0x0a; // Summary.value
    into.varint32(1 + varintLength(name.length) + name.length + 5);
    into.bytesField(0x0a, name); // Value.tag
    into.bytes[into.length++] = 0x15; // Value.simple_value, float
  });
}

/** Scalars of one step and time in one event: `count` values, `prefixes[i]` made by `scalarPrefix`. */
export function encodeScalars(
  into: RecordBuffer,
  wallTime: number,
  step: number,
  prefixes: readonly { readonly prefix: Uint8Array }[],
  values: Float64Array,
  count: number,
): void {
  let summaryLength = 4 * count;
  for (let i = 0; i < count; i++) summaryLength += prefixes[i]!.prefix.length;
  into.reserve(summaryLength + 64);
  const start = into.beginRecord();
  beginSummary(into, wallTime, step, summaryLength);
  const { bytes, view } = into;
  let at = into.length;
  for (let i = 0; i < count; i++) {
    const { prefix } = prefixes[i]!;
    const prefixLength = prefix.length;
    // A loop beats `set` for the few bytes of a usual name.
    if (prefixLength < 64) for (let j = 0; j < prefixLength; j++) bytes[at + j] = prefix[j]!;
    else bytes.set(prefix, at);
    at += prefixLength;
    view.setFloat32(at, values[i]!, true);
    at += 4;
  }
  into.length = at;
  into.endRecord(start);
}

/** The first record of every file. Without version 2 the Python reader ignores START. */
export function encodeFileVersion(into: RecordBuffer, wallTime: number): void {
  const start = into.beginRecord();
  into.doubleField(0x09, wallTime);
  into.stringField(0x1a, FILE_VERSION);
  into.bytesField(
    0x52,
    message(m => m.stringField(0x0a, WRITER)),
  ); // source_metadata.writer
  into.endRecord(start);
}

/** `SessionLog` START: the Python reader forgets every point with a step of at least `step`, but for the first START of a run. */
export function encodeSessionStart(into: RecordBuffer, wallTime: number, step: number, note: string): void {
  const start = into.beginRecord();
  into.doubleField(0x09, wallTime);
  into.varintField(0x10, step);
  into.bytesField(
    0x3a,
    message(m => {
      m.varintField(0x08, 1);
      if (note !== '') m.stringField(0x1a, note);
    }),
  );
  into.endRecord(start);
}

/** A histogram: `rows` holds left edge, right edge and count of each bucket, bucket after bucket. */
export function encodeHistogram(
  into: RecordBuffer,
  wallTime: number,
  step: number,
  tag: string,
  rows: Float64Array,
): void {
  encodeValue(into, wallTime, step, tag, 'histograms', NO_CONTENT, value => {
    value.bytesField(
      0x42,
      message(tensor => {
        tensor.varintField(0x08, DT_DOUBLE);
        tensor.bytesField(0x12, shape([rows.length / 3, 3]));
        tensor.bytesField(0x22, littleEndianDoubles(rows)); // tensor_content
      }),
    );
  });
}

/** One markdown document. */
export function encodeText(
  into: RecordBuffer,
  wallTime: number,
  step: number,
  tag: string,
  markdown: string,
): void {
  encodeValue(into, wallTime, step, tag, 'text', NO_CONTENT, value => {
    value.bytesField(0x42, stringTensor([], [UTF8.encode(markdown)]));
  });
}

/** Images of one step, all of one size; encoded as PNG, JPEG, GIF or BMP, which is what the UI displays. */
export function encodeImages(
  into: RecordBuffer,
  wallTime: number,
  step: number,
  tag: string,
  width: number,
  height: number,
  images: readonly Uint8Array[],
): void {
  const strings = [UTF8.encode(String(width)), UTF8.encode(String(height)), ...images];
  encodeValue(into, wallTime, step, tag, 'images', NO_CONTENT, value => {
    value.bytesField(0x42, stringTensor([strings.length], strings));
  });
}

/** Sounds of one step, as WAV, with a label each (which the Rust reader leaves out). */
export function encodeAudio(
  into: RecordBuffer,
  wallTime: number,
  step: number,
  tag: string,
  sounds: readonly { readonly bytes: Uint8Array; readonly label: string }[],
): void {
  encodeValue(into, wallTime, step, tag, 'audio', AUDIO_IS_WAV, value => {
    const cells = sounds.flatMap(({ bytes, label }) => [bytes, UTF8.encode(label)]);
    value.bytesField(0x42, stringTensor([sounds.length, 2], cells));
  });
}

/** A column's value in the HParams dashboard. */
export type HparamValue = string | number | boolean;

/** The run's hyperparameters. Readers keep the first one of a run and never update it. */
export function encodeSessionStartInfo(
  into: RecordBuffer,
  wallTime: number,
  hparams: ReadonlyMap<string, HparamValue>,
): void {
  const info = message(m => {
    for (const [key, value] of hparams) {
      m.bytesField(
        0x0a,
        message(entry => {
          entry.stringField(0x0a, key);
          entry.bytesField(
            0x12,
            message(v => {
              if (typeof value === 'number') v.doubleField(0x11, value);
              else if (typeof value === 'boolean') v.varintField(0x20, value ? 1 : 0);
              else v.stringField(0x1a, value);
            }),
          );
        }),
      );
    }
    m.doubleField(0x29, wallTime); // start_time_secs
  });
  encodeHparamsValue(into, wallTime, 0, SESSION_START_TAG, 0x1a, info);
}

/** How the run ended. Its step is the run's last, so that going back behind it undoes it. */
export function encodeSessionEndInfo(
  into: RecordBuffer,
  wallTime: number,
  step: number,
  succeeded: boolean,
): void {
  const info = message(m => {
    m.varintField(0x08, succeeded ? 1 : 2);
    m.doubleField(0x11, wallTime);
  });
  encodeHparamsValue(into, wallTime, step, SESSION_END_TAG, 0x22, info);
}

const UTF8 = new TextEncoder();
const NO_CONTENT = new Uint8Array(0);
/** AudioPluginData.encoding = WAV. */
const AUDIO_IS_WAV = Uint8Array.of(0x10, 0x0b);
const DT_DOUBLE = 2;
const DT_STRING = 7;
/** Rank 1, no elements: what the payload's place holds when everything is in the metadata. */
const NULL_TENSOR = Uint8Array.of(0x08, 0x01, 0x12, 0x02, 0x12, 0x00);

function beginSummary(into: RecordBuffer, wallTime: number, step: number, summaryLength: number): void {
  into.bytes[into.length++] = 0x09;
  into.double(wallTime);
  into.bytes[into.length++] = 0x10;
  into.varint64(step);
  into.bytes[into.length++] = 0x2a;
  into.varint32(summaryLength);
}

/** An event with one value and its metadata. The metadata is repeated with each value, so that any record can stand alone. */
function encodeValue(
  into: RecordBuffer,
  wallTime: number,
  step: number,
  tag: string,
  plugin: string,
  content: Uint8Array,
  writeValue: (value: RecordBuffer) => void,
): void {
  const summary = message(m =>
    m.bytesField(
      0x0a,
      message(value => {
        value.stringField(0x0a, tag);
        writeValue(value);
        const pluginData = message(data => {
          data.stringField(0x0a, plugin);
          if (content.length > 0) data.bytesField(0x12, content);
        });
        value.bytesField(
          0x4a,
          message(metadata => metadata.bytesField(0x0a, pluginData)),
        );
      }),
    ),
  );
  const start = into.beginRecord();
  into.reserve(summary.length + 64);
  beginSummary(into, wallTime, step, summary.length);
  into.append(summary);
  into.endRecord(start);
}

function encodeHparamsValue(
  into: RecordBuffer,
  wallTime: number,
  step: number,
  tag: string,
  key: number,
  info: Uint8Array,
): void {
  const content = message(m => m.bytesField(key, info));
  encodeValue(into, wallTime, step, tag, 'hparams', content, value => value.bytesField(0x42, NULL_TENSOR));
}

function stringTensor(dimensions: readonly number[], strings: readonly Uint8Array[]): Uint8Array {
  return message(tensor => {
    tensor.varintField(0x08, DT_STRING);
    tensor.bytesField(0x12, shape(dimensions));
    for (const string of strings) tensor.bytesField(0x42, string);
  });
}

function shape(dimensions: readonly number[]): Uint8Array {
  return message(m => {
    for (const size of dimensions) {
      m.bytesField(
        0x12,
        message(dimension => dimension.varintField(0x08, size)),
      );
    }
  });
}

function littleEndianDoubles(values: Float64Array): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) view.setFloat64(i * 8, values[i]!, true);
  return bytes;
}
