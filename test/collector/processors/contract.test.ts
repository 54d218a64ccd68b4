// Every processor of this package keeps the contract.
import { describe } from '@jest/globals';
import type { ProcessorType } from '../../../src/collector/component.ts';
import { COMPONENTS } from '../../../src/collector/components.ts';
import { logBatchOf } from '../../../src/collector/testing/index.ts';
import { type ProcessorContractOptions, processorContract } from './contract.ts';

const OPTIONS: Readonly<Record<string, ProcessorContractOptions>> = {
  resource: {
    config: {
      attributes: [
        { key: 'service.name', action: 'upsert', value: 'renamed' },
        { key: 'kymo.run.id', from_attribute: 'service.instance.id', action: 'update' },
      ],
    },
  },
  attributes: {
    config: {
      actions: [
        { key: 'password', action: 'delete' },
        { key: 'host', action: 'hash' },
        { key: 'kymo.mode', action: 'insert', value: 'eval' },
      ],
    },
  },
  aggregate: {
    config: {
      metrics: [
        { name: 'loss', aggregation: 'mean', log_frequency_steps: 2 },
        { name: 'score', aggregation: 'max', raw_event_name: 'end', context_key: 'score' },
        { name: 'speed', aggregation: 'rate', rate_numerator_event: 'end', log_frequency_seconds: 3 },
      ],
    },
    batches: [0, 1, 2, 3, 4, 5].map(step =>
      logBatchOf([
        {
          eventName: 'kymo.event',
          attributes: {
            'kymo.event.name': 'end',
            'kymo.event.value': 1,
            'kymo.event.context': { score: step * 2 },
            'kymo.step': step,
          },
        },
        { eventName: 'end', attributes: { score: 0.5, step }, instance: 'foreign' },
      ]),
    ),
  },
  filter: {
    config: {
      metrics: { metric: ['name == "weights"'], datapoint: ['value_double > 0.9'] },
      logs: { log_record: ['IsMatch(body, "h.llo")'] },
      traces: { span: ['status.code == STATUS_CODE_ERROR'] },
    },
  },
};

for (const type of COMPONENTS.processors) {
  describe(type.type, () => processorContract(type as ProcessorType, OPTIONS[type.type]));
}
