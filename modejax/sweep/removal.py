"""Accuracy with modes removed from trained networks: least important first, most important first, or at random.

The curves are those of the compiled step, called once more for no epochs with another order of the modes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from modejax.data import Dataset, load_dataset
from modejax.errors import InputError, choices
from modejax.layers import Family
from modejax.sweep.arrays import program_spec
from modejax.sweep.config import SweepConfig
from modejax.sweep.hosts import collect
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.program import device_data, make_clock, make_program, member_arrays, precision_scope
from modejax.sweep.records import empty_records, take
from modejax.sweep.result import GRID, is_run, truncation_variables
from modejax.sweep.run import restore_states
from modejax.sweep.states import with_padding

if TYPE_CHECKING:
    import xarray

    from modejax.training import TrainState

__all__ = ["REMOVALS", "removal_curves"]

Removal = Literal["least", "most", "random"]

REMOVALS: dict[str, str] = {
    "least": "least important modes removed first",
    "most": "most important modes removed first",
    "random": "modes removed at random",
}
"""The orders in which modes are removed, by name."""


def removal_curves(
    folder: str | Path,
    removals: tuple[Removal, ...] = ("least", "most", "random"),
    *,
    score: Literal["importance", "weight", "size"] = "importance",
    draws: int = 10,
    kept: tuple[int, ...] = (),
    layer: Family | None = None,
    dataset: Dataset | None = None,
) -> xarray.Dataset:
    """Measure test accuracy against modes kept for the trained networks of a run, in several orders of removal.

    Args:
        folder: a finished run of a layer with modes.
        removals: names of `REMOVALS`.
        score: by which modes are more or less important: importance (tau), weight (|Sigma|) or size (gauge-free).
        draws: random orders over which `random` is averaged.
        kept: numbers of modes kept; by default all from 0 on.
        layer: the layer of one's own with which the run was made, if it was.
        dataset: the data of one's own with which it was made, if it was.

    Returns:
        `accuracy` (grid, removal, layer, kept) with one map cut and `accuracy_all` with all maps cut, shares of 1, NaN
        where k is beyond a network's modes and where it diverged; `spread` and `spread_all`, the standard deviation
        over random orders, 0 for the orders that are not random.

    Raises:
        InputError: if the folder is not a finished run, its layer has no modes, or a name is unknown.

    Example:
        >>> import tempfile
        >>> from modejax import run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(4,), seeds=1, epochs=2, baseline="none")
        >>> with tempfile.TemporaryDirectory() as run:
        ...     result = run_sweep(config, out=run)
        ...     curves = removal_curves(run, ("least", "random"), draws=2)
        >>> least = curves.accuracy.sel(removal="least")
        >>> least.dims[5:], bool((least == result.truncation_accuracy.isel(truncation_epoch=0)).all())
        (('layer', 'kept'), True)
    """
    import xarray

    folder = Path(folder)
    for name in removals:
        if name not in REMOVALS:
            raise InputError(f"unknown removal {name!r}; allowed: {choices(REMOVALS)}")
    if not removals or len(set(removals)) < len(removals):
        raise InputError(f"removals must name one or more orders, each once, got {removals!r}")
    if score not in ("importance", "weight", "size"):
        raise InputError(f"unknown score {score!r}; allowed: importance, size, weight")
    if not is_run(folder):
        raise InputError(f"{folder} is not a run (it has no config.json)")
    config = SweepConfig.from_json((folder / "config.json").read_text())
    if dataset is None:
        dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
    plan = make_plan(config, dataset, layer)
    if not plan.kept:
        raise InputError(
            f"{folder} has networks without modes (layer {config.layer}, mask {config.mask}), so there is nothing to "
            "remove; give a run of a layer with modes"
        )
    with precision_scope(config.precision):
        states = restore_states(plan, dataset, folder / "checkpoint")
    found = []
    for name in removals:
        again = dataclasses.replace(
            config,
            order="random" if name == "random" else score,
            cut="remove-leading" if name == "most" else "keep-leading",
            draws=draws,
            kept=kept,
            truncate_every=0,
            epochs=1,  # none is run
            prune=(),
        )
        found.append(_measure(make_plan(again, dataset, layer), dataset, states))
    curves = xarray.concat(
        found, dim=xarray.Variable("removal", list(removals)), data_vars="all", coords="minimal", join="exact"
    )
    return curves.transpose(*GRID, "removal", "layer", "kept")


def _measure(plan: Plan, dataset: Dataset, states: list[TrainState]) -> xarray.Dataset:
    """Call the compiled step for no epochs and label the curves of the sweep's own networks."""
    import xarray

    config = plan.config
    records = empty_records(plan)
    with precision_scope(config.precision):
        program = make_program(program_spec(plan, dataset))
        data = device_data(dataset, program, config.shuffle_seed)
        done = [0] * len(plan.buckets)
        for launch in range(plan.launches):
            sizes = [len(share) for share in plan.share(launch)]
            part = [
                jax.tree.map(lambda leaf, a=start, n=size: leaf[a : a + n], state)
                for state, start, size in zip(states, done, sizes, strict=True)
            ]
            done = [start + size for start, size in zip(done, sizes, strict=True)]
            members = member_arrays(plan, program, launch)
            clock = make_clock(program, config.epochs, 0, config, truncate=True)
            _, reported = program.compiled(with_padding(plan, part, program), members, data, clock)
            take(records, plan, launch, (config.epochs, 0, True), collect(reported))
    variables = truncation_variables(plan, records[0])
    group = plan.groups[0]
    coordinates = {
        "width": np.array(config.widths),
        "modes": np.array(config.modes),
        "seed": np.array(config.seed_numbers),
        "learning_rate": np.array(config.learning_rates),
        "weight_decay": np.array(config.weight_decays),
        "layer": np.arange(1, config.depth + 2),
        "kept": np.array(plan.kept),
    }
    fine = records[0].healthy.reshape(group.grid)
    named = {}
    for name, short in (("accuracy", ""), ("accuracy_all", "_all")):
        dims, values = variables[f"truncation_{name}"]
        named[name] = (dims, values)
        spread = f"truncation_spread{short}"
        named[f"spread{short}"] = variables.get(spread, (dims, np.where(np.isfinite(values), 0.0, np.nan)))
    result = xarray.Dataset(named, coords=coordinates).isel(truncation_epoch=0)
    return result.where(xarray.DataArray(fine, dims=GRID))
