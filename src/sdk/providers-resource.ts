// What every resource of this process says, whatever run it belongs to: service, instance, SDK, process.
import type { Attributes } from '../otlp/model.ts';
import { DISTRO_NAME, DISTRO_VERSION, SERVICE_INSTANCE_ID, SERVICE_NAME } from '../semconv/names.ts';
import type { Runtime } from './runtime.ts';

/** Attributes taken from `OTEL_RESOURCE_ATTRIBUTES` at most. */
const MAX_RESOURCE_ATTRIBUTES = 128;

/** `OTEL_RESOURCE_ATTRIBUTES` first, then what is known of the process. */
export function processResource(
  runtime: Pick<Runtime, 'version' | 'instanceId'>,
  env = process.env,
): Attributes {
  const attributes: Attributes = parseResourceAttributes(env.OTEL_RESOURCE_ATTRIBUTES ?? '');
  const service = env.OTEL_SERVICE_NAME?.trim();
  if (service) attributes[SERVICE_NAME] = service;
  attributes[SERVICE_NAME] ??= 'unknown_service:node';
  attributes[SERVICE_INSTANCE_ID] = runtime.instanceId;
  attributes['telemetry.sdk.name'] = 'opentelemetry';
  attributes['telemetry.sdk.language'] = 'nodejs';
  attributes['telemetry.sdk.version'] = '3.1.0';
  attributes[DISTRO_NAME] = 'kymo';
  attributes[DISTRO_VERSION] = runtime.version;
  attributes['process.pid'] = process.pid;
  attributes['process.runtime.name'] = 'nodejs';
  attributes['process.runtime.version'] = process.versions.node;
  return attributes;
}

/** `key=value,key=value` with percent-encoded values, as the OpenTelemetry specification has it. */
export function parseResourceAttributes(text: string): Attributes {
  const attributes: Attributes = {};
  for (const part of text.split(',').slice(0, MAX_RESOURCE_ATTRIBUTES)) {
    const at = part.indexOf('=');
    if (at <= 0) continue;
    const key = part.slice(0, at).trim();
    const value = part.slice(at + 1).trim();
    try {
      attributes[decodeURIComponent(key)] = decodeURIComponent(value);
    } catch {
      attributes[key] = value;
    }
  }
  return attributes;
}
