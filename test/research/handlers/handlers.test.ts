// In-process handlers: who hears what by scope, once, and what a handler does wrong stays with it. Ports goggles' handler tests.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  attach,
  detach,
  getLogger,
  type Handler,
  type HandlerEvent,
  init,
  type Run,
  registerHandler,
} from '../../../src/index.ts';
import { hub } from '../../../src/research/handlers/hub.ts';
import { type KeepingRecorder, testRuntime } from '../recording.ts';

let recorder: KeepingRecorder;
let run: Run;
let remove: () => void;

beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  run = init({ id: 'r', project: 'p', strict: false });
});
afterEach(() => {
  run[Symbol.dispose]();
  for (const { name } of hub.attached) detach(name);
  remove();
});

/** A handler that keeps what it hears. */
class Keeper implements Handler {
  readonly name: string;
  readonly events: HandlerEvent[] = [];
  readonly life: string[] = [];
  constructor(name = 'keeper') {
    this.name = name;
  }
  open(): void {
    this.life.push('open');
  }
  handle(event: HandlerEvent): void {
    this.events.push(event);
  }
  close(): void {
    this.life.push('close');
  }
  get messages(): string[] {
    return this.events.flatMap(event => (event.kind === 'log' ? event.message : []));
  }
}

function say(scope: string, message = scope): void {
  getLogger('t', { scope }).info(message);
}

describe('scopes', () => {
  it('a handler hears its scope and what is below it, and nothing else', () => {
    const keeper = new Keeper();
    attach(keeper, { scopes: ['episode_3'] });
    for (const scope of [
      'episode_3',
      'episode_3.env',
      'episode_3.env.reset',
      'episode_30',
      'episode',
      'global',
    ])
      say(scope);
    expect(keeper.messages).toEqual(['episode_3', 'episode_3.env', 'episode_3.env.reset']);
  });

  it('global is a scope like any other, and where a handler listens that names none', () => {
    const keeper = new Keeper();
    attach(keeper);
    say('eval');
    say('global');
    getLogger('t').info('no scope');
    expect(keeper.messages).toEqual(['global', 'no scope']);
  });

  it('a handler may name its own scopes, and * is every scope', () => {
    const own = Object.assign(new Keeper('own'), { scopes: ['eval'] });
    const every = new Keeper('every');
    attach(own);
    attach(every, { scopes: ['*'] });
    say('eval');
    say('train');
    expect([own.messages, every.messages]).toEqual([['eval'], ['eval', 'train']]);
  });

  it('is called once where several of its scopes match', () => {
    const keeper = new Keeper();
    attach(keeper, { scopes: ['a', 'a.b', '*'] });
    say('a.b');
    expect(keeper.messages).toEqual(['a.b']);
  });

  it('what an emitted scope that nobody hears says goes to the recorder only', () => {
    attach(new Keeper(), { scopes: ['a'] });
    say('unknown');
    expect(recorder.logs().map(line => line.body)).toContain('unknown');
  });
});

