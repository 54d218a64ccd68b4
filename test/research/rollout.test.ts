// Rollouts: the events and scalars that a call writes, and what it refuses.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { getLogger, init, logRollout, type Rollout } from '../../src/index.ts';
import { MAX_ROLLOUT_BYTES, MAX_ROLLOUT_MESSAGES } from '../../src/research/rollout.ts';
import type { Run } from '../../src/research/run.ts';
import { type KeepingRecorder, testRuntime } from './recording.ts';

let recorder: KeepingRecorder;
let run: Run;
let remove: () => void;

beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  run = init({ project: 'p', strict: false });
  recorder.records.length = 0;
});
afterEach(() => {
  run[Symbol.dispose]();
  remove();
});

const SIMPLE: Rollout = {
  prompt: 'What is 2+2?',
  messages: [{ role: 'assistant', content: 'The answer is 4.' }],
  rewards: { correctness: 1, format: 0.9 },
};
const text = (role: string, content: string) => ({ role, parts: [{ type: 'text', content }] });
const said = (role: string, content: string) => ({ ...text(role, content), finish_reason: 'stop' });
const plain = <T>(value: T): T => structuredClone(value);
const events = (name: string) =>
  recorder
    .logs()
    .filter(record => record.eventName === name)
    .map(record => plain(record.attributes) as Record<string, unknown>);

