// What the exporters together need of the journal, and who gives way when it is full.
import type { Retention } from '../journal/journal.ts';
import type { ExporterRunner } from './runner.ts';

/**
 * The journal keeps everything from the lowest needed position on. When it is full, the one that lags most is parked, those
 * that are merely a commit behind last; exporters of the canonical record never are, so where only they are left,
 * senders are pushed back.
 */
export function retentionFor(runners: () => readonly ExporterRunner[]): Retention {
  return {
    needed: () => Math.min(...runners().map(runner => runner.neededPosition())),
    onPressure: last => {
      const held = runners().filter(runner => runner.canonical);
      const floor = Math.min(...held.map(runner => runner.neededPosition()));
      // Parking one that holds nothing which the record does not hold as well would free nothing.
      const lagging = runners().filter(
        runner => !runner.canonical && runner.neededPosition() < floor && (last || !runner.isMoving()),
      );
      lagging.sort((a, b) => a.neededPosition() - b.neededPosition());
      return lagging.some(runner => runner.park());
    },
    hurry: () => {
      const held = runners().filter(runner => runner.canonical);
      for (const runner of runners()) runner.hurry();
      return held.length > 0 && held.every(runner => runner.isMoving());
    },
  };
}
