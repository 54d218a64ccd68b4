// Prepares the programs that the interop tests speak to (Python environments, Go builds, npm packages) in a cache outside the repository, and runs the tests.
//
// A peer is a folder of test/interop/ with a requirements.txt (made into a Python virtual environment), a go.mod (built into a
// program), a prepare.js (which fills a folder) or a package.json (installed into a folder). A peer that cannot be prepared is skipped, and
// its reason printed at the end.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const HELP = `usage: npm run test:interop [-- [PATTERN …] [--strict] [--prepare-only] [jest options]]

  PATTERN          only peers and tests whose path has this in it: npm run test:interop -- otel-go
  --strict         a peer that cannot be prepared fails the run (also: KYMO_INTEROP_STRICT=1)
  --prepare-only   prepare the peers, run nothing

The cache is $KYMO_INTEROP_CACHE, by default ~/.cache/kymo-interop; it may be removed at any time.
Needed: python3 with venv for the Python peers, go for the Go peers, npm, apt-get and a C++ compiler for histories' devices, and their
package registries. Without one, its peers are skipped.
`;
/** A build on a slow machine, the first time. */
const PREPARE_TIMEOUT_MS = 15 * 60_000;

const root = fileURLToPath(new URL('..', import.meta.url));
const peersFolder = path.join(root, 'test', 'interop');
/** Peers that stand elsewhere, by the name that tests call them. */
const OTHER_PEERS = { 'example-go': path.join(root, 'examples', 'other-languages', 'go') };
const cache = path.resolve(
  process.env.KYMO_INTEROP_CACHE || path.join(os.homedir(), '.cache', 'kymo-interop'),
);

const args = process.argv.slice(2);
if (args.includes('--help')) {
  process.stdout.write(HELP);
  process.exit(0);
}
const strict = take('--strict') || process.env.KYMO_INTEROP_STRICT === '1';
const prepareOnly = take('--prepare-only');
const patterns = args.filter(arg => !arg.startsWith('-'));

const peers = prepareAll();
const skipped = Object.entries(peers).filter(([, peer]) => peer.kind === 'skipped');
let code = 0;
if (!prepareOnly) code = runTests();
for (const [name, { reason }] of skipped) say(`skipped ${name}: ${reason}`);
if (skipped.length === 0) say(`every peer was there: ${Object.keys(peers).join(', ') || 'none needed'}`);
if (code === 0 && strict && skipped.length > 0) code = 1;
process.exit(code);

function take(option) {
  const at = args.indexOf(option);
  if (at >= 0) args.splice(at, 1);
  return at >= 0;
}

function prepareAll() {
  const prepared = {};
  for (const name of [...fs.readdirSync(peersFolder), ...Object.keys(OTHER_PEERS)].sort()) {
    const folder = OTHER_PEERS[name] ?? path.join(peersFolder, name);
    const prepare = recipeFor(folder);
    if (prepare === undefined || !isWanted(name)) continue;
    try {
      prepared[name] = { kind: 'ready', program: prepare(name, folder) };
    } catch (error) {
      prepared[name] = { kind: 'skipped', reason: error.message };
    }
  }
  return prepared;
}

function recipeFor(folder) {
  if (fs.existsSync(path.join(folder, 'requirements.txt'))) return preparePython;
  if (fs.existsSync(path.join(folder, 'go.mod'))) return prepareGo;
  if (fs.existsSync(path.join(folder, 'prepare.js'))) return prepareFolder;
  if (fs.existsSync(path.join(folder, 'package.json'))) return prepareNpm;
  return undefined;
}

/** A pattern that names no peer at all may be part of a test's name: then every peer is prepared. */
function isWanted(name) {
  const folders = fs.readdirSync(peersFolder);
  const named = patterns.filter(pattern =>
    folders.some(folder => pattern.includes(folder) || folder.includes(pattern)),
  );
  if (named.length === 0 || named.length < patterns.length) return true;
  // The examples' tests use what otel-python needs, and a program of their own.
  if (
    ['otel-python', 'example-go'].includes(name) &&
    named.some(pattern => 'other-languages'.includes(pattern))
  )
    return true;
  // The upstream Collector's tests use telemetrygen too.
  if (name === 'telemetrygen' && named.some(pattern => 'upstream-collector'.includes(pattern))) return true;
  return named.some(pattern => pattern.includes(name) || name.includes(pattern));
}

/** @returns the environment's interpreter */
function preparePython(name, folder) {
  const python = process.env.KYMO_INTEROP_PYTHON || 'python3';
  const version = output(python, ['-c', 'import sys, platform; print(sys.version, platform.machine())']);
  const requirements = path.join(folder, 'requirements.txt');
  const environment = cacheFolder(name, [version, fs.readFileSync(requirements)]);
  const program = path.join(environment, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  once(environment, () => {
    say(`preparing ${name}: a Python environment in ${environment}`);
    check(python, ['-m', 'venv', environment], {});
    check(
      program,
      ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '-r', requirements],
      {},
    );
  });
  return program;
}

/** @returns the built program: the folder's main package, or the tool that its go.mod names */
function prepareGo(name, folder) {
  const version = output('go', ['env', 'GOVERSION', 'GOOS', 'GOARCH']);
  const sources = fs
    .readdirSync(folder)
    .filter(file => /\.go$|^go\.(mod|sum)$/.test(file))
    .sort();
  const built = cacheFolder(name, [
    version,
    ...sources.map(file => fs.readFileSync(path.join(folder, file))),
  ]);
  const program = path.join(built, process.platform === 'win32' ? `${name}.exe` : name);
  const tool = /^tool (\S+)$/m.exec(fs.readFileSync(path.join(folder, 'go.mod'), 'utf8'))?.[1];
  once(built, () => {
    say(`preparing ${name}: go build ${tool ?? '.'} (the first time this takes minutes)`);
    const env = {
      CGO_ENABLED: '0',
      GOWORK: 'off',
      GOFLAGS: `${process.env.GOFLAGS ?? ''} -mod=readonly`.trim(),
    };
    check('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', program, tool ?? '.'], { cwd: folder, env });
  });
  return program;
}

/** @returns the folder that holds the package's node_modules */
function prepareNpm(name, folder) {
  const manifest = fs.readFileSync(path.join(folder, 'package.json'));
  const installed = cacheFolder(name, [process.platform, process.arch, manifest]);
  once(installed, () => {
    say(`preparing ${name}: npm install in ${installed}`);
    fs.writeFileSync(path.join(installed, 'package.json'), manifest);
    check('npm', ['install', '--no-audit', '--no-fund'], { cwd: installed, env: {} });
  });
  return installed;
}

/** @returns the folder that the peer's own program has filled */
function prepareFolder(name, folder) {
  const program = path.join(folder, 'prepare.js');
  const parts = fs.readdirSync(folder).filter(file => /\.js(on)?$/.test(file));
  const made = cacheFolder(name, [
    process.version,
    ...parts.sort().map(file => fs.readFileSync(path.join(folder, file))),
  ]);
  once(made, () => {
    say(`preparing ${name}: in ${made}`);
    check(process.execPath, [program, made], {});
  });
  return made;
}

/** One folder per state of what it is made from: a changed version never meets an old build. */
function cacheFolder(name, parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return path.join(cache, `${name}-${hash.digest('hex').slice(0, 16)}`);
}

/** Runs `make` unless the folder was finished before; what a broken run left is removed first. */
function once(folder, make) {
  const done = path.join(folder, '.complete');
  if (fs.existsSync(done)) return;
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  make();
  fs.writeFileSync(done, '');
}

function output(command, commandArgs) {
  const result = spawnSync(command, commandArgs, { encoding: 'utf8' });
  if (result.error) throw new Error(`${command} is not there (${result.error.code})`);
  if (result.status !== 0) throw new Error(`${command} does not work: ${lastLine(result.stderr)}`);
  return result.stdout;
}

function check(command, commandArgs, { cwd, env }) {
  const result = spawnSync(command, commandArgs, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: PREPARE_TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (result.error) throw new Error(`${command} ${commandArgs[0]}: ${result.error.message}`);
  if (result.status === 0) return;
  process.stderr.write(result.stderr);
  throw new Error(`${command} ${commandArgs.slice(0, 3).join(' ')} failed: ${lastLine(result.stderr)}`);
}

function lastLine(text) {
  return text.trim().split('\n').at(-1) ?? '';
}

function runTests() {
  const jest = spawnSync(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      path.join(root, 'node_modules', 'jest', 'bin', 'jest.js'),
      '--config',
      path.join(peersFolder, 'jest.config.js'),
      ...args,
    ],
    { cwd: root, stdio: 'inherit', env: { ...process.env, KYMO_INTEROP_PEERS: JSON.stringify(peers) } },
  );
  return jest.status ?? 1;
}

function say(line) {
  process.stdout.write(`interop: ${line}\n`);
}
