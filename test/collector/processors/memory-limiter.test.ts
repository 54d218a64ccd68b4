// `memory_limiter` as upstream's configurations have it.
import { describe, expect, it } from '@jest/globals';
import { COMPONENTS } from '../../../src/collector/components.ts';
import { loadConfig } from '../../../src/collector/config/load.ts';
import { memoryLimitsOf } from '../../../src/collector/processors/memory_limiter/index.ts';

const MiB = 1024 * 1024;

function load(...limiters: readonly string[]) {
  const ids = limiters.map((_, i) => `memory_limiter/${i}`);
  const text = `
receivers: {otlp: {protocols: {http: {}}}}
processors:
${limiters.map((settings, i) => `  ${ids[i]}: {${settings}}`).join('\n')}
exporters: {otlp_http: {endpoint: 'http://127.0.0.1:1'}}
service: {pipelines: {logs: {receivers: [otlp], processors: [${ids.join(', ')}], exporters: [otlp_http]}}}`;
  return loadConfig({ sources: [`yaml:${text}`], env: {}, components: COMPONENTS });
}
const limits = (...limiters: readonly string[]) => memoryLimitsOf(load(...limiters).config!, 1000 * MiB);

describe('memory_limiter', () => {
  it('reads a limit in MiB, with 20 % of it as the spike by default', () => {
    expect(limits('check_interval: 5s, limit_mib: 400')).toMatchObject({
      hardBytes: 400 * MiB,
      softBytes: 320 * MiB,
      checkIntervalMs: 5_000,
    });
    expect(limits('limit_mib: 400, spike_limit_mib: 100')).toMatchObject({ softBytes: 300 * MiB });
  });

  it('reads a limit in percent of the memory there is; one in MiB goes first', () => {
    expect(limits('limit_percentage: 50, spike_limit_percentage: 30')).toMatchObject({
      hardBytes: 500 * MiB,
      softBytes: 200 * MiB,
    });
    expect(limits('limit_percentage: 50, limit_mib: 300')).toMatchObject({ hardBytes: 300 * MiB });
  });

  it('holds for the whole process: of several limiters the lowest', () => {
    expect(limits('limit_mib: 400', 'limit_mib: 300')).toMatchObject({ hardBytes: 300 * MiB });
    expect(memoryLimitsOf({ processors: [] }, 1)).toBeUndefined();
  });

  it.each([
    ['', '"limit_mib" or "limit_percentage" must be greater than zero'],
    ['limit_mib: 100, spike_limit_mib: 100', 'must be smaller than limit_mib'],
    ['limit_percentage: 20, spike_limit_percentage: 20', 'must be smaller than limit_percentage'],
    ['limit_percentage: 101', 'must be at most 100'],
    ['limit_mib: 100, check_interval: 0s', 'must be longer than 0'],
    ['limit_mib: 100, limit: 3', 'unknown key "limit"'],
  ])('refuses {%s}', (settings, message) => {
    const { config, problems } = load(settings);
    expect(config).toBeUndefined();
    expect(problems.map(problem => problem.message).join('\n')).toContain(message);
  });
});
