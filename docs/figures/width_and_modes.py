"""Draw the figure of the README: one sweep on MNIST, its accuracies and its truncation curves.

    uv run python docs/figures/width_and_modes.py [RUN]

trains 60 mode networks and 12 dense ones as one program, keeps the run in RUN (`runs/width-and-modes` by default,
which is opened again if it is there) and writes `width_and_modes.png` beside this file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jax

jax.config.update("jax_num_cpu_devices", os.cpu_count())

import matplotlib  # noqa: E402

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402
import xarray  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from modejax import Run, SweepConfig, open_run, run_sweep  # noqa: E402

CONFIG = SweepConfig(
    dataset="mnist", widths=(50, 100, 200, 400), modes=(2, 5, 10, 20, 30), seeds=3, epochs=6, halve_every=2
)
COLOURS = ("#7fb3d5", "#2e86c1", "#1b4f72", "#d35400")


def trained(folder: Path) -> Run:
    """Return the run of `folder`, trained now where there is none."""
    run = open_run(folder) if folder.is_dir() else run_sweep(CONFIG, out=folder)
    if run.config != CONFIG:
        raise SystemExit(f"{folder} holds a run of another config; name another folder")
    return run


def curve(axis: Axes, x: xarray.DataArray, percent: xarray.DataArray, colour: str, label: str) -> None:
    """Draw the mean over seeds with a band of one standard deviation."""
    mean, spread = percent.mean("seed"), percent.std("seed", ddof=1)
    axis.plot(x, mean, "o-", color=colour, ms=3.5, lw=1.4, label=label)
    axis.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)


def draw(run: Run) -> plt.Figure:
    """Draw both panels."""
    mode = run["mode"].isel(learning_rate=0, weight_decay=0)
    dense = run["baseline"].isel(learning_rate=0, weight_decay=0, modes=0, epoch=-1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), dpi=110, layout="constrained")
    for width, colour in zip(CONFIG.widths, COLOURS, strict=True):
        one = mode.sel(width=width)
        curve(left, one.modes, 100 - 100 * one.test_accuracy.isel(epoch=-1), colour, f"N = {width}")
        left.axhline(100 - 100 * float(dense.test_accuracy.sel(width=width).mean()), color=colour, ls=":", lw=1.2)
        kept = one.truncation_accuracy_all.sel(modes=CONFIG.modes[-1]).isel(truncation_epoch=-1)
        curve(right, kept.kept, 100 * kept, colour, f"N = {width}")
    left.plot([], [], "k:", lw=1.2, label="dense, same width")
    left.set(xscale="log", yscale="log", xlabel="modes trained with, P", ylabel="test error (%)")
    left.set(xticks=CONFIG.modes, xticklabels=CONFIG.modes, yticks=(2, 5, 10, 20, 40), yticklabels=(2, 5, 10, 20, 40))
    left.minorticks_off()
    left.set_title("width x modes x seeds in one program", fontsize=10)
    left.legend(frameon=False, fontsize=8.5)
    right.set(xlabel="leading modes kept, of P = 30", ylabel="test accuracy (%)", ylim=(0, 102))
    right.set_title("out of the same program: networks cut back", fontsize=10)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    target = Path(__file__).with_suffix(".png")
    draw(trained(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/width-and-modes"))).savefig(target)
    print(target)
