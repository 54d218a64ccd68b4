"""Writes what kymo import reads: write.py FOLDER. Event files by tensorboardX, and a run folder with Python's own JSON."""

import json
import os
import sys

import numpy
from tensorboardX import SummaryWriter

folder = sys.argv[1]
values = numpy.linspace(-1.0, 3.0, 500)
with SummaryWriter(os.path.join(folder, "events"), flush_secs=1) as writer:
    for step in range(1000):
        writer.add_scalar("train/loss", 1.0 / (step + 1), step, walltime=1_700_000_000 + step / 8)
    writer.add_scalar("train/loss", float("nan"), 1000, walltime=1_700_000_200)
    writer.add_histogram("weights", values, 7, walltime=1_700_000_300)
    writer.add_text("note", "hello from tensorboardX", 3, walltime=1_700_000_400)
    writer.add_image("picture", numpy.zeros((3, 4, 4), dtype=numpy.uint8), 3, walltime=1_700_000_500)

logs = os.path.join(folder, "ppo_20250101_000000", "logs")
os.makedirs(logs)
with open(os.path.join(logs, "metrics.jsonl"), "w", encoding="utf-8") as file:
    for step in range(3):
        row = {"step": step, "loss": float("nan") if step == 1 else 0.5 / (step + 1), "wall_time": step * 0.25}
        file.write(json.dumps(row) + "\n")
print(json.dumps({"count": len(values), "sum": float(values.sum())}))
