// Configuration files: what is read, what is written, and what is said about broken ones.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import fc from 'fast-check';
import { z } from 'zod';
import { ConfigurationError, loadConfiguration, prettyConfig, saveConfiguration } from '../../src/index.ts';
import { jsonErrorOffset } from '../../src/research/json-position.ts';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-config-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const file = (name: string, text?: string): string => {
  const full = path.join(folder, name);
  if (text !== undefined) fs.writeFileSync(full, text);
  return full;
};
const load = (name: string, text: string): unknown => loadConfiguration(file(name, text));

describe('reading', () => {
  it('takes YAML 1.2: no is a text, an octal is 0o, a date is a text', () => {
    const text =
      'lr: 1e-3\nnorway: no\nmode: 0o17\nday: 2026-01-02\nempty:\nlayers: [64, 64]\nnested:\n  deep: {a: true}\n';
    expect(load('c.yaml', text)).toEqual({
      lr: 1e-3,
      norway: 'no',
      mode: 15,
      day: '2026-01-02',
      empty: null,
      layers: [64, 64],
      nested: { deep: { a: true } },
    });
  });

  it('takes JSON, a mark at its beginning, and a URL', () => {
    expect(load('c.json', '\ufeff{"lr": 0.1, "layers": [1, {"a": null}]}')).toEqual({
      lr: 0.1,
      layers: [1, { a: null }],
    });
    expect(loadConfiguration(pathToFileURL(file('c.YML', 'a: 1')))).toEqual({ a: 1 });
  });

  it.each(['c.yaml', 'c.json'])('of an empty %s is {}', name => {
    expect(load(name, '')).toEqual({});
    expect(load(name, ' \n')).toEqual({});
  });

  it('of nothing but comments is {}', () => {
    expect(load('c.yaml', '# nothing yet\n')).toEqual({});
    expect(load('c.yaml', '---\n')).toEqual({});
  });

  it.each(['c.yaml', 'c.json'])('keeps whole numbers of any size in %s', name => {
    expect(load(name, '{"seed": 12345678901234567890, "safe": 9007199254740991, "negative": -3}')).toEqual({
      seed: 12345678901234567890n,
      safe: 9007199254740991,
      negative: -3,
    });
  });

  it('knows .nan, .inf, anchors and merges', () => {
    expect(load('c.yaml', 'base: &b {lr: .nan, k: -.inf}\nuse:\n  <<: *b\n  k: 1\n')).toEqual({
      base: { lr: Number.NaN, k: Number.NEGATIVE_INFINITY },
      use: { lr: Number.NaN, k: 1 },
    });
  });

  it('shows everything when printed', () => {
    const config = load('c.yaml', 'a: {b: {c: {d: {e: [1, {f: 2}]}}}}');
    expect(inspect(config)).toContain('f: 2');
    expect(inspect(config)).not.toContain('[Object]');
    expect(JSON.parse(JSON.stringify(config))).toEqual(config);
    expect(Object.keys(config as object)).toEqual(['a']);
  });
});

