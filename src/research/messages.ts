// Messages of a conversation, as callers have them, in the shape that OpenTelemetry's gen_ai conventions give them: a role and parts.
// https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages.json (and -output-)
import type { AnyValue, Attributes } from '../otlp/model.ts';
import { kindOf } from './checks.ts';
import { emptyMap, isMap, toPlain } from './plain.ts';

/**
 * A message as chat APIs have it (`{role, content}`, with `tool_calls`, `tool_call_id`, `reasoning_content`), or as the gen_ai conventions
 * do (`{role, parts}`). `content` is a text, a list of parts, or null. `name` and `finish_reason` are kept.
 */
export type Message = Readonly<Record<string, unknown>> & { readonly role: string };

/** Parts of one message. */
const MAX_PARTS = 1_000;
const MAX_ROLE_LENGTH = 200;

export type ReadMessage =
  | { readonly kind: 'message'; readonly message: Attributes }
  | { readonly kind: 'bad'; readonly problem: string };

/** Runs the caller's getters; what they throw becomes a problem too. */
export function readMessage(value: unknown, room: TextRoom): ReadMessage {
  try {
    return read(value, room);
  } catch (error) {
    return bad(`cannot be read: ${error instanceof Error ? error.message : kindOf(error)}`);
  }
}

/** What is left of the bytes that the texts of one record may have, and how much did not fit. */
export class TextRoom {
  left: number;
  charactersLeftOut = 0;
  partsLeftOut = 0;

  constructor(bytes: number) {
    this.left = bytes;
  }

  /** As much of the text as there is room for. */
  take(text: string): string {
    const bytes = Buffer.byteLength(text);
    if (bytes <= this.left) {
      this.left -= bytes;
      return text;
    }
    const { read } = new TextEncoder().encodeInto(text, new Uint8Array(Math.max(0, this.left)));
    this.left = 0;
    this.charactersLeftOut += text.length - read;
    return text.slice(0, read);
  }
}

function read(value: unknown, room: TextRoom): ReadMessage {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return bad(`must be an object such as {role: "assistant", content: "…"}, not ${kindOf(value)}`);
  const given = value as Record<string, unknown>;
  const { role, content, parts: givenParts } = given;
  if (typeof role !== 'string' || role === '' || role.length > MAX_ROLE_LENGTH)
    return bad(`must have a role such as "assistant", not ${kindOf(role)}`);
  const parts: Attributes[] = [];
  const { reasoning_content: reasoning } = given;
  if (typeof reasoning === 'string') parts.push({ type: 'reasoning', content: room.take(reasoning) });
  if (givenParts !== undefined) {
    if (!Array.isArray(givenParts)) return bad(`has parts that are no list but ${kindOf(givenParts)}`);
    pushAll(parts, givenParts, readPart, room);
  } else if (role === 'tool' && typeof given.tool_call_id === 'string') {
    const response = typeof content === 'string' ? room.take(content) : plain(content, room);
    parts.push({ type: 'tool_call_response', id: given.tool_call_id, response });
  } else if (typeof content === 'string') parts.push({ type: 'text', content: room.take(content) });
  else if (Array.isArray(content)) pushAll(parts, content, readPart, room);
  else if (content !== null && !(content === undefined && given.tool_calls !== undefined))
    return bad(`must have a content that is a text or a list of parts, not ${kindOf(content)}`);
  if (Array.isArray(given.tool_calls)) pushAll(parts, given.tool_calls, readToolCall, room);
  const message: Attributes = { role, parts };
  if (typeof given.name === 'string') message.name = room.take(given.name);
  if (typeof given.finish_reason === 'string') message.finish_reason = room.take(given.finish_reason);
  return { kind: 'message', message };
}

function pushAll(
  parts: Attributes[],
  given: readonly unknown[],
  readOne: (value: unknown, room: TextRoom) => Attributes,
  room: TextRoom,
): void {
  for (const [i, value] of given.entries()) {
    if (parts.length >= MAX_PARTS || room.left <= 0) {
      room.partsLeftOut += given.length - i;
      return;
    }
    parts.push(readOne(value, room));
  }
}

/** Chat APIs say `text` and `image_url` where the conventions say `content` and `uri`; anything else stays as it is. */
function readPart(part: unknown, room: TextRoom): Attributes {
  if (typeof part === 'string') return { type: 'text', content: room.take(part) };
  if (typeof part !== 'object' || part === null) return { type: 'text', content: room.take(String(part)) };
  const given = part as Record<string, unknown>;
  if (given.type === 'text' && typeof given.text === 'string')
    return { type: 'text', content: room.take(given.text) };
  if (given.type === 'image_url') {
    const { url } = (given.image_url ?? {}) as { url?: unknown };
    if (typeof url === 'string') return { type: 'uri', modality: 'image', uri: room.take(url) };
  }
  const kept = plain(part, room);
  return isMap(kept) ? kept : { type: 'text', content: kept };
}

function readToolCall(call: unknown, room: TextRoom): Attributes {
  const kept = plain(call, room);
  if (!isMap(kept)) return { type: 'tool_call', name: String(kept) };
  const inner = isMap(kept.function) ? kept.function : kept;
  const part: Attributes = { type: 'tool_call', name: inner.name ?? '' };
  if (kept.id !== undefined) part.id = kept.id;
  if (inner.arguments !== undefined) part.arguments = parsedArguments(inner.arguments);
  return part;
}

/** Chat APIs give a tool's arguments as JSON in a text. */
function parsedArguments(value: AnyValue): AnyValue {
  if (typeof value !== 'string') return value;
  try {
    return (toPlain(JSON.parse(value)) ?? null) as AnyValue;
  } catch {
    return value;
  }
}

/** Whatever it is, within the room: every text in it counts. */
function plain(value: unknown, room: TextRoom): AnyValue {
  return fit((toPlain(value) ?? null) as AnyValue, room);
}

function fit(value: AnyValue, room: TextRoom): AnyValue {
  if (typeof value === 'string') return room.take(value);
  if (value instanceof Uint8Array) {
    if (value.length > room.left) return `[${value.length} bytes]`;
    room.left -= value.length;
    return value;
  }
  if (Array.isArray(value)) return value.map(item => fit(item as AnyValue, room));
  if (isMap(value)) {
    const fitted = emptyMap() as Attributes;
    for (const key of Object.keys(value)) fitted[room.take(key)] = fit(value[key]!, room);
    return fitted;
  }
  room.left = Math.max(0, room.left - 8);
  return value;
}

function bad(problem: string): ReadMessage {
  return { kind: 'bad', problem };
}
