// The tracer provider: spans go to the recorder when they end.
import { createRequire } from 'node:module';
import { TraceFlags, type TracerProvider } from '@opentelemetry/api';
import type { ReadableSpan, Sampler, SpanProcessor } from '@opentelemetry/sdk-trace';
import { encodeSpan } from '../otlp/encode-records.ts';
import { WireWriter } from '../otlp/wire-writer.ts';
import { spanEnded, spanStarted } from './providers-active-span.ts';
import { Places, toAttributes, unixNano } from './providers-records.ts';
import type { Runtime } from './runtime.ts';

type SdkTrace = typeof import('@opentelemetry/sdk-trace');
type Resources = typeof import('@opentelemetry/resources');

const require = createRequire(import.meta.url);

/** OTLP counts span kinds from 1; the API from 0. */
const KIND_OFFSET = 1;
/** Flags of a span or link, beside W3C's: whether the parent is remote is known, and whether it is. */
const PARENT_KNOWN = 0x100;
const PARENT_REMOTE = 0x200;

export function createTracerProvider(runtime: Runtime, env = process.env): TracerProvider {
  const sdk = require('@opentelemetry/sdk-trace') as SdkTrace;
  const { emptyResource } = require('@opentelemetry/resources') as Resources;
  const sampler = samplerFrom(sdk, env);
  return new sdk.TracerProvider({
    // The recorder writes spans under their run's resource; the provider's own goes nowhere.
    resource: emptyResource(),
    spanProcessors: [new RecordingSpanProcessor(runtime)],
    ...(sampler === undefined ? {} : { sampler }),
  });
}

class RecordingSpanProcessor implements SpanProcessor {
  private readonly runtime: Runtime;
  private readonly places: Places;
  private readonly writer = new WireWriter();
  /** The resource of each open span: it belongs to the run that was current when it began. */
  private readonly resources = new WeakMap<object, number>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.places = new Places(runtime);
  }

  onStart(span: ReadableSpan): void {
    spanStarted();
    this.resources.set(span, this.places.resourceOf(span.attributes));
  }

  onEnd(span: ReadableSpan): void {
    spanEnded(span);
    const context = span.spanContext();
    // A processor also sees spans that are recorded but not sampled; those are not for export.
    if ((context.traceFlags & TraceFlags.SAMPLED) === 0) return;
    const resource = this.resources.get(span) ?? this.places.resourceOf(span.attributes);
    const parent = span.parentSpanContext;
    const remote = parent?.isRemote === true ? PARENT_REMOTE : 0;
    this.writer.reset();
    encodeSpan(this.writer, {
      traceId: context.traceId,
      spanId: context.spanId,
      parentSpanId: parent?.spanId ?? '',
      traceState: context.traceState?.serialize() ?? '',
      name: span.name,
      kind: span.kind + KIND_OFFSET,
      startTimeUnixNano: unixNano(span.startTime),
      endTimeUnixNano: unixNano(span.endTime),
      attributes: toAttributes(span.attributes),
      events: span.events.map(event => ({
        name: event.name,
        timeUnixNano: unixNano(event.time),
        attributes: toAttributes(event.attributes ?? {}),
      })),
      links: span.links.map(link => ({
        traceId: link.context.traceId,
        spanId: link.context.spanId,
        traceState: link.context.traceState?.serialize() ?? '',
        attributes: toAttributes(link.attributes ?? {}),
      })),
      statusCode: span.status.code,
      statusMessage: span.status.message ?? '',
      flags: (context.traceFlags & 0xff) | PARENT_KNOWN | remote,
    });
    const scope = this.places.scopeOf(resource, span.instrumentationScope);
    this.runtime.recorder.record('span', scope, this.writer.bytes());
  }

  /** The recorder delivers; there is nothing to wait for here. */
  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** `OTEL_TRACES_SAMPLER` and its argument, which sdk-trace leaves to its caller; undefined for the SDK's default (all). */
function samplerFrom(sdk: SdkTrace, env: NodeJS.ProcessEnv): Sampler | undefined {
  const name = env.OTEL_TRACES_SAMPLER?.trim().toLowerCase() ?? '';
  const given = Number(env.OTEL_TRACES_SAMPLER_ARG?.trim() || '1');
  const ratio = given >= 0 && given <= 1 ? given : 1;
  const roots: Record<string, () => Sampler> = {
    always_on: () => new sdk.AlwaysOnSampler(),
    always_off: () => new sdk.AlwaysOffSampler(),
    traceidratio: () => new sdk.TraceIdRatioBasedSampler(ratio),
  };
  const root = roots[name.replace(/^parentbased_/, '')];
  if (root === undefined) return undefined;
  return name.startsWith('parentbased_') ? new sdk.ParentBasedSampler({ root: root() }) : root();
}
