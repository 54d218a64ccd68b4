// Which run a piece of telemetry belongs to, and what sinks call its series. Types; resolve.ts does it.

/** A run id as its sender wrote it, checked for length only. Never part of a path: `Run.folder` is. */
export type RunId = string & { readonly __brand: 'RunId' };
/** One path segment, safe on every file system; made from a run id by folder.ts only. */
export type RunFolder = string & { readonly __brand: 'RunFolder' };

/** One process's view of one run. Equal (id, instance) share one object for as long as the collector keeps it. */
export interface Run {
  readonly id: RunId;
  readonly folder: RunFolder;
  readonly project: string;
  readonly name: string;
  readonly group: string;
  readonly jobType: string;
  readonly tags: readonly string[];
  /** `service.instance.id`; empty when the sender gives none. */
  readonly instance: string;
  readonly rank: number;
  readonly attempt: number;
}

/** A series as sinks without labels see it (decisions 15 and 16). */
export interface ResolvedSeries {
  readonly run: Run;
  readonly scope: string;
  readonly mode: string;
  /** `[<scope>/][<mode>/]<name>[/<k>=<v>]…[/rank=N]`; see resolve.ts. */
  readonly sinkName: string;
  /** True for the companion gauge `kymo.step`, which sinks keyed by step ignore. */
  readonly companion: boolean;
}
