import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { ENVIRONMENT, environmentValue } from '../../src/semconv/env.ts';

/** NETRC and the colours stand alone; what the system and launchers set (HOME, TERM, RANK …) is not for people to set. */
const VARIABLE = /\b(?:(?:KYMO|OTEL|WANDB)_[A-Z0-9_]*[A-Z0-9]|NETRC|NO_COLOR|FORCE_COLOR)\b/g;

it('lists the variables that can be set and that the sources name, each once, and no others', () => {
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.ts'),
  );
  const named = new Set<string>();
  for (const name of sources) {
    if (name === join('semconv', 'env.ts')) continue;
    const text = readFileSync(join('src', name), 'utf8');
    for (const [variable] of text.matchAll(VARIABLE)) named.add(variable);
  }
  const listed = ENVIRONMENT.map(variable => variable.name as string);
  expect(new Set(listed).size).toBe(listed.length);
  // `OTEL_EXPORTER_OTLP_${signal}_${key}` is put together.
  const parts = new Set(['OTEL_EXPORTER_OTLP']);
  expect([...named].filter(name => !listed.includes(name) && !parts.has(name))).toEqual([]);
  const composed =
    /^OTEL_EXPORTER_OTLP_((TRACES|METRICS|LOGS)_ENDPOINT|HEADERS|COMPRESSION|TIMEOUT|(CLIENT_)?CERTIFICATE|CLIENT_KEY)$/;
  expect(listed.filter(name => !named.has(name) && !composed.test(name))).toEqual([]);
});

it('takes an empty variable for an unset one', () => {
  expect(environmentValue('KYMO_DIR', { KYMO_DIR: ' ' })).toBeUndefined();
  expect(environmentValue('KYMO_DIR', { KYMO_DIR: ' x ' })).toBe('x');
  expect(environmentValue('KYMO_DIR', {})).toBeUndefined();
});
