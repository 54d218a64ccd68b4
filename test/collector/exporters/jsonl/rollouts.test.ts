import { afterEach, describe, expect, it } from '@jest/globals';
import type { AnyValue } from '../../../../src/otlp/model.ts';
import { attributesOf, BatchMaker, type TestLog } from '../../batches.ts';
import { Driver } from './driver.ts';

const drivers: Driver[] = [];
afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.dispose();
});
async function started(): Promise<{ driver: Driver; maker: BatchMaker }> {
  const driver = new Driver();
  drivers.push(driver);
  await driver.start();
  return { driver, maker: new BatchMaker() };
}
const sender = { resource: { 'kymo.run.id': 'r', 'service.instance.id': 'i' } };
const ROLLOUTS = 'logs/rollouts.jsonl';

const text = (role: string, content: string, more: Record<string, AnyValue> = {}) =>
  attributesOf({ role, parts: [attributesOf({ type: 'text', content })], ...more });
const rollout = (id: string, rewards: Record<string, number> = {}): TestLog => ({
  eventName: 'kymo.rollout',
  attributes: {
    'kymo.rollout.id': id,
    'kymo.mode': 'eval',
    'kymo.step': 3,
    'kymo.rollout.rewards': attributesOf(rewards),
    'gen_ai.input.messages': [text('user', '2+2?')],
    'gen_ai.output.messages': [
      text('assistant', '4', { finish_reason: 'stop' }),
      text('user', 'sure?', { finish_reason: 'stop' }),
      attributesOf({
        role: 'assistant',
        parts: [
          attributesOf({ type: 'tool_call', name: 'add', arguments: attributesOf({ a: 2 }) }),
          attributesOf({ type: 'text', content: 'yes' }),
        ],
        finish_reason: 'length',
      }),
    ],
  },
});
const evaluation = (
  id: string,
  name: string,
  score: number,
  more: Record<string, AnyValue> = {},
): TestLog => ({
  eventName: 'gen_ai.evaluation.result',
  attributes: {
    'gen_ai.evaluation.name': name,
    'gen_ai.evaluation.score.value': score,
    ...(id !== '' && { 'kymo.rollout.id': id }),
    'kymo.mode': 'eval',
    'kymo.step': 3,
    ...more,
  },
});

describe('rollouts', () => {
  it('read well: prompt, messages and rewards on one line', async () => {
    const { driver, maker } = await started();
    await driver.export(
      maker.logs(sender, [
        rollout('a', { correct: 1 }),
        evaluation('a', 'correct', 1),
        evaluation('a', 'style', 0.5),
      ]),
    );
    await driver.commit();
    expect(driver.lines('r', ROLLOUTS)).toEqual([
      {
        step: 3,
        time: expect.any(Number),
        mode: 'eval',
        id: 'a',
        prompt: '2+2?',
        messages: [
          { role: 'assistant', content: '4' },
          { role: 'user', content: 'sure?' },
          {
            role: 'assistant',
            parts: [
              { type: 'tool_call', name: 'add', arguments: { a: 2 } },
              { type: 'text', content: 'yes' },
            ],
            finish_reason: 'length',
          },
        ],
        rewards: { correct: 1, style: 0.5 },
      },
    ]);
    expect(driver.document('r')).toMatchObject({ totals: { rollouts: 1, evaluations: 2, logs: 0 } });
  });

  it('have later evaluations on lines of their own, unless their reward was said', async () => {
    const { driver, maker } = await started();
    await driver.export(
      maker.logs(sender, [rollout('a', { correct: 1, Ünï: Number.NaN })]),
      maker.logs(sender, [evaluation('a', 'correct', 1)]),
    );
    await driver.commit();
    await driver.exporter.stop();
    await driver.start();
    await driver.export(
      maker.logs(sender, [
        evaluation('a', 'Ünï', Number.NaN),
        evaluation('a', 'judge', 0.25, { 'gen_ai.evaluation.explanation': 'because' }),
        evaluation('', 'foreign', 7),
      ]),
    );
    await driver.commit();
    expect(
      driver.lines('r', ROLLOUTS).map(({ id, rewards, attributes }) => ({ id, rewards, attributes })),
    ).toEqual([
      { id: 'a', rewards: { correct: 1, Ünï: 'NaN' } },
      { id: 'a', rewards: { judge: 0.25 }, attributes: { 'gen_ai.evaluation.explanation': 'because' } },
      { rewards: { foreign: 7 } },
    ]);
  });

  it('take messages that come as JSON text, and keep what is none', async () => {
    const { driver, maker } = await started();
    const one = (input: AnyValue): TestLog => ({
      eventName: 'kymo.rollout',
      attributes: { 'kymo.rollout.id': 'x', 'gen_ai.input.messages': input },
    });
    await driver.export(
      maker.logs(sender, [
        one('[{"role":"user","parts":[{"type":"text","content":"hi"}]}]'),
        one('no JSON'),
        one([1, null, text('system', 's'), text('user', 'u')]),
        one(7),
      ]),
    );
    await driver.commit();
    expect(driver.lines('r', ROLLOUTS).map(line => line.prompt)).toEqual([
      'hi',
      'no JSON',
      [1, null, { role: 'system', content: 's' }, { role: 'user', content: 'u' }],
      7,
    ]);
  });
});

