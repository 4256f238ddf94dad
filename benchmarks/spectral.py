"""Widths of spectral layers as one program: against the same networks one after another, and against dense ones.

Run with `uv run python -m benchmarks.spectral [--smoke]`. Both sides are this library's programs and evaluate after
every epoch; turns alternate. Two sets of eigenvalues over a frozen matrix build the kernel for all rows of a batch and
take its gradient, as a dense layer does, but move N1 + N2 numbers instead of N1 N2.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tyro

from benchmarks import common
from benchmarks.sweep_vs_sequential import Config as TurnsConfig
from benchmarks.sweep_vs_sequential import compare
from modejax import SweepConfig

FAMILIES: dict[str, dict[str, Any]] = {
    "two_set": {"layer": "spectral"},
    "svd": {"layer": "spectral", "layer_options": ("variant=svd",)},
    "qr_triangular": {"layer": "spectral", "layer_options": ("variant=qr_triangular",)},
    "dense": {"layer": "dense", "layer_options": ("use_bias=true",)},
    "dense, dynamic mask": {
        "layer": "dense",
        "layer_options": ("use_bias=true",),
        "mask": "dynamic",
        "sparsities": (90,),
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    smoke: bool = False
    """A minute on a small data set instead of minutes on MNIST."""
    data: str = "mnist"
    """Data set, or the path of an .npz; digits where MNIST is not prepared."""
    families: tuple[str, ...] = tuple(FAMILIES)
    """Names of the families; dense is always among them."""
    widths: tuple[int, ...] = (50, 100, 200, 300, 400, 500)
    """Widths of the one hidden layer."""
    seeds: int = 2
    """Networks of each width."""
    repeats: int = 3
    """Timed calls of each side."""
    out: Path | None = None
    """JSON file; by default in benchmarks/results."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return what it measured."""
    common.use_all_cores()
    dataset = common.load_images(config.smoke, config.data)
    if config.smoke:
        config = dataclasses.replace(config, widths=(20, 60), repeats=2)
    limits = common.ceilings()
    turns = TurnsConfig(smoke=config.smoke, epochs=1, repeats=config.repeats)
    found = {}
    for name in dict.fromkeys([*config.families, "dense"]):
        fields = FAMILIES[name]

        def sweep(widths: tuple[int, ...], seed: int = 0, fields: dict[str, Any] = fields, **more: Any) -> SweepConfig:
            shared = {"depth": 1, "batch_size": 200, "optimiser": "adamax", "modes": None, "weight_decays": (0.0,)}
            return common.base_sweep(widths=widths, first_seed=seed, **{**shared, **fields, **more})

        singles = [sweep((width,), seed, devices=1) for width in config.widths for seed in range(config.seeds)]
        found[name] = compare(sweep(config.widths, seeds=config.seeds), singles, dataset, turns)
    dense = found["dense"]["network_epochs_per_second"]
    for name, result in found.items():
        result["rate_over_dense"] = result["network_epochs_per_second"] / dense
        print(
            f"{name}: {result['members']} networks, {result['network_epochs_per_second']:.2f} network-epochs/s in "
            f"one program, {result['speedup']:.2f} times one after another, {result['rate_over_dense']:.2f} times the "
            f"dense rate; compile {result['sweep_compile_seconds']:.1f} against "
            f"{result['sequential_compile_seconds']:.1f} s; "
            f"{result['useful_flops_per_second'] / 1e9:.0f} GFLOP/s useful"
        )
    measured = {"ceilings": limits, "families": found}
    common.write("spectral", config.smoke, config, measured, config.out)
    return measured


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
