// Sees which modules a program loads, by `require` and by `import`, in time to instrument them.
import { readFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { dirname, extname, join } from 'node:path';

export interface ModuleWatch {
  /** Modules that are wrapped when they are imported, so that what they export can be replaced. */
  readonly wrapped: readonly string[];
  /** Before a module of this name loads. True: `require` has been hooked by this, and is to be asked again. */
  before(name: string): boolean;
  /** Names of CommonJS modules that are to be seen when they have loaded. */
  readonly seen: ReadonlySet<string>;
  after(name: string, exports: unknown): void;
}

type Require = (this: unknown, id: string) => unknown;
interface Hooks {
  register(options: { include: readonly string[] }): void;
  supportsSyncHooks(): boolean;
}

const require = nodeModule.createRequire(import.meta.url);
/** Hooks that replace what an ES module exports, in the thread itself: needs a Node that takes them. */
const SYNC_HOOKS = 'import-in-the-middle/register-hooks.mjs';
const ASYNC_HOOKS = 'import-in-the-middle/hook.mjs';

/** @param main the program's file; undefined where there is none (`node -e`) */
export function watchModules(watch: ModuleWatch, main: string | undefined): void {
  watchRequire(watch);
  // Hooks stand in the stack of each error of a module that is not found: a CommonJS program does without.
  if (main !== undefined && isModule(main)) watchImport(watch);
}

/** An instrumentation hooks `require` when it loads. The call that made it load must go through that hook as well. */
function watchRequire(watch: ModuleWatch): void {
  const prototype = nodeModule.Module.prototype as unknown as { require: Require };
  const original = prototype.require;
  prototype.require = function watched(this: unknown, id): unknown {
    const isHooked: boolean = typeof id === 'string' && watch.before(id) && prototype.require !== watched;
    const exports: unknown = Reflect.apply(isHooked ? prototype.require : original, this, [id]);
    if (watch.seen.has(id)) watch.after(id, exports);
    return exports;
  };
}

function watchImport(watch: ModuleWatch): void {
  const { registerHooks } = nodeModule as { registerHooks?: typeof nodeModule.registerHooks };
  if (registerHooks === undefined) return;
  if (watch.wrapped.length > 0) hookImports(watch.wrapped);
  registerHooks({
    resolve(specifier, context, next) {
      if (context.conditions?.includes('import') !== true) return next(specifier, context);
      watch.before(specifier);
      // CommonJS loads once, whoever asks: what is required here is what the import gets.
      if (watch.seen.has(specifier) && context.parentURL !== undefined)
        watch.after(specifier, requireQuietly(specifier, context.parentURL));
      return next(specifier, context);
    },
  });
}

function requireQuietly(name: string, parentUrl: string): unknown {
  try {
    return nodeModule.createRequire(parentUrl)(name) as unknown;
  } catch {
    // The import itself will say what is wrong.
    return undefined;
  }
}

function hookImports(modules: readonly string[]): void {
  const include = modules.flatMap(name => (nodeModule.isBuiltin(name) ? [name, `node:${name}`] : [name]));
  const hooks = require(SYNC_HOOKS) as Hooks;
  if (hooks.supportsSyncHooks()) hooks.register({ include });
  else nodeModule.register(ASYNC_HOOKS, import.meta.url, { data: { include } });
}

/** As Node decides it: by the extension, else by the nearest package.json. */
function isModule(file: string): boolean {
  const extension = extname(file);
  if (extension === '.mjs' || extension === '.mts') return true;
  if (extension === '.cjs' || extension === '.cts') return false;
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    try {
      const { type } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { type?: unknown };
      return type === 'module';
    } catch {
      // There is none here, or none that can be read: the next folder up may have one.
    }
    if (dirname(folder) === folder) return false;
  }
}
