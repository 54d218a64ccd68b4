import { readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { COMPONENTS } from '../../../src/collector/components.ts';
import { loadConfig } from '../../../src/collector/config/load.ts';
import { checkSchema } from '../../../src/collector/config/schema.ts';

describe('a configuration that is shipped', () => {
  const folder = 'collector-config';
  it.each(readdirSync(folder).filter(name => name.endsWith('.yaml')))(
    '%s is valid, without a warning',
    file => {
      const { config, problems, warnings } = loadConfig({
        sources: [`${folder}/${file}`],
        env: {},
        components: COMPONENTS,
      });
      expect([...problems, ...warnings]).toEqual([]);
      expect(config!.pipelines.map(pipeline => pipeline.signal).sort()).toEqual([
        'logs',
        'metrics',
        'traces',
      ]);
    },
  );
});

describe('every component', () => {
  const all = [
    ...COMPONENTS.receivers,
    ...COMPONENTS.processors,
    ...COMPONENTS.exporters,
    ...COMPONENTS.extensions,
  ];
  const nowhere = { source: 'x', line: 1, column: 1 };

  it('has an id of its own', () => {
    const ids = all.flatMap(type => [type.type, ...(type.aliases ?? [])].map(id => `${type.kind} ${id}`));
    expect(new Set(ids).size).toBe(ids.length);
    for (const { type } of all) expect(type).toMatch(/^[a-z][a-z0-9_]*$/);
  });

  it.each(all)('$kind $type refuses an unknown setting by its name', type => {
    const entry = { keyPlace: nowhere, value: { kind: 'scalar', place: nowhere, value: 1 } } as const;
    const node = { kind: 'map', place: nowhere, entries: new Map([['no_such_setting', entry]]) } as const;
    const checked = checkSchema(type.config, node, type.type, nowhere);
    expect(checked.ok).toBe(false);
    if (!checked.ok) {
      expect(checked.problems.map(problem => problem.message)).toContain('unknown key "no_such_setting"');
    }
  });
});
