// A bad network and a busy server: every fault of the proxy, mixed at random, between trainer and collector.
import type { Arena } from '../arena.ts';
import { pause } from '../processes.ts';
import { FaultyProxy, PROXY_FAULTS, type ProxyFault } from '../proxy.ts';
import { type Scenario, scenario } from '../scenario.ts';
import { freePort, Standalone } from '../standalone.ts';
import { somePlan } from './kills.ts';

const REQUEST_TIMEOUT_MS = 400;
const ENV = { OTEL_EXPORTER_OTLP_TIMEOUT: String(REQUEST_TIMEOUT_MS), KYMO_EXIT_TIMEOUT_MS: '30000' };

function between(
  name: string,
  faults: readonly ProxyFault[],
  probability: number,
  options: { readonly kills?: boolean; readonly short?: boolean } = {},
): Scenario {
  const run = async (arena: Arena): Promise<void> => {
    const { random } = arena;
    const collector = new Standalone(arena, await freePort(), arena.storeUrl);
    await collector.start();
    const proxy = new FaultyProxy(collector.port, REQUEST_TIMEOUT_MS * 2);
    arena.sendTo(await proxy.start());
    try {
      proxy.next = () => (random.chance(probability) ? random.pick(faults) : undefined);
      const producer = arena.start(somePlan(arena, 'run', 2_000), { burst: 10, pauseMs: 10, env: ENV });
      const killed = arena.start(somePlan(arena, 'killed', 100_000), {
        burst: 10,
        pauseMs: 10,
        ending: 'hang',
        env: ENV,
      });
      await killed.untilRecorded(100);
      await pause(random.between(300, 1_500));
      killed.kill();
      if (options.kills === true) {
        for (let i = 0; i < 2; i++) {
          await collector.kill();
          await pause(random.between(0, 300));
          await collector.start();
          await pause(random.between(200, 600));
        }
      }
      await producer.child.ended;
      arena.note(`faults: ${JSON.stringify(proxy.done)}`);
      for (const count of Object.values(proxy.done)) arena.tally.faults += count;
      proxy.next = () => undefined;
      await arena.settleStandalone(collector);
      arena.judgeAll();
    } finally {
      await proxy.stop();
    }
  };
  return scenario(name, run, { short: options.short ?? false });
}

export const REQUESTS: readonly Scenario[] = [
  between('every other request fails somehow', PROXY_FAULTS, 0.5, { short: true }),
  between('the answer gets lost after journaling', ['cut after journaling', 'answer too late'], 0.6),
  between('requests fail while the collector is killed', PROXY_FAULTS, 0.3, { kills: true }),
];
