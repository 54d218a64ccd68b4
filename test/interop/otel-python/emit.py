"""Sends traces, metrics and logs with the stock OpenTelemetry SDK for Python and prints as JSON what it sent.

usage: emit.py http|grpc ENDPOINT RUN_ID
"""

import json
import logging
import sys

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

SPANS = 20
RECORDS = 40
ROWS = 30
NEVER_MS = 3_600_000  # metrics are collected once, at shutdown

protocol, endpoint, run_id = sys.argv[1:4]
if protocol == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    span_exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=Compression.Gzip)
    metric_exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", compression=Compression.Gzip)
    log_exporter = OTLPLogExporter(endpoint=f"{endpoint}/v1/logs")
else:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    span_exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=Compression.Gzip)
    metric_exporter = OTLPMetricExporter(endpoint=endpoint, insecure=True, compression=Compression.Gzip)
    log_exporter = OTLPLogExporter(endpoint=endpoint, insecure=True)

resource = Resource.create({"service.name": "interop", "service.instance.id": "python-1", "kymo.run.id": run_id})
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(span_exporter))
meters = MeterProvider(
    resource=resource,
    metric_readers=[PeriodicExportingMetricReader(metric_exporter, export_interval_millis=NEVER_MS)],
    views=[View(instrument_name="latency/exponential", aggregation=ExponentialBucketHistogramAggregation())],
)
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(log_exporter))

sent = {"count": str(2**53 + 1), "spans": [], "logs": [], "rows": [], "scalars": [], "histograms": []}


def sent_span(span, parent, status):
    context = span.get_span_context()
    sent["spans"].append(
        {
            "name": span.name,
            "traceId": f"{context.trace_id:032x}",
            "spanId": f"{context.span_id:016x}",
            "parentSpanId": f"{parent.get_span_context().span_id:016x}" if parent else "",
            "status": status,
        }
    )


# Traces: a root with children of which one fails, attributes of every kind, an event, a link.
tracer = tracers.get_tracer("interop.tracer", "1.2.3")
with tracer.start_as_current_span("episode", kind=SpanKind.SERVER) as root:
    root.set_attributes({"text": "häß 漢 🚀", "flag": True, "count": 2**53 + 1, "ratio": 0.1, "sizes": [1, 2, 3]})
    for i in range(SPANS):
        with tracer.start_as_current_span(f"step {i}", links=[Link(root.get_span_context())]) as child:
            child.set_attribute("index", i)
            child.add_event("reset", {"reason": "fell"})
            if i == SPANS - 1:
                child.set_status(Status(StatusCode.ERROR, "it fell"))
            sent_span(child, root, 2 if i == SPANS - 1 else 0)
    sent_span(root, None, 0)

    # Logs: through Python's logging (which a handler carries), and rows as events for clients without steps.
    handler = LoggingHandler(level=logging.INFO, logger_provider=loggers)
    trainer = logging.getLogger("interop.trainer")
    trainer.setLevel(logging.INFO)
    trainer.propagate = False
    trainer.addHandler(handler)
    for i in range(RECORDS):
        trainer.warning("record %d of %d", i, RECORDS, extra={"index": i, "place": {"cart": 0.5, "tags": ["a", "b"]}})
        sent["logs"].append(
            {"body": f"record {i} of {RECORDS}", "severityNumber": SeverityNumber.WARN.value, "attribute": i,
             "traceId": f"{root.get_span_context().trace_id:032x}"}
        )
row_logger = loggers.get_logger("interop.rows")
for step in range(ROWS):
    values = {"py/loss": 1 / (step + 1), "py/lr": 0.01}
    row_logger.emit(LogRecord(timestamp=1_700_000_000_000_000_000 + step, severity_number=SeverityNumber.INFO,
                              event_name="kymo.row", attributes={"kymo.step": step, "kymo.row.values": values}))
    sent["rows"].append({"step": step, "values": values})

# Metrics: every instrument; one gauge has its step as an attribute, as loggers of other worlds do it.
meter = meters.get_meter("interop.meter")
meter.create_counter("episodes").add(7)
meter.create_up_down_counter("players").add(-3)
meter.create_observable_gauge("temperature", callbacks=[lambda _: [Observation(36.6)]])
stepped = meter.create_gauge("stepped")
for step in range(ROWS):
    stepped.set(step * 0.5, {"step": step})
    sent["scalars"].append({"name": "stepped", "value": step * 0.5, "step": step})
sent["scalars"] += [
    {"name": "episodes", "value": 7},
    {"name": "players", "value": -3},
    {"name": "temperature", "value": 36.6},
]
for name in ("latency/explicit", "latency/exponential"):
    histogram = meter.create_histogram(name)
    for value in range(1, 101):
        histogram.record(value)
    sent["histograms"].append({"name": name, "count": 100, "sum": 5050, "min": 1, "max": 100})

for provider in (tracers, meters, loggers):
    provider.shutdown()
print(json.dumps(sent))
