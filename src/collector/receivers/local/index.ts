// The local receiver: the name by which pipelines refer to the endpoint that every collector has for processes of its own machine.
import { z } from 'zod';
import type { ReceiverType } from '../../component.ts';

export const localReceiverSettings = z.strictObject({});

/** The service itself binds that endpoint, because binding it is the collector's lock: here is nothing left to start. */
export const localReceiver: ReceiverType<typeof localReceiverSettings> = {
  kind: 'receiver',
  type: 'local',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: localReceiverSettings,
  create: () => ({
    start: async () => {},
    stop: async () => {},
    addresses: () => [],
  }),
};
