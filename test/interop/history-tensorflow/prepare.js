// Prepares `@tensorflow/tfjs-node-gpu` in the folder that is given: its addon is compiled against the library in PyPI's TensorFlow, because
// the one that its install script asks for is years old and lies on a server of its own.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const [folder] = process.argv.slice(2);
const TENSORFLOW = 'tensorflow-cpu==2.21.0';
/** Minutes on a slow machine. */
const TIMEOUT_MS = 10 * 60_000;
const addon = path.join(folder, 'node_modules/@tensorflow/tfjs-node-gpu');
const library = path.join(folder, 'python/tensorflow');

fs.copyFileSync(new URL('package.json', import.meta.url), path.join(folder, 'package.json'));
run(folder, 'npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock']);
const python = process.env.KYMO_INTEROP_PYTHON || 'python3';
run(folder, python, ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', 'python', TENSORFLOW]);

fs.mkdirSync(path.join(addon, 'deps/lib'), { recursive: true });
for (const name of ['tensorflow_cc', 'tensorflow_framework'])
  fs.renameSync(path.join(library, `lib${name}.so.2`), path.join(addon, 'deps/lib', `lib${name}.so.2`));
fs.symlinkSync('libtensorflow_cc.so.2', path.join(addon, 'deps/lib/libtensorflow.so'));
fs.symlinkSync('libtensorflow_framework.so.2', path.join(addon, 'deps/lib/libtensorflow_framework.so'));
fs.symlinkSync(path.join(library, 'include'), path.join(addon, 'deps/include'));
// What node-gyp would do, without its download of Node's headers: the addon needs those of Node-API alone.
fs.mkdirSync(path.join(addon, 'lib/napi-v8'), { recursive: true });
run(addon, process.env.CXX || 'c++', [
  ...['-std=c++17', '-O2', '-fPIC', '-shared', '-DNAPI_VERSION=8', '-DNODE_GYP_MODULE_NAME=tfjs_binding'],
  ...['-I..', '-Ideps/include', `-I${path.join(folder, 'node_modules/node-api-headers/include')}`],
  ...['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc', '-o', 'lib/napi-v8/tfjs_binding.node'],
  ...['-Ldeps/lib', '-ltensorflow', '-ltensorflow_framework', '-Wl,-rpath,$ORIGIN/../../deps/lib'],
]);
// The rest of it is as large again.
fs.rmSync(path.join(folder, 'python'), { recursive: true });
fs.rmSync(path.join(addon, 'deps/include'));
fs.writeFileSync(path.join(folder, 'library.txt'), `${TENSORFLOW}\n`);

function run(cwd, command, args) {
  const { error, status, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', timeout: TIMEOUT_MS });
  if (error) fail(`${command} is not there, or too slow (${error.code})`);
  if (status !== 0) {
    const line =
      stderr.split('\n').find(text => /error|not found/i.test(text)) ?? stderr.trim().split('\n').at(-1);
    fail(`${path.basename(command)} ${args[0]} failed: ${line}`);
  }
}

function fail(reason) {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
}
