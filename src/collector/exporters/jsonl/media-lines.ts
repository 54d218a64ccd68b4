// The beginning of the line that a media or artifact event becomes, and where its file goes; the rest is known once its bytes are here.
import { createHash } from 'node:crypto';
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import {
  ARTIFACT_ALIASES,
  ARTIFACT_BEST,
  ARTIFACT_METADATA,
  ARTIFACT_NAME,
  ARTIFACT_PATH,
  ARTIFACT_TYPE,
  ARTIFACT_URI,
  MEDIA_CAPTION,
  MEDIA_FPS,
  MEDIA_FRAMES,
  MEDIA_HEIGHT,
  MEDIA_KIND,
  MEDIA_METADATA,
  MEDIA_MIME_TYPE,
  MEDIA_NAME,
  MEDIA_WIDTH,
  MODE,
  RUN_ID,
  SCOPE,
  STEP,
} from '../../../semconv/names.ts';
import type { ResolvedLog } from '../../component.ts';
import { extensionOf, fileSegment, folderSegment, pathSegments } from '../../runs/file-names.ts';
import { valueJson } from '../../runs/json.ts';
import { type PieceEvent, text } from '../../runs/media-events.ts';
import { explicitMode } from '../../runs/resolve.ts';
import type { ArtifactClaim } from './artifacts.ts';
import { MAX_ALIASES_PER_EVENT, MAX_EVENT_CHARACTERS, MAX_LISTED_NAME_CHARACTERS } from './limits.ts';
import { modeJson, ownerJson, restJson, traceJson, unixSeconds } from './lines.ts';

export const MEDIA_FOLDER = 'media';

/** An event on its way to its line. JSON, because it travels in the cursor while its bytes are missing. */
export interface WaitingEvent {
  /** Tells the event from all others; the same event sent twice has the same. */
  readonly key: string;
  /** Empty where no content is named. */
  readonly sha256: string;
  /** The line so far, without its last brace. */
  readonly line: string;
  /** Folders below the run's, or for an artifact below its version's; and the file's name in two pieces, between which a hash may go. */
  readonly folders: readonly string[];
  readonly stem: string;
  readonly extension: string;
  readonly artifact?: ArtifactClaim;
  /** Since when it waits: Unix ns as text. */
  readonly since: string;
}

/** Where the files of each kind go. */
const KIND_FOLDERS: ReadonlyMap<string, string> = new Map([
  ['image', 'images'],
  ['video', 'videos'],
  ['audio', 'audio'],
  ['vector_field', 'vector_fields'],
  ['trajectories', 'trajectories'],
  ['point_cloud', 'point_clouds'],
  ['table', 'tables'],
  ['html', 'html'],
  ['text', 'texts'],
]);
const OTHER_KINDS = 'other';
const UNNAMED = 'unnamed';
const BEST = 'best';

/** Keys of a media line, by attribute. */
const MEDIA_KEYS: readonly (readonly [attribute: string, key: string])[] = [
  [MEDIA_MIME_TYPE, 'mime'],
  [MEDIA_WIDTH, 'width'],
  [MEDIA_HEIGHT, 'height'],
  [MEDIA_FRAMES, 'frames'],
  [MEDIA_FPS, 'fps'],
  [MEDIA_CAPTION, 'caption'],
  [MEDIA_METADATA, 'metadata'],
];
const IN_LINE = [STEP, SCOPE, MODE, RUN_ID];
const MEDIA_SAID: ReadonlySet<string> = new Set([
  ...[MEDIA_NAME, MEDIA_KIND, ...IN_LINE],
  ...MEDIA_KEYS.map(([attribute]) => attribute),
]);
const ARTIFACT_SAID: ReadonlySet<string> = new Set([
  ...[ARTIFACT_NAME, ARTIFACT_TYPE, ARTIFACT_PATH, ARTIFACT_URI, ARTIFACT_ALIASES, ARTIFACT_BEST],
  ...[ARTIFACT_METADATA, ...IN_LINE],
]);

