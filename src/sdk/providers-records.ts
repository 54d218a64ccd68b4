// From OpenTelemetry's SDK to the recorder: where a span or log record belongs, and its values as OTLP takes them.
import type { HrTime } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import { newAttributes } from '../otlp/attributes.ts';
import type { AnyValue, Attributes } from '../otlp/model.ts';
import { RUN_ID } from '../semconv/names.ts';
import { processResource } from './providers-resource.ts';
import type { ResourceId, ScopeId } from './recorder.ts';
import type { Runtime } from './runtime.ts';

type ScopeWithAttributes = InstrumentationScope & { readonly attributes?: Record<string, unknown> };

/** Finds the recorder's scope for what the process emits: the instrumentation scope under the run's resource. */
export class Places {
  private readonly runtime: Runtime;
  private base: ResourceId | undefined;
  /** The SDK keeps one scope object per tracer or logger. */
  private readonly scopes = new Map<ResourceId, WeakMap<InstrumentationScope, ScopeId>>();
  /** Two tracers of one name are two objects and one scope. */
  private readonly byName = new Map<string, ScopeId>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  /** The resource of the run that `attributes` name, else of the current (or last) run, else of the process. */
  resourceOf(attributes: Readonly<Record<string, unknown>>): ResourceId {
    const named = attributes[RUN_ID];
    if (typeof named === 'string') {
      for (const run of this.runtime.runs) if (run.id === named) return run.resource;
      // A run that is not open here: the attribute travels with the record, and the nearest wins.
    }
    const owner = this.runtime.owningRun();
    if (owner !== undefined) return owner.resource;
    this.base ??= this.runtime.recorder.defineResource(processResource(this.runtime));
    return this.base;
  }

  scopeOf(resource: ResourceId, scope: ScopeWithAttributes): ScopeId {
    let ofResource = this.scopes.get(resource);
    if (ofResource === undefined) {
      ofResource = new WeakMap();
      this.scopes.set(resource, ofResource);
    }
    const known = ofResource.get(scope);
    if (known !== undefined) return known;
    const attributes = toAttributes(scope.attributes ?? {});
    const key = JSON.stringify([resource, scope.name, scope.version ?? '', scope.attributes ?? {}]);
    let id = this.byName.get(key);
    if (id === undefined) {
      id = this.runtime.recorder.defineScope(resource, scope.name, scope.version ?? '', attributes);
      this.byName.set(key, id);
    }
    ofResource.set(scope, id);
    return id;
  }
}

export function unixNano(time: HrTime): bigint {
  return BigInt(time[0]) * 1_000_000_000n + BigInt(time[1]);
}

/** The SDK has checked that the values are what OTLP has types for; only undefined inside is left to deal with. */
export function toAttributes(attributes: Readonly<Record<string, unknown>>): Attributes {
  const out = newAttributes();
  for (const key of Object.keys(attributes)) {
    const value = attributes[key];
    if (value !== undefined) out[key] = value as AnyValue;
  }
  return out;
}
