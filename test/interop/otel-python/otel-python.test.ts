// The OpenTelemetry SDK for Python, with its own exporters.
import { fileURLToPath } from 'node:url';
import { describeWithPeers } from '../peers.ts';
import { arrivesOver } from '../stock-sdks.ts';

describeWithPeers('OpenTelemetry for Python', ['otel-python'], python => {
  arrivesOver(['http', 'grpc'], [python!, fileURLToPath(new URL('./emit.py', import.meta.url))]);
});
