import { describe, expect, it } from '@jest/globals';
import { createResolver } from '../../../src/collector/runs/resolve.ts';
import type { ResolvedSeries } from '../../../src/collector/runs/run.ts';
import { MAX_SINK_NAME_CHARACTERS, unrankedName } from '../../../src/collector/runs/series-name.ts';
import { newAttributes } from '../../../src/otlp/attributes.ts';
import type { AnyValue, LogRecord, Series } from '../../../src/otlp/model.ts';
import { attributesOf, T0 } from '../batches.ts';

type Entries = Readonly<Record<string, AnyValue>>;
const DAY = 86_400n * 1_000_000_000n;

function series(name: string, point: Entries = {}, scope: Entries = {}, resource: Entries = {}): Series {
  return {
    resource: { attributes: attributesOf(resource) },
    scope: { name: '', version: '', attributes: attributesOf(scope) },
    name,
    unit: '',
    description: '',
    attributes: attributesOf(point),
    kind: 'gauge',
  };
}
function resolve(...of: Parameters<typeof series>): ResolvedSeries {
  return createResolver({ caseSensitive: true }).series(series(...of), T0);
}

describe('which run', () => {
  it('is the nearest kymo.run.id', () => {
    const at = (point: Entries, scope: Entries) =>
      resolve('x', point, scope, { 'kymo.run.id': 'resource', 'service.name': 's' }).run.id;
    expect(at({ 'kymo.run.id': 'point' }, { 'kymo.run.id': 'scope' })).toBe('point');
    expect(at({}, { 'kymo.run.id': 'scope' })).toBe('scope');
    expect(at({}, {})).toBe('resource');
    expect(at({ 'kymo.run.id': '' }, { 'kymo.run.id': 7 })).toBe('7');
  });

  it('is a foreign id where no kymo.run.id is, not even further away', () => {
    const foreign = { 'nemo.run.id': 'nemo', 'mlflow.run_id': 'mlflow' };
    expect(resolve('x', foreign, {}, { 'kymo.run.id': 'ours' }).run.id).toBe('ours');
    expect(resolve('x', {}, {}, foreign).run.id).toBe('nemo');
    expect(resolve('x', {}, {}, { 'mlflow.run_id': 'mlflow' }).run.id).toBe('mlflow');
  });

  it('is the process, else the day, for senders without one', () => {
    const resolver = createResolver();
    const of = (resource: Entries, received: bigint) =>
      resolver.series(series('x', {}, {}, resource), received).run.id;
    expect(of({ 'service.name': 's', 'service.instance.id': 'i' }, T0)).toBe('s/i');
    expect(of({ 'service.name': 's' }, T0)).toBe('s/2026-11-21');
    expect(of({ 'service.name': 's' }, T0 + DAY)).toBe('s/2026-11-22');
    expect(of({}, T0)).toBe('unknown_service/2026-11-21');
    const shared = series('x', {}, {}, { 'service.name': 's' });
    expect(resolver.series(shared, T0).run.id).toBe('s/2026-11-21');
    expect(resolver.series(shared, T0 + DAY).run.id).toBe('s/2026-11-22');
  });

  it('is one object for equal senders, and only for these', () => {
    const resolver = createResolver();
    const of = (resource: Entries) => resolver.series(series('x', {}, {}, resource), T0).run;
    const a = { 'kymo.run.id': 'r', 'service.instance.id': 'i' };
    expect(of(a)).toBe(of({ ...a }));
    expect(of(a)).not.toBe(of({ ...a, 'service.instance.id': 'j' }));
    expect(of(a)).not.toBe(of({ ...a, 'kymo.run.attempt': 2 }));
  });

  it('does not depend on what was resolved before', () => {
    const resources = Array.from({ length: 50 }, (_, i) => ({
      'kymo.run.id': `r${i % 7}`,
      'kymo.run.name': `n${i % 3}`,
    }));
    const few = createResolver({ maxRuns: 2 });
    for (const resource of resources) {
      const one = few.series(series('x', {}, {}, resource), T0);
      expect(one).toEqual(createResolver().series(series('x', {}, {}, resource), T0));
    }
  });

  it('says about another run only what was said about that', () => {
    const resource = {
      'service.name': 'p',
      'service.instance.id': 'i',
      'kymo.run.id': 'a',
      'kymo.run.name': 'Run A',
      'kymo.run.tags': ['t', 't', ' u '],
      'kymo.rank': '3',
      'kymo.run.attempt': 2,
    };
    const own = resolve('x', {}, {}, resource).run;
    expect(own).toMatchObject({
      id: 'a',
      name: 'Run A',
      tags: ['t', 'u'],
      rank: 3,
      attempt: 2,
      project: 'p',
    });
    const other = resolve('x', { 'kymo.run.id': 'b' }, {}, resource).run;
    expect(other).toMatchObject({ id: 'b', name: 'b', tags: [], rank: 3, attempt: 1, instance: 'i' });
  });

  it('survives hostile ids', () => {
    const long = (end: string) => resolve('x', { 'kymo.run.id': `${'x'.repeat(5000)}${end}` }).run;
    expect(long('a').id).toHaveLength(1024);
    expect(long('a').folder).not.toBe(long('b').folder);
    expect(resolve('x', { 'kymo.run.id': '../../etc' }).run.folder).toBe('~002e.~002f..~002fetc');
    expect(resolve('x', { 'kymo.run.id': ['a'] }, {}, { 'service.name': 's' }).run.id).toBe('s/2026-11-21');
    expect(resolve('x', { 'kymo.run.id': '__proto__' }).run.id).toBe('__proto__');
  });

  it('is found for logs and spans by the same rules', () => {
    const resolver = createResolver();
    const record = {
      resource: { attributes: attributesOf({ 'kymo.run.id': 'r' }) },
      scope: { name: '', version: '', attributes: attributesOf({ 'kymo.scope': 'env' }) },
      attributes: newAttributes(),
    };
    expect(resolver.log(record as unknown as LogRecord, T0)).toMatchObject({
      run: { id: 'r' },
      scope: 'env',
    });
    const near = { ...record, attributes: attributesOf({ 'kymo.run.id': 's', 'kymo.scope': 'near' }) };
    expect(resolver.span(near as never, T0)).toMatchObject({ run: { id: 's' }, scope: 'near' });
  });
});

