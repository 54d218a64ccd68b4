// What a fuzzing thread is told, what it answers, and the words that both threads see.

export interface FuzzTask {
  readonly target: string;
  readonly seed: number;
  readonly endUnixMs: number;
  readonly maxRuns: number;
  readonly corpus: readonly Uint8Array[];
  /** HEADER_WORDS words, then the input that is being tried. */
  readonly shared: SharedArrayBuffer;
}

export const HEADER_WORDS = 2;
export const WORD = { runs: 0, length: 1 } as const;

export type FuzzReport =
  | {
      readonly kind: 'done';
      readonly runs: number;
      /** Inputs that reached ground of their own. */
      readonly pool: number;
      readonly branches: number;
      /** Those of them that are in no corpus yet. */
      readonly found: readonly Uint8Array[];
    }
  | {
      readonly kind: 'finding';
      readonly runs: number;
      readonly bytes: Uint8Array;
      readonly error: string;
      readonly stack: string;
    };
