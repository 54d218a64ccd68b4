// Loaded with --import: what `import … from 'kymo'` and `'kymo/history'` mean is in src/, so that examples are tested against the sources and not
// against whatever was built last.
import { registerHooks } from 'node:module';

const entries = {
  kymo: new URL('../../src/index.ts', import.meta.url).href,
  'kymo/history': new URL('../../src/history/index.ts', import.meta.url).href,
};

registerHooks({
  resolve(specifier, context, nextResolve) {
    const url = Object.hasOwn(entries, specifier) ? entries[specifier] : undefined;
    return url === undefined ? nextResolve(specifier, context) : { url, shortCircuit: true };
  },
});
