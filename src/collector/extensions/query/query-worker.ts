// The thread that reads run folders, keeps the indexes and answers queries, so that none of it holds up what the collector receives.
import { parentPort, workerData } from 'node:worker_threads';
import { type Answer, Answers } from './answers.ts';

export interface ThreadStart {
  readonly roots: readonly string[];
  readonly directory: string;
}
export type ToThread =
  | { readonly kind: 'ask'; readonly id: number; readonly url: string }
  | { readonly kind: 'stop' };
export type FromThread =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'tell'; readonly message: string; readonly reason: string }
  | { readonly kind: 'stopped' };

const port = parentPort;
if (port !== null) {
  const answers = new Answers({
    ...(workerData as ThreadStart),
    tell: (message, error) =>
      send({ kind: 'tell', message, reason: error instanceof Error ? error.message : String(error) }),
  });
  const send = (message: FromThread): void => port.postMessage(message);
  port.on('message', (message: ToThread) => {
    if (message.kind === 'stop') {
      void answers
        .stop()
        .catch(error => send({ kind: 'tell', message: 'closing the indexes failed', reason: String(error) }))
        .finally(() => {
          send({ kind: 'stopped' });
          port.close();
        });
      return;
    }
    void answers.answer(message.url).then(answer => send({ kind: 'answer', id: message.id, answer }));
  });
  answers.start();
}
