"""Results of made-up numbers, labelled by the code that labels real ones."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray

from modejax.data import Dataset, load_dataset
from modejax.sweep.config import SweepConfig
from modejax.sweep.label import Timing, assemble
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.records import ArmRecord, empty_records

Build = Callable[..., xarray.DataTree]


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset("digits", seed=0)


def _record(plan: Plan, index: int, rng: np.random.Generator, diverged: tuple[int, ...]) -> ArmRecord:
    """Make learning curves that fall, truncation curves that rise to the final accuracy, and importances."""
    group = plan.arms[index]
    members, epochs = len(group.members), plan.config.epochs
    width = np.asarray(group.members["width"], float)
    modes = np.asarray(group.members["modes"], float)
    final = 0.98 - 0.6 / (1 + np.where(modes > 0, modes, 30)) - 0.8 / width + 0.01 * rng.standard_normal(members)
    time = np.arange(1, epochs + 1) / epochs
    accuracy = 0.1 + (final - 0.1)[:, None] * time**0.4
    loss = 2.3 * np.exp(-4 * time)[None] + 0.2 * rng.random((members, 1))
    kept = np.array(group.spec.kept, float)
    longest = int(modes.max()) or 10
    maps, ends = plan.config.depth + 1, len(plan.truncation_epochs)
    like = empty_records(plan)[index]
    whole = np.where(modes > 0, modes, 10)[:, None]
    rise = 0.1 + (final - 0.1)[:, None] * np.minimum(kept / whole, 1) ** 0.5
    stage = np.linspace(0.3, 1, max(ends, 1))[:, None]
    layers = np.broadcast_to((rise[:, None] * stage)[:, :, None, None, :], (members, ends, 1, maps, len(kept))).copy()
    layers += 0.02 * rng.random(layers.shape)
    importance = np.full((members, maps, longest), np.nan)
    for member in range(members):
        count = int(modes[member]) or longest
        importance[member, :, :count] = rng.permuted(rng.random((maps, count)) + 1 / np.arange(1, count + 1), axis=-1)
    importance = np.repeat(importance[:, None], ends, axis=1)
    if not group.spec.kept:
        layers, importance = like.layer_curves, like.importance
    record = like._replace(
        validation=accuracy[:, : like.validation.shape[1]] - 0.01,
        best_epoch=np.full(members, epochs),
        train_loss=loss + 0.05,
        test_loss=loss * 1.2,
        test_accuracy=accuracy,
        layer_curves=layers,
        together_curves=layers[:, :, :, 0] ** 1.5 if group.spec.kept else like.together_curves,
        importance=importance,
        mode_weight=importance * rng.choice([-1, 1], importance.shape),
        healthy=~np.isin(np.arange(members), diverged),
    )
    for member in diverged:
        for name, values in record._asdict().items():
            if name in ("healthy", "best_epoch") or not values.size:
                continue
            # What came before the divergence stays on record in the curves against the epoch.
            values[member, 1:] = np.nan
            if values.ndim > 2 or values.shape[1] == 1:
                values[member] = np.nan
    return record


@pytest.fixture
def build(digits: Dataset) -> Build:
    """Return a function from a config's fields to a result of made-up numbers; `diverged`: members of the first arm."""

    def make(
        *, diverged: tuple[int, ...] = (), diverged_dense: tuple[int, ...] = (), **fields: object
    ) -> xarray.DataTree:
        # One bucket, because predicting the cost of every size takes longer than all else here.
        config = SweepConfig(**({"epochs": 5, "buckets": "one"} | fields))  # pyright: ignore[reportArgumentType]
        plan = make_plan(config, digits)
        rng = np.random.default_rng(0)
        records = [
            _record(plan, i, rng, diverged_dense if arm.name == "baseline" else diverged if i == 0 else ())
            for i, arm in enumerate(plan.arms)
        ]
        return assemble(plan, digits, records, Timing(1.0, 2.0, 3.0))

    return make
