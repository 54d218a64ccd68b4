"""Runs the steps of an .npz that Kymo wrote through goggles' histories and compares their windows with Kymo's: STEPS; prints one line of JSON."""

import json
import sys

import jax.numpy as jnp
import numpy as np
from goggles.history import HistorySpec, create_history, peek_last, slice_history, update_history

given = np.load(sys.argv[1])
config = json.loads(bytes(given["config"].astype(np.uint8)).decode())
masks = given["masks"].astype(bool)
spec = HistorySpec.from_config(
    {
        name: {"length": f["length"], "shape": tuple(f["shape"]), "dtype": jnp.dtype(f["dtype"]), "init": f["init"]}
        for name, f in config.items()
    }
)
steps, batch = masks.shape
history = create_history(spec, batch)
different = []
for step in range(steps):
    frames = {name: jnp.asarray(given[f"frames/{name}"][step])[:, None] for name in config}
    history = update_history(history, frames, reset_mask=jnp.asarray(masks[step]), spec=spec)
    for name in config:
        ours = given[f"windows/{name}"][step]
        theirs = np.asarray(history[name])
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype or not np.array_equal(ours, theirs):
            different.append([step, name])
parts = {"last": peek_last(history, 2), "middle": slice_history(history, 1, 2)}
for kind, part in parts.items():
    for name in config:
        if not np.array_equal(given[f"{kind}/{name}"], np.asarray(part[name])):
            different.append([kind, name])
print(json.dumps({"steps": steps, "fields": sorted(config), "keys": len(given.files), "different": different}))
