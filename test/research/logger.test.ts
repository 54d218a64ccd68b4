// Loggers: text with its severity, fields, place and scope; and metrics under the logger's name.
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { trace } from '@opentelemetry/api';
import { getLogger, init, type Run } from '../../src/index.ts';
import type { LogRecord } from '../../src/otlp/model.ts';
import { type KeepingRecorder, testRuntime } from './recording.ts';

let recorder: KeepingRecorder;
let run: Run;
let remove: () => void;

beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  run = init({ id: 'r', strict: false });
});
afterEach(() => {
  run[Symbol.dispose]();
  remove();
});

const lines = (): LogRecord[] => recorder.logs().filter(record => record.eventName === '');

describe('text', () => {
  it('has the severity of its method', () => {
    const log = getLogger('t');
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
    log.critical('e');
    log.log('warn', 'f');
    log.log(11, 'g');
    expect(lines().map(line => [line.severityNumber, line.severityText, line.body])).toEqual([
      [5, 'DEBUG', 'a'],
      [9, 'INFO', 'b'],
      [13, 'WARN', 'c'],
      [17, 'ERROR', 'd'],
      [21, 'CRITICAL', 'e'],
      [13, 'WARN', 'f'],
      [11, 'INFO', 'g'],
    ]);
  });

  it('carries the run, the logger, its scope, and the place of the call', () => {
    getLogger('trainer', { scope: 'episode_3.env' }).info('hello');
    const [line] = lines();
    expect(line!.resource.attributes['kymo.run.id']).toBe('r');
    expect(line!.scope).toMatchObject({ name: 'trainer', attributes: { 'kymo.scope': 'episode_3.env' } });
    expect(line!.attributes['code.file.path']).toBe(fileURLToPath(import.meta.url));
    expect(line!.attributes['code.line.number']).toBeGreaterThan(40);
    expect(line!.timeUnixNano).toBeGreaterThan(1_700_000_000_000_000_000n);
  });

  it('has bound fields and those of the call, of which the call’s win', () => {
    getLogger('t', { seed: 3, a: { deep: [1, 'x', null] } }).info('hello', {
      seed: 4,
      done: true,
      none: undefined,
    });
    expect(lines()[0]!.attributes).toMatchObject({ seed: 4, done: true, a: { deep: [1, 'x', null] } });
    expect(lines()[0]!.attributes).not.toHaveProperty('none');
  });

  it('has the step that a field says, else the one under way', () => {
    const log = getLogger('t');
    log.info('before any step');
    run.log({ a: 1 }, { step: 9 });
    log.info('under way');
    log.info('said', { step: 3 });
    expect(lines().map(line => line.attributes['kymo.step'])).toEqual([undefined, 10, 3]);
  });

  it.each([
    ['as the message', (error: Error) => getLogger('t').error(error)],
    ['as the fields', (error: Error) => getLogger('t').error('it broke', error)],
    ['in a field', (error: Error) => getLogger('t').error('it broke', { error, attempt: 2 })],
  ])('tells type, message and stack of an error %s', (_, call) => {
    call(new RangeError('too far'));
    expect(lines()[0]!.attributes).toMatchObject({
      'exception.type': 'RangeError',
      'exception.message': 'too far',
      'exception.stacktrace': expect.stringContaining('logger.test.ts'),
    });
    expect(lines()[0]!.attributes).not.toHaveProperty('error');
  });

  it.each([
    [42, '42'],
    [null, 'null'],
    [undefined, 'undefined'],
    [{ a: 1 }, '{ a: 1 }'],
    [Symbol('s'), 'Symbol(s)'],
  ])('takes %p as a message', (message, body) => {
    getLogger('t').info(message);
    expect(lines()[0]!.body).toBe(body);
  });

  it('takes fields of any kind without throwing', () => {
    const circular: Record<string, unknown> = {};
    circular.me = circular;
    const log = getLogger('t');
    log.info('x', 5 as never);
    log.info('x', { big: 2n ** 70n, small: 5n, circular, fn: () => 1, date: new Date(0), '': 1 });
    log.info('x', {
      get broken(): number {
        throw new Error('no');
      },
    });
    expect(lines()).toHaveLength(3);
    expect(lines()[0]!.attributes.value).toBe(5);
    expect(lines()[1]!.attributes).toMatchObject({
      big: (2n ** 70n).toString(),
      small: 5,
      circular: { me: '[circular]' },
      date: '1970-01-01T00:00:00.000Z',
    });
  });

  it('is cut at 256 Ki characters and says so', () => {
    getLogger('t').info('x'.repeat(300_000));
    expect(lines()[0]!.body).toMatch(/x… \(37856 more characters\)$/);
  });

  it('points at the span around it', () => {
    trace.getTracer('t').startActiveSpan('outer', span => {
      getLogger('t').info('inside');
      span.end();
    });
    expect(lines()[0]).toMatchObject({
      traceId: recorder.spanRecords()[0]!.traceId,
      spanId: recorder.spanRecords()[0]!.spanId,
    });
  });

  it('after finish is dropped and counted', async () => {
    await run.finish();
    getLogger('t').info('late');
    expect(recorder.dropped).toEqual({ after_finish: 1 });
  });
});

