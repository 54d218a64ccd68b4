// Every attribute, event and metric name of Kymo, once. README.md beside this file says what each one means.

/** Resource: which run, which process. */
export const SERVICE_NAME = 'service.name';
export const SERVICE_INSTANCE_ID = 'service.instance.id';
export const DISTRO_NAME = 'telemetry.distro.name';
export const DISTRO_VERSION = 'telemetry.distro.version';
export const RUN_ID = 'kymo.run.id';
export const RUN_NAME = 'kymo.run.name';
export const RUN_GROUP = 'kymo.run.group';
export const RUN_JOB_TYPE = 'kymo.run.job_type';
export const RUN_TAGS = 'kymo.run.tags';
export const RUN_RESUMED = 'kymo.run.resumed';
export const RUN_ATTEMPT = 'kymo.run.attempt';
export const RUN_RESUME_STEP = 'kymo.run.resume_step';
export const RANK = 'kymo.rank';
export const WORLD_SIZE = 'kymo.world_size';
export const LOCAL_RANK = 'kymo.local_rank';
/** Accepted instead of `kymo.run.id`, in this order. */
export const FOREIGN_RUN_IDS = ['nemo.run.id', 'mlflow.run_id'] as const;

/** Scope: who logs. May stand on span, log record, point, scope or resource; the nearest wins. */
export const SCOPE = 'kymo.scope';
export const GLOBAL_SCOPE = 'global';
export const MODE = 'kymo.mode';
export const DEFAULT_MODE = 'train';
/** A first segment of a metric name that is one of these is its mode. */
export const MODE_SEGMENTS: ReadonlySet<string> = new Set(['train', 'eval', 'val', 'test']);

/** Step and time of a point, in its exemplar's filtered attributes. */
export const STEP = 'kymo.step';
export const USER_TIME = 'kymo.time';
/** Point attributes that are read as the step when the exemplar has none, in this order. */
export const STEP_ATTRIBUTES = [
  'kymo.step',
  'step',
  'global_step',
  'dl.iteration',
  'nv.dl.iteration',
  'nemo_rl/step',
] as const;
/** Companion gauge: the latest step of a scope. Sinks keyed by step ignore it. */
export const STEP_METRIC = 'kymo.step';

/** Events: log records with an event name. */
export const EVENT_ROW = 'kymo.row';
export const ROW_VALUES = 'kymo.row.values';
export const EVENT_RUN_START = 'kymo.run.start';
export const EVENT_RUN_FINISH = 'kymo.run.finish';
export const EVENT_RUN_HEARTBEAT = 'kymo.run.heartbeat';
export const EVENT_RUN_CONFIG = 'kymo.run.config';
export const EVENT_RUN_SUMMARY = 'kymo.run.summary';
export const EVENT_MEDIA = 'kymo.media';
export const EVENT_ARTIFACT = 'kymo.artifact';
export const EVENT_ROLLOUT = 'kymo.rollout';
export const EVENT_EXCEPTION = 'exception';
export const RUN_STATE = 'kymo.run.state';
export const RUN_CONFIG = 'kymo.run.config';
export const RUN_SUMMARY = 'kymo.run.summary';
export const EXIT_CODE = 'process.exit.code';
/** On finish and heartbeat: how many points, logs and spans the process emitted and what it dropped, by reason (maps). */
export const RUN_EMITTED = 'kymo.run.emitted';
export const RUN_DROPPED = 'kymo.run.dropped';

export const EXCEPTION_TYPE = 'exception.type';
export const EXCEPTION_MESSAGE = 'exception.message';
export const EXCEPTION_STACKTRACE = 'exception.stacktrace';
export const CODE_FILE_PATH = 'code.file.path';
export const CODE_LINE_NUMBER = 'code.line.number';
export const ERROR_TYPE = 'error.type';

/** `timings/<name>`: seconds of one timed call; `timings/<name>/hist` once calls are short and many. */
export const TIMINGS_PREFIX = 'timings/';

/** Header (gRPC: metadata) that makes a retry recognisable: `<instance>/<sender>/<signal>/<n>`. */
export const BATCH_HEADER = 'kymo-batch';
/** Response headers of a Kymo collector: which journal took the request, and the journal position after it. */
export const JOURNAL_HEADER = 'kymo-journal';
export const POSITION_HEADER = 'kymo-position';
