import { describe, expect, it } from '@jest/globals';
import { createLogger, type LoggerOptions } from '../../../src/collector/telemetry/logger.ts';
import { printable } from '../../../src/semconv/printable.ts';

function capture(options: LoggerOptions = {}) {
  const lines: string[] = [];
  let time = 0;
  const logger = createLogger({ ...options, write: line => lines.push(line), now: () => time });
  return {
    logger,
    lines,
    pass: (ms: number) => {
      time += ms;
    },
  };
}

describe('the logger', () => {
  it('prints time, level, message and fields, one line each, and nothing below its level', () => {
    const { logger, lines } = capture();
    logger.debug('hidden');
    logger
      .with({ component: 'jsonl' })
      .warn('disk full', { free: 0, error: new Error('ENOSPC'), big: 2n ** 60n });
    expect(lines).toEqual([
      '1970-01-01T00:00:00.000Z\twarn\tdisk full\t{"component":"jsonl","free":0,"error":"ENOSPC","big":"1152921504606846976"}\n',
    ]);
  });

  it('prints JSON that reads back, whatever is in it', () => {
    const { logger, lines } = capture({ encoding: 'json' });
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    logger.error('a\n"b"\u001b[2J', { cyclic });
    logger.error('long', { text: 'x'.repeat(100_000) });
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'error', msg: 'a\n"b"\u001b[2J' });
    expect(lines[0]).not.toContain('\u001b');
    expect(JSON.parse(lines[1]!)).toMatchObject({ msg: 'long', fields_left_out: true });
  });

  it('lets no control sequence of a message through to a terminal', () => {
    const { logger, lines } = capture();
    logger.info('\u001b]52;c;ZXZpbA==\u0007 a\nb \u202egnp.exe \u009b31m', { name: '\u001b[1A\r' });
    expect(lines[0]!.trimEnd()).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202a-\u202e]/);
    expect(printable('a\u001bb\n')).toBe('a\\u{1b}b\\n');
  });

  it('prints ten of equal messages in ten seconds, then every hundredth, and says how many it left out', () => {
    const { logger, lines, pass } = capture();
    for (let i = 0; i < 115; i++) logger.warn('again');
    expect(lines).toHaveLength(11);
    expect(lines[10]).toContain('{"left_out":99}');
    logger.warn('another');
    expect(lines).toHaveLength(12);
    pass(10_000);
    logger.warn('again');
    expect(lines[12]).toContain('{"left_out":5}');
    for (let i = 0; i < 20; i++) logger.warn('again');
    logger.flush();
    expect(lines.at(-1)).toContain('"left_out":11');
  });
});