describe('metric definitions', () => {
  const define = (pattern: string, more: Record<string, AnyValue>): TestLog => ({
    eventName: 'kymo.metric.definition',
    attributes: { 'kymo.metric.pattern': pattern, ...more },
  });

  it('say in run.json what sums a metric up, also after a restart', async () => {
    const { driver, maker } = await started();
    await driver.export(
      maker.logs(sender, [
        define('eval/*', {
          'kymo.metric.summary': ['best', 'mean', 'nonsense'],
          'kymo.metric.goal': 'maximize',
          'kymo.metric.step_metric': 'env/frames',
        }),
        define('loss', { 'kymo.metric.goal': 'minimize' }),
        define('', {}),
      ]),
      maker.rows(sender, [
        { values: { 'eval/acc': 1, loss: 3, other: 1 }, step: 0 },
        { values: { 'eval/acc': 4, loss: 2, other: Number.NaN }, step: 1 },
      ]),
    );
    await driver.commit();
    await driver.exporter.stop();
    await driver.start();
    await driver.export(maker.rows(sender, [{ values: { 'eval/acc': 1, loss: 4 }, step: 2 }]));
    await driver.commit();
    const { metrics, metric_definitions: definitions } = driver.document('r') as Record<string, object>;
    expect(definitions).toEqual({
      'eval/*': { step_metric: 'env/frames', summary: ['best', 'mean'], goal: 'maximize' },
      loss: { goal: 'minimize' },
    });
    expect(metrics).toMatchObject({
      'eval/acc': { min: 1, max: 4, mean: 2, last: 1, best: 4, best_step: 1, summary: ['best', 'mean'] },
      loss: { best: 2, best_step: 1, mean: 3 },
      other: { mean: 1, last: 'NaN' },
    });
    expect(driver.lost('bad_definition')).toBe(1);
  });

  it('are found by the name that the sender wrote', async () => {
    const { driver, maker } = await started();
    await driver.export(
      maker.logs(sender, [define('loss', { 'kymo.metric.goal': 'minimize' })]),
      maker.rows({ ...sender, scopeAttributes: { 'kymo.scope': 'a.b' } }, [
        { values: { loss: 2 }, step: 5, attributes: { 'kymo.mode': 'eval' } },
      ]),
    );
    await driver.commit();
    expect(driver.document('r').metrics).toMatchObject({ 'a.b/eval/loss': { best: 2, best_step: 5 } });
  });
});
