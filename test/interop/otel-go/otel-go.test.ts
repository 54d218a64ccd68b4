// The OpenTelemetry SDK for Go, with its own exporters.
import { describeWithPeers } from '../peers.ts';
import { arrivesOver } from '../stock-sdks.ts';

describeWithPeers('OpenTelemetry for Go', ['otel-go'], program => {
  arrivesOver(['http', 'grpc'], [program!]);
});
