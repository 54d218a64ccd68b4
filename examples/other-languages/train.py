"""Rows, an image and text into a Kymo run, with OpenTelemetry's SDK for Python alone. Where to and which run: README.md"""

import math
import struct
import time
import zlib

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

provider = LoggerProvider()
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
logger = provider.get_logger("trainer")


def emit(event, attributes, body=None):
    """An event has a name, and its data in attributes; a line of text has a body."""
    logger.emit(LogRecord(timestamp=time.time_ns(), event_name=event, body=body, attributes=attributes))


def png(rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


for step in range(100):
    emit("kymo.row", {"kymo.step": step, "kymo.row.values": {"train/loss": math.exp(-step / 30)}})
gradient = png([[4 * (x + y) % 256 for x in range(32)] for y in range(32)])
emit("kymo.media", {"kymo.media.name": "gradient", "kymo.media.kind": "image", "kymo.step": 99,
                    "kymo.media.mime_type": "image/png", "kymo.media.content": gradient})
emit(None, {"epochs": 1}, body="training is done")
provider.shutdown()
