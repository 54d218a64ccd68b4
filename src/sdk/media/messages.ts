// What the worker and the media thread say to each other.

/** To the media thread. */
export type ToThread =
  | {
      readonly kind: 'job';
      readonly number: number;
      /** Which run it belongs to: content is sent once per run. */
      readonly run: number;
      /** See `packJob`. */
      readonly packed: Uint8Array;
    }
  /** The worker has passed on a record of so many bytes. */
  | { readonly kind: 'taken'; readonly bytes: number };

/** From the media thread. */
export type FromThread =
  | {
      readonly kind: 'record';
      readonly number: number;
      readonly bytes: Uint8Array;
      /** 1 for the last record of a job that has gone well: a call counts as one item, however many records it makes. */
      readonly items: 0 | 1;
      /** It can be read again from where it comes: it need not be taken while the network is slow. */
      readonly streamed: boolean;
    }
  | { readonly kind: 'done'; readonly number: number; readonly failed: boolean }
  | { readonly kind: 'tell'; readonly key: string; readonly line: string };
