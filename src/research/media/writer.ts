// What a media call does on the caller's thread: check, describe it in a log record, and hand the raw bytes over with one copy.
import { isSpanContextValid, trace } from '@opentelemetry/api';
import { encodeLogRecord } from '../../otlp/encode-records.ts';
import type { Attributes } from '../../otlp/model.ts';
import { WireWriter } from '../../otlp/wire-writer.ts';
import { MAX_DESCRIPTION_BYTES, type MediaSource } from '../../sdk/media/job.ts';
import { openSpans } from '../../sdk/providers-active-span.ts';
import type { Recorder, ScopeId } from '../../sdk/recorder.ts';
import * as names from '../../semconv/names.ts';
import { kindOf, shown } from '../checks.ts';
import type { Complaints } from '../complaints.ts';
import type { MediaEvent } from '../handlers/event.ts';
import { EventOrigin, hub } from '../handlers/hub.ts';
import { isStep } from '../numbers.ts';
import { type PlainMap, toPlainMap } from '../plain.ts';
import type { Row } from '../row-options.ts';
import type { RowWriter } from '../row-writer.ts';
import type { StepCounter } from '../steps.ts';
import { artifactSource } from './artifact.ts';
import {
  type ArrayOptions,
  type ArtifactOptions,
  type AudioOptions,
  checkMediaCall,
  checkSizes,
  type FieldOptions,
  type ImageOptions,
  type MediaCall,
  type MediaOptions,
  type RowMediaOptions,
  type TableOptions,
  type TextOptions,
  type VideoOptions,
} from './options.ts';
import { type Promoted, promoteDictionary, promoteRow, promoteVector } from './promote.ts';
import {
  audioSource,
  fieldSource,
  imageSource,
  type Prepared,
  pointCloudSource,
  textSource,
  trajectoriesSource,
  videoSource,
} from './sources.ts';
import { tableContent } from './table.ts';

const INFO = 9;

type MediaKind = (typeof names.MEDIA_KINDS)[number];

/** What media need to know of the run. */
export interface MediaHost {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly enabled: boolean;
  readonly ended: boolean;
  readonly complaints: Complaints;
  readonly runtime: { readonly recorder: Recorder };
  scopeId(logger: string, scope: string): ScopeId;
  steps(scope: string): StepCounter;
  writer(logger: string, scope: string): RowWriter;
}

/** Encoding runs none of the caller's code, so one buffer serves all. */
const wire = new WireWriter();

/** Writes media under one logger's name and scope. */
export class MediaWriter {
  private readonly host: MediaHost;
  private readonly logger: string;
  private readonly scope: string;
  private readonly bound: PlainMap;
  private origin: EventOrigin | undefined;

  /** @param bound fields of the logger: they become attributes, as they do of text */
  constructor(host: MediaHost, logger: string, scope: string, bound: PlainMap) {
    this.host = host;
    this.logger = logger;
    this.scope = scope;
    this.bound = bound;
  }

  image(name: string, image: unknown, options: ImageOptions | undefined): void {
    this.media('image', 'image', name, image, options, (subject, given) =>
      imageSource(subject, image, given),
    );
  }

  video(name: string, video: unknown, options: VideoOptions | undefined): void {
    this.media('video', 'video', name, video, options, (subject, given) =>
      videoSource(subject, video, given),
    );
  }

  audio(name: string, audio: unknown, options: AudioOptions | undefined): void {
    this.media('audio', 'audio', name, audio, options, (subject, given) =>
      audioSource(subject, audio, given),
    );
  }

  vectorField(name: string, field: unknown, options: FieldOptions | undefined): void {
    this.media('vectorField', 'vector_field', name, field, options, (subject, given) =>
      fieldSource(subject, field, given),
    );
  }

  trajectories(name: string, points: unknown, options: ArrayOptions | undefined): void {
    this.media('trajectories', 'trajectories', name, points, options, (subject, given) =>
      trajectoriesSource(subject, points, given),
    );
  }

  pointCloud(name: string, points: unknown, options: ArrayOptions | undefined): void {
    this.media('pointCloud', 'point_cloud', name, points, options, (subject, given) =>
      pointCloudSource(subject, points, given),
    );
  }

  table(name: string, rows: unknown, options: TableOptions | undefined): void {
    this.media('table', 'table', name, rows, options, (subject, given) => {
      const { columns, rows: count, json } = tableContent(subject, rows, given.columns);
      const source: MediaSource = { as: 'bytes', mimeType: 'application/json' };
      return { source, content: Buffer.from(json), facts: { columns: columns.slice(0, 100), rows: count } };
    });
  }

