// Loaded with --import: what `import … from 'kymo'` means is src/index.ts, so that examples are tested against the sources and not
// against whatever was built last.
import { registerHooks } from 'node:module';

const entry = new URL('../../src/index.ts', import.meta.url).href;

registerHooks({
  resolve(specifier, context, nextResolve) {
    return specifier === 'kymo' ? { url: entry, shortCircuit: true } : nextResolve(specifier, context);
  },
});
