// timeit: every kind of function keeps what it does, and each call is measured, also one that throws.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { trace } from '@opentelemetry/api';
import { init, type Run, timeit } from '../../src/index.ts';
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

const ERROR = 2;
const timings = (name: string): number[] =>
  recorder.rows
    .filter(row => `timings/${name}` in row.values)
    .map(row => row.values[`timings/${name}`] as number);
const texts = (): unknown[] =>
  recorder
    .logs()
    .filter(record => record.eventName === '')
    .map(record => record.body);

function expectOne(name: string, status = 0): void {
  const spans = recorder.spanRecords().filter(span => span.name === name);
  expect(spans).toHaveLength(1);
  expect(spans[0]!.statusCode).toBe(status);
  expect(timings(name)).toHaveLength(1);
  expect(texts().filter(text => new RegExp(`^${name} took \\d+\\.\\d{6}s$`).test(String(text)))).toHaveLength(
    1,
  );
  const spanSeconds = Number(spans[0]!.endTimeUnixNano - spans[0]!.startTimeUnixNano) / 1e9;
  expect(Math.abs(spanSeconds - timings(name)[0]!)).toBeLessThan(0.02);
}

describe('a call is measured once', () => {
  it('of a plain function, which keeps this, arguments, result, name and length', () => {
    const object = {
      factor: 3,
      scale: timeit('scale', function scale(this: { factor: number }, value: number, _unused: number) {
        return value * this.factor;
      }),
    };
    expect(object.scale(2, 0)).toBe(6);
    expect([object.scale.name, object.scale.length]).toEqual(['scale', 2]);
    expectOne('scale');
  });

  it('of an async function, until it settles', async () => {
    let open: (() => void) | undefined;
    const wait = timeit('wait', async () => {
      await new Promise<void>(resolve => {
        open = resolve;
      });
      return 5;
    });
    const result = wait();
    expect(timings('wait')).toHaveLength(0);
    open!();
    expect(await result).toBe(5);
    expectOne('wait');
  });

  it('of a generator, from its first next to its end, values passing both ways', () => {
    const echo = timeit('echo', function* (first: number): Generator<number, string, number> {
      const a = yield first;
      const b = yield a * 2;
      return `${a},${b}`;
    });
    const generator = echo(1);
    expect(recorder.spanRecords()).toHaveLength(0);
    expect(generator.next()).toEqual({ done: false, value: 1 });
    expect(generator.next(10)).toEqual({ done: false, value: 20 });
    expect(timings('echo')).toHaveLength(0);
    expect(generator.next(7)).toEqual({ done: true, value: '10,7' });
    expectOne('echo');
  });

  it('of a generator whose consumer leaves early, which still cleans up', () => {
    let cleaned = false;
    const count = timeit('count', function* () {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        cleaned = true;
      }
    });
    for (const i of count()) if (i === 3) break;
    expect(cleaned).toBe(true);
    expectOne('count');
  });

  it('of an async generator', async () => {
    const count = timeit('count', async function* (n: number) {
      for (let i = 0; i < n; i++) yield i;
    });
    const seen: number[] = [];
    for await (const i of count(3)) seen.push(i);
    expect(seen).toEqual([0, 1, 2]);
    expectOne('count');
  });
});

describe('an error goes on as it was, and is recorded', () => {
  const failure = new RangeError('boom');
  it.each([
    [
      'plain',
      timeit('f', () => {
        throw failure;
      }),
    ],
    ['async', timeit('f', async () => Promise.reject(failure))],
    [
      'generator',
      timeit('f', function* () {
        yield 1;
        throw failure;
      }),
    ],
    [
      'async generator',
      timeit('f', async function* () {
        yield 1;
        throw failure;
      }),
    ],
  ])('from a %s function', async (_, fn) => {
    const consume = async (): Promise<void> => {
      const result = await (fn as () => unknown)();
      if (typeof result === 'object') for await (const _value of result as AsyncIterable<unknown>);
    };
    await expect(consume()).rejects.toBe(failure);
    expectOne('f', ERROR);
    const [span] = recorder.spanRecords();
    expect(span!.attributes['error.type']).toBe('RangeError');
    expect(span!.events[0]).toMatchObject({ name: 'exception', attributes: { 'exception.message': 'boom' } });
  });

  it('also when it is no Error', () => {
    expect(() =>
      timeit('f', () => {
        throw 'text';
      })(),
    ).toThrow('text');
    expect(recorder.spanRecords()[0]!.attributes['error.type']).toBe('string');
  });

  it('that the consumer throws into a generator reaches it', () => {
    const seen: unknown[] = [];
    const generator = timeit('g', function* () {
      try {
        yield 1;
      } catch (error) {
        seen.push(error);
        yield 2;
      }
    })();
    generator.next();
    expect(generator.throw(failure).value).toBe(2);
    expect(seen).toEqual([failure]);
  });
});

