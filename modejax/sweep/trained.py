"""The trained networks of a sweep at their own sizes, from memory or from a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from modejax.data import Dataset, load_dataset
from modejax.errors import InputError
from modejax.layers import Family
from modejax.networks import Network, Params
from modejax.sweep.config import SweepConfig
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.program import precision_scope
from modejax.sweep.result import is_run
from modejax.sweep.run import restore_states
from modejax.training import TrainState

__all__ = ["Trained", "load_networks", "trained_networks"]


class Trained(NamedTuple):
    """One trained member at its own size, without padding."""

    width: int
    modes: int  # 0 where the layer has none or full rank
    seed: int
    learning_rate: float
    weight_decay: float
    sparsity: float  # percent; 0 without a mask
    network: Network
    params: Params


def trained_networks(plan: Plan, states: list[TrainState], group: int = 0) -> Iterator[Trained]:
    """Yield the trained networks of a group in the order of its grid, cut out of their padding.

    Args:
        plan: the plan that ran.
        states: its final states, as in `Outcome`.
        group: 0 for the sweep's own networks, 1 for the baseline.

    Yields:
        One record a member; its network and parameters have the member's own sizes.
    """
    members, spec = plan.groups[group].members, plan.groups[group].spec
    home = {
        m: (b, i)
        for b, bucket in enumerate(plan.buckets)
        if bucket.group == group
        for i, m in enumerate(bucket.members)
    }
    for member in range(len(members)):
        bucket, index = home[member]
        width, modes = int(members.width[member]), int(members.modes[member])
        sparsity = float(members.sparsity[member])
        network = spec.build(width, modes, plan.evaluation_rows, sparsity)
        shapes = jax.eval_shape(network.init, jax.random.key(0))
        params = jax.tree.map(
            lambda leaf, shape, index=index: leaf[index][tuple(slice(n) for n in shape.shape)],
            states[bucket].params,
            shapes,
        )
        yield Trained(
            width,
            modes,
            int(members.seed[member]),
            float(members.learning_rate[member]),
            float(members.weight_decay[member]),
            sparsity,
            network,
            params,
        )


def load_networks(folder: str | Path, *, layer: Family | None = None, dataset: Dataset | None = None) -> list[Trained]:
    """Read the trained networks of a run from its last checkpoints.

    Args:
        folder: the run folder.
        layer: the layer of one's own with which the run was made, if it was.
        dataset: the data of one's own with which it was made, if it was.

    Returns:
        One record a member, in the order of the grid.

    Raises:
        InputError: if the folder is not a run, or its last checkpoint cannot be used.
    """
    folder = Path(folder)
    if not is_run(folder):
        raise InputError(f"{folder} is not a run (it has no config.json)")
    config = SweepConfig.from_json((folder / "config.json").read_text())
    if dataset is None:
        dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
    plan = make_plan(config, dataset, layer)
    with precision_scope(config.precision):
        states = restore_states(plan, dataset, folder / "checkpoint")
        return list(trained_networks(plan, states))
