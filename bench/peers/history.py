"""The measured program of history.ts for goggles under JAX: T ELEMENTS MODE SECONDS; prints one line of JSON with ms per update."""

import json
import sys
import time

import jax
import jax.numpy as jnp
from goggles.history import HistorySpec, create_history, update_history

length, elements, mode, seconds = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
batch = 32
spec = HistorySpec.from_config(
    {"x": {"length": length, "shape": (elements,), "dtype": jnp.float32, "init": "randn" if mode == "randn" else "zeros"}}
)
rng = jax.random.PRNGKey(0)
history = create_history(spec, batch, rng)
mask = jnp.zeros((batch,), bool).at[3].set(True)
frame = jnp.ones((batch, 1, elements), jnp.float32)


def step(history, frame, mask, rng):
    return update_history(history, {"x": frame}, reset_mask=mask, spec=spec, rng=rng)


jitted = jax.jit(step, donate_argnums=(0,))
for _ in range(3):
    history = jitted(history, frame, mask, rng)
jax.block_until_ready(history)

times = []
end = time.perf_counter() + seconds
while time.perf_counter() < end or len(times) < 5:
    start = time.perf_counter()
    history = jax.block_until_ready(jitted(history, frame, mask, rng))
    times.append((time.perf_counter() - start) * 1e3)
times.sort()
print(json.dumps({"ms": times[len(times) // 2], "updates": len(times), "jax": jax.__version__}))
