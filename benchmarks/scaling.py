"""How the steady step and the compile time move with members, width, modes, buckets, precision and devices.

Run with `uv run python -m benchmarks.scaling [--smoke] [--only members width ...]`. Every row is one program: seconds
to trace, to compile and of an epoch (training and one evaluation), useful operations a second beside the machine's
own matrix peak, and the roofline share: the time that the useful operations or the unavoidable bytes would take at
the measured ceilings, over the time taken. A member's curve must lie where the first row that trains the same member
has it, or no time is printed.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np
import tyro

from benchmarks import common
from modejax import SweepConfig
from modejax.data import Dataset, load_dataset

Axis = Literal["members", "width", "modes", "buckets", "mlps", "precision", "devices", "grid"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    smoke: bool = False
    """Small sizes on digits, under a minute."""
    data: str = "mnist"
    """Data set, or the path of an .npz."""
    only: tuple[Axis, ...] = ()
    """Axes to measure; by default all but the grid, which is for accelerators."""
    members: tuple[int, ...] = (1, 4, 16, 64)
    """Networks of width 100 with 30 modes."""
    widths: tuple[int, ...] = (25, 50, 100, 200, 400, 800)
    """Widths of 8 networks with 30 modes."""
    modes: tuple[int, ...] = (5, 10, 30, 70)
    """Modes of 8 networks of width 100."""
    grid_widths: tuple[int, ...] = (50, 100, 200, 400, 800)
    """Widths of the grand grid, with 5 seeds and 3 learning rates."""
    grid_modes: int = 70
    """Modes of the grand grid, from 1 on."""
    grid_epochs: int = 200
    """Epochs for which its time is stated."""
    repeats: int = 3
    """Timed epochs of each row."""
    out: Path | None = None
    """JSON file; by default in benchmarks/results."""


def sweep(**changes: Any) -> SweepConfig:
    """Return the sweep of a row: by default 8 networks of width 100 with 30 modes."""
    return common.base_sweep(**{"seeds": 8, **changes})


def rows_of(axis: Axis, config: Config) -> Iterator[tuple[str, SweepConfig]]:
    """Yield the label and the sweep of each row of an axis."""
    if axis == "members":
        yield from ((f"{count}", sweep(seeds=count)) for count in config.members)
    elif axis == "width":
        yield from ((f"{width}", sweep(widths=(width,))) for width in config.widths)
    elif axis == "modes":
        yield from ((f"{modes}", sweep(modes=(modes,))) for modes in config.modes)
    elif axis == "buckets":
        for buckets in ("one", "auto", "each"):
            yield buckets, sweep(widths=config.widths, seeds=1, buckets=buckets)
    elif axis == "mlps":
        # The work of ParallelMLPs (Farias, Ludermir and Bastos-Filho, arXiv 2206.08369): one hidden layer, dense.
        yield (
            f"{5 * 50} dense networks of 1 to 50 units",
            sweep(layer="dense", modes=None, depth=1, widths=tuple(range(1, 51)), seeds=5, learning_rates=(0.001,)),
        )
    elif axis == "precision":
        yield from ((name, sweep(precision=name)) for name in ("float32", "tf32", "bfloat16", "float64"))
    elif axis == "devices":
        count = 1
        while count <= jax.device_count():
            yield f"{count}", sweep(devices=count, seeds=16)
            count *= 2
    else:
        yield (
            "grand grid",
            sweep(
                widths=config.grid_widths,
                modes=tuple(range(1, config.grid_modes + 1)),
                seeds=5,
                learning_rates=(0.001, 0.003, 0.01),
            ),
        )


def measure(config: SweepConfig, dataset: Dataset, limits: dict[str, float], repeats: int) -> tuple[dict, np.ndarray]:
    """Time one program; return its row and the first epoch's test accuracy of its first member."""
    timed = common.Timed(config, dataset)
    _, records = timed.run(1)
    seconds = [timed.run(1)[0] for _ in range(repeats)]
    epoch = statistics.median(seconds)
    plan = timed.plan
    flops = timed.useful_flops_per_epoch
    # Each step reads and writes parameters and moments once; a batch's inputs are read once for all members.
    bytes_moved = plan.steps_per_epoch * (2 * plan.memory.state + config.batch_size * dataset.num_features)
    bound = max(flops / limits["matmul_flops_per_second"], bytes_moved / limits["copy_bytes_per_second"])
    row = {
        "members": config.num_members,
        "launches": plan.launches,
        "buckets": [[bucket.width, bucket.modes, len(bucket.members)] for bucket in plan.buckets],
        "precision": config.precision,
        "devices": plan.devices,
        "trace_seconds": timed.program.seconds_to_trace,
        "compile_seconds": timed.program.seconds_to_compile,
        "epoch_seconds": seconds,
        "network_epochs_per_second": config.num_members / plan.launches / epoch,
        "useful_flops_per_second": flops / plan.launches / epoch,
        "padded_over_useful": plan.padded_flops / plan.useful_flops,
        "share_of_peak": flops / plan.launches / epoch / limits["matmul_flops_per_second"],
        "roofline_share": bound / plan.launches / epoch,
        "device_bytes": plan.memory.device,
        "test_accuracy": float(np.nanmean(records[0].test_accuracy[0])),
    }
    return row, records[0].test_accuracy[0, :1]


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return what it measured."""
    common.use_all_cores()
    if config.smoke:
        config = dataclasses.replace(
            config,
            data="digits",
            members=(1, 4),
            widths=(10, 40),
            modes=(2, 5),
            grid_widths=(5, 10),
            grid_modes=3,
            repeats=2,
        )
    dataset = load_dataset(config.data)
    limits = common.ceilings()
    axes = config.only or tuple(axis for axis in get_args(Axis) if axis != "grid")
    measured: dict[str, Any] = {"ceilings": limits, "axes": {}}
    for axis in axes:
        rows = {}
        first = None
        for label, settings in rows_of(axis, config):
            row, accuracy = measure(settings, dataset, limits, config.repeats)
            # Rows of these axes train the same first member; float32 sums in another order part slowly.
            if axis in ("members", "devices", "precision"):
                first = accuracy if first is None else first
                gap = float(np.abs(accuracy - first).max())
                if not gap <= 0.03:
                    raise SystemExit(f"{axis} {label}: the first member's accuracy is {100 * gap:.2f} points off")
                row["accuracy_gap"] = gap
            rows[label] = row
            epoch = statistics.median(row["epoch_seconds"])
            rate = row["useful_flops_per_second"] / 1e9
            if axis == "grid":
                row["run_seconds_predicted"] = row["launches"] * config.grid_epochs * epoch
            print(
                f"{axis} {label}: compile {row['compile_seconds']:.1f} s, epoch {epoch:.3f} s, "
                f"{row['network_epochs_per_second']:.2f} network-epochs/s, "
                f"{rate:.1f} GFLOP/s useful = {100 * row['share_of_peak']:.0f} % of the peak, "
                f"roofline share {100 * row['roofline_share']:.0f} %",
                flush=True,
            )
        measured["axes"][axis] = rows
    common.write("scaling", config.smoke, config, measured, config.out)
    return measured


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
