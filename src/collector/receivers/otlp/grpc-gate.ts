// Stands before every gRPC call: memory is reserved before a message is read, few calls are read at once, and slow senders are cut.
import type * as Grpc from '@grpc/grpc-js';
import { encodeRetryStatus } from '../../../otlp/retry-info.ts';
import type { AuthVerdict, Ingest, ServerAuthenticator } from '../../component.ts';
import { NOT_LET_IN } from './answers.ts';
import type { ReceiverCounters } from './counters.ts';
import { Reservation } from './reservation.ts';

export interface GateOptions {
  readonly ingest: Pick<Ingest, 'reserve' | 'release' | 'maxRequestBytes'>;
  readonly counters: ReceiverCounters;
  /** Asked before anything of a call is read. */
  readonly authenticator?: ServerAuthenticator | undefined;
  /** 0 is no end. */
  readonly readTimeoutMs: number;
  /** A call of a peer (`address:port`) begins; returns what to call at its end. */
  begin(peer: string): () => void;
  /** Ends the connection of a peer (`address:port`): a call that has been answered may go on sending otherwise. */
  cut(peer: string): void;
}

/** gRPC does not say how long a message will be before it begins; this much is reserved, the rest once it is there. */
const FIRST_RESERVATION_BYTES = 64 * 1024;
/** So what is read but not yet reserved is at most this many messages. */
export const MAX_CALLS_READING = 64;
/** Calls that wait for their turn take a few kB each. */
export const MAX_CALLS_WAITING = 4096;
/** As over HTTP; what is longer would be held for every call that waits. */
export const MAX_METADATA_CHARACTERS = 16 * 1024;
const RETRY_WHEN_FULL_MS = 1_000;

export function createGate(grpc: typeof Grpc, options: GateOptions): Grpc.ServerInterceptor {
  const { ingest, counters } = options;
  const waiting: (() => void)[] = [];
  let reading = 0;

  function leave(): void {
    reading--;
    while (reading < MAX_CALLS_READING && waiting.length > 0) {
      reading++;
      waiting.shift()!();
    }
  }

  return (_method, call) => {
    const reservation = new Reservation(ingest);
    let state: 'new' | 'waiting' | 'reading' | 'read' | 'over' = 'new';
    let timer: NodeJS.Timeout | undefined;
    const ended = options.begin(call.getPeer());

    const finishReading = (): void => {
      clearTimeout(timer);
      if (state === 'reading') leave();
    };
    const over = (): void => {
      if (state === 'over') return;
      finishReading();
      ended();
      state = 'over';
      reservation.release();
    };
    const pushBack = (reason: string, rejection: 'memory' | 'auth' = 'memory'): void => {
      counters.rejected(rejection);
      const { UNAVAILABLE } = grpc.status;
      const metadata = new grpc.Metadata();
      const details = Buffer.from(encodeRetryStatus(UNAVAILABLE, reason, RETRY_WHEN_FULL_MS));
      metadata.set('grpc-status-details-bin', details);
      intercepted.sendStatus({ code: UNAVAILABLE, details: reason, metadata });
    };
    const turnAway = (): void => {
      counters.rejected('auth');
      intercepted.sendStatus({ code: grpc.status.UNAUTHENTICATED, details: NOT_LET_IN });
    };
    const tooLarge = (length: number): void => {
      counters.rejected('too_large');
      const details = `a request of ${length} bytes is more than the collector's memory limit allows`;
      intercepted.sendStatus({ code: grpc.status.RESOURCE_EXHAUSTED, details });
    };
    const tooSlow = (): void => {
      counters.rejected('slow');
      const details = 'the request came in too slowly';
      intercepted.sendStatus({ code: grpc.status.DEADLINE_EXCEEDED, details });
      options.cut(call.getPeer());
    };

    const intercepted = new grpc.ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, proceed) {
            const begin = (): void => {
              // It may have been cancelled while it waited.
              if (state === 'over') {
                leave();
                return;
              }
              state = 'reading';
              if (!reservation.growTo(FIRST_RESERVATION_BYTES)) {
                pushBack('the collector has no memory for this request now');
                return;
              }
              if (options.readTimeoutMs > 0) timer = setTimeout(tooSlow, options.readTimeoutMs);
              proceed(metadata);
            };
            const takeTurn = (): void => {
              if (reading < MAX_CALLS_READING) {
                reading++;
                begin();
              } else if (waiting.length < MAX_CALLS_WAITING) {
                state = 'waiting';
                waiting.push(begin);
              } else {
                pushBack('the collector has too many calls under way');
              }
            };
            const judge = (auth: AuthVerdict): void => {
              // It may have been cancelled while it was looked at.
              if (state === 'over') return;
              if (auth.kind === 'known') takeTurn();
              else if (auth.kind === 'busy') pushBack('too many senders are being looked at', 'auth');
              else turnAway();
            };
            if (charactersOf(metadata) > MAX_METADATA_CHARACTERS) {
              counters.rejected('too_large');
              const details = `the metadata have more than ${MAX_METADATA_CHARACTERS} characters`;
              intercepted.sendStatus({ code: grpc.status.RESOURCE_EXHAUSTED, details });
              return;
            }
            const { authenticator } = options;
            const auth = authenticator?.check(name => firstText(metadata, name)) ?? KNOWN;
            if (auth instanceof Promise) void auth.then(judge);
            else judge(auth);
          },
          onReceiveMessage(message, proceed) {
            const { length } = message as Buffer;
            if (length > (ingest.maxRequestBytes ?? Number.POSITIVE_INFINITY)) tooLarge(length);
            else if (reservation.growTo(length)) proceed(message);
            else pushBack('the collector has no memory for this request now');
          },
          onReceiveHalfClose(proceed) {
            finishReading();
            if (state === 'reading') state = 'read';
            proceed();
          },
          onCancel: over,
        });
      },
      sendStatus(answer, next) {
        over();
        next(answer);
      },
    });
    return intercepted;
  };
}

const KNOWN: AuthVerdict = { kind: 'known' };

function firstText(metadata: Grpc.Metadata, name: string): string | undefined {
  const [value] = metadata.get(name);
  return typeof value === 'string' ? value : undefined;
}

function charactersOf(metadata: Grpc.Metadata): number {
  let characters = 0;
  for (const [name, values] of Object.entries(metadata.toJSON()))
    for (const value of values) characters += name.length + value.length;
  return characters;
}
