// The upstream Collector as a peer: the program that the interop tests build, with its file exporter, on the same requests.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, listening, start } from './processes.ts';
import { CACHE } from './python-peers.ts';

const INTEROP = fileURLToPath(new URL('../scripts/interop.js', import.meta.url));
const NAME = 'upstream-collector';

/** The built program, or why there is none. */
export function upstreamProgram(): { readonly program: string } | { readonly missing: string } {
  const made = spawnSync(process.execPath, [INTEROP, NAME, '--prepare-only'], { encoding: 'utf8' });
  const reason = /skipped upstream-collector: (.*)/.exec(made.stdout)?.[1];
  if (reason !== undefined) return { missing: reason };
  const newest = fs
    .readdirSync(CACHE)
    .filter(name => name.startsWith(`${NAME}-`))
    .map(name => path.join(CACHE, name, NAME))
    .filter(program => fs.existsSync(program))
    .sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs)[0];
  return newest === undefined ? { missing: 'it was not built' } : { program: newest };
}

/** Starts it on one core; what it took is in its file once it has stopped. */
export async function startUpstream(
  program: string,
  folder: string,
  prefix: readonly string[],
  format: 'json' | 'proto',
): Promise<{
  readonly pid: number;
  readonly url: string;
  written(): Promise<void>;
  stop(): Promise<unknown>;
}> {
  const port = await freePort();
  const config = path.join(folder, 'upstream.yaml');
  const pipeline = { receivers: ['otlp'], exporters: ['file'] };
  fs.writeFileSync(
    config,
    JSON.stringify({
      receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
      exporters: { file: { path: path.join(folder, 'upstream.out'), format } },
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: { metrics: pipeline, logs: pipeline, traces: pipeline },
      },
    }),
  );
  const collector = start([...prefix, program, '--config', config], {
    cwd: folder,
    // One core, as the other collector has; the runtime would otherwise start threads for both.
    env: prefix.length > 0 ? { GOMAXPROCS: '1' } : {},
  });
  await listening(port, collector);
  return {
    pid: collector.pid,
    url: `http://127.0.0.1:${port}`,
    // Its file exporter writes before it answers.
    written: () => Promise.resolve(),
    stop: collector.stop,
  };
}
