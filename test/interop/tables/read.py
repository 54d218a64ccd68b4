"""Prints what Python makes of a table: read.py parquet|csv FILE. Numbers that JSON lacks come as strings."""

import csv
import json
import math
import sys

import pyarrow.csv
import pyarrow.parquet


def plain(value):
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


kind, path = sys.argv[1:]
if kind == "parquet":
    table = pyarrow.parquet.read_table(path)
else:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, strict=True))
    assert len({len(row) for row in rows}) == 1, "lines of different lengths"
    # By default it takes NaN for a value that is not there.
    options = pyarrow.csv.ConvertOptions(null_values=[""])
    table = pyarrow.csv.read_csv(path, convert_options=options)
    assert table.num_rows == len(rows) - 1, "the two readers disagree"

types = {field.name: str(field.type) for field in table.schema}
rows = [{key: plain(value) for key, value in row.items()} for row in table.to_pylist()]
print(json.dumps({"types": types, "rows": rows}))
