// What kymo/register does, in order: declared OpenTelemetry, a run, then what the program prints, loads and starts.
import { createRequire } from 'node:module';
import { init } from '../research/init.ts';
import { environmentValue } from '../semconv/env.ts';
import { tellChildren } from './children.ts';
import { captureConsole } from './console.ts';
import { watchFetch } from './fetch.ts';
import { Instrumentations } from './instrumentations.ts';
import { watchModules } from './modules.ts';
import { readScalarsFromOutput } from './output-scalars.ts';
import { instrumentTfjs, type Tfjs } from './tfjs.ts';

type SdkNode = typeof import('@opentelemetry/sdk-node');

/** Shared by duplicate installs and by --require together with --import: a process is registered once. */
const REGISTERED = Symbol.for('kymo.register.v1');
const TFJS_LAYERS = '@tensorflow/tfjs-layers';

export function start(env: NodeJS.ProcessEnv, tell: (line: string) => void): void {
  const holder = globalThis as { [REGISTERED]?: true };
  if (holder[REGISTERED] === true) return;
  holder[REGISTERED] = true;
  // Kymo's own processes and threads carry the mark; a run inside them would record the recorder.
  if (env.KYMO_INTERNAL === '1' || isTrue(env.OTEL_SDK_DISABLED)) return;
  // Declarative configuration is sdk-node's work: it sets the providers that the file asks for, and Kymo leaves those alone.
  if (env.OTEL_CONFIG_FILE) {
    const require = createRequire(import.meta.url);
    try {
      (require('@opentelemetry/sdk-node') as SdkNode).startNodeSdk();
    } catch (error) {
      tell(`OTEL_CONFIG_FILE is not used: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  init();
  if (environmentValue('KYMO_CONSOLE', env) !== '0') captureConsole();
  if (isTrue(env.KYMO_PARSE_STDOUT)) readScalarsFromOutput();
  tellChildren();
  const instrumentations = new Instrumentations(env, tell);
  watchFetch(() => instrumentations.ready('undici'));
  const watch = {
    wrapped: instrumentations.modules(),
    before: (name: string) => instrumentations.ready(name),
    seen: new Set([TFJS_LAYERS]),
    after: (_name: string, exports: unknown) => {
      if (isLayers(exports)) instrumentTfjs(exports);
    },
  };
  watchModules(watch, process.argv[1]);
}

function isLayers(exports: unknown): exports is Tfjs {
  return typeof exports === 'object' && exports !== null && 'LayersModel' in exports && 'Callback' in exports;
}

/** As people write it in an environment variable. */
export function isTrue(text: string | undefined): boolean {
  return ['1', 'true', 'yes', 'on'].includes(text?.trim().toLowerCase() ?? '');
}
