"""The result of a sweep as labelled arrays, and the folder in which a run is kept."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from modejax._files import replaced
from modejax.data import Dataset
from modejax.errors import InputError
from modejax.sweep.config import SweepConfig
from modejax.sweep.plan import Plan
from modejax.sweep.spec import NetworkSpec

if TYPE_CHECKING:
    import xarray

__all__ = [
    "GroupRecord",
    "Timing",
    "assemble",
    "claim_folder",
    "is_run",
    "load_result",
    "locked",
    "save_result",
]

GRID = ("width", "modes", "seed", "learning_rate", "weight_decay")
_BASELINE_GRID = ("width", "seed")


class GroupRecord(NamedTuple):
    """What was measured of one group, members in the order of its grid."""

    train_loss: np.ndarray  # (members, epochs)
    test_loss: np.ndarray  # (members, epochs)
    test_accuracy: np.ndarray  # (members, epochs)
    validation: np.ndarray  # (members, epochs): accuracy, or loss for real values; no epochs without held-out data
    layer_curves: np.ndarray  # (members, truncation_epochs, draws, maps, kept)
    together_curves: np.ndarray  # (members, truncation_epochs, draws, kept)
    importance: np.ndarray  # (members, truncation_epochs, maps, modes)
    mode_weight: np.ndarray  # (members, truncation_epochs, maps, modes)
    pruning_accuracy: np.ndarray  # (members, truncation_epochs, scores, percentiles)
    pruning_loss: np.ndarray  # (members, truncation_epochs, scores, percentiles)
    node_score: np.ndarray  # (members, truncation_epochs, scores that rank nodes, hidden layers, nodes)
    best_epoch: np.ndarray  # (members,)
    healthy: np.ndarray  # (members,)


class Timing(NamedTuple):
    """Seconds of a run."""

    trace: float
    compile: float
    run: float


_LABELS = {
    "test_accuracy": ("test accuracy", "1"),
    "test_loss": ("mean loss on the test set", "nat"),
    "train_loss": ("mean loss over the epoch's batches", "nat"),
    "truncation_accuracy": ("test accuracy with one map cut to the modes kept, the others intact", "1"),
    "truncation_accuracy_all": ("test accuracy with all maps cut to the modes kept", "1"),
    "truncation_spread": ("standard deviation of truncation_accuracy over random orders", "1"),
    "truncation_spread_all": ("standard deviation of truncation_accuracy_all over random orders", "1"),
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
    "node_score": ("score of each hidden node", "1"),
    "importance": ("importance tau of each mode, as stored", "1"),
    "mode_weight": ("Sigma of each mode, as stored", "1"),
    "importance_history": ("importance tau of each mode at every truncation epoch", "1"),
    "mode_weight_history": ("Sigma of each mode at every truncation epoch", "1"),
    "num_parameters": ("trainable parameters", "1"),
    "status": ("0: fine, 1: diverged (a loss was not finite or beyond 1e8); the member was frozen there", "1"),
}


def assemble(plan: Plan, dataset: Dataset, records: Sequence[GroupRecord], timing: Timing) -> xarray.Dataset:
    """Label what a sweep measured.

    Args:
        plan: the plan that ran.
        dataset: its data.
        records: one record a group of the plan.
        timing: seconds to trace, compile and run.

    Returns:
        The result. Dimensions: `width, modes, seed, learning_rate, weight_decay` (the grid), `epoch`,
        `truncation_epoch`, `layer` (maps, 1 next to the input), `kept`, `mode`; with a mask `sparsity`, which ends the
        grid; with pruning curves `score`, `percentile`, `node_ranking` (the scores that rank nodes one by one),
        `hidden_layer`, `node`. `importance` and `mode_weight` are those after the last epoch; with more truncation
        epochs, `importance_history` and `mode_weight_history` have them all. Accuracies are shares of 1; entries of
        members that have diverged, and of more modes or nodes than a member has, are not a number.
    """
    import xarray

    config = plan.config
    own, record = plan.groups[0], records[0]
    epochs = np.arange(1, config.epochs + 1)
    grid = (*GRID, "sparsity") if config.sparsities else GRID
    curves = ["test_accuracy", "test_loss", "train_loss"]
    judged = "validation_loss" if dataset.targets == "values" else "validation_accuracy"
    named = {name: name for name in curves} | ({judged: "validation"} if plan.held_out else {})
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, field in named.items():
        values: np.ndarray = getattr(record, field)
        variables[name] = ((*grid, "epoch"), values.reshape(*own.grid, config.epochs))
    coordinates: dict[str, np.ndarray] = {
        "width": np.array(config.widths),
        "modes": np.array(config.modes),
        "seed": np.array(config.seed_numbers),
        "learning_rate": np.array(config.learning_rates),
        "weight_decay": np.array(config.weight_decays),
        "epoch": epochs,
    }
    if config.sparsities:
        coordinates["sparsity"] = np.array(config.sparsities)
    if plan.kept or config.prune:
        coordinates["truncation_epoch"] = np.array(plan.truncation_epochs)
    if config.prune:
        coordinates["score"] = np.array(config.prune)
        coordinates["percentile"] = np.array(config.percentiles)
        variables.update(_pruning(grid, own.grid, record, ""))
        if record.node_score.shape[2]:
            coordinates["node_ranking"] = np.array([n for n in config.prune if n not in ("random", "weights")])
            coordinates["hidden_layer"] = np.arange(1, config.depth + 1)
            coordinates["node"] = np.arange(1, max(config.widths) + 1)
    if plan.held_out:
        variables["best_epoch"] = (grid, record.best_epoch.reshape(own.grid))
    if plan.kept:
        variables.update(truncation_variables(plan, record))
        coordinates["layer"] = np.arange(1, config.depth + 2)
        coordinates["kept"] = np.array(plan.kept)
        coordinates["mode"] = np.arange(1, record.importance.shape[-1] + 1)
    variables["num_parameters"] = _counts(config, own.spec)
    variables["status"] = (grid, (~record.healthy).astype(np.int32).reshape(own.grid))
    if len(records) > 1:
        base, group = records[1], plan.groups[1]
        for name, field in named.items():
            values = getattr(base, field)
            variables[f"baseline_{name}"] = ((*_BASELINE_GRID, "epoch"), values.reshape(*group.grid, config.epochs))
        if config.prune:
            variables.update(_pruning(_BASELINE_GRID, group.grid, base, "baseline_"))
        if plan.held_out:
            variables["baseline_best_epoch"] = (_BASELINE_GRID, base.best_epoch.reshape(group.grid))
        counts = [group.spec.build(w, 0, 1).num_parameters() for w in config.widths]
        variables["baseline_num_parameters"] = (("width",), np.array(counts))
        variables["baseline_status"] = (_BASELINE_GRID, (~base.healthy).astype(np.int32).reshape(group.grid))
    result = xarray.Dataset({name: (dims, values) for name, (dims, values) in variables.items()}, coords=coordinates)
    for name, variable in result.data_vars.items():
        label, unit = _LABELS[str(name).removeprefix("baseline_")]
        if unit == "nat" and dataset.targets != "classes":
            unit = "1"
        variable.attrs.update(
            long_name=f"{label} of the dense baseline" if str(name).startswith("baseline_") else label, units=unit
        )
    result.attrs.update(_attributes(plan, dataset, timing))
    return result


def _counts(config: SweepConfig, spec: NetworkSpec) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the trained parameters of each size; those of a frozen mask depend on its sparsity, too."""
    sparsities = config.sparsities if config.mask == "frozen" else (0.0,)
    counts = np.array(
        [
            [[spec.build(w, p, 1, s).num_parameters() for s in sparsities] for p in config.modes or ()]
            for w in config.widths
        ]
    )
    if config.mask == "frozen":
        return ("width", "modes", "sparsity"), counts
    return ("width", "modes"), counts[..., 0]


