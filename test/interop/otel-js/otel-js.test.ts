// The OpenTelemetry SDK for JavaScript, with its stock exporters.

import { fileURLToPath } from 'node:url';
import { describe } from '@jest/globals';
import { arrivesOver } from '../stock-sdks.ts';

describe('OpenTelemetry for JavaScript', () => {
  arrivesOver(
    ['http-json', 'http-proto', 'grpc'],
    [process.execPath, fileURLToPath(new URL('./emit.ts', import.meta.url))],
  );
});
