// Lines of logs/rollouts.jsonl: a rollout with its prompt, messages and rewards, joined from the events that one call sent.
import { createHash } from 'node:crypto';
import { newAttributes } from '../../../otlp/attributes.ts';
import type { AnyValue, Attributes } from '../../../otlp/model.ts';
import {
  EVALUATION_NAME,
  EVALUATION_SCORE,
  EVENT_EVALUATION,
  EVENT_ROLLOUT,
  GEN_AI_INPUT_MESSAGES,
  GEN_AI_OUTPUT_MESSAGES,
  MODE,
  ROLLOUT_CHARACTERS_LEFT_OUT,
  ROLLOUT_ID,
  ROLLOUT_MESSAGES_LEFT_OUT,
  ROLLOUT_REWARDS,
  RUN_ID,
  SCOPE,
  STEP,
} from '../../../semconv/names.ts';
import type { ResolvedLog } from '../../component.ts';
import { isMap, valueJson } from '../../runs/json.ts';
import { explicitMode } from '../../runs/resolve.ts';
import { MAX_AWAITED_EVALUATIONS, MAX_MESSAGES_TEXT } from './limits.ts';
import { ownerJson, restJson, traceJson, unixSeconds } from './lines.ts';

export const ROLLOUT_EVENTS: ReadonlySet<string> = new Set([EVENT_ROLLOUT, EVENT_EVALUATION]);

const IN_LINE = [MODE, STEP, SCOPE, RUN_ID, ROLLOUT_ID];
const ROLLOUT_SAID: ReadonlySet<string> = new Set([
  ...[GEN_AI_INPUT_MESSAGES, GEN_AI_OUTPUT_MESSAGES, ROLLOUT_REWARDS],
  ...[ROLLOUT_MESSAGES_LEFT_OUT, ROLLOUT_CHARACTERS_LEFT_OUT, ...IN_LINE],
]);
const EVALUATION_SAID: ReadonlySet<string> = new Set([EVALUATION_NAME, EVALUATION_SCORE, ...IN_LINE]);

/** An evaluation that may still find its rollout in the same request. */
interface Evaluation {
  readonly log: ResolvedLog;
  readonly id: string;
  readonly name: string;
}
interface Rollout {
  readonly log: ResolvedLog;
  readonly id: string;
  readonly rewards: Attributes;
}

export interface RolloutCounts {
  readonly rollouts: number;
  readonly evaluations: number;
}

/**
 * Joined is what one request holds: the line of a rollout is written at its end, with the evaluations that name its id. A later evaluation
 * gets a line of its own, unless the rollout said its reward already.
 */
export class Rollouts {
  #rollouts: Rollout[] = [];
  #evaluations: Evaluation[] = [];
  /** Rewards that a rollout said and whose own events have not come yet, hashed. */
  readonly #awaited: Set<string>;

  constructor(awaited: readonly string[] = []) {
    this.#awaited = new Set(awaited);
  }

  add(log: ResolvedLog): void {
    const { attributes, eventName } = log.record;
    const id = textOf(attributes[ROLLOUT_ID]);
    if (eventName === EVENT_EVALUATION) {
      this.#evaluations.push({ log, id, name: textOf(attributes[EVALUATION_NAME]) });
      return;
    }
    const given = attributes[ROLLOUT_REWARDS];
    const rewards = isMap(given) ? Object.assign(newAttributes(), given) : newAttributes();
    this.#rollouts.push({ log, id, rewards });
  }

  /** Writes the lines of a request; `first` is the instance whose lines do not name it. */
  finishBatch(first: string | undefined, addLine: (line: string) => void): RolloutCounts {
    const rollouts = this.#rollouts;
    const evaluations = this.#evaluations;
    if (rollouts.length === 0 && evaluations.length === 0) return NOTHING;
    this.#rollouts = [];
    this.#evaluations = [];
    const byId = new Map<string, Rollout>();
    for (const rollout of rollouts) {
      if (rollout.id !== '') byId.set(rollout.id, rollout);
      for (const name of Object.keys(rollout.rewards)) this.#await(rollout.id, name);
    }
    const alone: Evaluation[] = [];
    for (const one of evaluations) {
      const said = this.#awaited.delete(awaitedKey(one.id, one.name));
      const rollout = byId.get(one.id);
      const score = one.log.record.attributes[EVALUATION_SCORE];
      const isPlain = score !== undefined && restJson(one.log.record.attributes, EVALUATION_SAID) === '';
      if (rollout !== undefined && one.name !== '' && isPlain) rollout.rewards[one.name] = score;
      else if (!said || !isPlain) alone.push(one);
    }
    for (const rollout of rollouts) addLine(rolloutLine(rollout, first));
    for (const one of alone) addLine(evaluationLine(one, first));
    return { rollouts: rollouts.length, evaluations: evaluations.length };
  }