describe('one rollout', () => {
  it('is an event with its messages, one per reward, and a row of scalars, all with its id and step', () => {
    run.logRollout({ ...SIMPLE, step: 5, mode: 'eval', id: 'r1' });
    expect(events('kymo.rollout')).toEqual([
      {
        'gen_ai.input.messages': [text('user', 'What is 2+2?')],
        'gen_ai.output.messages': [said('assistant', 'The answer is 4.')],
        'kymo.rollout.rewards': { correctness: 1, format: 0.9 },
        'kymo.rollout.id': 'r1',
        'kymo.mode': 'eval',
        'kymo.step': 5,
      },
    ]);
    const common = { 'kymo.rollout.id': 'r1', 'kymo.mode': 'eval', 'kymo.step': 5 };
    expect(events('gen_ai.evaluation.result')).toEqual([
      { 'gen_ai.evaluation.name': 'correctness', 'gen_ai.evaluation.score.value': 1, ...common },
      { 'gen_ai.evaluation.name': 'format', 'gen_ai.evaluation.score.value': 0.9, ...common },
    ]);
    expect(recorder.rows).toMatchObject([
      {
        step: 5,
        values: { 'rewards/correctness': 1, 'rewards/format': 0.9 },
        modes: { 'rewards/format': 'eval' },
      },
    ]);
  });

  it('keeps a conversation of several turns in order', () => {
    const messages = [
      { role: 'assistant', content: 'Let me factor this...' },
      { role: 'user', content: 'Can you verify?' },
      { role: 'assistant', content: 'Sure!', finish_reason: 'length' },
    ];
    run.logRollout({ ...SIMPLE, messages });
    expect(events('kymo.rollout')[0]!['gen_ai.output.messages']).toEqual([
      said('assistant', 'Let me factor this...'),
      said('user', 'Can you verify?'),
      { ...text('assistant', 'Sure!'), finish_reason: 'length' },
    ]);
  });

  it.each([
    ['a text', 'hi', [text('user', 'hi')]],
    ['a map with content', { content: 'hi' }, [text('user', 'hi')]],
    ['a message', { role: 'system', content: 'hi' }, [text('system', 'hi')]],
    [
      'messages',
      [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'hi' },
      ],
      [text('system', 'be brief'), text('user', 'hi')],
    ],
  ])('takes %s for a prompt', (_what, prompt, input) => {
    run.logRollout({ ...SIMPLE, prompt: prompt as Rollout['prompt'] });
    expect(events('kymo.rollout')[0]!['gen_ai.input.messages']).toEqual(input);
  });

  it('takes rewards as a list of name and value', () => {
    run.logRollout({
      ...SIMPLE,
      rewards: [
        { name: 'a', value: 1 },
        { name: 'b', value: true },
      ],
    });
    expect({ ...recorder.rows[0]!.values }).toEqual({ 'rewards/a': 1, 'rewards/b': 1 });
  });

  it('without rewards has no evaluations and no row', () => {
    run.logRollout({ prompt: 'p', messages: SIMPLE.messages });
    expect(events('kymo.rollout')).toHaveLength(1);
    expect(events('gen_ai.evaluation.result')).toEqual([]);
    expect(recorder.rows).toEqual([]);
  });

  it('translates what chat APIs say about tools, reasoning and images', () => {
    run.logRollout({
      prompt: {
        content: [
          { type: 'text', text: 'what is it?' },
          { type: 'image_url', image_url: { url: 'https://example.invalid/cat.png' } },
        ],
      },
      messages: [
        {
          role: 'assistant',
          content: null,
          reasoning_content: 'I need to look.',
          tool_calls: [
            { id: 'c1', type: 'function', function: { name: 'look', arguments: '{"at": [1, 2]}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'a cat' },
        { role: 'assistant', parts: [{ type: 'text', content: 'a cat' }] },
      ],
    });
    const [event] = events('kymo.rollout');
    expect(event!['gen_ai.input.messages']).toEqual([
      {
        role: 'user',
        parts: [
          { type: 'text', content: 'what is it?' },
          { type: 'uri', modality: 'image', uri: 'https://example.invalid/cat.png' },
        ],
      },
    ]);
    expect(event!['gen_ai.output.messages']).toEqual([
      {
        role: 'assistant',
        parts: [
          { type: 'reasoning', content: 'I need to look.' },
          { type: 'tool_call', name: 'look', id: 'c1', arguments: { at: [1, 2] } },
        ],
        finish_reason: 'stop',
      },
      {
        role: 'tool',
        parts: [{ type: 'tool_call_response', id: 'c1', response: 'a cat' }],
        finish_reason: 'stop',
      },
      said('assistant', 'a cat'),
    ]);
  });

  it('can be logged through the module and a logger, under its name and scope', () => {
    logRollout(SIMPLE);
    getLogger('sampler', { scope: 'env.math' }).logRollout(SIMPLE);
    const scopes = recorder
      .logs()
      .filter(record => record.eventName === 'kymo.rollout')
      .map(record => record.scope);
    expect(scopes[1]).toMatchObject({ name: 'sampler', attributes: { 'kymo.scope': 'env.math' } });
    expect(recorder.rows.map(row => row.scope.name)).toEqual(['kymo', 'sampler']);
  });
});

describe('the step of a rollout', () => {
  const steps = (): unknown[] => events('kymo.rollout').map(event => event['kymo.step']);

  it('is that of the next row, and leaves the counter where it is', () => {
    run.logRollout(SIMPLE);
    run.logRollout(SIMPLE);
    run.log({ loss: 1 });
    run.logRollout(SIMPLE);
    run.log({ loss: 1 });
    expect(steps()).toEqual([0, 0, 1]);
    expect(recorder.rows.filter(row => 'loss' in row.values).map(row => row.step)).toEqual([0, 1]);
  });

  it('that is given leaves the counter alone too', () => {
    run.logRollout({ ...SIMPLE, step: 40 });
    run.log({ loss: 1 });
    expect(recorder.rows.map(row => row.step)).toEqual([40, 0]);
  });

  it('is that of the row being collected', () => {
    run.log({ a: 1 }, { step: 7, commit: false });
    run.logRollout(SIMPLE);
    expect(steps()).toEqual([7]);
  });

  it.each([-1, 1.5, Number.NaN, '3', null])('%p drops the rollout and counts it', step => {
    run.logRollout({ ...SIMPLE, step: step as number });
    expect(recorder.dropped).toEqual({ bad_step: 1 });
    expect(recorder.records).toEqual([]);
  });
});

describe('a rollout of the wrong shape throws', () => {
  it.each([
    ['nothing', undefined, /logRollout\(options\) must be an object/],
    ['a text', 'hi', /must be an object/],
    ['an unknown option', { ...SIMPLE, reward: 1 }, /no option "reward" \(did you mean rewards\?\)/],
    ['no prompt', { ...SIMPLE, prompt: undefined }, /logRollout\(\{prompt\}\) must be a text, a message/],
    ['a number for prompt', { ...SIMPLE, prompt: 3 }, /\{prompt\}.*not number 3/],
    ['an empty list for prompt', { ...SIMPLE, prompt: [] }, /\{prompt\}.*not array of 0/],
    ['no messages', { ...SIMPLE, messages: undefined }, /\{messages\}\) must be a list/],
    ['a text for messages', { ...SIMPLE, messages: 'hi' }, /\{messages\}.*not string "hi"/],
    ['a number for rewards', { ...SIMPLE, rewards: 1 }, /\{rewards\}\) must be an object/],
    ['null for rewards', { ...SIMPLE, rewards: null }, /\{rewards\}/],
    ['an empty mode', { ...SIMPLE, mode: '' }, /\{mode\}/],
    ['a number for id', { ...SIMPLE, id: 7 }, /\{id\}/],
    ['an endless id', { ...SIMPLE, id: 'x'.repeat(201) }, /\{id\}/],
  ])('%s', (_what, rollout, message) => {
    expect(() => run.logRollout(rollout as unknown as Rollout)).toThrow(TypeError);
    expect(() => run.logRollout(rollout as unknown as Rollout)).toThrow(message);
    expect(recorder.records).toEqual([]);
  });
});

describe('bad values in a rollout', () => {
  it.each([
    ['no list of messages', { messages: [] }, { bad_value: 1 }],
    ['a message that is a text', { messages: ['hi', ...SIMPLE.messages] }, { bad_value: 1 }],
    ['a message without a role', { messages: [{ content: 'x' }, ...SIMPLE.messages] }, { bad_value: 1 }],
    [
      'a message with a number',
      { messages: [{ role: 'user', content: 3 }, ...SIMPLE.messages] },
      { bad_value: 1 },
    ],
    [
      'a message whose getter throws',
      {
        messages: [
          {
            get role(): string {
              throw new Error('no');
            },
          },
          ...SIMPLE.messages,
        ],
      },
      { bad_value: 1 },
    ],
    ['a reward that is undefined', { rewards: { a: undefined, b: 1 } }, { bad_value: 1 }],
    ['a reward that is a text', { rewards: { a: '1', b: 1 } }, { bad_value: 1 }],
    ['a reward without a name', { rewards: [{ value: 1 }] }, { bad_name: 1 }],
    ['a reward that is no pair', { rewards: [3] }, { bad_value: 1 }],
  ])('%s: dropped and counted, or thrown when strict', (_what, change, dropped) => {
    const rollout = { ...SIMPLE, ...change } as unknown as Rollout;
    run.logRollout(rollout);
    expect(recorder.dropped).toEqual(dropped);
    const strict = init({ strict: true });
    expect(() => strict.logRollout(rollout)).toThrow(TypeError);
    strict[Symbol.dispose]();
  });

  it('leave the rest of the rollout', () => {
    run.logRollout({
      ...SIMPLE,
      messages: [null as never, ...SIMPLE.messages],
      rewards: { a: 'x' as never, b: 2 },
    });
    expect(events('kymo.rollout')[0]!['gen_ai.output.messages']).toHaveLength(1);
    expect({ ...recorder.rows[0]!.values }).toEqual({ 'rewards/b': 2 });
  });

  it('are not NaN and infinities: those are rewards', () => {
    run.logRollout({ ...SIMPLE, rewards: { a: Number.NaN, b: Number.POSITIVE_INFINITY } });
    expect({ ...recorder.rows[0]!.values }).toEqual({
      'rewards/a': Number.NaN,
      'rewards/b': Number.POSITIVE_INFINITY,
    });
  });

  it('cannot be names that mean something to JavaScript', () => {
    run.logRollout({
      ...SIMPLE,
      rewards: JSON.parse('{"__proto__": 1, "constructor": 2}') as Record<string, number>,
    });
    expect(Object.keys(recorder.rows[0]!.values)).toEqual(['rewards/__proto__', 'rewards/constructor']);
  });
});

describe('a long rollout', () => {
  it('of 50 messages is whole', () => {
    const messages = Array.from({ length: 50 }, (_, i) => ({
      role: i % 2 ? 'user' : 'assistant',
      content: `${i} `.repeat(500),
    }));
    run.logRollout({ ...SIMPLE, messages });
    const [event] = events('kymo.rollout');
    expect(event!['gen_ai.output.messages']).toEqual(
      messages.map(({ role, content }) => said(role, content)),
    );
    expect(event).not.toHaveProperty(['kymo.rollout.messages_left_out']);
  });

  it('fits one request of 4 MiB, and says what it left out', () => {
    const content = 'ä'.repeat(500_000);
    const messages = Array.from({ length: 10 }, () => ({ role: 'assistant', content }));
    run.logRollout({ ...SIMPLE, messages });
    expect(recorder.records[0]!.bytes.length).toBeLessThan(4 * 1024 * 1024);
    expect(recorder.records[0]!.bytes.length).toBeGreaterThan(MAX_ROLLOUT_BYTES * 0.99);
    const [event] = events('kymo.rollout');
    const output = event!['gen_ai.output.messages'] as { parts: { content: string }[] }[];
    const kept = output.reduce((sum, message) => sum + message.parts[0]!.content.length, 0);
    const leftOut = event!['kymo.rollout.messages_left_out'] as number;
    expect(output.length + leftOut).toBe(10);
    expect(kept + (event!['kymo.rollout.characters_left_out'] as number)).toBe(
      output.length * content.length,
    );
    expect(events('gen_ai.evaluation.result')).toHaveLength(2);
  });

  it('has at most so many messages', () => {
    const messages = Array.from({ length: MAX_ROLLOUT_MESSAGES + 10 }, () => ({ role: 'a', content: '' }));
    run.logRollout({ ...SIMPLE, messages });
    // The prompt is one of them.
    expect(events('kymo.rollout')[0]!['kymo.rollout.messages_left_out']).toBe(11);
  });
});

it('after finish is counted and said, not recorded', async () => {
  await run.finish();
  recorder.records.length = 0;
  run.logRollout(SIMPLE);
  expect(recorder.records).toEqual([]);
  expect(recorder.dropped.after_finish).toBe(5);
});
