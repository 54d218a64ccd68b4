// The values that settings share: durations, endpoints, URLs, secrets, blocks that are on or off.
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import {
  block,
  duration,
  formatEndpoint,
  httpUrl,
  MAX_DURATION_MS,
  optionalBlock,
  parseDurationMs,
  parseEndpoint,
  Secret,
  secretHeaders,
} from '../../../src/collector/config/values.ts';

describe('a duration', () => {
  it.each([
    ['0', 0],
    ['200ms', 200],
    ['5s', 5_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1us', 0.001],
    ['1µs', 0.001],
    ['24h', 86_400_000],
  ])('%s is %d ms', (text, milliseconds) => {
    expect(parseDurationMs(text)).toBeCloseTo(milliseconds, 9);
  });

  it.each(['', '5', '5 s', '-5s', '1h1', 's', '5sec', '1e3s', '9999999h', '1s'.repeat(100)])(
    '%j is none',
    text => {
      expect(parseDurationMs(text)).toBeUndefined();
    },
  );

  it('never throws, and is within what a timer holds', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{1,12}(ns|us|ms|s|m|h)$/)), text => {
        const milliseconds = parseDurationMs(text);
        if (milliseconds === undefined) return;
        expect(milliseconds).toBeGreaterThanOrEqual(0);
        expect(milliseconds).toBeLessThanOrEqual(MAX_DURATION_MS);
      }),
    );
  });

  it('in a schema says how to write one', () => {
    const parsed = duration().safeParse('5');
    expect(parsed.error?.issues[0]?.message).toMatch(/500ms, 5s or 1m30s/);
  });
});

describe('an endpoint', () => {
  it.each([
    ['localhost:4318', { host: 'localhost', port: 4318 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    [':4317', { host: '', port: 4317 }],
    ['0.0.0.0:65535', { host: '0.0.0.0', port: 65_535 }],
  ])('%s is taken apart, and put together again', (text, endpoint) => {
    expect(parseEndpoint(text)).toEqual(endpoint);
    expect(formatEndpoint(endpoint)).toBe(text);
  });

  it.each(['localhost', 'a:b', '::1:80', 'host:70000', 'http://host:80', 'ho st:1', 'host:', 'host:-1'])(
    '%s is none',
    text => {
      expect(parseEndpoint(text)).toBeUndefined();
    },
  );
});

it('a URL must be http(s), without password and fragment', () => {
  expect(httpUrl().parse('https://host:1/path').href).toBe('https://host:1/path');
  for (const bad of ['host:80', 'ftp://host', 'http://u:p@host', 'http://host/#x', 'http://']) {
    expect([bad, httpUrl().safeParse(bad).success]).toEqual([bad, false]);
  }
});

it('a secret shows in nothing that prints', () => {
  const { Authorization } = secretHeaders().parse({ Authorization: 'Bearer hunter2' });
  const printed = [
    String(Authorization),
    JSON.stringify({ Authorization }),
    inspect({ Authorization }),
    `${Authorization}`,
  ];
  for (const text of printed) {
    expect(text).toContain('[REDACTED]');
    expect(text).not.toContain('hunter2');
  }
  expect(Authorization).toBeInstanceOf(Secret);
  expect(Authorization!.reveal()).toBe('Bearer hunter2');
});

it('headers with line breaks or odd names are refused', () => {
  for (const headers of [{ a: 'x\r\ny: z' }, { 'a b': 'x' }, { '': 'x' }, { a: 'x\0' }]) {
    expect(secretHeaders().safeParse(headers).success).toBe(false);
  }
});

describe('a block', () => {
  const schema = z.strictObject({
    always: block({ n: z.int().default(1) }),
    maybe: optionalBlock({ n: z.int().default(2) }),
  });
  it.each([
    [{}, { always: { n: 1 }, maybe: undefined }],
    [
      { always: null, maybe: null },
      { always: { n: 1 }, maybe: { n: 2, enabled: true } },
    ],
    [{ maybe: { enabled: false, n: 7 } }, { always: { n: 1 }, maybe: undefined }],
    [
      { always: { n: 3 }, maybe: { n: 4 } },
      { always: { n: 3 }, maybe: { n: 4, enabled: true } },
    ],
  ])('%j', (input, output) => {
    expect(schema.parse(input)).toEqual(output);
  });
  it('has no unknown keys', () => {
    expect(schema.safeParse({ maybe: { m: 1 } }).success).toBe(false);
    expect(schema.safeParse({ always: { m: 1 } }).success).toBe(false);
  });
});
