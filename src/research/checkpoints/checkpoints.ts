// The checkpoints of one run: saved with what Kymo has counted itself, so that a run goes on from one as if it had never stopped.
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Attributes } from '../../otlp/model.ts';
import * as names from '../../semconv/names.ts';
import { tell } from '../complaints.ts';
import type { RunCounters } from '../counters.ts';
import type { EventInput } from '../events.ts';
import { findRuns } from '../runs/find-runs.ts';
import type { StepCounter } from '../steps.ts';
import { bestFolder, CHECKPOINTS_FOLDER, manifestOf, readCheckpoints, stepFolder } from './folder.ts';
import { loadCheckpoint, missing } from './load.ts';
import { CHECKPOINT_FORMAT, type Manifest, type SavedBuffer } from './manifest.ts';
import {
  type CheckpointOptions,
  checkLoad,
  checkSave,
  type LoadedCheckpoint,
  type LoadOptions,
  type SaveOptions,
  type SaveResult,
} from './options.ts';
import { removeHalfWritten, type Saved, type SaveTask, saveCheckpoint } from './save.ts';
import { type EncodedValue, serialize } from './serializer.ts';
import { awaitTensors, TensorsToAwait, type TensorValues } from './tensors.ts';
import { BackgroundWork, type Work, workNow } from './work.ts';

/** What checkpoints need to know of their run. */
export interface CheckpointHost {
  readonly id: string;
  readonly project: string;
  readonly dir: string;
  readonly rank: number;
  readonly attempt: number;
  readonly strict: boolean;
  /** Rows of lower attempts from a step on that later ones have undone. */
  readonly undone: readonly { readonly attempt: number; readonly fromStep: number }[];
  readonly counters: RunCounters;
  ended(): boolean;
  event(event: EventInput): void;
}

export class Checkpoints {
  private readonly host: CheckpointHost;
  private readonly options: CheckpointOptions;
  /** The buffer that belongs to the next state too, until there is a newer one. */
  private buffer: SavedBuffer | undefined;
  private pending: BackgroundWork<Saved> | undefined;
  private tidied = false;
  private newest: number | undefined;

  constructor(host: CheckpointHost, options: CheckpointOptions = {}) {
    this.host = host;
    this.options = options;
  }

  async save(options: SaveOptions): Promise<SaveResult> {
    checkSave('saveCheckpoint', options);
    if (this.host.ended()) return this.late(options);
    // One at a time: an earlier one that is not done yet is ended first.
    this.finishNow();
    let task: SaveTask;
    try {
      task = this.task(options, { copy: true });
    } catch (error) {
      if (!(error instanceof TensorsToAwait)) return this.refused(error, options);
      try {
        const tensors = await awaitTensors(error.tensors);
        if (this.host.ended()) return this.late(options);
        this.finishNow();
        task = this.task(options, { copy: true, tensors });
      } catch (problem) {
        return this.refused(problem, options);
      }
    }
    const work = new BackgroundWork(this.whole(task));
    this.pending = work;
    try {
      return { kind: 'saved', checkpoint: (await work.done).checkpoint };
    } catch (error) {
      return this.failed(error, task.manifest.step);
    } finally {
      if (this.pending === work) this.pending = undefined;
    }
  }

  saveSync(options: SaveOptions): SaveResult {
    checkSave('saveCheckpointSync', options);
    if (this.host.ended()) return this.late(options);
    this.finishNow();
    let task: SaveTask;
    try {
      task = this.task(options, { copy: false });
    } catch (error) {
      const problem =
        error instanceof TensorsToAwait
          ? new TypeError(
              'kymo: state holds tensors that can be read asynchronously only; await saveCheckpoint(…)',
            )
          : error;
      return this.refused(problem, options);
    }
    try {
      return { kind: 'saved', checkpoint: workNow(this.whole(task)).checkpoint };
    } catch (error) {
      return this.failed(error, task.manifest.step);
    }
  }

  /** Ends a save that is under way, blocking. */
  finishNow(): void {
    const { pending } = this;
    this.pending = undefined;
    pending?.finishNow();
  }

  load(options: LoadOptions): LoadedCheckpoint | undefined {
    checkLoad(options);
    this.finishNow();
    const found = this.find(options);
    if (found === undefined) return undefined;
    const loaded = loadCheckpoint(found.path, found.manifest, {
      serializer: options.serializer ?? this.options.serializer,
      tf: options.tf,
      buffer: options.buffer ?? true,
    });
    const goesOn = this.host.counters.goOn(found.manifest.steps, found.manifest.wall_time);
    // One that is only looked at has nothing to do with what comes.
    if (found.own && goesOn) this.buffer = found.manifest.buffer;
    return loaded;
  }

  private find({
    step,
    best,
    path,
    previousRuns,
  }: LoadOptions): { path: string; manifest: Manifest; own: boolean } | undefined {
    const { host } = this;
    const checkpoints = join(host.dir, CHECKPOINTS_FOLDER);
    const at = (folder: string): { path: string; manifest: Manifest; own: boolean } => {
      const manifest = manifestOf(folder, host.rank);
      if (manifest === undefined) throw missing(folder, host.rank);
      return { path: folder, manifest, own: resolve(folder, '..') === resolve(checkpoints) };
    };
    if (path !== undefined) return at(isAbsolute(path) ? path : resolve(path));
    if (step !== undefined) return at(join(checkpoints, stepFolder(step)));
    if (best) {
      const folder = bestFolder(checkpoints);
      return folder === undefined ? undefined : at(folder);
    }
    const newest = readCheckpoints(checkpoints, host.rank, manifest => isUndone(manifest, host.undone)).at(
      -1,
    );
    if (newest !== undefined) return { ...newest, own: true };
    return previousRuns ? this.findPrevious() : undefined;
  }

