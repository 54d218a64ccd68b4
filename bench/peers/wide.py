"""The measured program of wide.ts for the Python peers: PEER STEPS METRICS FOLDER; prints one line of JSON."""

import json
import math
import os
import sys
import time

peer, folder = sys.argv[1], sys.argv[4]
steps, metrics = int(sys.argv[2]), int(sys.argv[3])
names = [f"train/metric_{m}" for m in range(metrics)]

if peer == "goggles":
    os.environ["GOGGLES_SOCKET"] = os.path.join(folder, "gg.sock")
    from pathlib import Path

    import goggles
elif peer == "wandb":
    os.environ["WANDB_SILENT"] = "true"
    import wandb
else:
    from tensorboardX import SummaryWriter

started_at = time.perf_counter()
if peer == "goggles":
    logger = goggles.get_logger("bench", with_metrics=True)
    goggles.attach(goggles.LocalStorageHandler(Path(folder) / "goggles"))
    log, finish = logger.push, goggles.finish
elif peer == "wandb":
    run = wandb.init(project="bench", mode="offline", dir=folder)
    log, finish = (lambda row, step: run.log(row, step=step)), run.finish
else:
    writer = SummaryWriter(folder)

    def log(row, step):
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    finish = writer.close

for step in range(steps):
    base = math.sin(step / 1000)
    log({name: base + m for m, name in enumerate(names)}, step)
loop_seconds = time.perf_counter() - started_at
finish()
seconds = time.perf_counter() - started_at
sys.stdout.write("\n" + json.dumps({"seconds": seconds, "loopSeconds": loop_seconds}) + "\n")