describe('what sinks call a series', () => {
  it.each<[string, string, Entries, Entries, Entries]>([
    ['train/loss', 'train/loss', {}, {}, {}],
    ['loss', 'loss', {}, {}, {}],
    ['eval/acc', 'eval/acc', {}, {}, {}],
    ['acc', 'eval/acc', { 'kymo.mode': 'eval' }, {}, {}],
    ['eval/acc', 'eval/acc', { 'kymo.mode': 'eval' }, {}, {}],
    ['train/loss', 'eval/train/loss', {}, { 'kymo.mode': 'eval' }, {}],
    ['loss', 'env.a/loss', {}, { 'kymo.scope': 'env.a' }, {}],
    ['loss', 'loss', {}, { 'kymo.scope': 'global' }, {}],
    ['acc', 'env/eval/acc', { 'kymo.mode': 'eval' }, {}, { 'kymo.scope': 'env' }],
    ['loss', 'loss/a=1/b=x/c=[1,2]', { c: [1, 2], b: 'x', a: 1 }, {}, {}],
    ['loss', 'loss/layer=0/rank=2', { layer: 0, 'kymo.mode': 'train' }, {}, { 'kymo.rank': 2 }],
    ['loss', 'loss', {}, {}, { 'kymo.rank': 0 }],
    ['', 'unnamed', {}, {}, {}],
    ['test', 'test', {}, {}, {}],
    ['a b\n', 'a b\n', {}, {}, {}],
  ])('%j is %j with %j %j %j', (name, expected, point, scope, resource) => {
    expect(resolve(name, point, scope, resource).sinkName).toBe(expected);
  });

  it('knows the mode', () => {
    expect(resolve('val/x').mode).toBe('val');
    expect(resolve('validation/x').mode).toBe('train');
    expect(resolve('val/x', { 'kymo.mode': 'train' }).mode).toBe('train');
    expect(resolve('x', {}, {}, { 'kymo.mode': 'test' }).mode).toBe('test');
  });

  it('knows the companion gauge', () => {
    expect(resolve('kymo.step').companion).toBe(true);
    expect(resolve('step').companion).toBe(false);
  });

  it('caps a long name for sinks, and still has the whole one', () => {
    const name = (end: string) => `${'n'.repeat(10_000)}${end}`;
    for (const rank of [0, 2]) {
      const one = series(name('a'), { layer: 1 }, {}, { 'kymo.rank': rank });
      const resolved = createResolver().series(one, T0);
      const other = createResolver().series(series(name('b'), { layer: 1 }, {}, { 'kymo.rank': rank }), T0);
      expect(resolved.sinkName).toHaveLength(MAX_SINK_NAME_CHARACTERS + (rank > 0 ? '/rank=2'.length : 0));
      expect(resolved.sinkName).not.toBe(other.sinkName);
      expect(unrankedName(one, resolved)).toBe(`${name('a')}/layer=1`);
    }
    const short = series('x', {}, {}, { 'kymo.rank': 12 });
    expect(unrankedName(short, createResolver().series(short, T0))).toBe('x');
  });

  it('cuts no surrogate pair in two', () => {
    const { sinkName } = resolve(`${'x'.repeat(982)}${'😀'.repeat(500)}`);
    expect(sinkName).toHaveLength(MAX_SINK_NAME_CHARACTERS);
    expect(sinkName.isWellFormed()).toBe(true);
  });
});
