// What can be an artifact: a file, a folder, bytes, text or JSON, or the address of something that lives elsewhere.
import { kindOf } from '../checks.ts';
import { findFile, isAddress } from './files.ts';
import type { ArtifactOptions } from './options.ts';
import type { Prepared } from './sources.ts';

export function artifactSource(
  subject: string,
  name: string,
  source: unknown,
  options: ArtifactOptions,
): Prepared & { readonly uri?: string } {
  const { format } = options;
  const bytes =
    source instanceof ArrayBuffer
      ? new Uint8Array(source)
      : ArrayBuffer.isView(source)
        ? viewed(source)
        : undefined;
  if (bytes !== undefined) return named(name, format, bytes);
  if (format === 'json') return named(name, format, Buffer.from(jsonOf(subject, source)));
  if (format !== undefined) {
    if (typeof source !== 'string' || format === 'bin')
      throw new TypeError(
        `kymo: ${subject} with {format: "${format}"} must be ${format === 'bin' ? 'bytes' : 'a string or bytes'}, not ${kindOf(source)}`,
      );
    return named(name, format, Buffer.from(source));
  }
  if (typeof source === 'string' && isAddress(source))
    return { source: { as: 'reference' }, content: undefined, uri: source };
  if (typeof source !== 'string' && !(source instanceof URL))
    throw new TypeError(
      `kymo: ${subject} must be a path, a file URL, an address, or bytes (or, with {format}, its text or JSON), not ${kindOf(source)}`,
    );
  if (source instanceof URL && source.protocol !== 'file:')
    return { source: { as: 'reference' }, content: undefined, uri: source.href };
  if (source === '') throw new RangeError(`kymo: ${subject} has an empty path`);
  const found = findFile(subject, source);
  switch (found.kind) {
    case 'folder':
      return { source: { as: 'folder', path: found.path }, content: undefined };
    case 'small':
      return { source: { as: 'artifact', path: found.name }, content: found.bytes };
    case 'large':
      return { source: { as: 'artifact', path: found.name, file: found.file }, content: undefined };
  }
}

/** Content without a file is called after the artifact. */
function named(name: string, format: string | undefined, content: Uint8Array): Prepared {
  const last = name.slice(name.lastIndexOf('/') + 1) || 'content';
  const path = format === undefined || last.toLowerCase().endsWith(`.${format}`) ? last : `${last}.${format}`;
  return { source: { as: 'artifact', path }, content };
}

function viewed(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** A string is taken for JSON text that is there already if it is some, else for a value. */
function jsonOf(subject: string, value: unknown): string {
  try {
    if (typeof value === 'string') {
      JSON.parse(value);
      return value;
    }
  } catch {
    return JSON.stringify(value);
  }
  let text: string | undefined;
  try {
    text = JSON.stringify(
      value,
      (_key, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner),
      2,
    );
  } catch (error) {
    throw new TypeError(
      `kymo: ${subject} cannot become JSON: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (text === undefined) throw new TypeError(`kymo: ${subject} cannot become JSON: it is ${kindOf(value)}`);
  return text;
}
