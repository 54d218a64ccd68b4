// How far a session's log has been uploaded: beside the log, so that whoever uploads it next goes on there.
import path from 'node:path';
import { confinedRead, confinedReplace } from '../../../runs/confined.ts';

export const UPLOAD_FILE = '.kymo-upload.json';
const FORMAT = 1;
const MAX_BYTES = 16 * 1024 * 1024;

/** Lines that the server had before this session, and what a resumed run goes on from. */
export interface Base {
  readonly history: number;
  readonly events: number;
  readonly output: number;
  readonly lastStep: number;
  /** Seconds. */
  readonly runtime: number;
}
export interface UploadState {
  readonly format: typeof FORMAT;
  readonly baseUrl: string;
  readonly entity: string;
  readonly project: string;
  readonly name: string;
  readonly storageId: string;
  readonly base: Base;
  /** Everything before it in the log has reached the server. */
  readonly offset: number;
  /** Lines that the server has after it, in all. */
  readonly lines: { readonly history: number; readonly events: number; readonly output: number };
  /** Entries of the configuration that the server had and the log has not. */
  readonly kept: Readonly<Record<string, unknown>>;
  /** Files of the run that are still to be uploaded. */
  readonly files: readonly string[];
  /** The server knows how the session ended. */
  readonly done: boolean;
}

/** Undefined when there is none, or none that can be read. */
export function readUploadState(root: string, directory: string): UploadState | undefined {
  const content = confinedRead(root, [directory, UPLOAD_FILE], MAX_BYTES);
  if (content === undefined) return undefined;
  let state: UploadState;
  try {
    state = JSON.parse(content.toString()) as UploadState;
  } catch (cause) {
    throw new Error(
      `${path.join(root, directory, UPLOAD_FILE)}: is damaged; without it rows could come twice`,
      {
        cause,
      },
    );
  }
  if (state.format !== FORMAT)
    throw new Error(`${path.join(root, directory, UPLOAD_FILE)}: is of another version of Kymo`);
  return state;
}

export function writeUploadState(
  root: string,
  directory: string,
  state: Omit<UploadState, 'format'>,
): Promise<void> {
  return confinedReplace(root, [directory, UPLOAD_FILE], JSON.stringify({ format: FORMAT, ...state }));
}
