// What TensorBoard shows of each media type: pictures and GIFs as images, WAV as audio, texts, tables and HTML source as text.
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import { bareMimeType } from '../../runs/file-names.ts';
import { encodeAudio, encodeImages, encodeText } from './events.ts';
import { MAX_TEXT_CHARACTERS } from './limits.ts';
import { csvTable, jsonTable, tableMarkdown } from './media-tables.ts';
import { pictureSize } from './picture-size.ts';
import type { RecordBuffer } from './record-buffer.ts';
import type { TagKind } from './tags.ts';

/** What an event says that matters here. JSON: it waits in the cursor while bytes are missing. */
export interface MediaFacts {
  readonly kind: string;
  readonly mimeType: string;
  readonly caption: string;
  /** 0 where the event does not say. */
  readonly width: number;
  readonly height: number;
}

/** A value of a plugin, ready to become a record. */
export interface MediaValue {
  readonly kind: TagKind;
  encode(into: RecordBuffer, wallTime: number, step: number, tag: string): void;
}

type Show = (bytes: Uint8Array, facts: MediaFacts) => MediaValue;

/** By media type. WebP, SVG and all videos but GIFs are not among them: the page gets them as unnamed bytes and shows a broken picture. */
const SHOWN: ReadonlyMap<string, Show> = new Map<string, Show>([
  ['image/png', picture],
  ['image/jpeg', picture],
  ['image/gif', picture],
  ['image/bmp', picture],
  ...['audio/wav', 'audio/wave', 'audio/x-wav', 'audio/vnd.wave'].map(type => [type, sound] as const),
  ['text/markdown', bytes => text(utf8(bytes))],
  ['text/plain', bytes => text(codeBlock(utf8(bytes)))],
  ['text/html', bytes => text(codeBlock(utf8(bytes)))],
  ['text/csv', bytes => table(csvTable(utf8(bytes)), bytes)],
  ['application/json', bytes => table(jsonTable(utf8(bytes)), bytes)],
  ['application/x-ndjson', bytes => table(jsonTable(utf8(bytes)), bytes)],
  ['application/jsonl', bytes => table(jsonTable(utf8(bytes)), bytes)],
]);
/** Senders log a picture beside the numbers of these kinds, so that the numbers need no note. */
const PICTURED_KINDS: ReadonlySet<string> = new Set(['vector_field', 'trajectories', 'point_cloud']);

export type Showing = 'shown' | 'not_shown' | 'pictured';

/** Whether TensorBoard shows it at all. */
export function showing({ kind, mimeType }: MediaFacts): Showing {
  if (SHOWN.has(mimeType)) return 'shown';
  return PICTURED_KINDS.has(kind) ? 'pictured' : 'not_shown';
}

export function mediaValue(bytes: Uint8Array, facts: MediaFacts): MediaValue | undefined {
  return SHOWN.get(facts.mimeType)?.(bytes, facts);
}

export function mediaFacts(
  kind: AnyValue | undefined,
  mimeType: AnyValue | undefined,
  more: Attributes,
): MediaFacts {
  const { caption, width, height } = more;
  const given = typeof mimeType === 'string' ? bareMimeType(mimeType) : '';
  return {
    kind: typeof kind === 'string' ? kind : '',
    mimeType: given,
    caption: typeof caption === 'string' ? caption.slice(0, MAX_CAPTION) : '',
    width: side(width),
    height: side(height),
  };
}

const MAX_CAPTION = 1_000;
const UTF8 = new TextDecoder();

function picture(bytes: Uint8Array, { mimeType, width, height }: MediaFacts): MediaValue {
  const size = width > 0 && height > 0 ? { width, height } : pictureSize(mimeType, bytes);
  return {
    kind: 'images',
    encode: (into, wallTime, step, tag) =>
      encodeImages(into, wallTime, step, tag, size?.width ?? 0, size?.height ?? 0, [bytes]),
  };
}

function sound(bytes: Uint8Array, { caption }: MediaFacts): MediaValue {
  return {
    kind: 'audio',
    encode: (into, wallTime, step, tag) =>
      encodeAudio(into, wallTime, step, tag, [{ bytes, label: caption }]),
  };
}

function text(markdown: string): MediaValue {
  const cut =
    markdown.length <= MAX_TEXT_CHARACTERS
      ? markdown
      : `${markdown.slice(0, MAX_TEXT_CHARACTERS)}\n\n… ${markdown.length - MAX_TEXT_CHARACTERS} more characters`;
  return { kind: 'text', encode: (into, wallTime, step, tag) => encodeText(into, wallTime, step, tag, cut) };
}

/** JSON that is no table is shown as it is. */
function table(found: ReturnType<typeof jsonTable>, bytes: Uint8Array): MediaValue {
  return text(found === undefined ? codeBlock(utf8(bytes)) : tableMarkdown(found));
}

function utf8(bytes: Uint8Array): string {
  // A character takes at least a byte, and what is shown is bounded anyway.
  return UTF8.decode(bytes);
}

/** An indented block: no text inside it can end it, as a fence could be ended. */
function codeBlock(source: string): string {
  return source
    .slice(0, MAX_TEXT_CHARACTERS)
    .split(/\r\n|\n|\r/)
    .map(line => `    ${line}`)
    .join('\n');
}

function side(value: AnyValue | undefined): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
