// The `attributes` processor: changes the attributes of points, log records and spans.
import { z } from 'zod';
import type { ProcessorType } from '../../component.ts';
import { actionsFunction, actionsSchema } from '../actions.ts';
import { rebuilt } from '../rebuild.ts';

const attributesConfig = z.strictObject({
  actions: actionsSchema().describe('Actions, done one after the other'),
});

export const attributesProcessor: ProcessorType<typeof attributesConfig> = {
  kind: 'processor',
  type: 'attributes',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  config: attributesConfig,
  effect: () => 'keeps',
  create: ({ resolver }, { actions }) => {
    const own = actionsFunction(actions);
    return { process: batch => rebuilt(batch, { own }, resolver) };
  },
};
