"""Reads a transaction log with the official protobuf classes; fails on a wrong checksum, an unknown field or a wrong type."""

import json
import struct
import sys
import zlib
from collections import Counter

from google.protobuf import unknown_fields
from google.protobuf.descriptor import FieldDescriptor
from wandb.proto import wandb_internal_pb2 as pb

BLOCK = 32768


def payloads(data):
    assert data[:7] == b":W&B\xe1\xbe\x00", data[:7]
    at, parts = 7, b""
    while at < len(data):
        left = BLOCK - at % BLOCK
        if left < 7:
            assert data[at : at + left] == bytes(left)
            at += left
            continue
        checksum, size, kind = struct.unpack("<IHB", data[at : at + 7])
        payload = data[at + 7 : at + 7 + size]
        assert len(payload) == size and zlib.crc32(bytes([kind]) + payload) == checksum, at
        at += 7 + size
        parts += payload
        if kind in (1, 4):
            yield parts
            parts = b""
    assert parts == b""


def check(message):
    unknown = unknown_fields.UnknownFieldSet(message)
    assert len(unknown) == 0, f"{message.DESCRIPTOR.name} has unknown fields"
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE or field.message_type.GetOptions().map_entry:
            continue
        for one in value if hasattr(value, "add") else [value]:
            check(one)


counts, rows = Counter(), []
for number, payload in enumerate(payloads(open(sys.argv[1], "rb").read()), 1):
    record = pb.Record.FromString(payload)
    check(record)
    kind = record.WhichOneof("record_type")
    assert kind is not None and record.num == number, (kind, record.num, number)
    counts[kind] += 1
    if kind == "history":
        items = {(i.key or ".".join(i.nested_key)): json.loads(i.value_json) for i in record.history.item}
        assert items["_step"] == record.history.step.num
        rows.append(repr(sorted(items.items())))
print(json.dumps({"counts": counts, "rows": len(rows)}))
