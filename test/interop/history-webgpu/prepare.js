// Prepares WebGPU without a GPU, in the folder that is given: Dawn, TensorFlow.js's backend on it, and a Vulkan driver in software from a
// Debian package (SwiftShader, as Debian's Chromium brings it). Nothing is installed in the system.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const [folder] = process.argv.slice(2);
const DRIVER = ['libvulkan.so.1', 'libvk_swiftshader.so', 'vk_swiftshader_icd.json'];

fs.copyFileSync(new URL('package.json', import.meta.url), path.join(folder, 'package.json'));
// Their install scripts are for other systems than those that this runs on.
run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock']);
run('apt-get', ['download', 'chromium-common']);
const archive = fs.readdirSync(folder).find(name => /^chromium-common_.*\.deb$/.test(name));
run('dpkg-deb', ['-x', archive, 'unpacked']);
fs.mkdirSync(path.join(folder, 'driver'));
for (const name of DRIVER)
  fs.copyFileSync(path.join(folder, 'unpacked/usr/lib/chromium', name), path.join(folder, 'driver', name));
fs.rmSync(path.join(folder, 'unpacked'), { recursive: true });
fs.rmSync(path.join(folder, archive));

function run(command, args) {
  const { error, status, stderr } = spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
  if (error) fail(`${command} is not there (${error.code})`);
  if (status !== 0) fail(`${command} ${args[0]} failed: ${stderr.trim().split('\n').at(-1)}`);
}

function fail(reason) {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
}
