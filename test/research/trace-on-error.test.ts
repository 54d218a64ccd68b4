// biome-ignore-all lint/complexity/useLiteralKeys: computed names are what is tested
// `traceOnError`: what a failed call leaves behind, and that nothing about the failure changes.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { attach, detach, type HandlerEvent, init, traceOnError } from '../../src/index.ts';
import { describeCall, MAX_STATE_SIZE } from '../../src/research/call-state.ts';
import { parameterNames } from '../../src/research/parameter-names.ts';
import type { Run } from '../../src/research/run.ts';
import { type KeepingRecorder, testRuntime } from './recording.ts';

let recorder: KeepingRecorder;
let run: Run;
let remove: () => void;

beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  run = init({ project: 'p', strict: false });
});
afterEach(() => {
  run[Symbol.dispose]();
  remove();
});

const failures = () => recorder.logs().filter(record => record.eventName === 'exception');
const plain = <T>(value: T): T => structuredClone(value);
const state = (i = 0) =>
  plain(failures()[i]!.attributes['kymo.call.arguments']) as Record<string, Record<string, unknown>>;

function thrown(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('it did not throw');
}

describe('a failure', () => {
  const problem = new RangeError('the batch is empty');

  it('goes on as the very same error and leaves an event with type, message, stack and arguments', () => {
    run.log({ loss: 1 }, { step: 8 });
    const train = traceOnError(function train(batch: number[], { lr }: { lr: number }) {
      if (batch.length === 0) throw problem;
      return lr;
    });
    expect(thrown(() => train([], { lr: 0.1 }))).toBe(problem);
    expect(failures()).toHaveLength(1);
    const [event] = failures();
    expect(event).toMatchObject({
      severityNumber: 17,
      severityText: 'ERROR',
      body: 'train failed: the batch is empty',
    });
    expect(event!.attributes).toMatchObject({
      'exception.type': 'RangeError',
      'exception.message': 'the batch is empty',
      'code.function.name': 'train',
      'kymo.step': 9,
    });
    expect(event!.attributes['exception.stacktrace']).toContain('trace-on-error.test.ts');
    expect(state()).toEqual({ arguments: { batch: [], 1: { lr: 0.1 } } });
  });

  it('can be named, and has the state of `this`', () => {
    const method = traceOnError(
      'Trainer.step',
      function step(this: { epoch: number; seen: Map<string, number> }) {
        throw problem;
      },
    );
    expect(thrown(() => method.call({ epoch: 3, seen: new Map([['a', 1]]) }))).toBe(problem);
    expect(failures()[0]!.attributes['code.function.name']).toBe('Trainer.step');
    expect(state()).toEqual({ arguments: {}, this: { epoch: 3, seen: { a: 1 } } });
  });

  it('of a promise, a generator and an async generator is caught too', async () => {
    const later = traceOnError(async function later(n: number) {
      await n;
      throw problem;
    });
    const count = traceOnError(function* count(n: number) {
      yield n;
      throw problem;
    });
    const countLater = traceOnError(async function* countLater(n: number) {
      yield n;
      throw problem;
    });
    await expect(later(1)).rejects.toBe(problem);
    const seen: number[] = [];
    expect(
      thrown(() => {
        for (const n of count(2)) seen.push(n);
      }),
    ).toBe(problem);
    await expect(
      (async () => {
        for await (const n of countLater(3)) seen.push(n);
      })(),
    ).rejects.toBe(problem);
    expect(seen).toEqual([2, 3]);
    expect(failures().map(event => event.attributes['code.function.name'])).toEqual([
      'later',
      'count',
      'countLater',
    ]);
    expect([0, 1, 2].map(i => state(i).arguments)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('of something thrown that is no error stays what it was', () => {
    const nothing = traceOnError('nothing', () => {
      throw undefined;
    });
    const frozen = Object.freeze({ code: 7 });
    const object = traceOnError('object', () => {
      throw frozen;
    });
    expect(thrown(nothing)).toBeUndefined();
    expect(thrown(object)).toBe(frozen);
    expect(failures().map(event => event.attributes['exception.type'])).toEqual(['undefined', 'object']);
  });

  it('shows the errors that caused it, a ring of them too', () => {
    const inner = new Error('the disk is full');
    const outer = new Error('cannot save', { cause: inner });
    inner.cause = outer;
    thrown(
      traceOnError('save', () => {
        throw outer;
      }),
    );
    expect(failures()[0]!.attributes['exception.stacktrace']).toMatch(
      /cannot save[\s\S]*Caused by: [\s\S]*the disk is full/,
    );
  });

  it('is not hidden by an error that cannot be read', () => {
    const hostile = new Error('x');
    Object.defineProperty(hostile, 'message', {
      get: () => {
        throw new Error('from the getter');
      },
    });
    expect(
      thrown(
        traceOnError('hostile', () => {
          throw hostile;
        }),
      ),
    ).toBe(hostile);
  });

  it('in a getter of an argument does not go round in circles', () => {
    const bad = {
      get field(): number {
        return lookUp(bad);
      },
    };
    const lookUp: (of: object) => number = traceOnError('lookUp', () => {
      throw problem;
    });
    expect(thrown(() => lookUp(bad))).toBe(problem);
    expect(failures()).toHaveLength(1);
    expect(state()).toEqual({ arguments: { 0: { field: '[threw: the batch is empty]' } } });
  });

  it('is heard by handlers as a line of text', () => {
    const heard: HandlerEvent[] = [];
    attach({ name: 'ears', handle: event => heard.push(event) }, { scopes: ['data'] });
    const fails = (): never => {
      throw problem;
    };
    thrown(traceOnError('load', fails, { scope: 'data' }));
    thrown(traceOnError('elsewhere', fails));
    detach('ears');
    expect(heard).toMatchObject([
      { kind: 'log', level: 'error', message: 'load failed: the batch is empty', scope: 'data' },
    ]);
  });

  it('of nested functions leaves one event each', () => {
    const inner = traceOnError(function inner(a: number) {
      if (a > 0) throw problem;
    });
    const outer = traceOnError(function outer(b: number) {
      inner(b + 1);
    });
    expect(thrown(() => outer(1))).toBe(problem);
    expect([state(0).arguments, state(1).arguments]).toEqual([{ a: 2 }, { b: 1 }]);
  });
});

describe('a call that does not fail', () => {
  it('leaves nothing, and the function keeps name, length, `this` and result', async () => {
    const add = traceOnError(function add(this: { base: number }, a: number, b: number) {
      return this.base + a + b;
    });
    expect(add.call({ base: 1 }, 2, 3)).toBe(6);
    expect([add.name, add.length]).toEqual(['add', 2]);
    await expect(traceOnError(async () => 5)()).resolves.toBe(5);
    const numbers = traceOnError(function* numbers() {
      const sent: unknown = yield 1;
      return sent;
    })();
    expect([numbers.next(), numbers.next(7)]).toEqual([
      { value: 1, done: false },
      { value: 7, done: true },
    ]);
    let cleaned = false;
    const endless = traceOnError(function* endless() {
      try {
        for (;;) yield 1;
      } finally {
        cleaned = true;
      }
    });
    for (const _ of endless()) break;
    expect(cleaned).toBe(true);
    expect(failures()).toEqual([]);
  });

  it('does not touch a promise-like that is not a promise: some begin work when asked', () => {
    let asked = 0;
    const query = {
      // biome-ignore lint/suspicious/noThenProperty: what is tested
      then: () => {
        asked++;
      },
    };
    expect(traceOnError('query', () => query)()).toBe(query);
    expect(asked).toBe(0);
  });
});

describe('as a decorator', () => {
  class Trainer {
    epoch = 2;
    apiKey = 'hunter2';
    #secret = 'not seen';

    @traceOnError()
    step(batch: number): number {
      throw new Error(`bad batch ${batch} ${this.#secret.length}`);
    }
    @traceOnError('load', { scope: 'data' })
    static async load(path: string): Promise<never> {
      throw new Error(path);
    }
    @traceOnError()
    get size(): number {
      throw new Error('no size');
    }
  }

  it('watches methods, static ones and getters', async () => {
    const trainer = new Trainer();
    expect(() => trainer.step(4)).toThrow('bad batch 4');
    await expect(Trainer.load('x.bin')).rejects.toThrow('x.bin');
    expect(() => trainer.size).toThrow('no size');
    expect(failures().map(event => event.attributes['code.function.name'])).toEqual(['step', 'load', 'size']);
    expect(state()).toEqual({ arguments: { batch: 4 }, this: { epoch: 2, apiKey: '[redacted]' } });
    expect(failures()[1]!.scope.attributes).toMatchObject({ 'kymo.scope': 'data' });
  });

  it('of anything else is a TypeError', () => {
    expect(() => traceOnError()(class {} as never, { kind: 'class', name: 'X' } as never)).toThrow(
      /decorates methods, getters and setters, not a class/,
    );
  });
});

describe('a wrong call', () => {
  it.each([
    [[3], /traceOnError\(name\) must be a string/],
    [[''], /traceOnError\(name\)/],
    [['name', 5], /traceOnError\(name, fn\) must be a function, not number 5/],
    [['name', { scop: 'x' }], /no option "scop" \(did you mean scope\?\)/],
    [[() => 1, { scope: '' }], /\{scope\}/],
  ])('%p is a TypeError', (args, message) => {
    expect(() => (traceOnError as (...given: unknown[]) => unknown)(...(args as unknown[]))).toThrow(
      TypeError,
    );
    expect(() => (traceOnError as (...given: unknown[]) => unknown)(...(args as unknown[]))).toThrow(message);
  });
});

describe('secrets', () => {
  it('are redacted wherever their name stands: parameters, fields, maps of any depth', () => {
    const connect = (host: string, password: string, ...tokens: string[]) => [host, password, tokens];
    const options = {
      API_KEY: 'hunter2',
      nested: { list: [{ accessToken: 'hunter2', fine: 1 }], map: new Map([['client-secret', 'hunter2']]) },
      get secretGetter(): string {
        throw new Error('hunter2');
      },
    };
    const shown = plain(describeCall(connect, options, ['db', 'hunter2', 'hunter2', 'hunter2']));
    expect(JSON.stringify(shown)).not.toContain('hunter2');
    expect(shown).toEqual({
      arguments: { host: 'db', password: '[redacted]', 'tokens[0]': '[redacted]', 'tokens[1]': '[redacted]' },
      this: {
        API_KEY: '[redacted]',
        nested: { list: [{ accessToken: '[redacted]', fine: 1 }], map: { 'client-secret': '[redacted]' } },
        secretGetter: '[redacted]',
      },
    });
  });
});

describe('large and odd arguments', () => {
  const shown = (value: unknown): unknown => {
    const described = plain(describeCall((_value: unknown) => 0, undefined, [value])) as {
      arguments: { _value: unknown };
    };
    return described.arguments._value;
  };

  it.each([
    ['a long typed array', new Float32Array(1_000), 'float32[1000]'],
    ['a short one', Float32Array.of(1, 2), [1, 2]],
    ['a buffer', Buffer.alloc(100), 'uint8[100]'],
    ['bytes', new ArrayBuffer(64), 'bytes[64]'],
    [
      'a tensor',
      {
        dtype: 'float32',
        shape: [32, 64],
        dataSync: () => {
          throw new Error('waits for the device');
        },
      },
      'float32[32,64]',
    ],
    ['a date', new Date(0), '1970-01-01T00:00:00.000Z'],
    ['a function', Math.max, '[function max]'],
    ['undefined', undefined, '[undefined]'],
    ['a set', new Set([1, 2]), [1, 2]],
    [
      'a getter that throws',
      {
        get a(): number {
          throw new Error('no');
        },
        b: 1,
      },
      { a: '[threw: no]', b: 1 },
    ],
    ['an error', new TypeError('bad'), 'TypeError: bad'],
    ['a bigint', 2n ** 60n, 2n ** 60n],
    [
      'something revoked',
      (() => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      })(),
      expect.stringContaining('[unreadable'),
    ],
  ])('%s', (_what, value, expected) => {
    expect(shown(value)).toEqual(expected);
  });

  it('that contain themselves end', () => {
    const ring: Record<string, unknown> = { a: 1 };
    ring.self = ring;
    expect(shown(ring)).toEqual({ a: 1, self: '[circular]' });
  });

  it('are cut in depth, entries and text', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100; i++) deep = { deep };
    expect(JSON.stringify(shown(deep)).length).toBeLessThan(200);
    expect(shown(Array.from({ length: 1_000 }, (_, i) => i))).toHaveLength(51);
    expect((shown(Array.from({ length: 1_000 }, (_, i) => i)) as unknown[]).at(-1)).toBe('[950 more]');
    expect(shown('x'.repeat(5_000))).toBe(`${'x'.repeat(1_000)}… (4000 more characters)`);
  });

  it('stay within a size all together', () => {
    const wide = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [
        `f${i}`,
        Object.fromEntries(Array.from({ length: 40 }, (_, j) => [`g${j}`, 'y'.repeat(900)])),
      ]),
    );
    expect(JSON.stringify(describeCall(() => 0, wide, [wide, wide, wide])).length).toBeLessThan(
      MAX_STATE_SIZE * 1.5,
    );
  });
});

const ODD = {
  method(host: string, ...rest: string[]) {
    return [host, rest];
  },
  ['a(b)'](host: string) {
    return host;
  },
};

describe('parameter names', () => {
  it.each<[object, (string | undefined)[]]>([
    [(a: number, b: number) => a + b, ['a', 'b']],
    [
      function named(a: string, b = ',)(', c = { d: [1, 2] }) {
        return [a, b, c];
      },
      ['a', 'b', 'c'],
    ],
    [async (first: number) => first, ['first']],
    [
      function* generate(x: number) {
        yield x;
      },
      ['x'],
    ],
    [ODD.method, ['host', '...rest']],
    [ODD['a(b)'], ['host']],
    [({ a }: { a: number }, [b]: number[], c: number) => a + b! + c, [undefined, undefined, 'c']],
    [() => 1, []],
    [Math.max, []],
    [((a: number) => a).bind(null), []],
    [new Function('a /* , c */, b // x )\n', 'return a'), ['a', 'b']],
  ])('of %p', (fn, names) => {
    expect(parameterNames(fn)).toEqual(names);
  });
});
