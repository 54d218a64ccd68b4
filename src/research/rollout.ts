// `logRollout`: a prompt, what was said after it, and what it was worth, as events that gen_ai tools understand and scalars beside them.
import { randomUUID } from 'node:crypto';
import type { AnyValue, Attributes } from '../otlp/model.ts';
import {
  DEFAULT_MODE,
  EVALUATION_NAME,
  EVALUATION_SCORE,
  EVENT_EVALUATION,
  EVENT_ROLLOUT,
  GEN_AI_INPUT_MESSAGES,
  GEN_AI_OUTPUT_MESSAGES,
  MODE,
  REWARDS_PREFIX,
  ROLLOUT_CHARACTERS_LEFT_OUT,
  ROLLOUT_ID,
  ROLLOUT_MESSAGES_LEFT_OUT,
  ROLLOUT_REWARDS,
  STEP,
} from '../semconv/names.ts';
import { checkOptions, kindOf, shown, wrongType } from './checks.ts';
import type { Complaints } from './complaints.ts';
import { type Message, readMessage, TextRoom } from './messages.ts';
import { isStep, toNumber } from './numbers.ts';
import { emptyMap } from './plain.ts';
import type { Scalar } from './row-options.ts';
import type { RowWriter } from './row-writer.ts';

/**
 * UTF-8 bytes of all texts of one rollout. A record travels whole, and the smallest of the usual limits for a request is gRPC's
 * 4 MiB; the rest is for what stands around the texts.
 */
export const MAX_ROLLOUT_BYTES = 3 * 1024 * 1024;
/** Messages of one rollout, the prompt's not counted. */
export const MAX_ROLLOUT_MESSAGES = 5_000;
/** Rewards are series: a handful. */
export const MAX_REWARDS = 1_000;
/** What stands around a message's texts on the wire. */
const MESSAGE_OVERHEAD = 64;
const MAX_ID_LENGTH = 200;

export interface Rollout {
  /** A text, a message (its role is `user` where it names none), or several messages. */
  readonly prompt: string | Readonly<Record<string, unknown>> | readonly Message[];
  /** What came after the prompt, in order: of the model, of tools, of the user. */
  readonly messages: readonly Message[];
  /** By name, or as a list of name and value. Values as for a metric. */
  readonly rewards?:
    | Readonly<Record<string, Scalar>>
    | readonly { readonly name: string; readonly value: Scalar }[];
  /** Default: the step that the next row would have. The step counter stays where it is. */
  readonly step?: number;
  /** Default: train. */
  readonly mode?: string;
  /** Default: a random one. */
  readonly id?: string;
}

const OPTIONS = ['prompt', 'messages', 'rewards', 'step', 'mode', 'id'] as const;

/**
 * One event `kymo.rollout`, one `gen_ai.evaluation.result` per reward, and one row of scalars `rewards/<name>`. What has the wrong shape
 * throws; a bad message, reward or step is dropped, counted and said once, like a bad value of a metric.
 */
export function recordRollout(writer: RowWriter, complaints: Complaints, rollout: Rollout): void {
  checkOptions('logRollout', rollout, OPTIONS);
  const { prompt, messages, rewards = {}, mode = DEFAULT_MODE, id = randomUUID() } = rollout;
  if (!Array.isArray(messages))
    throw wrongType('logRollout({messages})', 'a list such as [{role: "assistant", content: "4"}]', messages);
  if (typeof rewards !== 'object' || rewards === null)
    throw wrongType(
      'logRollout({rewards})',
      'an object such as {correct: 1}, or a list of {name, value}',
      rewards,
    );
  if (typeof mode !== 'string' || mode === '')
    throw wrongType('logRollout({mode})', 'a string with something in it', mode);
  if (typeof id !== 'string' || id === '' || id.length > MAX_ID_LENGTH)
    throw wrongType('logRollout({id})', `a string of 1 to ${MAX_ID_LENGTH} characters`, id);
  const asked = promptMessages(prompt);
  const step = readStep(rollout.step, writer, complaints);
  if (step === undefined) return;
  if (messages.length === 0) {
    complaints.drop('bad_value', 'rollout', 1, 'a rollout has no messages; dropped');
    return;
  }

  const scores = readRewards(rewards, complaints);
  const room = new TextRoom(MAX_ROLLOUT_BYTES);
  const conversation = new Conversation(room, complaints);
  const input = conversation.read(asked, 'prompt');
  const output = conversation.read(messages, 'messages').map(withFinish);
  const common: Attributes = { [ROLLOUT_ID]: id, [MODE]: mode, [STEP]: step };
  const attributes: Attributes = {
    [GEN_AI_INPUT_MESSAGES]: input,
    [GEN_AI_OUTPUT_MESSAGES]: output,
    [ROLLOUT_REWARDS]: { ...scores } as Attributes,
    ...common,
  };
  const leftOut = conversation.leftOut + room.partsLeftOut;
  if (leftOut > 0) attributes[ROLLOUT_MESSAGES_LEFT_OUT] = leftOut;
  if (room.charactersLeftOut > 0) attributes[ROLLOUT_CHARACTERS_LEFT_OUT] = room.charactersLeftOut;
  if (leftOut > 0 || room.charactersLeftOut > 0)
    complaints.once(
      'long rollout',
      `a rollout is larger than ${MAX_ROLLOUT_BYTES} bytes or ${MAX_ROLLOUT_MESSAGES} messages; it is cut, and says by how much`,
    );

  writer.event({ name: EVENT_ROLLOUT, attributes });
  const names = Object.keys(scores);
  for (const name of names)
    writer.event({
      name: EVENT_EVALUATION,
      attributes: { [EVALUATION_NAME]: name, [EVALUATION_SCORE]: scores[name]!, ...common },
    });
  const values = emptyMap() as Record<string, number>;
  for (const name of names) values[REWARDS_PREFIX + name] = scores[name]!;
  writer.pointsAt(values, mode, step);
}

