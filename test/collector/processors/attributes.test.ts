// The resource and attributes processors: upstream's actions, and what follows from a changed attribute here.
import { describe, expect, it } from '@jest/globals';
import type { ProcessorType } from '../../../src/collector/component.ts';
import { attributesProcessor } from '../../../src/collector/processors/attributes/index.ts';
import { resourceProcessor } from '../../../src/collector/processors/resource/index.ts';
import { batchOf, logBatchOf, spanBatchOf } from '../../../src/collector/testing/index.ts';
import { processorContext } from './contract.ts';

const made = (type: ProcessorType, config: unknown) =>
  type.create(processorContext(), type.config.parse(config));
const attributes = (...actions: readonly object[]) => made(attributesProcessor as ProcessorType, { actions });
const resource = (...actions: readonly object[]) =>
  made(resourceProcessor as ProcessorType, { attributes: actions });
const problems = (...actions: readonly object[]): string[] => {
  const result = attributesProcessor.config.safeParse({ actions });
  return result.success
    ? []
    : result.error.issues.map(issue => `${issue.path.slice(2).join('.')}: ${issue.message}`);
};

/** What one log record's attributes are afterwards. */
const after = (before: Record<string, string | number | boolean>, ...actions: readonly object[]) => {
  const batch = attributes(...actions).process(logBatchOf([{ attributes: before }]))!;
  return { ...batch.logs[0]!.record.attributes };
};

describe('an action', () => {
  it('inserts what is absent, updates what is there, upserts both', () => {
    const before = { a: 1 };
    const value = 'new';
    expect(after(before, { key: 'a', action: 'insert', value })).toEqual({ a: 1 });
    expect(after(before, { key: 'b', action: 'insert', value })).toEqual({ a: 1, b: 'new' });
    expect(after(before, { key: 'a', action: 'update', value })).toEqual({ a: 'new' });
    expect(after(before, { key: 'b', action: 'update', value })).toEqual({ a: 1 });
    expect(after(before, { key: 'b', action: 'upsert', from_attribute: 'a' })).toEqual({ a: 1, b: 1 });
    expect(after(before, { key: 'b', action: 'upsert', from_attribute: 'none' })).toEqual({ a: 1 });
  });

  it('deletes by key or pattern, and hashes', () => {
    const before = { password: 'x', 'db.password': 'y', other: 1 };
    expect(after(before, { action: 'delete', pattern: 'passw' })).toEqual({ other: 1 });
    expect(after(before, { key: 'password', action: 'delete' })).toEqual({ 'db.password': 'y', other: 1 });
    expect(after(before, { key: 'password', action: 'hash' })).toEqual({
      ...before,
      password: '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',
    });
  });

  it('extracts named groups and converts types', () => {
    const url = { url: 'http://host:80/a' };
    const pattern = '^(?P<scheme>.*)://(?P<host>[^:]+):(?P<port>[0-9]+)';
    const port = { key: 'port', action: 'convert', converted_type: 'int' };
    expect(after(url, { key: 'url', action: 'extract', pattern }, port)).toEqual({
      ...url,
      scheme: 'http',
      host: 'host',
      port: 80,
    });
    const to = (value: string | number | boolean, converted_type: string) =>
      after({ x: value }, { key: 'x', action: 'convert', converted_type }).x;
    expect([to('1.5', 'double'), to(2.9, 'int'), to(true, 'int'), to(3, 'string')]).toEqual([1.5, 2, 1, '3']);
    expect([to('many', 'int'), to('9007199254740993', 'int')]).toEqual(['many', 9007199254740993n]);
  });

  it('works on a key named __proto__ as on any other', () => {
    const record = attributes({ key: '__proto__', action: 'insert', value: 'mine' }).process(
      logBatchOf([{ attributes: { a: 1 } }]),
    )!.logs[0]!.record;
    expect(Object.keys(record.attributes)).toEqual(['a', '__proto__']);
  });

  it('that cannot be is told by what it lacks', () => {
    expect(problems({ action: 'insert', value: 1 })).toEqual([': insert needs a key']);
    expect(problems({ key: 'a', action: 'insert' })).toEqual([
      ': insert needs either a value or a from_attribute',
    ]);
    expect(problems({ action: 'delete' })).toEqual([': needs a key or a pattern']);
    expect(problems({ key: 'a', action: 'extract', pattern: '(x)' })).toEqual([
      'pattern: has no named groups, such as (?P<name>.*): nothing would be extracted',
    ]);
    expect(problems({ key: 'a', action: 'convert', value: 1 })).toEqual([
      'value: convert takes no value',
      ': convert needs a converted_type',
    ]);
  });

  it.each([
    ['(a+)+', 'repeats a group that repeats'],
    ['(a|b)*', 'repeats a group that repeats or chooses'],
    ['((a{2,})b)+', 'repeats a group'],
    ['a(?=b)', 'looks ahead or behind'],
    ['(a)\\1', 'refers back'],
    ['(', 'is no regular expression'],
  ])('refuses the pattern %s, which could take for ever or is none', (pattern, reason) => {
    expect(problems({ action: 'delete', pattern }).join()).toContain(reason);
  });

  it.each(['(a|b)c', '[(+]*', '(ab)+', '\\(a+\\)+', '(?i)^A.*z$', 'a{2,5}(b)'])(
    'takes the pattern %s',
    pattern => {
      expect(problems({ action: 'delete', pattern })).toEqual([]);
    },
  );
});

describe('the attributes processor', () => {
  it('changes points, records and spans, and names series anew', () => {
    const processor = attributes({ key: 'env', action: 'insert', value: 'x' });
    const points = processor.process(batchOf([{ step: 1, values: { loss: 1 } }]))!;
    expect(points.scalars!.resolved[0]!.sinkName).toBe('loss/env=x');
    expect(points.scalars!.columns.value[0]).toBe(1);
    const spans = processor.process(spanBatchOf([{ name: 's' }]))!;
    expect(spans.spans[0]!.record.attributes.env).toBe('x');
    expect(() => points.bytes).toThrow('was changed by processors');
  });

  it('hands on the batch itself where it changes nothing', () => {
    const batch = batchOf([{ step: 1, values: { loss: 1 } }]);
    expect(attributes({ key: 'nothing', action: 'delete' }).process(batch)).toBe(batch);
  });
});

describe('the resource processor', () => {
  it('can say which run foreign telemetry belongs to', () => {
    const processor = resource({ key: 'kymo.run.id', action: 'upsert', from_attribute: 'job' });
    const batch = processor.process(batchOf([{ values: { loss: 1 }, resource: { job: 'j-7' } }]))!;
    expect(batch.scalars!.resolved[0]!.run.id).toBe('j-7');
    const log = processor.process(logBatchOf([{ body: 'x', resource: { job: 'j-7' } }]))!;
    expect(log.logs[0]!.run.id).toBe('j-7');
    expect(log.logs[0]!.run.folder).toBe('j-7');
  });
});
