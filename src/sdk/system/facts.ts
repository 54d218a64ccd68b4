// What a process runs on and was started with, in OpenTelemetry's attributes: recorded once per run and process.
import os from 'node:os';
import type { Attributes } from '../../otlp/model.ts';
import { gitFacts } from './git.ts';
import { type Gpu, queryGpus } from './nvidia.ts';
import { redactedArguments, redactedEnvironment, withoutCredentials } from './redact.ts';

/** What only the calling thread knows. */
export interface Start {
  readonly argv: readonly string[];
  readonly execArgv: readonly string[];
  /** `NODE_OPTIONS`, which the worker is started without. */
  readonly nodeOptions: string | undefined;
}

/** Never rejects: what cannot be found out is left out. */
export async function systemFacts(start: Start): Promise<Attributes> {
  const [git, gpus] = await Promise.all([gitFacts(process.cwd()).catch(() => ({})), queryGpus()]);
  const facts: Attributes = { ...hostFacts(), ...processFacts(start), ...git };
  if (gpus !== undefined && gpus.length > 0) facts['hw.gpu'] = gpus.map(gpuFacts);
  return facts;
}

function hostFacts(): Attributes {
  const cpus = os.cpus();
  const facts: Attributes = {
    'host.name': os.hostname(),
    'host.arch': ARCHITECTURES[process.arch] ?? process.arch,
    'os.type': process.platform === 'win32' ? 'windows' : process.platform,
    'os.version': os.release(),
    'os.description': os.version(),
    'system.cpu.logical.count': cpus.length,
    'system.memory.limit': os.totalmem(),
  };
  const model = cpus[0]?.model.trim();
  if (model !== undefined && model !== '' && model !== 'unknown') facts['host.cpu.model.name'] = model;
  return facts;
}

/** As OpenTelemetry calls them. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: 'x86', arm: 'arm32' };

function processFacts({ argv, execArgv, nodeOptions }: Start): Attributes {
  const { v8 = '', uv = '', openssl = '' } = process.versions;
  const environment = redactedEnvironment({
    ...process.env,
    ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }),
  });
  const facts: Attributes = {
    'process.pid': process.pid,
    'process.parent_pid': process.ppid,
    'process.executable.path': process.execPath,
    'process.command_args': redactedArguments([argv[0] ?? 'node', ...execArgv, ...argv.slice(1)]),
    'process.working_directory': withoutCredentials(process.cwd()),
    'process.creation.time': new Date(Date.now() - process.uptime() * 1000).toISOString(),
    'process.runtime.name': 'nodejs',
    'process.runtime.version': process.versions.node,
    'process.runtime.description': `Node.js ${process.version}, V8 ${v8}, libuv ${uv}, OpenSSL ${openssl}`,
    'process.environment_variable': environment,
  };
  try {
    facts['process.owner'] = os.userInfo().username;
  } catch {
    // A container's user need not have a name.
  }
  return facts;
}

function gpuFacts({ index, uuid, name, driver, memoryTotalBytes }: Gpu): Attributes {
  const facts: Attributes = { 'hw.id': index, 'hw.name': name, 'hw.vendor': 'NVIDIA' };
  if (uuid !== '') facts['hw.serial_number'] = uuid;
  if (driver !== '') facts['hw.driver_version'] = driver;
  if (memoryTotalBytes !== undefined) facts['hw.gpu.memory.limit'] = memoryTotalBytes;
  return facts;
}