describe('level', () => {
  it('holds back text below it, of this logger only, and never metrics', () => {
    const log = getLogger('t', { level: 'warn' });
    const other = getLogger('t');
    log.info('no');
    log.log('debug', 'no');
    log.warn('yes');
    log.scalar('a', 1, { step: 0 });
    log.setLevel('debug');
    log.debug('now');
    other.debug('always');
    expect(lines().map(line => line.body)).toEqual(['yes', 'now', 'always']);
    expect(recorder.rows).toHaveLength(1);
    expect(log.level).toBe('debug');
  });

  it.each([['warning'], ['loud'], [25], [1.5], [null]])('%p is refused', level => {
    expect(() => getLogger('t', { level: level as never })).toThrow(TypeError);
    expect(() => getLogger('t').setLevel(level as never)).toThrow(TypeError);
  });

  it('suggests the nearest one', () => {
    expect(() => getLogger('t', { level: 'wran' as never })).toThrow(/did you mean warn\?/);
  });
});

describe('bind', () => {
  it('returns a new logger that keeps scope and level, and merges fields', () => {
    const log = getLogger('t', { scope: 'a.b', level: 'warn', x: 1, y: 1 });
    const bound = log.bind({ y: 2, z: 3 });
    expect(bound).not.toBe(log);
    expect([bound.scope, bound.level, bound.getBound()]).toEqual(['a.b', 'warn', { x: 1, y: 2, z: 3 }]);
    expect(log.getBound()).toEqual({ x: 1, y: 1 });
    expect(log.bind({ scope: 'c' }).scope).toBe('c');
    expect(log.bind({ scope: undefined as never }).scope).toBe('a.b');
  });

  it('gives out a copy of the fields', () => {
    const log = getLogger('t', { a: { b: 1 } });
    (log.getBound().a as { b: number }).b = 2;
    expect(log.getBound()).toEqual({ a: { b: 1 } });
  });
});

describe('metrics of a logger', () => {
  it('are rows, scalars and histograms under its name and scope', () => {
    const log = getLogger('worker', { scope: 'env' });
    log.log({ a: 1, b: 2 }, { step: 4 });
    log.scalar('c', 3, { step: 5 });
    log.histogram('h', [1, 2], { step: 6 });
    expect(recorder.rows.map(row => [row.step, { ...row.values }])).toEqual([
      [4, { a: 1, b: 2 }],
      [5, { c: 3 }],
    ]);
    for (const { scope } of [...recorder.rows, ...recorder.histograms])
      expect(scope).toMatchObject({ name: 'worker', attributes: { 'kymo.scope': 'env' } });
  });

  it('count steps per scope: loggers of one scope share a counter, others have their own', () => {
    run.log({ a: 1 });
    getLogger('x').log({ a: 1 });
    getLogger('y', { scope: 'other' }).log({ a: 1 });
    run.log({ a: 1 });
    expect(recorder.rows.map(row => row.step)).toEqual([0, 1, 0, 2]);
  });

  it('go to the run that is current at the call, or to the one it was made for', () => {
    const log = getLogger('t');
    const inner = init({ id: 'inner', strict: false });
    const fixed = getLogger('t', { run });
    log.log({ a: 1 });
    fixed.log({ a: 2 });
    fixed.info('to the outer one');
    inner[Symbol.dispose]();
    log.log({ a: 3 });
    expect(recorder.rows.map(row => row.scope.resource['kymo.run.id'])).toEqual(['inner', 'r', 'r']);
    expect(lines()[0]!.resource.attributes['kymo.run.id']).toBe('r');
  });
});

describe('getLogger', () => {
  it.each([
    [() => getLogger(5 as never), /getLogger\(name\).*not number 5/],
    [() => getLogger('a', 5 as never), /getLogger\(name, options\).*not number 5/],
    [() => getLogger('a', { scope: 5 as never }), /getLogger\(\{scope\}\).*not number 5/],
    [() => getLogger('a', { run: {} as never }), /getLogger\(\{run\}\)/],
    [() => getLogger('a').bind(null as never), /bind\(fields\)/],
    [() => getLogger('a').log('loud' as never, 'x'), /log\(severity\).*"loud"/],
    [() => getLogger('a').log(null as never), /log\(row\)/],
  ])('and its methods refuse wrong shapes (%#)', (call, message) => {
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
  });
});