describe('spans', () => {
  it('nest, also over awaits, and what is logged inside points at them', async () => {
    const inner = timeit('inner', async () => {
      await Promise.resolve();
      run.log({ a: 1 });
    });
    await timeit('outer', async () => {
      await Promise.resolve();
      await inner();
    })();
    run.log({ outside: 1 });
    const [innerSpan, outerSpan] = recorder.spanRecords();
    expect(innerSpan).toMatchObject({
      name: 'inner',
      parentSpanId: outerSpan!.spanId,
      traceId: outerSpan!.traceId,
    });
    const row = recorder.rows.find(candidate => 'a' in candidate.values)!;
    expect(recorder.spans[row.span - 1]).toMatchObject({ spanId: innerSpan!.spanId });
    expect(recorder.rows.at(-1)!.span).toBe(0);
    expect(innerSpan!.resource.attributes['kymo.run.id']).toBe('r');
  });

  it('are active inside a generator, and not in its consumer', () => {
    const seen: (string | undefined)[] = [];
    const generate = timeit('g', function* () {
      seen.push(trace.getActiveSpan()?.spanContext().spanId);
      yield 1;
      seen.push(trace.getActiveSpan()?.spanContext().spanId);
    });
    for (const _ of generate()) seen.push(trace.getActiveSpan()?.spanContext().spanId);
    const { spanId } = recorder.spanRecords()[0]!;
    expect(seen).toEqual([spanId, undefined, spanId]);
  });
});

describe('steps of timings', () => {
  it('are the step under way, or none before there are any', () => {
    const f = timeit('f', () => 1);
    f();
    run.log({ a: 1 }, { step: 7 });
    f();
    expect(recorder.rows.filter(row => 'timings/f' in row.values).map(row => row.step)).toEqual([
      Number.NaN,
      8,
    ]);
  });
});

describe('options', () => {
  it('choose the severity of the line, or none, and the scope', () => {
    timeit('a', () => 1, { level: 'debug' })();
    timeit('b', () => 1, { level: false })();
    timeit('c', () => 1, { scope: 'env' })();
    const lines = recorder.logs().filter(record => record.eventName === '');
    expect(lines.map(line => [line.severityNumber, line.scope.attributes['kymo.scope']])).toEqual([
      [5, undefined],
      [9, 'env'],
    ]);
    expect(recorder.spanRecords().at(-1)!.attributes['kymo.scope']).toBe('env');
  });

  it.each([
    [() => timeit(5 as never, () => 1), /timeit\(name\).*not number 5/],
    [() => timeit('', () => 1), /timeit\(name\)/],
    [() => timeit('a', 5 as never), /timeit\(name, fn\) must be a function, not number 5/],
    [() => timeit('a', () => 1, { levle: 'info' } as never), /no option "levle" \(did you mean level\?\)/],
    [() => timeit('a', () => 1, { level: 'loud' as never }), /timeit\(\{level\}\)/],
  ])('of the wrong shape throw (%#)', (call, message) => {
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
  });
});

describe('as a decorator', () => {
  it('names the span after the method or as told, of static and private methods too', async () => {
    class Trainer {
      private readonly lr = 2;
      @timeit()
      step(batch: number): number {
        return batch * this.lr;
      }
      @timeit('Trainer.setup', { level: false })
      static setup(): string {
        return 'ready';
      }
      @timeit()
      async #load(): Promise<string> {
        return 'loaded';
      }
      load(): Promise<string> {
        return this.#load();
      }
    }
    const trainer = new Trainer();
    expect([trainer.step(4), Trainer.setup(), await trainer.load()]).toEqual([8, 'ready', 'loaded']);
    expect(recorder.spanRecords().map(span => span.name)).toEqual(['step', 'Trainer.setup', '#load']);
  });

  it('refuses what is no method', () => {
    expect(() => timeit()(class {} as never, { kind: 'class', name: 'X' } as never)).toThrow(
      /decorates methods, not a class/,
    );
  });
});

describe('short calls', () => {
  it('become a histogram after 1,000, and no call is lost', async () => {
    const f = timeit('f', () => 1);
    const calls = 3_000;
    for (let i = 0; i < calls; i++) f();
    await run.flush();
    const counted = recorder.histograms
      .filter(({ name }) => name === 'timings/f/hist')
      .reduce((sum, { point }) => sum + point.count, 0);
    expect(timings('f').length).toBeLessThan(1_500);
    expect(timings('f').length + counted).toBe(calls);
    expect(Array.from(recorder.histograms[0]!.point.bounds).slice(0, 3)).toEqual([1e-7, 2e-7, 5e-7]);
  });

  it('that throw still get a span', () => {
    let fail = false;
    const f = timeit('f', () => {
      if (fail) throw new Error('late');
    });
    for (let i = 0; i < 3_000; i++) f();
    const before = recorder.spanRecords().length;
    fail = true;
    expect(f).toThrow('late');
    const after = recorder.spanRecords();
    expect(after.length).toBe(before + 1);
    expect(after.at(-1)!.statusCode).toBe(ERROR);
  });
});
