// The targets, by name.
import type { Target } from './target.ts';

const MODULES: Readonly<Record<string, () => Promise<{ readonly target: Target }>>> = {
  'otlp-protobuf': () => import('./targets/otlp-protobuf.ts'),
  'otlp-json': () => import('./targets/otlp-json.ts'),
  journal: () => import('./targets/journal.ts'),
  config: () => import('./targets/config.ts'),
  inflate: () => import('./targets/inflate.ts'),
  'run-json': () => import('./targets/run-json.ts'),
  secrets: () => import('./targets/secrets.ts'),
};
/** With mistakes in them on purpose: they show that mistakes are found. */
const PLANTED: typeof MODULES = {
  'planted-crash': () => import('./targets/planted-crash.ts'),
  'planted-hang': () => import('./targets/planted-hang.ts'),
};

export const TARGETS: readonly string[] = Object.keys(MODULES);

/** Throws for a name that nobody has. */
export async function targetOf(name: string): Promise<Target> {
  const load = MODULES[name] ?? PLANTED[name];
  if (load === undefined) throw new Error(`no target ${name}; there are ${TARGETS.join(', ')}`);
  return (await load()).target;
}
