// Bundles the command line to one file, with what it reads beside it: the build context of the container image.
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const context = join(root, 'deploy/docker/context');

rmSync(context, { recursive: true, force: true });
// As deep as in the package: what is read relative to a module is found from here too.
const outfile = join(context, 'app/dist/cli/kymo.mjs');
const shared = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node22',
  minifySyntax: true,
  legalComments: 'external',
  // Some packages are CommonJS and call `require`.
  banner: {
    js: "import { createRequire as kymoCreateRequire } from 'node:module';\nconst require = kymoCreateRequire(import.meta.url);",
  },
  logLevel: 'warning',
};
await build({ ...shared, entryPoints: [join(root, 'src/cli/kymo.ts')], outfile });
// A thread is a file of its own, found beside the module that starts it.
const THREADS = ['extensions/basicauth/compare-worker', 'extensions/query/query-worker'];
for (const thread of THREADS)
  await build({
    ...shared,
    entryPoints: [join(root, `src/collector/${thread}.ts`)],
    outfile: join(context, 'app/dist/cli', `${basename(thread)}.js`),
  });
const { name, version, license, type } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
writeFileSync(join(context, 'app/package.json'), `${JSON.stringify({ name, version, license, type })}\n`);
cpSync(join(root, 'collector-config'), join(context, 'app/collector-config'), { recursive: true });
cpSync(join(root, 'LICENSE'), join(context, 'app/LICENSE'));
mkdirSync(join(context, 'etc/kymo'), { recursive: true });
cpSync(join(root, 'deploy/docker/config.yaml'), join(context, 'etc/kymo/config.yaml'));
mkdirSync(join(context, 'data'), { recursive: true });
writeFileSync(join(context, 'data/.keep'), '');
console.log(`${outfile}: ${Math.round(statSync(outfile).size / 1024)} KiB`);
