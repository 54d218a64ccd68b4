// The corpus and every finding hold their laws; and the fuzzer finds mistakes that were planted for it.
import { describe, expect, it } from '@jest/globals';
import { corpusOf } from './corpus.ts';
import { fuzz } from './fuzz.ts';
import { TARGETS, targetOf } from './targets.ts';

describe.each(TARGETS)('%s', name => {
  it('holds its law for its seeds, its corpus and all that was ever found', async () => {
    const target = await targetOf(name);
    const corpus = corpusOf(name);
    for (const bytes of target.seeds()) await target.run(bytes);
    for (const { file, bytes } of corpus) {
      try {
        await target.run(bytes);
      } catch (error) {
        throw new Error(`testdata/${name}/${file}: ${String(error)}`, { cause: error });
      }
    }
    expect(target.seeds().length).toBeGreaterThan(0);
  });
});

describe('the fuzzer', () => {
  it('finds a mistake behind three bytes by the branches on the way, and makes its input small', async () => {
    const report = await fuzz({ target: 'planted-crash', seed: 1, forMs: 50_000, maxRuns: 500_000 });
    expect(report).toMatchObject({ kind: 'finding', error: 'TypeError: the planted mistake' });
    expect(Buffer.from(report.kind === 'finding' ? report.bytes : []).toString()).toBe('kym');
  });

  it('finds a loop without end, and says for which input', async () => {
    const report = await fuzz({ target: 'planted-hang', seed: 1, forMs: 50_000, hangMs: 1_000 });
    expect(report).toMatchObject({ kind: 'finding', error: 'hangs: no end after 1000 ms' });
    expect(report.kind === 'finding' ? report.bytes[0] : undefined).toBe(0xff);
  });

  it('ends when its time is up and there is nothing to find', async () => {
    const report = await fuzz({ target: 'run-json', seed: 1, forMs: 50_000, maxRuns: 500 });
    expect(report.kind).toBe('done');
  });
});
