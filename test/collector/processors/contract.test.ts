// Every processor of this package keeps the contract.
import { describe } from '@jest/globals';
import type { ProcessorType } from '../../../src/collector/component.ts';
import { COMPONENTS } from '../../../src/collector/components.ts';
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
