// The `resource` processor: changes the attributes of the resource, and with them what belongs to which run.
import { z } from 'zod';
import type { ProcessorType } from '../../component.ts';
import { actionsFunction, actionsSchema } from '../actions.ts';
import { rebuilt } from '../rebuild.ts';

const resourceConfig = z.strictObject({
  attributes: actionsSchema().describe('Actions, done one after the other'),
});

export const resourceProcessor: ProcessorType<typeof resourceConfig> = {
  kind: 'processor',
  type: 'resource',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: resourceConfig,
  effect: () => 'keeps',
  create: ({ resolver }, { attributes }) => {
    const resource = actionsFunction(attributes);
    return { process: batch => rebuilt(batch, { resource }, resolver) };
  },
};
