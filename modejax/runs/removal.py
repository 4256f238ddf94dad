"""Accuracy with modes removed from trained networks: least important first, most important first, or at random.

The curves are computed by the compiled step, which is called once more for 0 epochs with another order of the modes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from modejax.data import Dataset, load_dataset
from modejax.errors import InputError, choices
from modejax.runs.run import Run, open_run
from modejax.sweep.arrays import program_spec
from modejax.sweep.hosts import collect
from modejax.sweep.inputs import device_data, make_clock, member_arrays
from modejax.sweep.label import by_loss, truncation_variables
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.program import make_program, precision_scope
from modejax.sweep.records import empty_records, take
from modejax.sweep.spec import Custom
from modejax.sweep.states import with_given

if TYPE_CHECKING:
    import xarray

    from modejax.sweep.trained import Trained

__all__ = ["REMOVALS", "removal_curves"]

Removal = Literal["least", "most", "random"]

REMOVALS: dict[str, str] = {
    "least": "least important modes removed first",
    "most": "most important modes removed first",
    "random": "modes removed at random",
}
"""The orders in which modes are removed, by name."""


def removal_curves(
    run: Run | str | Path,
    removals: tuple[Removal, ...] = ("least", "most", "random"),
    *,
    score: Literal["importance", "weight", "size"] = "importance",
    draws: int = 10,
    kept: tuple[int, ...] = (),
    dataset: Dataset | None = None,
    custom: Custom | None = None,
) -> xarray.Dataset:
    """Measure test accuracy against modes kept for the trained networks of a run, in several orders of removal.

    Args:
        run: a finished run of a layer with modes, or its folder; its first arm is measured.
        removals: names of `REMOVALS`.
        score: the score by which modes are ranked: importance (tau), weight (|Sigma|) or size (gauge-free).
        draws: number of random orders over which `random` is averaged.
        kept: numbers of modes kept; by default all from 0 on.
        dataset: the data set in memory with which the run was made, if it was made with one.
        custom: the custom network, layer and loss with which the run was made, if any.

    Returns:
        `accuracy` (grid, removal, layer, kept) with one map cut and `accuracy_all` with all maps cut, shares of 1, NaN
        where `kept` exceeds a network's modes and where it diverged; `loss` and `loss_all` instead if the targets are
        real values; `spread` and `spread_all`, the standard deviation over random orders, 0 for the orders that are not
        random.

    Raises:
        InputError: if the folder is not a finished run, its layer has no modes, or a name is unknown.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(4,), seeds=1, epochs=2, baseline="none"))
        >>> curves = removal_curves(run, ("least", "random"), draws=2)
        >>> least = curves.accuracy.sel(removal="least")
        >>> least.dims[5:], bool((least == run["mode"].truncation_accuracy.isel(truncation_epoch=0)).all())
        (('layer', 'kept'), True)
    """
    import xarray

    for name in removals:
        if name not in REMOVALS:
            raise InputError(f"unknown removal {name!r}; allowed: {choices(REMOVALS)}")
    if not removals or len(set(removals)) < len(removals):
        raise InputError(f"removals must name one or more orders, each once, got {removals!r}")
    if score not in ("importance", "weight", "size"):
        raise InputError(f"unknown score {score!r}; allowed: importance, size, weight")
    custom = Custom() if custom is None else custom
    if not isinstance(run, Run):
        run = open_run(run, network=custom.network, layer=custom.layer)
    config = run.config
    if dataset is None:
        dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
    trained = run.networks()
    found = []
    for name in removals:
        again = dataclasses.replace(
            config,
            order="random" if name == "random" else score,
            cut="remove-leading" if name == "most" else "keep-leading",
            draws=draws,
            kept=kept,
            truncate_every=0,
            epochs=1,  # no epoch is run
            mask_after=0,
            prune=(),
            arms=(),
            baseline="none",
        )
        plan = make_plan(again, dataset, custom)
        if not plan.arms[0].spec.kept:
            raise InputError(
                f"this run has networks without modes (layer {config.layer}, mask {config.mask}), so there is nothing "
                "to remove; give a run of a layer with modes"
            )
        found.append(_measure(plan, dataset, trained))
    curves = xarray.concat(
        found, dim=xarray.Variable("removal", list(removals)), data_vars="all", coords="minimal", join="exact"
    )
    return curves.transpose(*plan.arms[0].members.dims, "removal", "layer", "kept")


def _measure(plan: Plan, dataset: Dataset, trained: Sequence[Trained]) -> xarray.Dataset:
    """Call the compiled step for 0 epochs and label the curves of the first arm."""
    import xarray

    config, arm = plan.config, plan.arms[0]
    records = empty_records(plan)
    params = [each.params for each in trained]
    with precision_scope(config.precision):
        program = make_program(program_spec(plan, dataset))
        data = device_data(plan, dataset, program)
        for launch in range(plan.launches):
            members = member_arrays(plan, program, launch)
            states = with_given(plan, program.start(members), params, program, launch)
            clock = make_clock(plan, program, config.epochs, 0, truncate=True)
            _, reported = program.compiled(states, members, data, clock)
            take(records, plan, launch, (config.epochs, 0, True), collect(reported))
    what = "loss" if by_loss(plan, dataset) else "accuracy"
    variables = truncation_variables(plan, arm, records[0], what)
    members = arm.members
    layers = records[0].layer_curves.shape[3]
    coordinates = {**members.coordinates, "layer": np.arange(1, layers + 1), "kept": np.array(arm.spec.kept)}
    named = {}
    for short in ("", "_all"):
        dims, values = variables[f"truncation_{what}{short}"]
        named[f"{what}{short}"] = (dims, values)
        spread = np.where(np.isfinite(values), 0.0, np.nan)
        named[f"spread{short}"] = variables.get(f"truncation_spread{short}", (dims, spread))
    fine = np.array([each.status == 0 for each in trained]).reshape(members.grid)
    result = xarray.Dataset(named, coords=coordinates).isel(truncation_epoch=0)
    return result.where(xarray.DataArray(fine, dims=members.dims))
