"""The result of a sweep as labelled arrays: a tree with a node for each arm."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.data import Dataset
from modejax.sweep.members import Members
from modejax.sweep.plan import Plan, PlannedArm
from modejax.sweep.records import ArmRecord

if TYPE_CHECKING:
    import xarray

__all__ = ["Timing", "arm_dataset", "assemble", "truncation_variables"]


class Timing(NamedTuple):
    """Seconds of a run."""

    trace: float
    compile: float
    run: float


Variables = dict[str, tuple[tuple[str, ...], np.ndarray]]

_LABELS = {
    "test_accuracy": ("test accuracy", "1"),
    "test_loss": ("mean loss on the test set", "nat"),
    "train_loss": ("mean loss over the epoch's batches", "nat"),
    "truncation_accuracy": ("test accuracy with one map cut to the modes kept, the others intact", "1"),
    "truncation_accuracy_all": ("test accuracy with all maps cut to the modes kept", "1"),
    "truncation_loss": ("mean test loss with one map cut to the modes kept, the others intact", "nat"),
    "truncation_loss_all": ("mean test loss with all maps cut to the modes kept", "nat"),
    "truncation_spread": ("standard deviation of the truncation curve of one map over random orders", "1"),
    "truncation_spread_all": ("standard deviation of the truncation curve of all maps over random orders", "1"),
    "validation_accuracy": (
        "accuracy on the held-out part of the training set, before going back to the best epoch",
        "1",
    ),
    "validation_loss": (
        "mean loss on the held-out part of the training set, before going back to the best epoch",
        "nat",
    ),
    "best_epoch": ("epoch that was best on the held-out part, whose parameters are kept", "1"),
    "pruning_accuracy": ("test accuracy with what a score ranks below a percentile taken away", "1"),
    "pruning_loss": ("mean test loss with what a score ranks below a percentile taken away", "nat"),
    "pruning_accuracy_by_layer": (
        "test accuracy with what a score ranks below a percentile of each hidden layer taken away",
        "1",
    ),
    "pruning_loss_by_layer": (
        "mean test loss with what a score ranks below a percentile of each hidden layer taken away",
        "nat",
    ),
    "node_score": ("score of each hidden node", "1"),
    "importance": ("importance tau of each mode, as stored", "1"),
    "mode_weight": ("Sigma of each mode, as stored", "1"),
    "importance_history": ("importance tau of each mode at every truncation epoch", "1"),
    "mode_weight_history": ("Sigma of each mode at every truncation epoch", "1"),
    "num_parameters": ("trainable parameters", "1"),
    "status": ("0: fine, 1: diverged (a loss was not finite or beyond 1e8); the member was frozen there", "1"),
}


def assemble(plan: Plan, dataset: Dataset, records: Sequence[ArmRecord], timing: Timing) -> xarray.DataTree:
    """Label what a sweep measured.

    Args:
        plan: the plan that ran.
        dataset: its data.
        records: one record an arm of the plan.
        timing: seconds to trace, compile and run.

    Returns:
        A tree with one node for each arm, by its name. The dimensions of a node: the axes of the grid (`width, modes,
        seed, learning_rate, weight_decay`, and further ones where the arm has them), `epoch`, `truncation_epoch`,
        `layer` (maps, 1 next to the input, named by the coordinate `map_name`), `kept`, `mode`; with pruning curves
        `score`, `percentile`, `node_ranking` (the scores that rank nodes one by one), `hidden_layer`, `node`.
        `importance` and `mode_weight` are those after the last epoch; with more truncation epochs, `importance_history`
        and `mode_weight_history` have them all. Accuracies are shares of 1; entries of members that have diverged, and
        of modes or nodes that a member does not have, are NaN. With real values as targets there are no accuracies, and
        the truncation curves are those of the loss.
    """
    import xarray

    attributes = _attributes(plan, dataset, timing)
    nodes = {}
    for arm, record in zip(plan.arms, records, strict=True):
        own = {"arm": arm.name, "arm_config": json.dumps(dataclasses.asdict(arm.arm))}
        nodes[arm.name] = arm_dataset(plan, dataset, arm, record).assign_attrs(attributes | own)
    return xarray.DataTree(xarray.Dataset(attrs=attributes), children={k: xarray.DataTree(v) for k, v in nodes.items()})


def by_loss(plan: Plan, dataset: Dataset) -> bool:
    """Return whether networks are compared by their loss, since their answers are not right or wrong."""
    if plan.custom.loss is not None:
        return plan.custom.loss.correct is None
    return dataset.targets == "values"


def arm_dataset(plan: Plan, dataset: Dataset, arm: PlannedArm, record: ArmRecord) -> xarray.Dataset:
    """Label what was measured of one arm; see `assemble`."""
    import xarray

    config, members = plan.config, arm.members
    judged = "validation_loss" if by_loss(plan, dataset) else "validation_accuracy"
    named = {name: name for name in ("test_accuracy", "test_loss", "train_loss")}
    named |= {judged: "validation"} if plan.held_out else {}
    variables: Variables = {}
    for name, field in named.items():
        values: np.ndarray = getattr(record, field)
        variables[name] = ((*members.dims, "epoch"), values.reshape(*members.grid, config.epochs))
    coordinates: dict[str, Any] = {**members.coordinates, "epoch": np.arange(1, config.epochs + 1)}
    if arm.spec.kept or arm.spec.pruned:
        coordinates["truncation_epoch"] = np.array(plan.truncation_epochs)
    if arm.spec.pruned:
        variables |= _pruning(members, record)
        coordinates |= _pruning_coordinates(plan, arm, record)
    if plan.held_out:
        variables["best_epoch"] = (members.dims, record.best_epoch.reshape(members.grid))
    if arm.spec.kept:
        what = "loss" if by_loss(plan, dataset) else "accuracy"
        variables |= truncation_variables(plan, arm, record, what)
        names = _map_names(arm)
        coordinates["layer"] = np.arange(1, len(names) + 1)
        coordinates["map_name"] = ("layer", np.array(names))
        coordinates["kept"] = np.array(arm.spec.kept)
        coordinates["mode"] = np.arange(1, record.importance.shape[-1] + 1)
    variables["num_parameters"] = _counts(arm)
    variables["status"] = (members.dims, (~record.healthy).astype(np.int32).reshape(members.grid))
    result = xarray.Dataset(variables, coords=coordinates)
    for name, variable in result.data_vars.items():
        label, unit = _LABELS[str(name)]
        variable.attrs.update(long_name=label, units="1" if unit == "nat" and dataset.targets != "classes" else unit)
    return result


def _map_names(arm: PlannedArm) -> tuple[str, ...]:
    spec = arm.spec
    size = int(arm.members["width"][0]), int(arm.members["modes"][0])
    return spec.network.build(*size, **dict(spec.example_numbers)).map_names


def _counts(arm: PlannedArm) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the number of trained parameters for each size, and for each value of an axis on which it depends."""
    spec, members = arm.spec, arm.members
    names = ("width", "modes", *spec.to_network)
    axes = {axis.name: values for axis, values in members.axes}
    shape = tuple(len(axes[name]) for name in names)
    counts = np.zeros(shape, np.int64)
    for index in np.ndindex(*shape):
        width, modes, *numbers = (axes[name][i] for name, i in zip(names, index, strict=True))
        counts[index] = spec.network.build(
            width, modes, **dict(zip(spec.to_network, numbers, strict=True))
        ).num_parameters()
    dims = list(names)
    for name in spec.to_network:
        axis = dims.index(name)
        if (counts == counts.take([0], axis)).all():
            counts = np.asarray(counts.take(0, axis))
            dims.remove(name)
    return tuple(dims), counts