describe('a broken file', () => {
  const problem = (name: string, text: string): ConfigurationError => {
    try {
      load(name, text);
    } catch (error) {
      return error as ConfigurationError;
    }
    throw new Error('it was taken');
  };

  it.each([
    ['c.yaml', 'a: 1\nb: [1, 2\nc: 3\n', 3, 1],
    ['c.yaml', 'a: 1\n  b: 2\n', 1, 4],
    ['c.yaml', 'a: 1\nb: 2\na: 3\n', 3, 1],
    ['c.yaml', '- 1\n- 2\n', 1, 1],
    ['c.yaml', 'a: 1\nb: !!python/object:os.system ls\n', 2, 4],
    ['c.yaml', 'just a text', 1, 1],
    ['c.yaml', 'a: 1\n---\nb: 2\n', 2, 1],
    ['c.yaml', 'ok: 1\nm:\n  __proto__: {admin: true}\n', 3, 3],
    ['c.json', '{\n  "a": x\n}', 2, 8],
    ['c.json', '{"a": 1,}', 1, 9],
    ['c.json', '{"a": 1', 1, 8],
    ['c.json', '[1]', 1, 1],
    ['c.json', '{\n"m": {"__proto__": {"admin": true}}}', 2, 7],
  ])('%s %j is refused with its line and column', (name, text, line, column) => {
    const error = problem(name, text);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain(`${path.join(folder, name)}:${line}:${column}: `);
    expect(error.issues).toMatchObject([{ line, column }]);
  });

  it('that is not there says where it was looked for', () => {
    const missing = file('missing.yaml');
    expect(() => loadConfiguration(missing)).toThrow(ConfigurationError);
    expect(() => loadConfiguration(missing)).toThrow(
      `${missing}: there is no such file (looked in ${folder})`,
    );
    try {
      loadConfiguration(missing);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOENT', file: missing });
    }
    expect(() => loadConfiguration(file('folder.yaml', undefined))).toThrow(ConfigurationError);
  });

  it('that is a bomb of anchors does not go off', () => {
    let text = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n';
    for (let i = 1; i < 12; i++)
      text += `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]\n`;
    expect(() => load('c.yaml', text)).toThrow(ConfigurationError);
  });

  it('does not change what objects are', () => {
    expect(() => load('c.json', '{"__proto__": {"polluted": 1}}')).toThrow(/no name for a setting/);
    expect(() => load('c.yaml', '? __proto__\n: {polluted: 1}')).toThrow(/no name for a setting/);
    expect(() => load('c.yaml', 'a: &p {__proto__: {polluted: 1}}\nb: {<<: *p}')).toThrow(
      /no name for a setting/,
    );
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('a schema', () => {
  const schema = z.object({
    lr: z.number().positive(),
    model: z.object({ layers: z.array(z.number().int()) }),
    name: z.string().default('run'),
  });

  it('gives what it makes of the file, typed', () => {
    const config = loadConfiguration(file('c.yaml', 'lr: 0.1\nmodel: {layers: [64]}\nextra: 1\n'), {
      schema,
    });
    const lr: number = config.lr;
    expect(lr).toBe(0.1);
    expect(config).toEqual({ lr: 0.1, model: { layers: [64] }, name: 'run' });
    expect(inspect(config)).toContain('- 64');
  });

  it('that is not kept names each place in the file', () => {
    const text = 'lr: -1\nmodel:\n  layers:\n    - 64\n    - wide\n';
    const bad = file('c.yaml', text);
    expect(() => loadConfiguration(bad, { schema })).toThrow(ConfigurationError);
    try {
      loadConfiguration(bad, { schema });
    } catch (error) {
      expect((error as ConfigurationError).issues).toMatchObject([
        { path: 'lr', line: 1, column: 5 },
        { path: 'model.layers[1]', line: 5, column: 7 },
      ]);
      expect((error as Error).message).toContain(`${bad}:5:7: model.layers[1]: `);
    }
  });

  it('that is not kept in JSON, or by a setting that is missing, names the setting', () => {
    expect(() => loadConfiguration(file('c.json', '{"lr": 1}'), { schema })).toThrow(/c\.json: model: /);
  });

  it('of any maker is taken, as long as it need not be awaited', () => {
    const own: StandardSchemaV1<unknown, { doubled: number }> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: value => ({ value: { doubled: 2 * (value as { n: number }).n } }),
      },
    };
    expect(loadConfiguration(file('c.yaml', 'n: 4'), { schema: own })).toEqual({ doubled: 8 });
    const slow: StandardSchemaV1 = {
      '~standard': { version: 1, vendor: 'test', validate: () => Promise.reject(new Error('later')) },
    };
    expect(() => loadConfiguration(file('c.yaml', 'n: 4'), { schema: slow })).toThrow(
      /validates asynchronously/,
    );
  });

  it.each([{}, null, 'schema', { '~standard': {} }])('that is none (%p) is a TypeError', bad => {
    expect(() => loadConfiguration(file('c.yaml', 'n: 4'), { schema: bad as never })).toThrow(TypeError);
  });
});

describe('writing', () => {
  const CONFIG = {
    lr: 1e-3,
    layers: [64, 64],
    nested: { text: 'no: yes # "quoted"\n', none: null, flag: false },
    seed: 2n ** 64n,
  };

  it.each(['c.yaml', 'c.yml', 'c.json'])('and reading %s again gives the same', name => {
    const target = file(`new/folder/${name}`);
    saveConfiguration(CONFIG, target);
    expect(loadConfiguration(target)).toEqual(CONFIG);
    expect(fs.readdirSync(path.dirname(target))).toEqual([name]);
  });

  it('keeps any settings that JSON can say, in both formats', () => {
    const settings = fc.dictionary(
      fc.string().filter(key => key !== '__proto__'),
      fc
        .jsonValue({ noUnicodeString: false } as never)
        .filter(value => !JSON.stringify(value).includes('__proto__')),
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(settings, fc.constantFrom('p.yaml', 'p.json'), (config, name) => {
        const expected: unknown = JSON.parse(JSON.stringify(config));
        saveConfiguration(config, file(name));
        expect(loadConfiguration(file(name))).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('knows dates, typed arrays, maps, sets, URLs and configurations of a run', () => {
    const odd = {
      day: new Date(0),
      weights: Float32Array.of(0.5, 2),
      bytes: Uint8Array.of(1, 2),
      map: new Map([['a', 1]]),
      set: new Set(['x']),
      url: new URL('https://example.invalid/a'),
      undefined: undefined,
      twice: [CONFIG.layers, CONFIG.layers],
    };
    saveConfiguration(odd, file('c.yaml'));
    expect(loadConfiguration(file('c.yaml'))).toEqual({
      day: '1970-01-01T00:00:00.000Z',
      weights: [0.5, 2],
      bytes: [1, 2],
      map: { a: 1 },
      set: ['x'],
      url: 'https://example.invalid/a',
      twice: [
        [64, 64],
        [64, 64],
      ],
    });
  });

  it('says NaN in YAML, and that JSON cannot', () => {
    saveConfiguration({ a: Number.NaN, b: -Infinity }, file('c.yaml'));
    expect(loadConfiguration(file('c.yaml'))).toEqual({ a: Number.NaN, b: -Infinity });
    expect(() => saveConfiguration({ a: Number.NaN }, file('c.json'))).toThrow(
      /a is NaN, which JSON has no number for; save it as \.yaml/,
    );
  });

  const ring: Record<string, unknown> = { a: 1 };
  ring.inner = { ring };
  it.each([
    [
      'a function',
      { model: { loss: () => 1 } },
      /model\.loss is a function "loss", which a file cannot hold/,
    ],
    ['a symbol', { a: [Symbol('x')] }, /a\[0\] is a symbol/],
    ['a ring', ring, /inner\.ring contains itself/],
    ['a promise', { p: Promise.resolve(1) }, /p is a promise: await it first/],
    ['__proto__', JSON.parse('{"m": {"__proto__": 1}}'), /m\.__proto__ is no name/],
    ['an invalid date', { d: new Date('x') }, /d is an invalid date/],
  ])('refuses %s by its place, and leaves the old file', (_what, config, message) => {
    const target = file('c.yaml', 'old: 1\n');
    expect(() => saveConfiguration(config as object, target)).toThrow(TypeError);
    expect(() => saveConfiguration(config as object, target)).toThrow(message);
    expect(fs.readFileSync(target, 'utf8')).toBe('old: 1\n');
    expect(fs.readdirSync(folder)).toEqual(['c.yaml']);
  });

  it('that fails leaves the old file and no rest', () => {
    fs.mkdirSync(file('c.yaml'));
    expect(() => saveConfiguration({ a: 1 }, file('c.yaml'))).toThrow();
    expect(fs.readdirSync(folder)).toEqual(['c.yaml']);
  });

  it('through a link keeps the link', () => {
    const target = file('real.yaml', 'old: 1\n');
    fs.symlinkSync(target, file('link.yaml'));
    saveConfiguration({ a: 2 }, file('link.yaml'));
    expect(fs.lstatSync(file('link.yaml')).isSymbolicLink()).toBe(true);
    expect(loadConfiguration(target)).toEqual({ a: 2 });
  });
});

describe('a wrong call', () => {
  it.each([
    [
      () => loadConfiguration(3 as never),
      /loadConfiguration\(path\) must be the path of a file, not number 3/,
    ],
    [() => loadConfiguration(''), /path/],
    [() => loadConfiguration('config.toml'), /ends in \.yaml, \.yml or \.json, not string "config\.toml"/],
    [() => loadConfiguration('c.yaml', { shema: 1 } as never), /no option "shema" \(did you mean schema\?\)/],
    [() => saveConfiguration([] as never, 'c.yaml'), /saveConfiguration\(configuration\) must be an object/],
    [() => saveConfiguration({}, 5 as never), /path of a file, not number 5/],
    [() => saveConfiguration({}, 'c.txt'), /ends in/],
    [() => prettyConfig(null as never), /prettyConfig\(configuration\) must be an object/],
  ])('is a TypeError (%#)', (call, message) => {
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
  });
});

it('prettyConfig prints YAML', () => {
  expect(prettyConfig({ lr: 0.1, model: { layers: [64, 64] } })).toBe(
    'lr: 0.1\nmodel:\n  layers:\n    - 64\n    - 64',
  );
});

it('the place of a JSON error is found exactly when there is one', () => {
  fc.assert(
    fc.property(
      fc.jsonValue(),
      fc.nat(),
      fc.constantFrom('', '}', ',', '"', '\\', '1', 'x', ':', '['),
      (value, at, change) => {
        const json = JSON.stringify(value);
        const cut = at % (json.length + 1);
        const text = json.slice(0, cut) + change + json.slice(cut + 1);
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        expect(jsonErrorOffset(text) === undefined).toBe(valid);
      },
    ),
    { numRuns: 500 },
  );
});
