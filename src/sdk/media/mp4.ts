// MP4 from frames by the `ffmpeg` program, where it is installed: H.264 that every player and browser shows. A package is no way to it:
// of the encoders in WebAssembly those for H.264 are not kept any more or not published, and a native one weighs 170 MB.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environmentValue } from '../../semconv/env.ts';
import type { Frame } from './gif.ts';

/** A program that takes no frame and gives no sign for so long is stopped. */
const STALL_MS = 60_000;
const MAX_MESSAGE = 300;

export type Mp4Outcome =
  | { readonly kind: 'encoded'; readonly bytes: Uint8Array }
  /** `ffmpeg` is not there, or does not do it; why, for people. */
  | { readonly kind: 'impossible'; readonly reason: string };

/** @param first tells the size of them all */
export async function encodeMp4(
  frames: Iterable<Frame>,
  first: Omit<Frame, 'pixels'>,
  fps: number,
): Promise<Mp4Outcome> {
  // A file, not a pipe: the index goes to its front only where one can seek.
  const folder = mkdtempSync(join(tmpdir(), 'kymo-mp4-'));
  const file = join(folder, 'video.mp4');
  try {
    const failure = await run(
      [
        ...['-hide_banner', '-loglevel', 'error', '-nostdin', '-y'],
        ...['-f', 'rawvideo', '-pix_fmt', first.channels === 1 ? 'gray' : 'rgb24'],
        ...['-s', `${first.width}x${first.height}`, '-r', String(fps), '-i', 'pipe:0'],
        // yuv420p needs even sides.
        ...['-vf', 'pad=ceil(iw/2)*2:ceil(ih/2)*2', '-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-crf', '18'],
        ...['-movflags', '+faststart', file],
      ],
      frames,
    );
    if (failure !== undefined) return { kind: 'impossible', reason: failure };
    return { kind: 'encoded', bytes: readFileSync(file) };
  } catch (error) {
    return { kind: 'impossible', reason: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Feeds the frames; undefined when all went well, else what went wrong. */
async function run(args: readonly string[], frames: Iterable<Frame>): Promise<string | undefined> {
  const named = environmentValue('KYMO_FFMPEG');
  const child = spawn(named ?? 'ffmpeg', args, { stdio: ['pipe', 'ignore', 'pipe'], windowsHide: true });
  let said = '';
  let stalled = false;
  let timer = setTimeout(stop, STALL_MS);
  function stop(): void {
    stalled = true;
    child.kill('SIGKILL');
  }
  child.stderr.on('data', (text: Buffer) => {
    if (said.length < MAX_MESSAGE) said += text.toString('utf8');
  });
  // A program that ends early breaks the pipe; its exit says why.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<string | undefined>(resolve => {
    child.on('error', (error: NodeJS.ErrnoException) =>
      resolve(
        error.code !== 'ENOENT'
          ? `ffmpeg: ${error.message}`
          : named === undefined
            ? 'ffmpeg is not on the PATH (KYMO_FFMPEG may name one)'
            : `KYMO_FFMPEG=${JSON.stringify(named)} is not there`,
      ),
    );
    child.on('close', (code, signal) => {
      if (code === 0) resolve(undefined);
      else if (stalled) resolve(`ffmpeg stood still for ${STALL_MS / 1000} s`);
      else resolve(`ffmpeg ended with ${code ?? signal}: ${said.trim().slice(0, MAX_MESSAGE)}`);
    });
  });
  const over = ended.then(() => true);
  try {
    for (const frame of frames) {
      const taken = new Promise<boolean>(resolve => child.stdin.write(frame.pixels, () => resolve(false)));
      if (await Promise.race([taken, over])) break;
      clearTimeout(timer);
      timer = setTimeout(stop, STALL_MS);
    }
    child.stdin.end();
    return await ended;
  } finally {
    clearTimeout(timer);
  }
}