def _pruning(
    grid: tuple[str, ...], shape: tuple[int, ...], record: GroupRecord, prefix: str
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    found = {}
    for name in ("pruning_accuracy", "pruning_loss"):
        values: np.ndarray = getattr(record, name)
        found[prefix + name] = (
            (*grid, "truncation_epoch", "score", "percentile"),
            values.reshape(*shape, *values.shape[1:]),
        )
    values = record.node_score
    if values.shape[2] and not prefix:
        dims = (*grid, "truncation_epoch", "node_ranking", "hidden_layer", "node")
        found["node_score"] = (dims, values.reshape(*shape, *values.shape[1:]))
    return found


def truncation_variables(plan: Plan, record: GroupRecord) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    group = plan.groups[0]
    beyond = np.array(plan.kept)[None, :] > group.members.modes[:, None]
    beyond &= group.members.modes[:, None] > 0
    found = {}
    for name, curves in (("", record.layer_curves), ("_all", record.together_curves)):
        dims = (*GRID, "truncation_epoch", *(() if name else ("layer",)), "kept")
        hidden = beyond.reshape(len(group.members), *(1,) * (curves.ndim - 3), -1)
        mean = np.where(hidden, np.nan, curves.mean(axis=2))
        found[f"truncation_accuracy{name}"] = (dims, mean.reshape(*group.grid, *mean.shape[1:]))
        if plan.config.order == "random":
            spread = np.where(hidden, np.nan, curves.std(axis=2, ddof=1 if curves.shape[2] > 1 else 0))
            found[f"truncation_spread{name}"] = (dims, spread.reshape(*group.grid, *spread.shape[1:]))
    for name in ("importance", "mode_weight"):
        values: np.ndarray = getattr(record, name)
        values = values.reshape(*group.grid, *values.shape[1:])
        found[name] = ((*GRID, "layer", "mode"), values[:, :, :, :, :, -1])
        if len(plan.truncation_epochs) > 1:
            found[f"{name}_history"] = ((*GRID, "truncation_epoch", "layer", "mode"), values)
    return found


def _attributes(plan: Plan, dataset: Dataset, timing: Timing) -> dict[str, str | int | float]:
    import jax

    device = jax.devices()[0]
    packages = ("modejax", "jax", "jaxlib", "flax", "optax", "numpy")
    return {
        "config": plan.config.to_json(),
        "versions": json.dumps({name: importlib.metadata.version(name) for name in packages}),
        "device": f"{plan.devices} x {device.device_kind} ({device.platform})",
        "seconds_to_trace": timing.trace,
        "seconds_to_compile": timing.compile,
        "seconds_to_run": timing.run,
        "useful_flops": float(plan.useful_flops),
        "padded_flops": float(plan.padded_flops),
        "buckets": json.dumps(
            [[plan.groups[b.group].name, b.width, b.modes, len(b.members), b.capacity] for b in plan.buckets]
        ),
        "dataset": dataset.name,
        "data_source": dataset.source,
        "data_hash": dataset.content_hash,
        "targets": dataset.targets,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def is_run(folder: Path) -> bool:
    """Say whether a folder holds a run."""
    return (folder / "config.json").is_file()


def claim_folder(folder: Path) -> None:
    """Make sure that a run can be written to a folder, without leaving anything behind if it cannot.

    Args:
        folder: the folder; it may be missing, empty, or a run whose result will be replaced.

    Raises:
        InputError: if it is a file, holds something that is not a run, or cannot be written.
    """
    if folder.is_file():
        raise InputError(f"the output folder {folder} is a file; name a new folder or an earlier run")
    if folder.is_dir() and any(folder.iterdir()) and not is_run(folder):
        raise InputError(
            f"the output folder {folder} exists and is not a run (it has no config.json); "
            "name a new folder, an empty one or an earlier run"
        )
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        for parent in made:
            if parent.is_dir():
                parent.rmdir()
        raise InputError(f"the output folder {folder} cannot be written ({error.strerror}); name another") from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder against a second process on the same machine; the system lets go when this one ends.

    Args:
        folder: the run folder.

    Raises:
        InputError: if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock on folders.
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is writing the run {folder}; wait for it, or name another folder"
            ) from None
        yield
    finally:
        os.close(handle)


def save_result(result: xarray.Dataset, folder: Path) -> Path:
    """Save a result as `result.nc` of a run folder, whole or not at all.

    Args:
        result: the result.
        folder: an existing folder.

    Returns:
        The path of the file.

    Raises:
        InputError: if it cannot be written; an earlier result stays whole.
    """
    path = folder / "result.nc"
    try:
        with replaced(path) as part:
            result.to_netcdf(part, engine="h5netcdf")
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error}); what was there before is unchanged. "
            "Make room or name another folder"
        ) from None
    return path


def load_result(folder: str | Path) -> xarray.Dataset:
    """Read the result of a run.

    Args:
        folder: the run folder.

    Returns:
        The result, in memory.

    Raises:
        InputError: if the folder is not a finished run.
    """
    import xarray

    path = Path(folder) / "result.nc"
    if not path.is_file():
        state = "has no result yet; resume it" if is_run(Path(folder)) else "is not a run"
        raise InputError(f"{folder} {state} (result.nc is missing)")
    try:
        with xarray.open_dataset(path, engine="h5netcdf") as result:
            return result.load()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable result ({error})") from None
