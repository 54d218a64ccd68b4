"""The measured program of media.ts for goggles: KIND SIZE CALLS DELAY_SECONDS FOLDER; prints one line of JSON."""

import json
import os
import sys
import time
from pathlib import Path

kind, folder = sys.argv[1], sys.argv[5]
size, calls, delay = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
os.environ["GOGGLES_SOCKET"] = os.path.join(folder, "gg.sock")

import goggles
import numpy as np

FRAMES = 10
storage = Path(folder) / "goggles"
logger = goggles.get_logger("bench", with_metrics=True)
goggles.attach(goggles.LocalStorageHandler(storage))
# Its own sweep has channels first, which its storage refuses and drops without a word to the caller.
shape = (FRAMES, size, size, 3) if kind == "video" else (size, size, 3)
pixels = np.random.randint(0, 256, shape, dtype=np.uint8)
first = pixels.reshape(-1)[:4].view(">u4")


def call(i):
    if kind == "scalar":
        logger.scalar("test_metric", i * 0.5, step=i)
        return
    first[0] = i
    if kind == "image":
        logger.image(pixels, name="test_image", step=i)
    else:
        logger.video(pixels, name="test_video", step=i)


clock = time.perf_counter_ns
singles = []
begin = clock()
for i in range(calls):
    before = clock()
    call(i)
    singles.append(clock() - before)
    if delay > 0:
        time.sleep(delay)
loop_seconds = (clock() - begin) / 1e9
goggles.finish()
seconds = (clock() - begin) / 1e9
steps = set()
with open(storage / "log.jsonl", encoding="utf-8") as lines:
    for line in lines:
        event = json.loads(line)
        if kind == "scalar" or (storage / event["payload"]).stat().st_size > 0:
            steps.add(event["step"])
singles.sort()
at = lambda share: singles[min(calls - 1, int(calls * share))]
result = {"p50": at(0.5), "p99": at(0.99), "max": at(1), "loopSeconds": loop_seconds}
result.update({"seconds": seconds, "sent": calls, "delivered": len(steps)})
sys.stdout.write("\n" + json.dumps(result) + "\n")
