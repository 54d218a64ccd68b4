// The component types of this collector, listed by hand: nothing registers itself.
import type { Components } from './config/config.ts';
import { csvExporter } from './exporters/csv/index.ts';
import { debugExporter } from './exporters/debug/index.ts';
import { jsonlExporter } from './exporters/jsonl/index.ts';
import { otlpGrpcExporter } from './exporters/otlp_grpc/index.ts';
import { otlpHttpExporter } from './exporters/otlp_http/index.ts';
import { tensorboardExporter } from './exporters/tensorboard/index.ts';
import { wandbExporter } from './exporters/wandb/index.ts';
import { basicAuthExtension } from './extensions/basicauth/index.ts';
import { bearerTokenAuthExtension } from './extensions/bearertokenauth/index.ts';
import { healthCheckExtension } from './extensions/health_check/index.ts';
import { queryExtension } from './extensions/query/index.ts';
import { aggregateProcessor } from './processors/aggregate/index.ts';
import { attributesProcessor } from './processors/attributes/index.ts';
import { batchProcessor } from './processors/batch/index.ts';
import { filterProcessor } from './processors/filter/index.ts';
import { memoryLimiterProcessor } from './processors/memory_limiter/index.ts';
import { resourceProcessor } from './processors/resource/index.ts';
import { localReceiver } from './receivers/local/index.ts';
import { otlpReceiver } from './receivers/otlp/index.ts';

export const COMPONENTS: Components = {
  receivers: [otlpReceiver, localReceiver],
  processors: [
    memoryLimiterProcessor,
    batchProcessor,
    resourceProcessor,
    attributesProcessor,
    filterProcessor,
    aggregateProcessor,
  ],
  exporters: [
    jsonlExporter,
    tensorboardExporter,
    wandbExporter,
    csvExporter,
    debugExporter,
    otlpHttpExporter,
    otlpGrpcExporter,
  ],
  extensions: [healthCheckExtension, bearerTokenAuthExtension, basicAuthExtension, queryExtension],
};
