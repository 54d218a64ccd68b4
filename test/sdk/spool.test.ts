// The spool's file: made whole or not at all, readable to the end, and given up only by a process that is gone.
import { execFileSync, spawn } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFrame } from '../../src/otlp/frame.ts';
import { encodeSpoolHeader, openSpoolFile, ownerLives, processLives } from '../../src/otlp/spool-file.ts';
import { Spool } from '../../src/sdk/spool.ts';
import { claimOrphans } from '../../src/sdk/spool-orphans.ts';
import { onSmallDisk } from '../small-disk.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kymo-spool-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const newSpool = (directory: string) =>
  new Spool({ directory, endpoint: 'e', instance: 'i', sender: 's', run: 'r', maxBytes: 1 << 20 });
const append = (spool: Spool, key: string) => spool.append('metrics', key, 1n, Buffer.from(`body of ${key}`));
const keysIn = (directory: string) =>
  readdirSync(directory).flatMap(name =>
    [...openSpoolFile(join(directory, name))!.frames()].map(frame => frame.batchKey),
  );

describe('the spool', () => {
  it('gives back what was appended before its folder was removed, and starts a new file after that', () => {
    const directory = join(folder, 'spool');
    const spool = newSpool(directory);
    const first = append(spool, 'a')!;
    rmSync(directory, { recursive: true });
    expect(spool.keeps(first)).toBe(false);
    const second = append(spool, 'b')!;
    expect(Buffer.from(spool.read(first)!).toString()).toBe('body of a');
    expect(Buffer.from(spool.read(second)!).toString()).toBe('body of b');
    expect(spool.keeps(second)).toBe(true);
    spool.release(first);
    expect(keysIn(directory)).toEqual(['b']);
    spool.release(second);
    expect(readdirSync(directory)).toEqual([]);
  });

  onSmallDisk(
    'leaves no file without a header when the disk is full, and goes on when it is not any more',
    () => {
      const directory = join(folder, 'disk');
      mkdirSync(directory);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], { stdio: 'pipe' });
      try {
        const ballast = join(directory, 'ballast');
        expect(() => writeFileSync(ballast, Buffer.alloc(1 << 20))).toThrow(/ENOSPC/);
        const spool = newSpool(directory);
        expect(append(spool, 'a')).toBeUndefined();
        expect(readdirSync(directory)).toEqual(['ballast']);
        rmSync(ballast);
        expect(append(spool, 'b')).toBeDefined();
        expect(keysIn(directory)).toEqual(['b']);
      } finally {
        execFileSync('umount', ['-l', directory]);
      }
    },
  );
});

describe('who owns a spool file', () => {
  const header = (pid: number) => {
    const text = encodeSpoolHeader({
      endpoint: 'e',
      instance: 'i',
      sender: 's',
      run: '',
      pid,
      createdUnixMs: 0,
    });
    return JSON.parse(text.toString());
  };
  const onLinux = process.platform === 'linux' ? it : it.skip;

  it('lives while its process does', () => {
    expect(ownerLives('x.spool', header(process.pid))).toBe(true);
    expect(ownerLives(`x.spool.claim-${process.pid}`, header(999_999_999))).toBe(true);
    expect(ownerLives('x.spool.claim-999999999', header(process.pid))).toBe(false);
  });

  onLinux(
    'is another one when its pid was given to a new process, as in a container that was restarted',
    () => {
      const before = { ...header(process.pid), started: '1' };
      expect(ownerLives('x.spool', before)).toBe(false);
      writeFileSync(join(folder, 'i-s.spool'), `${JSON.stringify(before)}\n`);
      expect(claimOrphans(folder, 'e', 1e9)).toEqual([join(folder, `i-s.spool.claim-${process.pid}`)]);
    },
  );

  onLinux('is gone when it was killed and nobody has waited for it', async () => {
    // The shell's child is killed and the shell, now a sleep, never asks for its end.
    const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const pid = Number(await new Promise(resolve => parent.stdout.once('data', resolve)));
      expect(processLives(pid)).toBe(true);
      const giveUpAt = Date.now() + 20_000;
      // A shell that is still one would ask for the end of its child.
      while (readFileSync(`/proc/${parent.pid}/comm`, 'utf8') !== 'sleep\n') {
        if (Date.now() > giveUpAt) throw new Error('the shell does not become a sleep');
        await new Promise(resolve => setTimeout(resolve, 5));
      }
      process.kill(pid, 'SIGKILL');
      while (!/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) {
        if (Date.now() > giveUpAt) throw new Error('the child does not die');
        await new Promise(resolve => setTimeout(resolve, 5));
      }
      expect(processLives(pid)).toBe(false);
    } finally {
      parent.kill('SIGKILL');
    }
  });
});

describe('a spool file', () => {
  const BODY = 300_000;
  const body = (n: number) => Buffer.alloc(BODY, n);
  const frameOf = (n: number, bytes: Uint8Array) =>
    Buffer.concat(
      writeFrame({
        signal: 'metrics',
        encoding: 0,
        receivedUnixNano: 1n,
        batchKey: `i/s/metrics/${n}`,
        body: bytes,
      }),
    );
  const header = () =>
    encodeSpoolHeader({ endpoint: 'e', instance: 'i', sender: 's', run: 'r', pid: 1, createdUnixMs: 1 });
  const numbersIn = (file: string) => {
    const spool = openSpoolFile(file)!;
    const numbers = [...spool.frames()].map(({ batchKey, body: bytes }) => {
      const n = Number(batchKey.split('/')[3]);
      expect(Buffer.from(bytes).equals(Buffer.alloc(bytes.length, n))).toBe(true);
      return n;
    });
    return { numbers, damaged: spool.damaged };
  };

  it('is read in windows: every batch of a file much larger than one, and a batch larger than that', () => {
    const file = join(folder, 'large');
    const frames = Array.from({ length: 60 }, (_, n) =>
      frameOf(n, n === 30 ? Buffer.alloc(9_000_000, n) : body(n)),
    );
    writeFileSync(file, Buffer.concat([header(), ...frames]));
    expect(numbersIn(file)).toEqual({ numbers: frames.map((_, n) => n), damaged: 0 });
  });

  it('gives everything but what is damaged, and the torn end, wherever the windows fall', () => {
    const file = join(folder, 'damaged');
    const frames = Array.from({ length: 40 }, (_, n) => frameOf(n, body(n)));
    // A body, a header, and so much rubbish that a window has no frame in it.
    frames[3]![1_000]! ^= 1;
    frames[14]![9]! ^= 1;
    frames[25] = Buffer.alloc(10_000_000, 7);
    const last = frameOf(40, body(40));
    writeFileSync(file, Buffer.concat([header(), ...frames, last.subarray(0, last.length - 1)]));
    const whole = frames.map((_, n) => n).filter(n => ![3, 14, 25].includes(n));
    expect(numbersIn(file)).toEqual({ numbers: whole, damaged: 3 });
  });

  it('of more than two GiB is read too', () => {
    const file = join(folder, 'huge');
    writeFileSync(file, Buffer.concat([header(), frameOf(0, body(0)), frameOf(1, body(1))]));
    // A hole behind it, which takes no room on the disk.
    truncateSync(file, 2 ** 31 + 12_345);
    const spool = openSpoolFile(file)!;
    const frames = spool.frames();
    expect([frames.next().value?.batchKey, frames.next().value?.batchKey]).toEqual([
      'i/s/metrics/0',
      'i/s/metrics/1',
    ]);
    spool.close();
  });
});
