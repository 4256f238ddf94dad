"""The sweeps behind the studies of modes, and the folders in which their trained networks are kept.

A study keeps its runs under `OUT/runs/NAME`. A finished run of the same config is used again, there or in the folder of
another study beside it; an unfinished one is resumed. So figures and tables are made anew without training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modejax.errors import InputError
from modejax.runs import open_run, read_json, unfinished
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from modejax.runs import Run

__all__ = [
    "dense_control",
    "finished",
    "frontier",
    "long_training",
    "mixture",
    "trained_run",
]

_LONG: dict[str, Any] = {"epochs": 100, "halve_every": 25, "dataset": "mnist", "widths": (100,)}
_QUICK: dict[str, Any] = {"epochs": 40, "halve_every": 10, "dataset": "digits", "widths": (64,), "batch_size": 50}


def long_training(
    quick: bool,
    seeds: int,
    *,
    modes: int = 70,
    gauge: str = "plain",
    learning_rates: tuple[float, ...] = (0.003, 0.01),
    weight_decays: tuple[float, ...] = (1e-3,),
) -> SweepConfig:
    """Return the sweep of the long schedule: N = 100 and 100 epochs of MNIST, or N = 64 and 40 epochs of digits."""
    shared = _QUICK if quick else _LONG
    return SweepConfig(
        layer="mode",
        layer_options=() if gauge == "plain" else (f"gauge={gauge}",),
        modes=(min(modes, 40) if quick else modes,),
        seeds=seeds,
        learning_rates=learning_rates,
        weight_decays=weight_decays,
        baseline="none",
        # Importances at many times; the curves come from the trained networks, once.
        truncate_every=shared["epochs"] // 20,
        kept=(0,),
        **shared,
    )


def dense_control(start: str, mode_run: SweepConfig, learning_rates: tuple[float, ...], seeds: int) -> SweepConfig:
    """Return the sweep of a dense control: data, width, schedule, decay and seeds of a run of mode networks.

    Args:
        start: `he`, or `mode` for the very weights from which the mode networks start.
        mode_run: the run of the mode networks.
        learning_rates: of the control.
        seeds: of the control.
    """
    assert mode_run.modes is not None
    options = (f"start={start}",)
    if start == "mode":
        options += (f"start_modes={mode_run.modes[0]}",)
    return dataclasses.replace(
        mode_run,
        layer="dense",
        layer_options=options,
        modes=None,
        seeds=seeds,
        learning_rates=learning_rates,
        weight_decays=mode_run.weight_decays[:1],
        truncate_every=0,
        kept=(),
    )


def frontier(quick: bool, seeds: int) -> dict[tuple[str, int], SweepConfig]:
    """Return one sweep for each kind of network and number of modes (of units, where it is dense).

    Every kind is given the same two learning rates; one sweep each, so that seconds can be told apart.
    """
    base = SweepConfig(
        dataset="mnist", widths=(100,), epochs=4, halve_every=2, seeds=seeds, baseline="none",
        learning_rates=(0.0015, 0.005), kept=(0,),
    )  # fmt: skip
    modes, full, units = (5, 10, 30, 70), (30, 0), (10, 30, 100)
    if quick:
        base = dataclasses.replace(base, dataset="digits", widths=(32,), epochs=20, halve_every=5, batch_size=50)
        modes, full, units = (4, 20), (0,), (8, 32)
    found = {}
    kinds = {"mode": (1e-3, {}), "tied": (1e-4, {"network": "tied"}), "low_rank": (1e-4, {"layer": "low_rank"})}
    for kind, (decay, changes) in kinds.items():
        for count in modes:
            found[kind, count] = dataclasses.replace(base, modes=(count,), weight_decays=(decay,), **changes)
    for count in full:
        found["svd", count] = dataclasses.replace(base, layer="svd", modes=(count,), weight_decays=(0.0,))
    for count in units:
        found["dense", count] = dataclasses.replace(
            base, layer="dense", modes=None, widths=(count,), weight_decays=(1e-4,), kept=()
        )
    return found


def mixture(quick: bool, seeds: int) -> SweepConfig:
    """Return the sweep on the Gaussian mixture: 2-3-1, 2-4-1 and 2-8-1, three modes a map and dense."""
    return SweepConfig(
        dataset="gaussian_mixture", depth=1, widths=(3, 4, 8), modes=(3,), seeds=seeds, epochs=1 if quick else 2,
        batch_size=10, learning_rates=(1e-3,), weight_decays=(1e-4,), batches="per_seed",
        baseline_learning_rates=(1e-3,), baseline_weight_decays=(1e-4,), kept=(0,),
    )  # fmt: skip


_PLACE = {"data_dir": None, "devices": 0, "memory_limit": 0.0, "launches": 0}
"""Fields of a config that say where a run takes place; its numbers do not depend on them."""


def finished(folder: Path, config: SweepConfig) -> Run | None:
    """Open a run if it is finished, whole, and was made with a config.

    Where the data lies and on what it ran do not count.

    Args:
        folder: the run folder.
        config: the sweep.

    Returns:
        The run; None for anything else.
    """
    try:
        run = open_run(folder)
    except InputError:
        return None
    return run if _same(run.config, config) else None


def _same(one: SweepConfig, other: SweepConfig) -> bool:
    return dataclasses.replace(one, **_PLACE) == dataclasses.replace(other, **_PLACE)


def _resumable(folder: Path, config: SweepConfig) -> bool:
    try:
        return _same(SweepConfig.from_fields(read_json(unfinished(folder, "sweep"))), config)
    except InputError:
        return False


def trained_run(out: Path, name: str, config: SweepConfig, report: Callable[[str], None] = print) -> Run:
    """Return the run of a config: found, resumed or trained.

    Args:
        out: the folder of the study; runs lie in its `runs`.
        name: the folder of this run.
        config: the sweep.
        report: called with a line of text for each part that is done.

    Returns:
        The run, in its folder.

    Raises:
        InputError: if the data is missing or the folder cannot be written.
    """
    from modejax.runs import Keep, perform

    name = f"{name}-{config.dataset}-{config.seeds}"
    own = out / "runs" / name
    for folder in (own, *sorted(out.parent.glob(f"*/runs/{name}"))):
        run = finished(folder, config)
        if run is not None:
            report(f"{name}: taken from {folder}")
            return run
    report(f"{name}: training {config.num_networks} networks for {config.epochs} epochs")
    # What else is there was made with another config, or is damaged; it stays until the new run is finished.
    resume = _resumable(own, config)
    return perform(config, keep=Keep(own, resume=resume, overwrite=not resume))
