// `node --require kymo/register train.js` (or --import): a run begins before the script does, and ends with the process.
import './semconv/require-node.ts';

import { createRequire } from 'node:module';
import { init } from './research/init.ts';

type SdkNode = typeof import('@opentelemetry/sdk-node');

// Kymo's own processes and threads carry the mark; a run inside them would record the recorder.
if (process.env.KYMO_INTERNAL !== '1') {
  // Declarative configuration is sdk-node's work: it sets the providers that the file asks for, and Kymo leaves those alone.
  if (process.env.OTEL_CONFIG_FILE) {
    const require = createRequire(import.meta.url);
    (require('@opentelemetry/sdk-node') as SdkNode).startNodeSdk();
  }
  init();
}
