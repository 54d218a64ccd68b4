"""What the official client logs in the tests: scalars, media, a table, then the same run resumed."""

import sys

import numpy as np
import wandb

mode, name = sys.argv[1], sys.argv[2]
settings = wandb.Settings(console="off", x_disable_stats=True)
common = dict(project="official", id=name, settings=settings, mode=mode)
run = wandb.init(**common, name="Official", group="g", job_type="train", tags=["a", "b"], notes="n",
                 config={"lr": 0.1, "net": {"layers": [1, 2]}})
run.define_metric("epoch")
run.define_metric("val/*", step_metric="epoch", summary="min")
for step in range(40):
    run.log({"train/loss": 1 / (step + 1), "nan": float("nan"), "inf": float("-inf"), "d": {"x": step},
             "epoch": step // 5, "val/acc": step}, step=step)
if len(sys.argv) > 3:
    pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    run.log({"image": wandb.Image(pixels, caption="c"), "html": wandb.Html("<b>x</b>", inject=False),
             "hist": wandb.Histogram(np_histogram=([1, 2], [0.0, 1.0, 2.0]))}, step=40)
    if sys.argv[3] == "table":
        run.log({"table": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, "y"]])}, step=41)
run.finish()
if len(sys.argv) > 3:
    run = wandb.init(**common, resume="must")
    run.log({"train/loss": 9.0})
    run.finish(exit_code=3)
