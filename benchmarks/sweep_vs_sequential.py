"""One program over many networks against the same networks, each by its own compiled program, one after another.

Run with `uv run python -m benchmarks.sweep_vs_sequential [--smoke]`. Both sides are this library's programs, both
evaluate after every epoch; turns alternate, so that a machine whose speed drifts treats both alike. The sequential side
may use all cores inside its products; the sweep spreads its members over the cores.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks import common
from benchmarks.reference_loop import epoch_seconds
from modejax import SweepConfig
from modejax.data import Dataset
from modejax.sweep.program import make_program


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    smoke: bool = False
    """A minute on a small data set instead of minutes on MNIST."""
    data: str = "mnist"
    """Data set, or the path of an .npz; digits where MNIST is not prepared."""
    members: int = 16
    """Networks of width 100 with 30 modes in the first comparison."""
    widths: tuple[int, ...] = (20, 40, 80, 160, 320, 640)
    """Widths of the second comparison, 30 modes each."""
    channels: tuple[int, ...] = (4, 6, 8, 12, 16, 24)
    """Channels of the convolutional networks of the third comparison, two convolutions of 8 modes each."""
    distinct: int = 0
    """Networks of the first comparison that are run one by one; their mean time stands for the others. 0: all."""
    epochs: int = 2
    """Epochs in one timed call."""
    repeats: int = 5
    """Timed calls of each side."""
    out: Path | None = None
    """JSON file; by default in benchmarks/results."""


def compare(sweep: SweepConfig, singles: list[SweepConfig], dataset: Dataset, config: Config) -> dict[str, Any]:
    """Time both sides in turns and check that they compute the same; equal shapes are compiled once."""
    make_program.cache_clear()
    members = sweep.num_members
    one = common.Timed(sweep, dataset)
    each = [common.Timed(single, dataset) for single in singles]
    _, batched = one.run(config.epochs)
    alone = [timed.run(config.epochs)[1] for timed in each]
    ours = np.concatenate(
        [r.test_accuracy[: config.epochs, : len(b.members)].T for r, b in zip(batched, one.plan.buckets, strict=True)]
    )
    order = np.concatenate([b.members for b in one.plan.buckets])
    curves = np.empty_like(ours)
    curves[order] = ours
    theirs = np.concatenate([records[0].test_accuracy[: config.epochs, :1].T for records in alone])
    gap = float(np.abs(curves[: len(theirs)] - theirs).max())
    allowed = 0.03
    if not gap <= allowed:
        raise SystemExit(f"the curves differ by {100 * gap:.2f} points of accuracy (allowed {100 * allowed}): no times")
    sweep_seconds, single_seconds = [], []
    for _ in range(config.repeats):
        sweep_seconds.append(one.run(config.epochs)[0] / config.epochs)
        taken = sum(timed.run(config.epochs)[0] for timed in each)
        single_seconds.append(members / len(each) * taken / config.epochs)
    fast, slow = statistics.median(sweep_seconds), statistics.median(single_seconds)
    flops = one.useful_flops_per_epoch
    return {
        "members": members,
        "buckets": [[b.width, b.modes, len(b.members)] for b in one.plan.buckets],
        "sweep_compile_seconds": one.compile_seconds,
        "sequential_compile_seconds": sum({id(timed.program): timed.compile_seconds for timed in each}.values()),
        "sweep_epoch_seconds": sweep_seconds,
        "sequential_epoch_seconds": single_seconds,
        "speedup": slow / fast,
        "network_epochs_per_second": members / fast,
        "sequential_network_epochs_per_second": members / slow,
        "useful_flops_per_second": flops / fast,
        "padded_over_useful": one.plan.padded_flops / one.plan.useful_flops,
        "largest_accuracy_gap": gap,
    }


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return what it measured."""
    common.use_all_cores()
    dataset = common.load_images(config.smoke, config.data)
    if config.smoke:
        config = dataclasses.replace(config, members=8, distinct=0, widths=(20, 80), channels=(2, 4), repeats=2)
    limits = common.ceilings()
    peak, copy = limits["matmul_flops_per_second"] / 1e9, limits["copy_bytes_per_second"] / 1e9
    print(f"peak {peak:.0f} GFLOP/s, copy {copy:.1f} GB/s")
    same = compare(
        common.base_sweep(epochs=20 * config.epochs, seeds=config.members),
        # The seed of a member is its number, so each single run is given its seed as the last of as many.
        [_single(config.epochs, seed) for seed in range(config.distinct or config.members)],
        dataset,
        config,
    )
    same["share_of_peak"] = same["useful_flops_per_second"] / limits["matmul_flops_per_second"]
    widths = compare(
        common.base_sweep(epochs=20 * config.epochs, widths=config.widths),
        [common.base_sweep(epochs=20 * config.epochs, widths=(width,), devices=1) for width in config.widths],
        dataset,
        config,
    )
    convolutional = functools.partial(
        common.base_sweep, epochs=20 * config.epochs, network="conv", network_options={"norm": "layer"}, modes=(8,)
    )
    images = _part(dataset, 6000)
    channels = compare(
        convolutional(widths=config.channels),
        [convolutional(widths=(width,), devices=1) for width in config.channels],
        images,
        config,
    )
    batches = 10 if config.smoke else 200
    loops = {kind: epoch_seconds(dataset, 100, 30, batches, kind=kind) for kind in ("lean", "script")}
    for name, result in (("same size", same), ("widths", widths), ("channels of convolutions", channels)):
        rates = (result["network_epochs_per_second"], result["sequential_network_epochs_per_second"])
        compiling = (result["sweep_compile_seconds"], result["sequential_compile_seconds"])
        print(
            f"{name}: {result['members']} networks, {rates[0]:.2f} network-epochs/s in one program, "
            f"{rates[1]:.2f} one after another: {result['speedup']:.2f} times; "
            f"compile {compiling[0]:.1f} s against {compiling[1]:.1f} s; "
            f"{result['useful_flops_per_second'] / 1e9:.0f} GFLOP/s useful, padding {result['padded_over_useful']:.2f}"
        )
    print(
        f"share of the matrix peak: {100 * same['share_of_peak']:.0f} %; a NumPy loop that rebuilds W takes "
        f"{loops['lean']:.2f} s an epoch of one network, one in float64 that rebuilds it wherever it is used "
        f"{loops['script']:.2f} s, the sweep {1 / same['network_epochs_per_second']:.3f} s"
    )
    measured = {
        "ceilings": limits,
        "same_size": same,
        "widths": widths,
        "channels": channels,
        "channels_training_examples": len(images.x_train),
        "reference_loop_epoch_seconds": loops,
    }
    common.write("sweep_vs_sequential", config.smoke, config, measured, config.out)
    return measured


def _part(dataset: Dataset, examples: int) -> Dataset:
    """Return the first training examples, and a third as many test examples."""
    cut = {f"{what}_train": getattr(dataset, f"{what}_train")[:examples] for what in "xy"}
    cut |= {f"{what}_test": getattr(dataset, f"{what}_test")[: examples // 3] for what in "xy"}
    return dataclasses.replace(dataset, **cut)


def _single(epochs: int, seed: int) -> SweepConfig:
    return common.base_sweep(epochs=20 * epochs, devices=1, first_seed=seed)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
