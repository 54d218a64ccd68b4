// Runs a program of the system for its output, briefly and quietly: one that is not there, fails or hangs has none.
import { execFile } from 'node:child_process';

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

export type CommandResult =
  | { readonly kind: 'output'; readonly text: string }
  /** The program is not there: it need not be asked again. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed' }
  /** There was more than `maxBytes`; what came before. */
  | { readonly kind: 'cut'; readonly text: string };

/** Never rejects. Nothing waits for the child: it is killed when it takes too long. */
export function run(
  program: string,
  args: readonly string[],
  { cwd, env = process.env, timeoutMs, maxBytes }: CommandOptions,
): Promise<CommandResult> {
  return new Promise(resolve => {
    try {
      const child = execFile(
        program,
        [...args],
        {
          ...(cwd === undefined ? {} : { cwd }),
          env,
          timeout: timeoutMs,
          killSignal: 'SIGKILL',
          maxBuffer: maxBytes,
          encoding: 'utf8',
          windowsHide: true,
        },
        (error, stdout) => {
          if (error === null) resolve({ kind: 'output', text: stdout });
          else if (error.code === 'ENOENT') resolve({ kind: 'absent' });
          else if ((error.code as unknown) === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER')
            resolve({ kind: 'cut', text: stdout });
          else resolve({ kind: 'failed' });
        },
      );
      child.stdin?.end();
    } catch {
      resolve({ kind: 'failed' });
    }
  });
}
