// What `init` and the readers of run folders throw when a folder is not what they need.

export type RunProblem =
  | 'no_such_run'
  | 'run_exists'
  | 'still_written'
  | 'config_changed'
  | 'broken_file'
  | 'foreign_folder'
  | 'newer_format';

export class RunError extends Error {
  override readonly name = 'RunError';
  readonly code: RunProblem;
  /** The file or folder that is the trouble. */
  readonly path: string;
  constructor(code: RunProblem, path: string, message: string, cause?: unknown) {
    super(`kymo: ${message}`, { cause });
    this.code = code;
    this.path = path;
  }
}
