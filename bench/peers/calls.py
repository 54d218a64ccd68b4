"""The measured program of calls.ts for the Python peers: PEER KIND CALLS PACED PER_SECOND FOLDER; prints one line of JSON."""

import json
import os
import sys
import time

peer, kind, folder = sys.argv[1], sys.argv[2], sys.argv[6]
calls, paced, per_second = (int(float(text)) for text in sys.argv[3:6])
names = [f"train/metric_{n}" for n in range(20)]
row10 = {f"train/metric_{n}": n + 0.5 for n in range(10)}
row100 = {f"train/metric_{n}": n + 0.5 for n in range(100)}
clock = time.perf_counter_ns


def goggles_call():
    os.environ["GOGGLES_SOCKET"] = os.path.join(folder, "gg.sock")
    from pathlib import Path

    import goggles

    logger = goggles.get_logger("bench", with_metrics=True)
    goggles.attach(goggles.LocalStorageHandler(Path(folder) / "goggles"))
    kinds = {
        "scalar": lambda i: logger.scalar(names[i % 20], i * 0.5, i),
        "log10": lambda i: logger.push(row10, i),
        "log100": lambda i: logger.push(row100, i),
        "info": lambda i: logger.info("an epoch has ended", epoch=i, loss=0.25),
    }
    if kind == "timeit":
        timed = goggles.timeit(name="work")(lambda x: x + 1)
        return timed
    return kinds[kind]


def wandb_call():
    os.environ["WANDB_SILENT"] = "true"
    import wandb

    run = wandb.init(project="bench", mode="offline", dir=folder)
    kinds = {
        "scalar": lambda i: run.log({names[i % 20]: i * 0.5}, step=i),
        "log10": lambda i: run.log(row10, step=i),
        "log100": lambda i: run.log(row100, step=i),
    }
    return kinds[kind]


def tensorboardx_call():
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(folder)

    def log_row(row, i):
        for name, value in row.items():
            writer.add_scalar(name, value, i)

    kinds = {
        "scalar": lambda i: writer.add_scalar(names[i % 20], i * 0.5, i),
        "log10": lambda i: log_row(row10, i),
        "log100": lambda i: log_row(row100, i),
    }
    return kinds[kind]


def tail(singles):
    pairs = []
    for _ in range(20_000):
        before = clock()
        pairs.append(clock() - before)
    cost = sorted(pairs)[len(pairs) // 2]
    singles.sort()
    at = lambda share: max(0, singles[min(len(singles) - 1, int(len(singles) * share))] - cost)
    return {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": at(1)}


call = {"goggles": goggles_call, "wandb": wandb_call, "tensorboardX": tensorboardx_call}[peer]()
i = 0
for i in range(min(calls, 1000)):
    call(i)
blocks = []
block = min(1000, calls)
for _ in range(max(1, calls // block)):
    before = clock()
    for _ in range(block):
        i += 1
        call(i)
    blocks.append((clock() - before) / block)
singles = []
begin = clock()
for _ in range(calls):
    i += 1
    before = clock()
    call(i)
    singles.append(clock() - before)
elapsed = clock() - begin
full = tail(singles)
full["perSecond"] = calls / (elapsed / 1e9)
full["p50"] = sorted(blocks)[len(blocks) // 2]

singles = []
start = clock()
for n in range(paced):
    due = start + n * 1_000_000_000 // per_second
    before = clock()
    while before < due:
        before = clock()
    i += 1
    call(i)
    singles.append(clock() - before)
slow = tail(singles)
slow["perSecond"] = per_second
sys.stdout.write("\n" + json.dumps({"full": full, "slow": slow}) + "\n")
sys.stdout.flush()
# What is queued is not part of a call's cost.
os._exit(0)
