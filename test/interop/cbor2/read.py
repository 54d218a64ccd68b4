"""Reads a state with cbor2 and prints what it holds as JSON."""
import json
import struct
import sys

import cbor2

FORMATS = {64: "B", 72: "b", 78: "i", 79: "q", 85: "f", 86: "d"}


def plain(value):
    if isinstance(value, cbor2.CBORTag):
        if value.tag in FORMATS:
            form = FORMATS[value.tag]
            return list(struct.unpack(f"<{len(value.value) // struct.calcsize(form)}{form}", value.value))
        if value.tag == 259:
            return sorted([key, plain(item)] for key, item in value.value.items())
        return [value.tag, plain(value.value)]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


with open(sys.argv[1], "rb") as file:
    state = cbor2.load(file)
shared = state["policy"]["weights"] is state["target"]["weights"] or state["policy"] is state["target"]
print(json.dumps({"state": plain(state), "shared": shared}))