def _pruning(members: Members, record: ArmRecord) -> Variables:
    found: Variables = {}
    for name in ("pruning_accuracy", "pruning_loss"):
        values: np.ndarray = getattr(record, name)
        dims = (*members.dims, "truncation_epoch", "score", "percentile")
        for scope, suffix in zip(range(values.shape[2]), ("", "_by_layer"), strict=False):
            here = values[:, :, scope]
            found[name + suffix] = (dims, here.reshape(*members.grid, *here.shape[1:]))
    values = record.node_score
    if values.shape[2]:
        dims = (*members.dims, "truncation_epoch", "node_ranking", "hidden_layer", "node")
        found["node_score"] = (dims, values.reshape(*members.grid, *values.shape[1:]))
    return found


def _pruning_coordinates(plan: Plan, arm: PlannedArm, record: ArmRecord) -> Mapping[str, np.ndarray]:
    found = {"score": np.array(arm.spec.pruned), "percentile": np.array(plan.config.percentiles)}
    if record.node_score.shape[2]:
        found["node_ranking"] = np.array([n for n in arm.spec.pruned if n not in ("random", "weights")])
        found["hidden_layer"] = np.arange(1, record.node_score.shape[3] + 1)
        found["node"] = np.arange(1, record.node_score.shape[4] + 1)
    return found