/** `sha256`: of the content, where the event's own may be missing. `first`: the instance whose lines do not name it. */
export function waitingEvent(
  event: PieceEvent,
  log: ResolvedLog,
  first: string | undefined,
  sha256: string,
  receivedUnixNano: bigint,
): WaitingEvent {
  const { kind, attributes } = event;
  const { record, run, scope } = log;
  const step = numberText(attributes[STEP]);
  const given = text(attributes[kind === 'media' ? MEDIA_NAME : ARTIFACT_NAME]);
  const name = given === '' ? UNNAMED : given.slice(0, MAX_LISTED_NAME_CHARACTERS);
  const place = kind === 'media' ? mediaPlace(name, attributes, step) : filePlace(name, attributes);
  const claim = kind === 'media' ? undefined : artifactClaim(name, attributes, log, step);
  let line = '{';
  if (step !== '') line += `"step":${step},`;
  line += `"time":${unixSeconds(record.timeUnixNano)}${modeJson(explicitMode(record))}${ownerJson(run, scope, first)}`;
  line += `${traceJson(record.traceId, record.spanId)},"name":${JSON.stringify(name)}`;
  const facts = claim === undefined ? mediaFacts(attributes) : artifactFacts(claim, attributes);
  line += facts.length <= MAX_EVENT_CHARACTERS ? facts : ',"too_large":true';
  const identity = [run.instance, run.attempt, scope, record.timeUnixNano, kind, name, step, sha256];
  return {
    key: shortHash([...identity, text(attributes[ARTIFACT_PATH])]),
    sha256,
    line,
    ...place,
    ...(claim === undefined ? {} : { artifact: claim }),
    since: receivedUnixNano.toString(),
  };
}

function mediaFacts(attributes: Attributes): string {
  let facts = `,"kind":${JSON.stringify(text(attributes[MEDIA_KIND]) || 'other')}`;
  for (const [attribute, key] of MEDIA_KEYS) {
    if (attributes[attribute] !== undefined) facts += `,"${key}":${valueJson(attributes[attribute])}`;
  }
  return facts + restJson(attributes, MEDIA_SAID);
}

function artifactFacts(
  { type, file, uri, aliases, metadata }: ArtifactClaim,
  attributes: Attributes,
): string {
  let facts = '';
  if (type !== '') facts += `,"type":${JSON.stringify(type)}`;
  if (file !== '') facts += `,"file":${JSON.stringify(file)}`;
  if (uri !== '') facts += `,"uri":${JSON.stringify(uri)}`;
  if (aliases.length > 0) facts += `,"aliases":${JSON.stringify(aliases)}`;
  if (metadata !== '') facts += `,"metadata":${metadata}`;
  return facts + restJson(attributes, ARTIFACT_SAID);
}

function artifactClaim(
  name: string,
  attributes: Attributes,
  { record, run, scope }: ResolvedLog,
  step: string,
): ArtifactClaim {
  const listed = attributes[ARTIFACT_ALIASES];
  const given = (Array.isArray(listed) ? listed : [listed]).map(one => text(one));
  if (attributes[ARTIFACT_BEST] === true) given.unshift(BEST);
  const aliases = [...new Set(given)].filter(one => one !== '' && one.length <= MAX_LISTED_NAME_CHARACTERS);
  const metadata =
    attributes[ARTIFACT_METADATA] === undefined ? '' : valueJson(attributes[ARTIFACT_METADATA]);
  return {
    name,
    versionId: shortHash([run.instance, scope, record.timeUnixNano]),
    aliases: aliases.slice(0, MAX_ALIASES_PER_EVENT),
    type: text(attributes[ARTIFACT_TYPE]).slice(0, MAX_LISTED_NAME_CHARACTERS),
    time: unixSeconds(record.timeUnixNano),
    step,
    file: text(attributes[ARTIFACT_PATH]).slice(0, MAX_EVENT_CHARACTERS),
    uri: text(attributes[ARTIFACT_URI]).slice(0, MAX_EVENT_CHARACTERS),
    metadata: metadata.length <= MAX_EVENT_CHARACTERS ? metadata : '',
  };
}

type FilePlace = Pick<WaitingEvent, 'folders' | 'stem' | 'extension'>;

function mediaPlace(name: string, attributes: Attributes, step: string): FilePlace {
  const segments = pathSegments(name);
  const kind = KIND_FOLDERS.get(text(attributes[MEDIA_KIND])) ?? OTHER_KINDS;
  return {
    // No folder has a dot in its name and every file has one, so that `a` and `a_1.png/b` do not meet.
    folders: [MEDIA_FOLDER, kind, ...segments.slice(0, -1).map(folderSegment)],
    stem: segments.at(-1)! + (step === '' ? '' : `_${step.replaceAll('"', '')}`),
    extension: `.${extensionOf(text(attributes[MEDIA_MIME_TYPE]))}`,
  };
}

/** An artifact's file keeps its name: people open it from there. */
function filePlace(name: string, attributes: Attributes): FilePlace {
  const file = text(attributes[ARTIFACT_PATH]);
  const segments = file === '' ? [fileSegment(lastPart(name))] : pathSegments(file);
  const last = segments.at(-1)!;
  const dot = last.lastIndexOf('.');
  const at = dot > 0 ? dot : last.length;
  return { folders: segments.slice(0, -1), stem: last.slice(0, at), extension: last.slice(at) };
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1) || name;
}

/** A number as JSON; empty for anything else. */
function numberText(value: AnyValue | undefined): string {
  return typeof value === 'number' || typeof value === 'bigint' ? valueJson(value) : '';
}

function shortHash(parts: readonly (string | number | bigint)[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 16);
}