  /** The newest earlier run of the project that has one, whatever became of it. */
  private findPrevious(): { path: string; manifest: Manifest; own: boolean } | undefined {
    const { host } = this;
    const runs = findRuns(resolve(host.dir, '..'), { project: host.project });
    for (const run of runs.reverse()) {
      if (run.id === host.id) continue;
      const newest = readCheckpoints(join(run.path, CHECKPOINTS_FOLDER), host.rank, manifest =>
        isUndone(manifest, run.undone),
      ).at(-1);
      if (newest !== undefined) return { ...newest, own: false };
    }
    return undefined;
  }

  private task(options: SaveOptions, how: { copy: boolean; tensors?: TensorValues }): SaveTask {
    const { host } = this;
    const counters = [...host.counters.scopes];
    const step = options.step ?? lastStep(counters);
    const { serializer } = this.options;
    const state = serialize(options.state, 'state', { serializer, ...how });
    let buffer: EncodedValue | SavedBuffer | undefined = this.buffer;
    if (options.buffer !== undefined && this.bufferIsDue(step)) {
      const content: unknown =
        typeof options.buffer === 'function' ? (options.buffer as () => unknown)() : options.buffer;
      if (content !== undefined) buffer = serialize(content, 'buffer', { serializer, ...how });
    }
    return {
      run: host.dir,
      manifest: {
        format: CHECKPOINT_FORMAT,
        run: host.id,
        project: host.project,
        step,
        rank: host.rank,
        attempt: host.attempt,
        // A row of this very step that is there already is not written again.
        resume_step: wasLogged(step, counters) ? step + 1 : step,
        saved: new Date().toISOString(),
        wall_time: Math.round(host.counters.wallTime * 1_000) / 1_000,
        steps: counters.map(([scope, { next, highest }]) => ({ scope, next, highest })),
      },
      state,
      buffer,
      isBest: options.isBest ?? false,
      keep: this.options.keep,
      tell,
    };
  }

  private bufferIsDue(step: number): boolean {
    const every = this.options.bufferEvery ?? 1;
    const last = this.buffer?.step;
    return last === undefined || every === 1 || Math.floor(step / every) !== Math.floor(last / every);
  }

  private *whole(task: SaveTask): Work<Saved> {
    if (!this.tidied) removeHalfWritten(task.run);
    this.tidied = true;
    const saved = yield* saveCheckpoint(task);
    // Here, because whoever waits for the promise may come later than the next save.
    this.buffer = saved.buffer;
    this.newest = saved.checkpoint.step;
    this.announce(saved, task);
    return saved;
  }

  private announce({ checkpoint }: Saved, { manifest, state }: SaveTask): void {
    const attributes: Attributes = {
      [names.ARTIFACT_NAME]: 'checkpoint',
      [names.ARTIFACT_TYPE]: 'checkpoint',
      [names.ARTIFACT_URI]: pathToFileURL(checkpoint.path).href,
      [names.STEP]: checkpoint.step,
      [names.ARTIFACT_METADATA]: {
        path: `${CHECKPOINTS_FOLDER}/${stepFolder(checkpoint.step)}`,
        bytes: checkpoint.bytes,
        serializer: state.serializer,
        wall_time: manifest.wall_time,
        ...(checkpoint.bufferStep !== undefined && { buffer_step: checkpoint.bufferStep }),
      },
    };
    if (checkpoint.isBest) {
      attributes[names.ARTIFACT_BEST] = true;
      attributes[names.ARTIFACT_ALIASES] = ['best'];
    }
    this.host.event({ name: names.EVENT_ARTIFACT, attributes });
  }

  private late({ step }: SaveOptions): SaveResult {
    const { id, counters } = this.host;
    return this.failed(
      new Error(`the run ${id} has finished; save before finish()`),
      step ?? lastStep([...counters.scopes]),
    );
  }

  /** What cannot be encoded is the caller's to mend. */
  private refused(error: unknown, { step }: SaveOptions): SaveResult {
    if (this.host.strict) throw error;
    return this.failed(error, step ?? lastStep([...this.host.counters.scopes]));
  }

  /** A training goes on without a checkpoint, but not without being told. */
  private failed(error: unknown, step: number): SaveResult {
    const problem =
      error instanceof Error || isErrorLike(error) ? (error as Error) : new Error(String(error));
    const kept = this.newest === undefined ? '' : `; the newest is that of step ${this.newest}`;
    tell(`the checkpoint of step ${step} is not saved: ${problem.message.replace(/^kymo: /, '')}${kept}`);
    return { kind: 'failed', error: problem };
  }
}

/** A later attempt went back behind it. */
export function isUndone(
  manifest: Manifest,
  marks: readonly { readonly attempt: number; readonly fromStep: number }[],
): boolean {
  return marks.some(({ attempt, fromStep }) => attempt > manifest.attempt && fromStep < manifest.resume_step);
}

type Counters = readonly (readonly [scope: string, steps: StepCounter])[];

/** Those of the global scope where it has any: other scopes may count something else. */
function leading(counters: Counters): Counters {
  const global = counters.filter(([scope, { highest }]) => scope === names.GLOBAL_SCOPE && highest >= 0);
  return global.length > 0 ? global : counters;
}

function lastStep(counters: Counters): number {
  return Math.max(0, ...leading(counters).map(([, { next, used }]) => (used ? next - 1 : 0)));
}

function wasLogged(step: number, counters: Counters): boolean {
  return leading(counters).some(([, { highest }]) => highest >= step);
}

/** Of another realm. */
function isErrorLike(error: unknown): error is Error {
  return typeof error === 'object' && error !== null && typeof (error as Partial<Error>).message === 'string';
}
