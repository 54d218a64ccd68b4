// The console handlers' lines: goggles' and vibe-rl's formats, metrics every so many steps, and how far a training is.
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  attach,
  ConsoleHandler,
  type ConsoleOptions,
  configure,
  detach,
  getLogger,
  init,
  type LogEvent,
  logStepProgress,
  MetricsConsole,
  type MetricsConsoleOptions,
  type Run,
  setupLogging,
} from '../../../src/index.ts';
import { hub } from '../../../src/research/handlers/hub.ts';
import { wantsColors } from '../../../src/research/handlers/terminal.ts';
import { type KeepingRecorder, testRuntime } from '../recording.ts';

let recorder: KeepingRecorder;
let run: Run;
let remove: () => void;
let lines: string[];

beforeEach(() => {
  const test = testRuntime();
  ({ recorder, remove } = test);
  run = init({ id: 'r', project: 'p', strict: false });
  lines = [];
});
afterEach(() => {
  run[Symbol.dispose]();
  for (const { name } of hub.attached) detach(name);
  remove();
});

const write = (line: string): void => {
  lines.push(line);
};
const EVENT: LogEvent = {
  kind: 'log',
  run: { id: 'r', name: 'r', project: 'p' },
  scope: 'global',
  logger: 'trainer',
  time: new Date(2026, 1, 15, 14, 30, 22, 123).getTime(),
  severity: 9,
  level: 'info',
  message: 'hello',
  step: 3,
  fields: {},
  file: '/work/project/src/train.ts',
  line: 12,
};
function printed(options: ConsoleOptions, event: Partial<LogEvent> = {}): string {
  const said: string[] = [];
  new ConsoleHandler({
    colors: false,
    projectRoot: '/work/project',
    write: line => void said.push(line),
    ...options,
  }).handle({ ...EVENT, ...event });
  return said.join('\n');
}

describe('goggles’ format', () => {
  it.each<[string, ConsoleOptions, Partial<LogEvent>, string]>([
    ['a line', {}, {}, '2026-02-15 14:30:22 - INFO - src/train.ts:12 - hello'],
    [
      'a warning',
      {},
      { level: 'warn', severity: 13 },
      '2026-02-15 14:30:22 - WARNING - src/train.ts:12 - hello',
    ],
    [
      'an absolute path',
      { pathStyle: 'absolute' },
      {},
      '2026-02-15 14:30:22 - INFO - /work/project/src/train.ts:12 - hello',
    ],
    [
      'a file outside the root',
      {},
      { file: '/other/a.ts' },
      '2026-02-15 14:30:22 - INFO - /other/a.ts:12 - hello',
    ],
    [
      'no place',
      {},
      { file: undefined, line: undefined },
      '2026-02-15 14:30:22 - INFO - <unknown>:0 - hello',
    ],
    [
      'controls',
      {},
      { message: 'a\u001b[2Jb\r\nc\u202e' },
      '2026-02-15 14:30:22 - INFO - src/train.ts:12 - a\\u{1b}[2Jb\\r\\nc\\u{202e}',
    ],
    ['below its level', { level: 'warn' }, {}, ''],
  ])('%s', (_, options, event, line) => {
    const native = line.replaceAll('src/train.ts', path.join('src', 'train.ts'));
    expect(printed(options, event)).toBe(path.sep === '/' ? line : native);
  });

  it.each([
    ['debug', 36],
    ['info', 34],
    ['warn', 33],
    ['error', 31],
    ['critical', 91],
  ] as const)('%s is in colour %i', (level, code) => {
    expect(printed({ colors: true }, { level })).toContain(`\u001b[${code}msrc/train.ts:12 - hello\u001b[0m`);
  });
});

describe('the compact format', () => {
  it('is vibe-rl’s', () => {
    const compact = (level: LogEvent['level']) => printed({ format: 'compact' }, { level });
    expect(compact('info')).toBe('I 2026-02-15 14:30:22.123 [trainer] hello');
    expect((['debug', 'warn', 'error', 'critical'] as const).map(level => compact(level)[0])).toEqual([
      ...'DWEC',
    ]);
  });

  it('escapes the logger’s name too', () => {
    expect(printed({ format: 'compact' }, { logger: 'a\u001b]0;x\u0007' })).toContain('[a\\u{1b}]0;x\\u{7}]');
  });
});

describe('colours', () => {
  it.each<[NodeJS.ProcessEnv, boolean, boolean]>([
    [{}, true, true],
    [{}, false, false],
    [{ TERM: 'dumb' }, true, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false, true],
  ])('%j on a terminal (%s): %s', (env, terminal, wanted) => {
    expect(wantsColors(env, terminal)).toBe(wanted);
  });
});