function promptMessages(prompt: unknown): readonly unknown[] {
  if (typeof prompt === 'string') return [{ role: 'user', content: prompt }];
  if (Array.isArray(prompt) && prompt.length > 0) return prompt;
  if (typeof prompt === 'object' && prompt !== null && !Array.isArray(prompt)) {
    const { content, parts } = prompt as Record<string, unknown>;
    if (content !== undefined || parts !== undefined) return [{ role: 'user', ...prompt }];
  }
  throw wrongType(
    'logRollout({prompt})',
    'a text, a message such as {content: "2+2?"}, or a list of messages',
    prompt,
  );
}

function readStep(step: unknown, writer: RowWriter, complaints: Complaints): number | undefined {
  if (step === undefined) return writer.stepNow();
  const number = typeof step === 'bigint' ? Number(step) : step;
  if (isStep(number)) return number;
  complaints.drop(
    'bad_step',
    'rollout',
    1,
    `logRollout({step}) must be a whole number from 0 to 2^53, not ${kindOf(step)}; the rollout is dropped`,
  );
  return undefined;
}

function readRewards(rewards: object, complaints: Complaints): Record<string, number> {
  const scores = emptyMap() as Record<string, number>;
  let count = 0;
  for (const [name, value] of rewardEntries(rewards, complaints)) {
    if (typeof name !== 'string' || name === '') {
      complaints.drop(
        'bad_name',
        'reward',
        1,
        `a reward's name must be a string with something in it, not ${kindOf(name)}; dropped`,
      );
      continue;
    }
    if (count >= MAX_REWARDS) {
      complaints.drop(
        'too_many_series',
        'reward',
        1,
        `more than ${MAX_REWARDS} rewards; ${shown(name)} is dropped`,
      );
      continue;
    }
    const number = readNumber(value);
    if (number === undefined) {
      complaints.drop(
        'bad_value',
        `reward ${name}`,
        1,
        `reward ${shown(name)} must be a number, not ${kindOf(value)}; dropped`,
      );
      continue;
    }
    count++;
    scores[name] = number;
  }
  return scores;
}

function rewardEntries(rewards: object, complaints: Complaints): [unknown, unknown][] {
  if (!Array.isArray(rewards)) return Object.entries(rewards);
  const entries: [unknown, unknown][] = [];
  for (const reward of rewards as unknown[]) {
    if (typeof reward === 'object' && reward !== null) {
      const { name, value } = reward as { name?: unknown; value?: unknown };
      entries.push([name, value]);
    } else
      complaints.drop(
        'bad_value',
        'reward',
        1,
        `a reward must be {name, value}, not ${kindOf(reward)}; dropped`,
      );
  }
  return entries;
}

function readNumber(value: unknown): number | undefined {
  try {
    const number = toNumber(value);
    return number === undefined ? undefined : Number(number);
  } catch {
    return undefined;
  }
}

/** The messages of one rollout under way. */
class Conversation {
  leftOut = 0;
  private count = 0;
  private readonly room: TextRoom;
  private readonly complaints: Complaints;

  constructor(room: TextRoom, complaints: Complaints) {
    this.room = room;
    this.complaints = complaints;
  }

  read(messages: readonly unknown[], where: string): AnyValue[] {
    const list: AnyValue[] = [];
    for (const [i, given] of messages.entries()) {
      if (this.count >= MAX_ROLLOUT_MESSAGES || this.room.left < MESSAGE_OVERHEAD) {
        this.leftOut += messages.length - i;
        break;
      }
      this.room.left -= MESSAGE_OVERHEAD;
      this.count++;
      const read = readMessage(given, this.room);
      if (read.kind === 'message') list.push(read.message);
      else
        this.complaints.drop(
          'bad_value',
          `rollout ${where}`,
          1,
          `logRollout({${where}})[${i}] ${read.problem}; dropped`,
        );
    }
    return list;
  }
}

/** The convention asks for a reason with each message that came out. */
function withFinish(message: AnyValue): AnyValue {
  return { finish_reason: 'stop', ...(message as Attributes) };
}