describe('attach and detach', () => {
  it('a second handler of a name adds its scopes to the first, which alone is open', () => {
    const first = new Keeper();
    const second = new Keeper();
    attach(first, { scopes: ['a'] });
    attach(second, { scopes: ['b'] });
    say('a');
    say('b');
    expect([first.messages, first.life]).toEqual([['a', 'b'], ['open']]);
    expect([second.messages, second.life]).toEqual([[], []]);
  });

  it('closes a handler when its last scope is gone, and opens it again when it comes back', () => {
    const keeper = new Keeper();
    attach(keeper, { scopes: ['a', 'b'] });
    detach('keeper', 'a');
    say('a');
    say('b');
    expect([keeper.messages, keeper.life]).toEqual([['b'], ['open']]);
    detach('keeper', 'b');
    expect(keeper.life).toEqual(['open', 'close']);
    expect(hub.listening).toBe(false);
    attach(keeper, { scopes: ['b'] });
    say('b', 'again');
    expect(keeper.messages).toEqual(['b', 'again']);
    expect(keeper.life).toEqual(['open', 'close', 'open']);
  });

  it('a logger that has been used before hears of it', () => {
    const log = getLogger('t', { scope: 'a' });
    const row = () => log.log({ loss: 1 });
    log.info('before');
    row();
    const keeper = new Keeper();
    attach(keeper, { scopes: ['a'] });
    log.info('after');
    row();
    detach('keeper');
    log.info('too late');
    expect(keeper.events.map(event => event.kind)).toEqual(['log', 'row']);
  });

  it('an unknown name or scope is an error that says what there is', () => {
    expect(() => detach('keeper')).toThrow('kymo: detach: no handler "keeper" is attached (there is none)');
    attach(new Keeper(), { scopes: ['eval'] });
    expect(() => detach('keper')).toThrow('(did you mean "keeper"?)');
    expect(() => detach('keeper', 'train')).toThrow('"keeper" is not attached to "train" (there is "eval")');
  });

  it.each<[string, unknown, unknown, string]>([
    ['no object', 7, {}, 'attach(handler) must be a handler such as'],
    ['no name', { handle() {} }, {}, 'attach(handler): name must be a string'],
    ['no handle', { name: 'x' }, {}, 'attach(handler): handle must be a function of an event, not undefined'],
    [
      'an open that is none',
      { name: 'x', handle() {}, open: 1 },
      {},
      'attach(handler): open must be a function',
    ],
    ['no scopes', new Keeper(), { scopes: [] }, 'attach({scopes}) must be a list of scopes, not array of 0'],
    ['a scope that is none', new Keeper(), { scopes: [''] }, 'attach({scopes}) must be a list of strings'],
    ['a slip', new Keeper(), { scope: ['a'] }, 'attach has no option "scope" (did you mean scopes?)'],
    ['options for an instance', new Keeper(), { options: {} }, 'are for a handler attached by name'],
    ['an unknown name', 'consol', {}, 'no handler "consol" is registered'],
  ])('%s is a TypeError at once', (_, handler, options, message) => {
    expect(() => attach(handler as Handler, options as object)).toThrow(message);
    expect(hub.attached).toEqual([]);
  });

  it('can be done by a handler while it handles', () => {
    const late = new Keeper('late');
    attach({
      name: 'once',
      handle: () => {
        detach('once');
        attach(late);
      },
    });
    getLogger('t').info('first');
    getLogger('t').info('second');
    expect(late.messages).toEqual(['second']);
  });
});

describe('events', () => {
  it('of a line: severity, level, fields, step, place and time', () => {
    const keeper = new Keeper();
    attach(keeper, { scopes: ['env'] });
    const log = getLogger('trainer', { scope: 'env', seed: 3 });
    log.log({ loss: 1 }, { step: 6 });
    log.warn('low\n', { reward: -1, step: 4 });
    log.error(new RangeError('bad'));
    const [, line, failure] = keeper.events;
    expect(line).toMatchObject({
      kind: 'log',
      run: { id: 'r', name: 'r', project: 'p' },
      scope: 'env',
      logger: 'trainer',
      severity: 13,
      level: 'warn',
      message: 'low\n',
      step: 4,
      fields: { seed: 3, reward: -1 },
      file: import.meta.filename,
    });
    expect((line as { line: number }).line).toBeGreaterThan(100);
    expect(line!.time).toBeGreaterThan(1.6e12);
    expect(failure).toMatchObject({ level: 'error', fields: { 'exception.type': 'RangeError' } });
  });

  it('of rows: all values of one call, named as sinks name them', () => {
    const keeper = new Keeper();
    attach(keeper);
    run.log({ loss: 0.5, 'eval/acc': 1, big: 2n ** 60n, ['__proto__']: 3, bad: 'x' as never }, { step: 7 });
    run.log({ loss: 2 }, { mode: 'eval' });
    run.scalar('lr', 0.1);
    run.log({ a: 1 }, { commit: false });
    run.log({ b: 2 });
    const rows = keeper.events.filter(event => event.kind === 'row');
    expect(rows.map(row => [row.step, { ...row.values }])).toEqual([
      [7, { loss: 0.5, 'eval/acc': 1, big: 2n ** 60n, ['__proto__']: 3 }],
      [8, { 'eval/loss': 2 }],
      [undefined, { lr: 0.1 }],
      [9, { a: 1, b: 2 }],
    ]);
    run.log({ a: 1 }, { axes: { epoch: 3 }, time: 1_234 });
    expect(keeper.events.at(-1)).toMatchObject({ axes: { epoch: 3 }, time: 1_234 });
  });

  it('of histograms, of the config, and of a run’s start and end', () => {
    const keeper = new Keeper();
    attach(keeper);
    run.histogram('w', [0, 1, 2, 3], { bins: [1, 2], step: 4 });
    const second = init({ id: 'r2', project: 'p', config: { lr: 0.1 } });
    void second.finish({ state: 'failed' });
    expect(keeper.events).toMatchObject([
      { kind: 'histogram', name: 'w', step: 4, bounds: [1, 2], count: 4, min: 0, max: 3 },
      { kind: 'run', run: { id: 'r2' }, scope: 'global', state: 'running' },
      { kind: 'config', run: { id: 'r2' }, values: { lr: 0.1 } },
      { kind: 'run', run: { id: 'r2' }, state: 'failed' },
    ]);
  });

  it('are each handler’s own: changing one changes nothing for others', () => {
    const keeper = new Keeper('second');
    attach({
      name: 'first',
      handle: event => {
        if (event.kind === 'log') Object.assign(event, { message: 'changed' });
        if (event.kind === 'row') (event.values as Record<string, number>).loss = -1;
      },
    });
    attach(keeper);
    getLogger('t').info('as said');
    run.log({ loss: 1 });
    expect(keeper.messages).toEqual(['as said']);
    expect(keeper.events[1]).toMatchObject({ values: { loss: 1 } });
    expect(recorder.rows[0]!.values).toEqual({ loss: 1 });
  });

  it('are not made for text below the level, after finish, or in a disabled run', async () => {
    const keeper = new Keeper();
    attach(keeper);
    getLogger('t', { level: 'warn' }).info('below');
    await run.finish();
    const before = keeper.events.length;
    run.log({ loss: 1 });
    getLogger('t', { run }).info('after');
    const off = init({ mode: 'disabled' });
    off.log({ loss: 1 });
    getLogger('t').info('disabled');
    off[Symbol.dispose]();
    expect(keeper.events).toHaveLength(before);
    expect(keeper.messages).toEqual([]);
  });
});

