// Reads a request's body within a size, in reserved memory, and not at the sender's leisure.
import type { IncomingMessage } from 'node:http';
import type { Reservation } from './reservation.ts';

export type Body =
  | { readonly kind: 'ok'; readonly bytes: Buffer }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'slow' }
  | { readonly kind: 'bad_length' }
  /** The sender has gone; nobody is left to answer. */
  | { readonly kind: 'aborted' };

export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** Once `minRateGraceMs` have passed a body must have come in at this rate on the whole. */
  readonly minBytesPerSecond: number;
  readonly minRateGraceMs: number;
}

/** Without a Content-Length memory is reserved as the body grows, in steps. */
const RESERVE_STEP_BYTES = 256 * 1024;

/** What Content-Length says; undefined without one, NaN for one that is no number. */
export function contentLength(request: IncomingMessage): number | undefined {
  const text = request.headers['content-length'];
  if (text === undefined) return undefined;
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}

/** Reads the body. `onReady` runs when nothing stands against reading, before the first byte (`100 Continue`). */
export function readBody(
  request: IncomingMessage,
  limits: BodyLimits,
  reservation: Reservation,
  onReady: () => void,
): Promise<Body> {
  const announced = contentLength(request);
  if (announced !== undefined) {
    if (Number.isNaN(announced)) return Promise.resolve({ kind: 'bad_length' });
    if (announced > limits.maxBodyBytes) return Promise.resolve({ kind: 'too_large' });
  }
  if (!reservation.growTo(announced ?? RESERVE_STEP_BYTES)) return Promise.resolve({ kind: 'refused' });
  onReady();
  return new Promise(resolve => {
    const chunks: Buffer[] = [];
    // Of known length: put together as it comes, so that it is never here twice.
    const whole = announced === undefined || announced === 0 ? undefined : Buffer.allocUnsafeSlow(announced);
    const startedAt = performance.now();
    let received = 0;

    const done = (body: Body): void => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      // An error after this is nobody's business any more, but must not be unhandled.
      request.on('error', () => {});
      if (body.kind !== 'ok') request.pause();
      resolve(body);
    };
    const onData = (chunk: Buffer): void => {
      const at = received;
      received += chunk.length;
      if (received > limits.maxBodyBytes) {
        done({ kind: 'too_large' });
        return;
      }
      if (received > reservation.held) {
        const wanted = Math.min(limits.maxBodyBytes, Math.max(received, reservation.held * 2));
        if (!reservation.growTo(wanted) && !reservation.growTo(received)) {
          done({ kind: 'refused' });
          return;
        }
      }
      if (whole === undefined) chunks.push(chunk);
      else chunk.copy(whole, at);
    };
    const onEnd = (): void => {
      reservation.shrinkTo(received);
      const bytes =
        whole?.subarray(0, received) ?? (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, received));
      done({ kind: 'ok', bytes });
    };
    const onClose = (): void => done({ kind: 'aborted' });
    const checkRate = (): void => {
      const seconds = (performance.now() - startedAt) / 1000;
      if (received < seconds * limits.minBytesPerSecond) done({ kind: 'slow' });
      else timer = setTimeout(checkRate, limits.minRateGraceMs);
    };
    let timer = setTimeout(checkRate, limits.minRateGraceMs);
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}
