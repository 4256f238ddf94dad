"""The trained networks behind the studies of the singular value representation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modejax.studies.convnet import ConvRun
from modejax.sweep.config import SweepConfig

__all__ = ["PENALTIES", "batch_norm_arms", "dominant_runs", "fc_run", "file_name", "pick", "sweeps"]

PENALTIES = {
    "Adam, no penalty": ("adam", 1e-3, 0.0),
    "Adam, L2 1e-4": ("adam_l2", 1e-3, 1e-4),
    "Adam, norm 1e-4": ("adam_norm", 1e-3, 1e-4),
    "SGD, L2 1e-3": ("sgd", 0.05, 1e-3),
    "SGD, L2 5e-3": ("sgd", 0.05, 5e-3),
}
"""Name to optimiser, learning rate and strength of the penalty. All penalties act on all trained arrays."""


def batch_norm_arms(quick: bool, seeds: int) -> dict[tuple[str, bool], ConvRun]:
    """Return the runs with and without batch norm for every penalty: digits, convolutions 1-32-64-64-64-64."""
    base = ConvRun(seeds=seeds)
    if quick:
        base = dataclasses.replace(
            base, images=480, channels=(8, 16, 16, 16), hidden=(16,), epochs=12, checkpoints=(0, 4, 12)
        )
    return {
        (name, norm): dataclasses.replace(
            base, batch_norm=norm, optimiser=optimiser, learning_rate=rate, penalty=penalty
        )
        for name, (optimiser, rate, penalty) in PENALTIES.items()
        for norm in (True, False)
    }


def dominant_runs(quick: bool, seeds: int | None) -> dict[str, ConvRun]:
    """Return a VGG-like network with its decay on MNIST, and two networks on digits that differ in their penalty.

    The first has eight convolutions and three dense layers. Those on digits are arms of the study of batch norm,
    without it.
    """
    vgg = ConvRun(
        dataset="mnist", images=20000, channels=(16, 16, 32, 32, 64, 64, 64, 64), pools=(1, 3, 7), hidden=(128, 128),
        batch_norm=False, optimiser="sgd", learning_rate=0.01, penalty=5e-4, batch=64, epochs=10,
        checkpoints=(0, 1, 3, 10), seeds=seeds or 3,
    )  # fmt: skip
    if quick:
        vgg = dataclasses.replace(
            vgg, dataset="digits", images=960, channels=(8, 16, 16, 16), pools=(1,), hidden=(32, 32), batch=32,
            epochs=6, checkpoints=(0, 6),
        )  # fmt: skip
    arms = batch_norm_arms(quick, seeds or (3 if quick else 5))
    return {"VGG-like": vgg} | {f"digits, {name}": arms[name, False] for name in ("Adam, no penalty", "SGD, L2 5e-3")}


def fc_run(quick: bool, seeds: int) -> ConvRun:
    """Return the dense network without biases of the paper's film: [784, 100, 50, 50, 50, 10] on MNIST, SGD."""
    base = ConvRun(
        dataset="mnist", images=25600, channels=(), pools=(), hidden=(100, 50, 50, 50), batch_norm=False, biases=False,
        optimiser="sgd_plain", learning_rate=0.1, epochs=7, checkpoints=(0, 0.125, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 7),
        seeds=seeds,
    )  # fmt: skip
    if quick:
        return dataclasses.replace(
            base, dataset="digits", images=1280, hidden=(50, 30, 30, 30), epochs=12, checkpoints=(0, 1, 3, 6, 12)
        )
    return base


def file_name(name: str, run: ConvRun) -> str:
    """Return the name of the file in which the networks of a run are kept.

    Example:
        >>> file_name("Adam, L2 1e-4 bn", ConvRun())
        'adam--l2-1e-4-bn-digits-3'
    """
    whole = f"{name}-{run.dataset}-{run.seeds}"
    return "".join(each if each.isalnum() else "-" for each in whole).lower()


def sweeps(quick: bool, seeds: int) -> dict[str, SweepConfig]:
    """Return the sweeps over width of mode networks and of dense networks, each with a learning rate that suits it."""
    shared: dict[str, Any] = {"seeds": seeds, "baseline": "none", "kept": ()}
    if quick:
        shared |= {"dataset": "digits", "widths": (16, 32, 64), "epochs": 20, "halve_every": 5, "batch_size": 50}
    else:
        shared |= {"dataset": "mnist", "widths": (25, 50, 100, 200, 400), "epochs": 6, "halve_every": 2}
    return {
        "modes": SweepConfig(**shared | {"modes": (4, 8, 16) if quick else (5, 10, 20, 40), "kept": (0,)}),
        "dense": SweepConfig(**shared, layer="dense", modes=None, learning_rates=(0.001,), weight_decays=(1e-4,)),
    }


def pick(rows: Sequence[Mapping[str, Any]], field: str, **where: Any) -> np.ndarray:
    """Return a field of the rows with the given values, shape (seeds,).

    Example:
        >>> pick([{"epoch": 0, "share": 0.1}, {"epoch": 1, "share": 0.2}], "share", epoch=1).tolist()
        [0.2]
    """
    return np.array([row[field] for row in rows if all(row.get(key) == value for key, value in where.items())])