def truncation_variables(plan: Plan, arm: PlannedArm, record: ArmRecord, what: str) -> Variables:
    """Label truncation curves, importances and weights of an arm.

    Args:
        plan: the plan.
        arm: the arm.
        record: what was measured of it.
        what: the measure of the curves, accuracy or loss.

    Returns:
        Dimensions and values by name.
    """
    members = arm.members
    own = members["modes"]
    beyond = (np.array(arm.spec.kept)[None, :] > own[:, None]) & (own[:, None] > 0)
    found: Variables = {}
    for name, curves in (("", record.layer_curves), ("_all", record.together_curves)):
        dims = (*members.dims, "truncation_epoch", *(() if name else ("layer",)), "kept")
        hidden = beyond.reshape(len(members), *(1,) * (curves.ndim - 3), -1)
        mean = np.where(hidden, np.nan, curves.mean(axis=2))
        found[f"truncation_{what}{name}"] = (dims, mean.reshape(*members.grid, *mean.shape[1:]))
        if plan.config.order == "random":
            spread = np.where(hidden, np.nan, curves.std(axis=2, ddof=1 if curves.shape[2] > 1 else 0))
            found[f"truncation_spread{name}"] = (dims, spread.reshape(*members.grid, *spread.shape[1:]))
    for name in ("importance", "mode_weight"):
        values: np.ndarray = getattr(record, name)
        values = values.reshape(*members.grid, *values.shape[1:])
        last = values.take(-1, axis=len(members.grid))
        found[name] = ((*members.dims, "layer", "mode"), last)
        if len(plan.truncation_epochs) > 1:
            found[f"{name}_history"] = ((*members.dims, "truncation_epoch", "layer", "mode"), values)
    return found


def _attributes(plan: Plan, dataset: Dataset, timing: Timing) -> dict[str, str | int | float]:
    import jax

    from modejax._versions import versions

    device = jax.devices()[0]
    # With these, networks at chance level can be recognised.
    classes = {} if by_loss(plan, dataset) or dataset.targets == "values" else _classes(dataset)
    return {
        "config": plan.config.to_json(),
        "versions": json.dumps(versions("modejax", "jax", "jaxlib", "flax", "optax", "numpy")),
        "device": f"{plan.devices} x {device.device_kind} ({device.platform})",
        "seconds_to_trace": timing.trace,
        "seconds_to_compile": timing.compile,
        "seconds_to_run": timing.run,
        "useful_flops": float(plan.useful_flops),
        "padded_flops": float(plan.padded_flops),
        "buckets": json.dumps(
            [[plan.arms[b.arm].name, b.width, b.modes, len(b.members), b.capacity] for b in plan.buckets]
        ),
        "dataset": dataset.name,
        "data_source": dataset.source,
        "data_hash": dataset.content_hash,
        "targets": dataset.targets,
        **classes,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _classes(dataset: Dataset) -> dict[str, int | float]:
    """Return the share of the most frequent class in the test set, and the number of test examples."""
    _, counts = np.unique(dataset.y_test, return_counts=True)
    return {"majority_share": float(counts.max() / counts.sum()), "test_examples": int(counts.sum())}