describe('a handler that fails', () => {
  it('goes on hearing, and never reaches the caller nor other handlers', () => {
    const keeper = new Keeper('second');
    let calls = 0;
    attach({
      name: 'broken',
      handle: () => {
        calls++;
        throw new Error(`no ${calls}`);
      },
    });
    attach(keeper);
    for (let i = 0; i < 5; i++) run.log({ loss: i });
    expect([calls, keeper.events.length, recorder.rows.length]).toEqual([5, 5, 5]);
  });

  it('to open is not attached; to close is gone all the same', () => {
    const fail = () => {
      throw new Error('cannot');
    };
    attach({ name: 'closed', open: fail, handle: () => undefined });
    expect(hub.attached).toEqual([]);
    attach({ name: 'open', close: fail, handle: () => undefined });
    detach('open');
    expect(hub.attached).toEqual([]);
  });

  it('by logging hears nothing of what it says itself', () => {
    const keeper = new Keeper('other');
    let heard = 0;
    attach({
      name: 'talker',
      handle: () => {
        heard++;
        getLogger('talker').info(`heard ${heard}`);
        run.log({ heard });
      },
    });
    attach(keeper);
    getLogger('t').info('go');
    expect(heard).toBe(1);
    expect(keeper.messages).toEqual(['heard 1', 'go']);
  });
});

describe('finish', () => {
  it('waits for what handlers have begun', async () => {
    let done = false;
    attach({
      name: 'slow',
      handle: event =>
        event.kind === 'run'
          ? new Promise<void>(resolve =>
              setTimeout(() => {
                done = true;
                resolve();
              }, 50),
            )
          : undefined,
    });
    await run.finish();
    expect(done).toBe(true);
  });
});

describe('registerHandler', () => {
  it('makes handlers by name with options, once, and passes them on in the environment', () => {
    const made: unknown[] = [];
    registerHandler(
      'counter',
      options => {
        made.push(options);
        return new Keeper('my counter');
      },
      { module: 'file:///somewhere/counter.js' },
    );
    attach('counter', { scopes: ['eval'], options: { above: 3 } });
    attach('counter', { scopes: ['train'] });
    expect(made).toEqual([{ above: 3 }]);
    expect(JSON.parse(process.env.KYMO_HANDLERS!)).toEqual([
      {
        name: 'counter',
        module: 'file:///somewhere/counter.js',
        options: { above: 3 },
        scopes: ['eval', 'train'],
      },
    ]);
    detach('counter');
    expect(process.env.KYMO_HANDLERS).toBeUndefined();
  });

  it.each<[string, unknown[], string]>([
    ['no name', ['', () => new Keeper()], 'registerHandler(name) must be a string'],
    ['no factory', ['x', {}], 'registerHandler(name, factory) must be a function that makes a handler'],
    [
      'a module that is no file',
      ['x', () => new Keeper(), { module: 'https://x' }],
      'the import.meta.url of a file',
    ],
  ])('%s is a TypeError', (_, args, message) => {
    expect(() => (registerHandler as (...args: unknown[]) => void)(...args)).toThrow(message);
  });

  it('says what is wrong with a factory or its options', () => {
    registerHandler('empty', () => ({}) as Handler);
    expect(() => attach('empty')).toThrow('the factory of "empty": name must be');
    registerHandler('fine', () => new Keeper('fine'));
    expect(() => attach('fine', { options: () => 1 })).toThrow('attach({options}) must be JSON');
  });
});