  html(name: string, html: string, options: MediaOptions | undefined): void {
    this.media('html', 'html', name, html, options, subject => textSource(subject, html, 'text/html'));
  }

  text(name: string, text: string, options: TextOptions | undefined): void {
    this.media('text', 'text', name, text, options, (subject, given) =>
      textSource(subject, text, given.format === 'markdown' ? 'text/markdown' : 'text/plain'),
    );
  }

  artifact(name: string, source: unknown, options: ArtifactOptions | undefined): void {
    checkMediaCall('artifact', name, options);
    if (!this.isOpen(1)) return;
    const given = options ?? {};
    const subject = `artifact ${shown(name)}`;
    const step = this.stepOf(given.step, name);
    if (step === undefined) return;
    this.attempt(subject, () => {
      const prepared = artifactSource(subject, name, source, given);
      const attributes: Attributes = { ...this.bound, [names.ARTIFACT_NAME]: name };
      if (!Number.isNaN(step)) attributes[names.STEP] = step;
      attributes[names.ARTIFACT_TYPE] = given.type ?? 'file';
      if (prepared.uri !== undefined) attributes[names.ARTIFACT_URI] = prepared.uri;
      if (given.aliases !== undefined) attributes[names.ARTIFACT_ALIASES] = given.aliases;
      if (given.best !== undefined) attributes[names.ARTIFACT_BEST] = given.best;
      if (given.metadata !== undefined)
        attributes[names.ARTIFACT_METADATA] = toPlainMap(given.metadata) as Attributes;
      this.send('artifact', subject, names.EVENT_ARTIFACT, attributes, prepared);
      this.publish('artifact', name, step, source, given);
    });
  }

  vector(name: string, values: unknown, options: RowMediaOptions | undefined): void {
    checkMediaCall('vector', name, options);
    if (!this.isOpen(1)) return;
    this.attempt(`vector ${shown(name)}`, () =>
      this.promoted(promoteVector(`vector ${shown(name)}`, name, values), options),
    );
  }

  dictionary(name: string, data: unknown, options: RowMediaOptions | undefined): void {
    checkMediaCall('dictionary', name, options);
    if (typeof data !== 'object' || data === null || Array.isArray(data) || ArrayBuffer.isView(data))
      throw new TypeError(
        `kymo: dictionary(data) must be an object such as {loss: 0.5}, not ${kindOf(data)}`,
      );
    if (!this.isOpen(1)) return;
    this.promoted(promoteDictionary(name, data), options);
  }

  push(metrics: unknown, options: RowMediaOptions | undefined): void {
    checkMediaCall('push', 'metrics', options);
    if (
      typeof metrics !== 'object' ||
      metrics === null ||
      Array.isArray(metrics) ||
      ArrayBuffer.isView(metrics)
    )
      throw new TypeError(
        `kymo: push(metrics) must be an object such as {loss: 0.5}, not ${kindOf(metrics)}`,
      );
    if (!this.isOpen(1)) return;
    this.promoted(promoteRow(metrics), options);
  }

  /** Numbers in one row, the rest at the row's step. */
  private promoted(promoted: Promoted, options: RowMediaOptions = {}): void {
    const rows = this.host.writer(this.logger, this.scope);
    const step = options.step ?? rows.stepNow();
    if (this.stepOf(step, 'step') === undefined) return;
    for (const { name, problem } of promoted.unsupported)
      this.bad(`metric ${shown(name)}`, new TypeError(`kymo: ${problem}`));
    const { step: _, ...mediaOptions } = options;
    if (Object.keys(promoted.row).length > 0)
      // Values that are no numbers after all are the row's to judge.
      rows.log(promoted.row as Row, {
        step,
        ...(options.mode === undefined ? {} : { mode: options.mode }),
      });
    for (const { name, as, value } of promoted.media) {
      if (as === 'image') this.image(name, value, { ...mediaOptions, step });
      else if (as === 'video') this.video(name, value, { ...mediaOptions, step });
      else this.vectorField(name, value, { ...mediaOptions, step });
    }
  }

