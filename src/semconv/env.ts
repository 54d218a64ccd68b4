// Every environment variable that sets something in Kymo, once: the SDK and the collector read theirs through here, and `kymo env` prints it.
// Those of other programs (WANDB_*, NETRC, NO_COLOR, FORCE_COLOR) are read where they are needed, as those programs read them.
import type { Environment } from './local.ts';

export interface EnvironmentVariable {
  readonly name: string;
  readonly meaning: string;
  /** What holds when it is unset, as text for people; empty where there is nothing to say. */
  readonly otherwise: string;
  /** Who reads it. `internal` ones pass between Kymo's own processes. */
  readonly reader: 'sdk' | 'collector' | 'both' | 'internal';
  /** Its value may be a secret and is never printed. */
  readonly secret?: true;
}

export const ENVIRONMENT = [
  {
    name: 'KYMO_ENDPOINT',
    meaning: 'URL of the collector to send to, instead of one that Kymo starts itself',
    otherwise: 'OTEL_EXPORTER_OTLP_ENDPOINT, else the embedded collector',
    reader: 'sdk',
  },
  {
    name: 'KYMO_HEADERS',
    meaning: 'Headers of every request to KYMO_ENDPOINT, `key=value,key=value`',
    otherwise: 'OTEL_EXPORTER_OTLP_HEADERS',
    reader: 'sdk',
    secret: true,
  },
  {
    name: 'KYMO_DIR',
    meaning: 'The project folder: holds `.kymo`, and relative folders of exporters start there',
    otherwise: 'nearest ancestor of the working directory with .kymo, package.json or .git',
    reader: 'both',
  },
  {
    name: 'KYMO_EXPORTERS',
    meaning: 'What the embedded collector writes, a list such as `jsonl,tensorboard,./my-exporter.js`',
    otherwise: 'jsonl,tensorboard',
    reader: 'collector',
  },
  {
    name: 'KYMO_CONFIG',
    meaning: 'Configuration file of the embedded collector',
    otherwise: 'collector-config/default.yaml of the package',
    reader: 'collector',
  },
  {
    name: 'KYMO_COLLECTOR_LINGER_MS',
    meaning: 'How long the embedded collector waits for another client after its last one has gone',
    otherwise: '2000',
    reader: 'collector',
  },
  {
    name: 'KYMO_MODE',
    meaning: '`disabled` turns every call of the research API into nothing',
    otherwise: 'online',
    reader: 'sdk',
  },
  {
    name: 'KYMO_QUIET',
    meaning: '`1` prints no lines about runs and delivery',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'KYMO_PROJECT',
    meaning: 'Project of the run',
    otherwise: "OTEL_SERVICE_NAME, else the name in package.json, else the folder's name",
    reader: 'sdk',
  },
  {
    name: 'KYMO_RUN_ID',
    meaning: 'Id of the run that `init` joins; set for the processes that a run starts',
    otherwise: 'a new id',
    reader: 'sdk',
  },
  {
    name: 'KYMO_RUN_NAME',
    meaning: 'Name of the run for people',
    otherwise: 'the id',
    reader: 'sdk',
  },
  {
    name: 'KYMO_RUN_GROUP',
    meaning: 'Group of the run',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'KYMO_JOB_TYPE',
    meaning: 'What kind of work the run is (train, eval, …)',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'KYMO_TAGS',
    meaning: 'Tags of the run, a JSON list or `a,b`',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'KYMO_RUN_ATTEMPT',
    meaning: 'Which attempt at the run this is; set for the processes that a run starts',
    otherwise: '1, one more per resume',
    reader: 'sdk',
  },
  {
    name: 'KYMO_RANK',
    meaning: 'Rank of this process among those of the run',
    otherwise: 'RANK, SLURM_PROCID, OMPI_COMM_WORLD_RANK',
    reader: 'sdk',
  },
  {
    name: 'KYMO_WORLD_SIZE',
    meaning: 'Number of processes of the run',
    otherwise: 'WORLD_SIZE, SLURM_NTASKS, OMPI_COMM_WORLD_SIZE',
    reader: 'sdk',
  },
  {
    name: 'KYMO_LOCAL_RANK',
    meaning: 'Rank of this process on its machine',
    otherwise: 'LOCAL_RANK, SLURM_LOCALID, OMPI_COMM_WORLD_LOCAL_RANK',
    reader: 'sdk',
  },
  {
    name: 'KYMO_CAPTURE_CALLER',
    meaning: '`0` leaves out the file and line of each text line',
    otherwise: '1',
    reader: 'sdk',
  },
  {
    name: 'KYMO_HANDLERS',
    meaning:
      'Modules of in-process handlers to load when a run starts, `./a.js,./b.js`; set for the processes that a run starts',
    otherwise: 'no handlers but those that the program attaches',
    reader: 'sdk',
  },
  {
    name: 'KYMO_STEP_AS',
    meaning: '`attribute` writes the step as a point attribute too, for backends that drop exemplars',
    otherwise: 'exemplar',
    reader: 'sdk',
  },
  {
    name: 'KYMO_OVERFLOW',
    meaning: '`block` waits (bounded) when the recorder is full, `drop` drops and counts',
    otherwise: 'block',
    reader: 'sdk',
  },
  {
    name: 'KYMO_ASYNC',
    meaning: '`0` makes each logging call return only when what it logged is delivered, at most 5 s',
    otherwise: '1: calls return at once',
    reader: 'sdk',
  },
  {
    name: 'KYMO_BLOCK_MAX_MS',
    meaning: 'Longest wait of one call when the recorder is full',
    otherwise: '1000',
    reader: 'sdk',
  },
  {
    name: 'KYMO_EXIT_TIMEOUT_MS',
    meaning:
      'Longest wait for delivery when the process ends; what is left stays in the spool. It begins anew while a file moves',
    otherwise: '10000',
    reader: 'sdk',
  },
  {
    name: 'KYMO_RING_MIB',
    meaning: 'Memory shared by the calling thread and the worker',
    otherwise: '16',
    reader: 'sdk',
  },
  {
    name: 'KYMO_MEMORY_MIB',
    meaning: 'Memory for batches that are not acknowledged; beyond it they are read back from the spool',
    otherwise: '64',
    reader: 'sdk',
  },
  {
    name: 'KYMO_MEDIA_MEMORY_MIB',
    meaning:
      'Memory for images, videos and other media that are being encoded; beyond it KYMO_OVERFLOW holds',
    otherwise: '256',
    reader: 'sdk',
  },
  {
    name: 'KYMO_FFMPEG',
    meaning: 'The ffmpeg program, which makes MP4 of videos',
    otherwise: 'ffmpeg on the PATH',
    reader: 'sdk',
  },
  {
    name: 'KYMO_SPOOL_MAX_MIB',
    meaning: "Largest size of one process's spool",
    otherwise: '4096',
    reader: 'sdk',
  },
  {
    name: 'KYMO_SPOOL_MAX_AGE_DAYS',
    meaning: 'Age at which what a dead process left is no longer delivered',
    otherwise: '14',
    reader: 'sdk',
  },
  {
    name: 'KYMO_OTLP_BRIDGE',
    meaning:
      'Set by kymo run: the OTEL_EXPORTER_OTLP_ENDPOINT that leads to the embedded collector, for programs that do not use Kymo',
    otherwise: '',
    reader: 'internal',
  },
  {
    name: 'KYMO_SYSTEM_METRICS',
    meaning: 'Seconds between two measurements of CPU, memory, event loop and GPU; `0` measures nothing',
    otherwise: '10',
    reader: 'sdk',
  },
  {
    name: 'KYMO_SYSTEM_FACTS',
    meaning:
      '`0` does not record host, arguments, environment (both without secrets), commit and GPUs of a run',
    otherwise: '1',
    reader: 'sdk',
  },
  {
    name: 'KYMO_INTERNAL',
    meaning: 'Set in processes that Kymo starts for itself; instrumentation stays off there',
    otherwise: '',
    reader: 'internal',
  },
  {
    name: 'OTEL_SDK_DISABLED',
    meaning: '`true` turns the SDK off',
    otherwise: 'false',
    reader: 'sdk',
  },
  {
    name: 'OTEL_CONFIG_FILE',
    meaning: 'Declarative configuration that kymo/register hands to OpenTelemetry',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'OTEL_SERVICE_NAME',
    meaning: 'Project of the run where neither `init` nor KYMO_PROJECT names one',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'OTEL_RESOURCE_ATTRIBUTES',
    meaning: 'Further resource attributes, `key=value,key=value`',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    meaning: 'URL of any OTLP collector; paths are appended',
    otherwise: 'the embedded collector',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    meaning: 'Full URL for traces',
    otherwise: 'OTEL_EXPORTER_OTLP_ENDPOINT + /v1/traces',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT',
    meaning: 'Full URL for metrics',
    otherwise: 'OTEL_EXPORTER_OTLP_ENDPOINT + /v1/metrics',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_LOGS_ENDPOINT',
    meaning: 'Full URL for logs',
    otherwise: 'OTEL_EXPORTER_OTLP_ENDPOINT + /v1/logs',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_HEADERS',
    meaning:
      'Headers of every request, `key=value,key=value`; OTEL_EXPORTER_OTLP_METRICS_HEADERS, LOGS_ and TRACES_ go before it',
    otherwise: '',
    reader: 'sdk',
    secret: true,
  },
  {
    name: 'OTEL_EXPORTER_OTLP_PROTOCOL',
    meaning: 'Only http/protobuf is sent; `grpc` is answered with a warning',
    otherwise: 'http/protobuf',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_COMPRESSION',
    meaning:
      '`gzip` or `none`; a Kymo collector gets what pays; OTEL_EXPORTER_OTLP_METRICS_COMPRESSION, LOGS_ and TRACES_ go before it',
    otherwise: 'none',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_TIMEOUT',
    meaning:
      'Longest wait for the answer to one request, in ms; OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, LOGS_ and TRACES_ go before it',
    otherwise: '10000',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_CERTIFICATE',
    meaning:
      "PEM file of the authorities that the collector's certificate is checked against; OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE, LOGS_ and TRACES_ go before it",
    otherwise: "the system's",
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE',
    meaning:
      "PEM file of this client's own certificate; OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE, LOGS_ and TRACES_ go before it",
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'OTEL_EXPORTER_OTLP_CLIENT_KEY',
    meaning:
      "PEM file of that certificate's key; OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY, LOGS_ and TRACES_ go before it",
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'OTEL_NODE_ENABLED_INSTRUMENTATIONS',
    meaning: "With kymo/register: only these of OpenTelemetry's instrumentations, `http,pg`",
    otherwise: 'all that the program has a use for',
    reader: 'sdk',
  },
  {
    name: 'OTEL_NODE_DISABLED_INSTRUMENTATIONS',
    meaning: 'With kymo/register: none of these',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'KYMO_CONSOLE',
    meaning: 'With kymo/register: `0` leaves what the program prints with console.* out of the run',
    otherwise: '1',
    reader: 'sdk',
  },
  {
    name: 'KYMO_PARSE_STDOUT',
    meaning:
      'With kymo/register or kymo run: `1` makes scalars of lines such as `step 100 loss=0.42` or `{"step":100,"loss":0.42}`',
    otherwise: '0',
    reader: 'sdk',
  },
  {
    name: 'KYMO_TFJS_EVERY',
    meaning: 'With TensorFlow.js: record every n-th batch',
    otherwise: '1',
    reader: 'sdk',
  },
  {
    name: 'KYMO_TFJS_WEIGHTS',
    meaning: 'With TensorFlow.js: `1` records the weights as histograms after each epoch',
    otherwise: '0',
    reader: 'sdk',
  },
  {
    name: 'OTEL_METRIC_EXPORT_INTERVAL',
    meaning: 'How often instruments of the OpenTelemetry metrics API are read, in ms',
    otherwise: '10000',
    reader: 'sdk',
  },
  {
    name: 'OTEL_TRACES_SAMPLER',
    meaning: 'Which traces are recorded, as OpenTelemetry names samplers',
    otherwise: 'every trace',
    reader: 'sdk',
  },
  {
    name: 'OTEL_TRACES_SAMPLER_ARG',
    meaning: 'Argument of the sampler, such as a ratio',
    otherwise: '1',
    reader: 'sdk',
  },
  {
    name: 'WANDB_API_KEY',
    meaning: 'Key of Weights & Biases for the exporter `wandb` and `kymo sync`',
    otherwise: 'that of the server in netrc',
    reader: 'collector',
    secret: true,
  },
  {
    name: 'WANDB_BASE_URL',
    meaning: 'URL of a self-hosted W&B server',
    otherwise: 'the cloud',
    reader: 'collector',
  },
  {
    name: 'WANDB_MODE',
    meaning: '`online`, `offline` or `disabled`: what the exporter `wandb` does',
    otherwise: 'online where there is a key, else offline',
    reader: 'collector',
  },
  {
    name: 'WANDB_ENTITY',
    meaning: 'User or team that runs belong to in W&B',
    otherwise: 'that of the key',
    reader: 'collector',
  },
  {
    name: 'WANDB_PROJECT',
    meaning: 'Project of runs in W&B',
    otherwise: 'that of the run',
    reader: 'collector',
  },
  {
    name: 'WANDB_RUN_GROUP',
    meaning: 'Group in W&B of runs that name none',
    otherwise: '',
    reader: 'collector',
  },
  {
    name: 'WANDB_JOB_TYPE',
    meaning: 'Job type in W&B of runs that name none',
    otherwise: '',
    reader: 'collector',
  },
  {
    name: 'WANDB_TAGS',
    meaning: "Tags in W&B beside the run's own, `a,b`",
    otherwise: '',
    reader: 'collector',
  },
  {
    name: 'WANDB_NOTES',
    meaning: 'Notes of runs in W&B',
    otherwise: '',
    reader: 'collector',
  },
  {
    name: 'WANDB_DIR',
    meaning: 'Folder in which the exporter `wandb` makes `wandb/`',
    otherwise: 'the project folder',
    reader: 'collector',
  },
  {
    name: 'WANDB_RESUME',
    meaning: 'What becomes of a run id that the W&B server has already: `allow`, `must` or `never`',
    otherwise: 'allow',
    reader: 'collector',
  },
  {
    name: 'NETRC',
    meaning: 'File to look for the key of a W&B server in',
    otherwise: '~/.netrc, ~/_netrc',
    reader: 'collector',
  },
  {
    name: 'NO_COLOR',
    meaning: 'Anything but nothing: no colours on a terminal',
    otherwise: '',
    reader: 'sdk',
  },
  {
    name: 'FORCE_COLOR',
    meaning:
      'Console of the research API: `0` or `false` for no colours, anything else for colours also without a terminal; goes before NO_COLOR',
    otherwise: '',
    reader: 'sdk',
  },
] as const satisfies readonly EnvironmentVariable[];

export type EnvironmentName = (typeof ENVIRONMENT)[number]['name'];

/** A variable's value; undefined when it is unset or empty, which the OpenTelemetry specification treats alike. */
export function environmentValue(
  name: EnvironmentName,
  environment: Environment = process.env,
): string | undefined {
  const value = environment[name]?.trim();
  return value === '' ? undefined : value;
}

/** The collector that the environment names; undefined for the embedded one, which is what a bridge to it means too. */
export function namedEndpoint(environment: Environment = process.env): string | undefined {
  const named =
    environmentValue('KYMO_ENDPOINT', environment) ??
    environmentValue('OTEL_EXPORTER_OTLP_ENDPOINT', environment);
  return named === environmentValue('KYMO_OTLP_BRIDGE', environment) ? undefined : named;
}