  /** For the run's state. */
  get awaited(): string[] {
    return [...this.#awaited];
  }

  #await(id: string, name: string): void {
    this.#awaited.add(awaitedKey(id, name));
    if (this.#awaited.size > MAX_AWAITED_EVALUATIONS)
      this.#awaited.delete(this.#awaited.values().next().value!);
  }
}

const NOTHING: RolloutCounts = { rollouts: 0, evaluations: 0 };

function rolloutLine({ log, id, rewards }: Rollout, first: string | undefined): string {
  const { attributes } = log.record;
  let line = beginning(log, id, first);
  const input = messagesOf(attributes[GEN_AI_INPUT_MESSAGES]);
  if (input !== undefined) line += `,"prompt":${valueJson(promptOf(input))}`;
  const output = messagesOf(attributes[GEN_AI_OUTPUT_MESSAGES]);
  if (output !== undefined) line += `,"messages":${valueJson(output)}`;
  line += `,"rewards":${valueJson(rewards)}`;
  const leftOut = attributes[ROLLOUT_MESSAGES_LEFT_OUT];
  if (leftOut !== undefined) line += `,"messages_left_out":${valueJson(leftOut)}`;
  const cut = attributes[ROLLOUT_CHARACTERS_LEFT_OUT];
  if (cut !== undefined) line += `,"characters_left_out":${valueJson(cut)}`;
  return `${line}${restJson(attributes, ROLLOUT_SAID)}}\n`;
}

/** Rewards without messages: of a rollout in another line, or of none at all. */
function evaluationLine({ log, id, name }: Evaluation, first: string | undefined): string {
  const { attributes } = log.record;
  const rewards = newAttributes();
  rewards[name] = attributes[EVALUATION_SCORE] ?? null;
  return `${beginning(log, id, first)},"rewards":${valueJson(rewards)}${restJson(attributes, EVALUATION_SAID)}}\n`;
}

function beginning(log: ResolvedLog, id: string, first: string | undefined): string {
  const { record, run, scope } = log;
  const step = record.attributes[STEP];
  let line = '{';
  if (typeof step === 'number' || typeof step === 'bigint') line += `"step":${valueJson(step)},`;
  // Always there: half of those who read rollouts look at train and eval side by side.
  line += `"time":${unixSeconds(record.timeUnixNano)},"mode":${JSON.stringify(explicitMode(record) || 'train')}`;
  line += ownerJson(run, scope, first) + traceJson(record.traceId, record.spanId);
  return id === '' ? line : `${line},"id":${JSON.stringify(id)}`;
}

/** A list, or one as JSON text, as the convention has it where attributes cannot nest. */
function messagesOf(value: AnyValue | undefined): AnyValue | undefined {
  if (typeof value !== 'string') return Array.isArray(value) ? value.map(readable) : value;
  if (value.length > MAX_MESSAGES_TEXT) return value;
  try {
    const parsed = JSON.parse(value) as AnyValue;
    return Array.isArray(parsed) ? parsed.map(readable) : value;
  } catch {
    return value;
  }
}

/** `{role, parts: [{type: 'text', content}]}` reads better as `{role, content}`. Anything else stays as it is. */
function readable(message: AnyValue): AnyValue {
  if (!isMap(message) || !Array.isArray(message.parts) || message.parts.length !== 1) return message;
  const [part] = message.parts as readonly AnyValue[];
  if (!isMap(part) || part.type !== 'text' || typeof part.content !== 'string') return message;
  if (Object.keys(part).length > 2 || 'content' in message) return message;
  const short = newAttributes();
  for (const [key, value] of Object.entries(message)) {
    if (key === 'parts') short.content = part.content;
    // What the convention asks for, and nobody has said.
    else if (key !== 'finish_reason' || value !== 'stop') short[key] = value;
  }
  return short;
}

/** A single text of the user is a text. */
function promptOf(messages: AnyValue): AnyValue {
  if (!Array.isArray(messages) || messages.length !== 1) return messages;
  const [only] = messages as readonly AnyValue[];
  const isText =
    isMap(only) && only.role === 'user' && typeof only.content === 'string' && Object.keys(only).length === 2;
  return isText ? only.content! : messages;
}

function textOf(value: AnyValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

function awaitedKey(id: string, name: string): string {
  return createHash('sha256').update(`${id}\0${name}`).digest('hex').slice(0, 16);
}
