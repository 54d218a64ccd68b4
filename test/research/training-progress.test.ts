// The progress bar: what it says, on a terminal (a real one) and where there is none.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { clock, progressLine, TrainingProgress } from '../../src/research/training-progress.ts';

const SOURCE = fileURLToPath(new URL('../../src/research/training-progress.ts', import.meta.url));
const base = { prefix: 'PPO', step: 600, first: 0, total: 1_000, seconds: 12, barWidth: 10, metrics: {} };

describe('the line', () => {
  it('has bar, share, count, time, pace and metrics', () => {
    expect(progressLine({ ...base, metrics: { loss: 0.42123, reward: 195, step: 1, wall_time: 2 } })).toBe(
      'PPO |██████░░░░|  60.0%  600/1000  [00:12 < 00:08, 50.0 it/s] loss=0.4212 reward=195',
    );
    expect(progressLine({ ...base, prefix: '', step: 0, seconds: 0 })).toBe(
      '|░░░░░░░░░░|   0.0%  0/1000  [00:00 < --:--, 0.0 it/s]',
    );
    expect(progressLine({ ...base, step: 1_000, total: 0 })).toContain('|░░░░░░░░░░|   0.0%  1000/0 ');
    expect(progressLine({ ...base, step: 1_500 })).toContain('|██████████| 100.0%  1500/1000 ');
  });
  it('counts the pace of a resumed training from where it began', () => {
    expect(progressLine({ ...base, first: 500 })).toContain('[00:12 < 00:48, 8.3 it/s]');
  });
  it('moves no cursor, whatever the metrics are called', () => {
    expect(progressLine({ ...base, metrics: { 'a\u001b[2J\r': '\n' } })).toContain('a\\u{1b}[2J\\r=\\n');
  });
  it('has times as minutes and seconds, and hours once there are any', () => {
    expect([0, 59.9, 60, 3_599, 3_600, 360_061, Number.POSITIVE_INFINITY].map(clock)).toEqual([
      '00:00',
      '00:59',
      '01:00',
      '59:59',
      '1:00:00',
      '100:01:01',
      '--:--',
    ]);
  });
});

describe('the bar', () => {
  let folder: string;
  let script: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kymo-progress-'));
    script = join(folder, 'train.ts');
    writeFileSync(
      script,
      `import { TrainingProgress } from ${JSON.stringify(SOURCE)};
       { using progress = new TrainingProgress(100_000, { prefix: 'P', barWidth: 5 });
         for (let step = 1; step <= 100_000; step++) progress.update(step, { loss: 1 / step });
         progress.close(); progress.close(); progress.update(5); }
       process.stderr.write('after\\n');`,
    );
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('without a terminal is a line now and then, the last one whole, and nothing moves', () => {
    const { stderr, status } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', script],
      { encoding: 'utf8' },
    );
    expect(status).toBe(0);
    expect(stderr).not.toMatch(/[\r\u001b]/);
    const lines = stderr.trimEnd().split('\n');
    expect(lines.length).toBeLessThan(14);
    expect(lines.at(-2)).toMatch(/^P \|█████\| 100\.0% {2}100000\/100000 .* it\/s\] loss=1e-05$/);
    expect(lines.at(-1)).toBe('after');
  });

  it('on a terminal is one line, written over and over, and ended by close', () => {
    let shown: string;
    try {
      shown = execFileSync(
        'script',
        ['-qec', `${process.execPath} --disable-warning=ExperimentalWarning ${script}`, '/dev/null'],
        { encoding: 'utf8', env: { ...process.env, TERM: 'xterm' } },
      );
    } catch {
      console.warn('not run: needs the program script, which gives a terminal');
      return;
    }
    expect(shown.match(/\n/g)).toHaveLength(2);
    expect(shown).toMatch(/\rP \|█████\| 100\.0% .*\u001b\[K\r?\nafter/);
  });

  it('refuses what is none', () => {
    expect(() => new TrainingProgress('5' as never)).toThrow(/TrainingProgress\(total\)/);
    expect(() => new TrainingProgress(5, { width: 3 } as never)).toThrow(/no option "width"/);
    expect(() => new TrainingProgress(5, { barWidth: 0 })).toThrow(/barWidth/);
  });
});
