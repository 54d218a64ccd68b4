// OpenTelemetry's own instrumentations, each loaded when the program loads what it instruments and not before.
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** One package of OpenTelemetry's and the modules that it instruments. */
interface Instrumentation {
  /** What OTEL_NODE_DISABLED_INSTRUMENTATIONS calls it; the package is `@opentelemetry/instrumentation-<name>`. */
  readonly name: string;
  readonly className: string;
  readonly modules: readonly string[];
}

const OTEL = '@opentelemetry/instrumentation-';

/** Kymo brings the first ones; the others are used where the application has installed them. `fs` stays off, as upstream. */
const INSTRUMENTATIONS: readonly Instrumentation[] = [
  { name: 'http', className: 'HttpInstrumentation', modules: ['http', 'https'] },
  { name: 'undici', className: 'UndiciInstrumentation', modules: ['undici'] },
  { name: 'grpc', className: 'GrpcInstrumentation', modules: ['@grpc/grpc-js'] },
  { name: 'pino', className: 'PinoInstrumentation', modules: ['pino'] },
  { name: 'winston', className: 'WinstonInstrumentation', modules: ['winston'] },
  { name: 'bunyan', className: 'BunyanInstrumentation', modules: ['bunyan'] },
  { name: 'openai', className: 'OpenAIInstrumentation', modules: ['openai'] },
  { name: 'pg', className: 'PgInstrumentation', modules: ['pg', 'pg-pool'] },
  { name: 'mysql2', className: 'MySQL2Instrumentation', modules: ['mysql2', 'mysql2/promise'] },
  { name: 'mongodb', className: 'MongoDBInstrumentation', modules: ['mongodb'] },
  { name: 'redis', className: 'RedisInstrumentation', modules: ['redis', '@redis/client'] },
  { name: 'ioredis', className: 'IORedisInstrumentation', modules: ['ioredis'] },
  { name: 'express', className: 'ExpressInstrumentation', modules: ['express'] },
  { name: 'koa', className: 'KoaInstrumentation', modules: ['koa'] },
  { name: 'hapi', className: 'HapiInstrumentation', modules: ['@hapi/hapi'] },
  { name: 'graphql', className: 'GraphQLInstrumentation', modules: ['graphql'] },
  { name: 'kafkajs', className: 'KafkaJsInstrumentation', modules: ['kafkajs'] },
  { name: 'amqplib', className: 'AmqplibInstrumentation', modules: ['amqplib'] },
  { name: 'aws-sdk', className: 'AwsInstrumentation', modules: ['aws-sdk', '@smithy/smithy-client'] },
  { name: 'mongoose', className: 'MongooseInstrumentation', modules: ['mongoose'] },
  { name: 'mysql', className: 'MySQLInstrumentation', modules: ['mysql'] },
  { name: 'knex', className: 'KnexInstrumentation', modules: ['knex'] },
  { name: 'socket.io', className: 'SocketIoInstrumentation', modules: ['socket.io'] },
];

type Environment = Readonly<Record<string, string | undefined>>;

export class Instrumentations {
  private readonly byModule = new Map<string, Instrumentation>();
  private readonly tell: (line: string) => void;

  constructor(env: Environment, tell: (line: string) => void) {
    this.tell = tell;
    const enabled = names(env.OTEL_NODE_ENABLED_INSTRUMENTATIONS);
    const disabled = names(env.OTEL_NODE_DISABLED_INSTRUMENTATIONS);
    for (const one of INSTRUMENTATIONS) {
      if ((enabled.size > 0 && !enabled.has(one.name)) || disabled.has(one.name)) continue;
      for (const module of one.modules) this.byModule.set(module, one);
    }
  }

  /** The modules that something here instruments. */
  modules(): string[] {
    return [...this.byModule.keys()];
  }

  /** To be called before a module loads. True when its instrumentation was loaded by this call. */
  ready(module: string): boolean {
    const wanted = this.byModule.get(module.startsWith('node:') ? module.slice(5) : module);
    if (wanted === undefined) return false;
    for (const name of wanted.modules) this.byModule.delete(name);
    const require = requireFor(`${OTEL}${wanted.name}`);
    if (require === undefined) return false;
    try {
      const loaded = require(`${OTEL}${wanted.name}`) as Record<string, new (config: object) => unknown>;
      const Instrumentation = loaded[wanted.className];
      if (Instrumentation === undefined) throw new Error(`it has no ${wanted.className}`);
      // It enables itself, and takes its tracer from the global provider.
      new Instrumentation({});
      return true;
    } catch (error) {
      this.tell(
        `${wanted.name} is not instrumented: ${OTEL}${wanted.name} cannot be used (${error instanceof Error ? error.message : String(error)})`,
      );
      return false;
    }
  }
}

/** Kymo's own copy, else the application's; undefined where there is none. */
function requireFor(packageName: string): NodeJS.Require | undefined {
  for (const place of [import.meta.url, join(process.cwd(), 'package.json')]) {
    const require = createRequire(place);
    try {
      require.resolve(packageName);
      return require;
    } catch {
      // The next place may have it.
    }
  }
  return undefined;
}

function names(list: string | undefined): Set<string> {
  return new Set(
    (list ?? '')
      .split(',')
      .map(name => name.trim())
      .filter(name => name !== ''),
  );
}
