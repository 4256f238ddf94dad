"""All benchmarks with the sizes of one accelerator, by one command and without downloads.

Run with `uv run python -m benchmarks.gpu --out DIR --data FILE.npz` (or a name of a prepared data set). It writes one
JSON a benchmark into DIR and a figure, and prints the targets beside what was measured: 512 networks of width 100 with
30 modes at 50 times the rate of the same programs one after another, 40 % of the roofline of the step, and the grid of
5,250 networks x 200 epochs within 300 s, compile included. `--smoke` runs the smoke sizes of everything instead.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import tyro

from benchmarks import common, compare, scaling, spectral, sweep_vs_sequential, truncation


@dataclasses.dataclass(frozen=True)
class Config:
    """Options."""

    out: Path
    """Folder for the JSON files and the figure."""
    data: str = "mnist"
    """Data set, or the path of an .npz with x_train, y_train, x_test, y_test."""
    smoke: bool = False
    """Small sizes on digits."""


def main(config: Config) -> None:
    """Run everything."""
    common.use_all_cores()
    config.out.mkdir(parents=True, exist_ok=True)
    kind = f"{'smoke-' if config.smoke else ''}{jax.default_backend()}"

    def file(name: str) -> Path:
        return config.out / f"{name}-{kind}.json"

    steps = scaling.main(
        scaling.Config(
            smoke=config.smoke,
            data=config.data,
            only=("members", "width", "modes", "buckets", "mlps", "precision", "devices", "grid"),
            members=(1, 4, 16, 64, 256, 512, 1024),
            out=file("scaling"),
        )
    )
    pairs = sweep_vs_sequential.main(
        sweep_vs_sequential.Config(
            smoke=config.smoke, data=config.data, members=512, distinct=8, out=file("sweep_vs_sequential")
        )
    )
    truncation.main(
        truncation.Config(smoke=config.smoke, data=config.data, members=64, out=file("truncation")),
    )
    spectral.main(spectral.Config(smoke=config.smoke, data=config.data, out=file("spectral")))
    compare.main(compare.Config(tuple(sorted(config.out.glob("*.json"))), figure=config.out / f"scaling-{kind}.png"))
    same, axes = pairs["same_size"], steps["axes"]
    most = max(axes["members"].values(), key=lambda row: row["roofline_share"])
    grid = axes["grid"]["grand grid"]
    total = grid["run_seconds_predicted"] + grid["trace_seconds"] + grid["compile_seconds"]
    print(f"\n{same['members']} networks at {same['speedup']:.1f} times the sequential rate (target on a GPU: 50)")
    print(f"roofline share of the step, best: {100 * most['roofline_share']:.0f} % (target 40)")
    print(f"grand grid, {grid['members']} networks x 200 epochs, from the epochs measured: {total:.0f} s (target 300)")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