  private media<Options extends MediaOptions>(
    call: MediaCall,
    kind: MediaKind,
    name: string,
    value: unknown,
    options: Options | undefined,
    prepare: (subject: string, options: Options) => Prepared & { readonly facts?: PlainMap },
  ): void {
    checkMediaCall(call, name, options);
    if (!this.isOpen(1)) return;
    const given = options ?? ({} as Options);
    const subject = `${call} ${shown(name)}`;
    const step = this.stepOf(given.step, name);
    if (step === undefined) return;
    this.attempt(subject, () => {
      checkSizes(subject, given);
      const prepared = prepare(subject, given);
      const attributes: Attributes = {
        ...this.bound,
        [names.MEDIA_NAME]: name,
        [names.MEDIA_KIND]: kind,
        [names.MODE]: given.mode ?? modeOf(name),
      };
      if (!Number.isNaN(step)) attributes[names.STEP] = step;
      if (given.caption !== undefined) attributes[names.MEDIA_CAPTION] = given.caption;
      const metadata = {
        ...prepared.facts,
        ...(given.metadata === undefined ? {} : toPlainMap(given.metadata)),
      };
      if (Object.keys(metadata).length > 0) attributes[names.MEDIA_METADATA] = metadata as Attributes;
      this.send('media', subject, names.EVENT_MEDIA, attributes, prepared);
      if (prepared.remark !== undefined) this.host.complaints.once(`layout ${name}`, prepared.remark);
      this.publish(kind, name, step, value, given);
    });
  }

  private send(
    event: 'media' | 'artifact',
    title: string,
    eventName: string,
    attributes: Attributes,
    { source, content }: Prepared,
  ): void {
    const { recorder } = this.host.runtime;
    const time = recorder.now();
    const span = openSpans.open > 0 ? trace.getActiveSpan()?.spanContext() : undefined;
    const inSpan = span !== undefined && isSpanContextValid(span);
    wire.reset();
    encodeLogRecord(wire, {
      timeUnixNano: time,
      observedTimeUnixNano: time,
      severityNumber: INFO,
      severityText: 'INFO',
      eventName,
      body: null,
      attributes,
      traceId: inSpan ? span.traceId : '',
      spanId: inSpan ? span.spanId : '',
      flags: inSpan ? span.traceFlags : 0,
    });
    if (wire.length > MAX_DESCRIPTION_BYTES)
      throw new RangeError(
        `kymo: ${title} comes with ${wire.length} bytes of name, caption, metadata and fields; at most ${MAX_DESCRIPTION_BYTES} are taken`,
      );
    const taken = recorder.media(
      this.host.scopeId(this.logger, this.scope),
      { event, title, source },
      wire.bytes(),
      content,
    );
    if (!taken)
      this.host.complaints.once(
        'media_overflow',
        `${title} and maybe others are dropped: media come faster than they can be encoded and sent (KYMO_MEDIA_MEMORY_MIB, KYMO_OVERFLOW)`,
      );
  }

  private isOpen(items: number): boolean {
    const { host } = this;
    if (!host.enabled) return false;
    if (!host.ended) return true;
    host.runtime.recorder.drop('after_finish', items);
    host.complaints.once('after_finish', `run ${host.id} has finished; what is logged to it now is dropped`);
    return false;
  }

  /** NaN for none; undefined after a bad one has been dropped. */
  private stepOf(step: unknown, name: string): number | undefined {
    const steps = this.host.steps(this.scope);
    if (step === undefined) return steps.current();
    const number = typeof step === 'bigint' ? Number(step) : step;
    if (isStep(number)) {
      steps.committed(number);
      return number;
    }
    const problem = `step must be a whole number from 0 to 2^53, not ${kindOf(step)}`;
    this.host.complaints.drop('bad_step', name, 1, `${shown(name)}: ${problem}; dropped`);
    return undefined;
  }

  /** A bad value must not end a training that has run for a day: it is dropped, counted and told once, unless runs are strict. */
  private attempt(subject: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.bad(subject, error);
    }
  }

  private bad(subject: string, error: unknown): void {
    const { complaints, runtime } = this.host;
    const own = error instanceof Error && error.message.startsWith('kymo: ');
    const told = own
      ? error
      : new TypeError(
          `kymo: ${subject} cannot be read: ${error instanceof Error ? error.message : kindOf(error)}`,
        );
    if (complaints.strict) {
      runtime.recorder.drop('bad_value', 1);
      throw told;
    }
    complaints.drop('bad_value', subject, 1, `${told.message.slice('kymo: '.length)}; dropped`);
  }

  private publish(media: string, name: string, step: number, value: unknown, options: object): void {
    if (!hub.listening) return;
    this.origin ??= new EventOrigin(this.host, this.scope, this.logger);
    this.origin.publish(
      ({ run, scope, logger }): MediaEvent => ({
        kind: 'media',
        run: { ...run },
        scope,
        logger,
        time: Date.now(),
        name,
        media,
        step: Number.isNaN(step) ? undefined : step,
        value,
        options: { ...options },
      }),
    );
  }
}

function modeOf(name: string): string {
  const first = name.slice(0, Math.max(0, name.indexOf('/')));
  return names.MODE_SEGMENTS.has(first) ? first : names.DEFAULT_MODE;
}
