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
export const EVENT_EVALUATION = 'gen_ai.evaluation.result';
/** How a metric is to be read: step axis and summary of names that match a pattern. */
export const EVENT_METRIC = 'kymo.metric.definition';
/** A raw measurement that is aggregated, not drawn: name, value and what goes with it. */
export const EVENT_RAW = 'kymo.event';
export const RAW_NAME = 'kymo.event.name';
export const RAW_VALUE = 'kymo.event.value';
/** A map. */
export const RAW_CONTEXT = 'kymo.event.context';
export const EVENT_EXCEPTION = 'exception';
export const RUN_STATE = 'kymo.run.state';
export const RUN_CONFIG = 'kymo.run.config';
export const RUN_SUMMARY = 'kymo.run.summary';
export const EXIT_CODE = 'process.exit.code';
/** On finish and heartbeat: how many points, logs and spans the process emitted and what it dropped, by reason (maps). */
export const RUN_EMITTED = 'kymo.run.emitted';
export const RUN_DROPPED = 'kymo.run.dropped';

/** What a process runs on and was started with, once per run and process, in OpenTelemetry's attributes (host, process, vcs, hw). */
export const EVENT_RUN_SYSTEM = 'kymo.run.system';
/** The scope (`kymo.scope`) and the logger of it, and of what is measured of the process and its machine. */
export const SYSTEM_SCOPE = 'system';
export const SYSTEM_LOGGER = 'kymo.system';
export const VCS_DIRTY = 'kymo.vcs.dirty';
/** What git has not committed, secrets left out. */
export const VCS_DIFF = 'kymo.vcs.diff';
export const VCS_DIFF_CUT = 'kymo.vcs.diff.cut';

/** Media and artifacts: bytes in one record, or in several chunks that are whole only together. */
export const MEDIA_NAME = 'kymo.media.name';
export const MEDIA_KIND = 'kymo.media.kind';
export const MEDIA_MIME_TYPE = 'kymo.media.mime_type';
export const MEDIA_SHA256 = 'kymo.media.sha256';
export const MEDIA_SIZE = 'kymo.media.size';
export const MEDIA_WIDTH = 'kymo.media.width';
export const MEDIA_HEIGHT = 'kymo.media.height';
export const MEDIA_FRAMES = 'kymo.media.frames';
export const MEDIA_FPS = 'kymo.media.fps';
export const MEDIA_CAPTION = 'kymo.media.caption';
export const MEDIA_CONTENT = 'kymo.media.content';
export const MEDIA_CHUNK_INDEX = 'kymo.media.chunk.index';
export const MEDIA_CHUNK_COUNT = 'kymo.media.chunk.count';
/** Further facts about one piece of media that its kind defines (columns of a table, colours of a quiver), as a map. */
export const MEDIA_METADATA = 'kymo.media.metadata';
export const MEDIA_KINDS = [
  'image',
  'video',
  'audio',
  'vector_field',
  'trajectories',
  'point_cloud',
  'table',
  'html',
  'text',
] as const;
export const ARTIFACT_NAME = 'kymo.artifact.name';
export const ARTIFACT_TYPE = 'kymo.artifact.type';
export const ARTIFACT_URI = 'kymo.artifact.uri';
/** Path of one file inside an artifact that is a folder; one event per file, all with the artifact's name and version. */
export const ARTIFACT_PATH = 'kymo.artifact.path';
export const ARTIFACT_SHA256 = 'kymo.artifact.sha256';
export const ARTIFACT_SIZE = 'kymo.artifact.size';
export const ARTIFACT_ALIASES = 'kymo.artifact.aliases';
export const ARTIFACT_METADATA = 'kymo.artifact.metadata';
export const ARTIFACT_BEST = 'kymo.artifact.best';
export const ARTIFACT_CONTENT = 'kymo.artifact.content';
export const ARTIFACT_CHUNK_INDEX = 'kymo.artifact.chunk.index';
export const ARTIFACT_CHUNK_COUNT = 'kymo.artifact.chunk.count';

/** Rollouts, shaped as OpenTelemetry's gen_ai conventions have messages and evaluations. */
export const ROLLOUT_ID = 'kymo.rollout.id';
/** Map name → number: all rewards of the rollout, beside the evaluation event of each. */
export const ROLLOUT_REWARDS = 'kymo.rollout.rewards';
/** How many messages, or parts of messages, did not fit the record; absent when none. */
export const ROLLOUT_MESSAGES_LEFT_OUT = 'kymo.rollout.messages_left_out';
/** How many characters of texts did not fit the record; absent when none. */
export const ROLLOUT_CHARACTERS_LEFT_OUT = 'kymo.rollout.characters_left_out';
export const GEN_AI_INPUT_MESSAGES = 'gen_ai.input.messages';
export const GEN_AI_OUTPUT_MESSAGES = 'gen_ai.output.messages';
export const EVALUATION_NAME = 'gen_ai.evaluation.name';
export const EVALUATION_SCORE = 'gen_ai.evaluation.score.value';
/** A scalar beside each reward of a rollout: `rewards/<name>`. */
export const REWARDS_PREFIX = 'rewards/';

/** With `traceOnError`: what the failed call was given, redacted and capped. */
export const CALL_ARGUMENTS = 'kymo.call.arguments';

/** Of a metric definition event. */
export const METRIC_PATTERN = 'kymo.metric.pattern';
export const METRIC_STEP_METRIC = 'kymo.metric.step_metric';
/** List of min, max, mean, last, best; or none alone. */
export const METRIC_SUMMARY = 'kymo.metric.summary';
/** Which end is the best: minimize or maximize. */
export const METRIC_GOAL = 'kymo.metric.goal';

export const EXCEPTION_TYPE = 'exception.type';
export const EXCEPTION_MESSAGE = 'exception.message';
export const EXCEPTION_STACKTRACE = 'exception.stacktrace';
export const CODE_FILE_PATH = 'code.file.path';
export const CODE_LINE_NUMBER = 'code.line.number';
export const CODE_FUNCTION_NAME = 'code.function.name';
export const ERROR_TYPE = 'error.type';

/** `timings/<name>`: seconds of one timed call; `timings/<name>/hist` once calls are short and many. */
export const TIMINGS_PREFIX = 'timings/';

/** Statistics of a history's field through a meter: gauges `kymo.history.mean` and the like, by field. */
export const HISTORY_METRICS = 'kymo.history.';
export const HISTORY_FIELD = 'kymo.history.field';

/** Header (gRPC: metadata) that makes a retry recognisable: `<instance>/<sender>/<signal>/<n>`. */
export const BATCH_HEADER = 'kymo-batch';
/** Response headers of a Kymo collector: which journal took the request, and the journal position after it. */
export const JOURNAL_HEADER = 'kymo-journal';
export const POSITION_HEADER = 'kymo-position';