describe('configure and setupLogging', () => {
  it('do nothing by default, replace what there is, and take it away', () => {
    configure();
    expect(hub.attached).toEqual([]);
    configure({ console: true });
    setupLogging();
    setupLogging({ level: 'debug' });
    expect(hub.attached).toHaveLength(1);
    expect([...hub.attached[0]!.scopes]).toEqual(['*']);
    configure({ console: true, scopes: ['eval'] });
    expect(hub.attached.map(({ scopes }) => [...scopes])).toEqual([['eval']]);
    configure({ console: false });
    expect(hub.attached).toEqual([]);
  });

  it.each<[string, () => void, string]>([
    ['console', () => configure({ console: 'yes' as never }), 'configure({console}) must be true or false'],
    ['level', () => setupLogging({ level: 'warning' as never }), 'setupLogging({level}) '],
    [
      'format',
      () => setupLogging({ format: 'json' as never }),
      'must be one of goggles, compact, not string "json"',
    ],
    ['pathStyle', () => configure({ pathStyle: 'short' as never }), 'must be one of relative, absolute'],
    ['scopes', () => configure({ console: true, scopes: [] }), 'must be a list of scopes'],
    ['a slip', () => configure({ consoel: true } as never), 'did you mean console?'],
  ])('refuse a wrong %s and leave things as they are', (_, call, message) => {
    setupLogging();
    const before = hub.attached;
    expect(call).toThrow(message);
    expect(hub.attached).toBe(before);
  });
});

describe('metrics on the console', () => {
  function listen(options: MetricsConsoleOptions = {}): void {
    attach(new MetricsConsole({ write, ...options }), { scopes: ['*'] });
  }

  it('has all tags of a step in one line, each n-th step, and step 0', () => {
    listen({ prefix: 'PufferLib', every: 10 });
    for (let step = 0; step <= 20; step++) {
      run.log({ 'losses/policy': step / 3, 'losses/value': 1, lr: 0.001 }, { step });
      run.scalar('train/reward', step, { step });
    }
    detach('kymo.metrics-console');
    expect(lines).toEqual([
      '[PufferLib] Step 0: losses { policy=0.0000, value=1.0000 }, lr = 0.0010, train { reward=0.0000 }',
      '[PufferLib] Step 10: losses { policy=3.3333, value=1.0000 }, lr = 0.0010, train { reward=10.0000 }',
      '[PufferLib] Step 20: losses { policy=6.6667, value=1.0000 }, lr = 0.0010, train { reward=20.0000 }',
    ]);
  });

  it('keeps scopes and runs apart, and shows what is left when the run ends', () => {
    listen();
    const eval_ = getLogger('e', { scope: 'eval' });
    run.log({ loss: 1 }, { step: 4 });
    eval_.log({ loss: 2 }, { step: 4 });
    run.log({ again: 3n }, { step: 4 });
    run.scalar('stepless', Number.NaN);
    expect(lines).toEqual([]);
    void run.finish();
    expect(lines).toEqual([
      '[p] Step 4: loss = 1.0000, again = 3, stepless = NaN',
      '[p] Step 4 (eval): loss = 2.0000',
    ]);
  });

  it('lists hyperparameters, and leaves out histograms', () => {
    listen();
    const second = init({ id: 'r2', project: 'q', config: { lr: 0.1, name: 'a\u001b' } });
    second.histogram('w', [1, 2], { step: 0 });
    void second.finish();
    expect(lines).toEqual(['[q] Hyperparameters: lr=0.1, name=a\\u{1b}']);
  });

  it('refuses a step count that is none', () => {
    expect(() => new MetricsConsole({ every: 0 })).toThrow('MetricsConsole({every}) must be a whole number');
  });
});

describe('logStepProgress', () => {
  const said = () =>
    recorder
      .logs()
      .filter(line => line.eventName === '')
      .map(line => line.body);

  it.each<[number, number, Record<string, unknown>, string]>([
    [5_000, 100_000, { loss: 0.42, reward: 195 }, 'step 5000/100000 (5.0%) | loss=0.42 reward=195'],
    [1, 3, {}, 'step 1/3 (33.3%)'],
    [7, 0, { step: 7, wall_time: 1, a: 1 }, 'step 7/0 (0.0%) | a=1'],
    [
      1,
      1,
      { a: 1 / 3, b: 1e-5 / 3, c: 123456.7, d: Number.NaN, e: 0.1 },
      'step 1/1 (100.0%) | a=0.3333 b=3.333e-06 c=1.235e+05 d=nan e=0.1',
    ],
    [1, 1, { a: 9999.9, b: -0.000123456, c: 1e21 }, 'step 1/1 (100.0%) | a=1e+04 b=-0.0001235 c=1e+21'],
  ])('%i of %i', (step, total, metrics, line) => {
    logStepProgress(step, total, metrics);
    expect(said()).toEqual([line]);
  });

  it('stands where it was called, and says it by the logger that it was given', () => {
    logStepProgress(1, 2, {}, { logger: getLogger('mine') });
    const [line] = recorder.logs().filter(record => record.eventName === '');
    expect(line!.scope.name).toBe('mine');
    expect(line!.attributes['code.file.path']).toBe(import.meta.filename);
    expect(() => logStepProgress('1' as never, 2)).toThrow('logStepProgress(step) must be a number');
  });
});
