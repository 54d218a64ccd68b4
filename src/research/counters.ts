// What a run counts by itself and a checkpoint keeps: the steps of every scope, and the seconds of training.
import type { SavedSteps } from './checkpoints/manifest.ts';
import { StepCounter } from './steps.ts';

export class RunCounters {
  readonly scopes = new Map<string, StepCounter>();
  /** As an earlier process left them. */
  private restored: readonly SavedSteps[];
  private earlierSeconds: number;
  private readonly beganMs = performance.now();

  constructor(steps: readonly SavedSteps[], earlierSeconds: number) {
    this.restored = steps;
    this.earlierSeconds = earlierSeconds;
    this.restore(steps);
  }

  /** Seconds that the training has run, over all attempts. */
  get wallTime(): number {
    return this.earlierSeconds + (performance.now() - this.beganMs) / 1_000;
  }

  /** Of one scope; made when it is first asked for. */
  steps(scope: string): StepCounter {
    let steps = this.scopes.get(scope);
    if (steps === undefined) {
      steps = new StepCounter();
      this.scopes.set(scope, steps);
    }
    return steps;
  }

  /** Goes on from elsewhere, unless rows have been counted here already. Returns whether it does. */
  goOn(steps: readonly SavedSteps[], earlierSeconds: number): boolean {
    if (this.hasCounted()) return false;
    this.restore(steps);
    this.earlierSeconds = earlierSeconds;
    return true;
  }

  private restore(steps: readonly SavedSteps[]): void {
    this.restored = steps;
    for (const { scope, next, highest } of steps) this.steps(scope).restore(next, highest);
  }

  private hasCounted(): boolean {
    const before = new Map(this.restored.map(one => [one.scope, one]));
    for (const [scope, { next, highest }] of this.scopes) {
      const one = before.get(scope);
      if (next !== (one?.next ?? 0) || highest !== (one?.highest ?? -1)) return true;
    }
    return false;
  }
}
