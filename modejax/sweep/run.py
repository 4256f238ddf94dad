"""Run a sweep: compile once, call the program chunk after chunk, keep what it reports."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modejax.data import Dataset, load_dataset
from modejax.errors import InputError
from modejax.networks import Network, Params
from modejax.sweep import checkpoint
from modejax.sweep.config import SweepConfig
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.program import (
    Clock,
    Program,
    Records,
    device_data,
    make_program,
    member_arrays,
    precision_scope,
    program_spec,
)
from modejax.sweep.result import GroupRecord, Timing, assemble, claim_folder, is_run, save_result, write_atomic
from modejax.sweep.spec import LayerFactory
from modejax.training import TrainState

if TYPE_CHECKING:
    import xarray

__all__ = ["Interrupted", "Outcome", "Trained", "execute", "load_networks", "run_sweep", "trained_networks"]


class Interrupted(Exception):  # noqa: N818
    """A sweep was asked to stop and did so after a chunk; its run folder can be resumed."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"stopped after epoch {epoch}")
        self.epoch = epoch


class Outcome(NamedTuple):
    """What a finished sweep holds on the host."""

    plan: Plan
    states: list[TrainState]  # one a bucket, members leading, padding members dropped
    records: list[GroupRecord]  # one a group
    timing: Timing


Report = Callable[[int, float], None]
"""Told the epochs done and the mean test accuracy of the members that have not diverged: once before compiling, with 0
epochs and not a number, then once a chunk."""


def _calls(plan: Plan, done: int) -> Iterator[tuple[int, int, bool]]:
    """Yield first epoch, number of epochs and whether curves are due, for each call that is left."""
    ends = set(plan.truncation_epochs)
    first = done
    while first < plan.config.epochs:
        # A chunk ends where curves are due, and at the end of the run.
        last = min([first + plan.chunk, plan.config.epochs, *(end for end in ends if end > first)])
        yield first, last - first, last in ends
        first = last


def _empty_records(plan: Plan) -> list[GroupRecord]:
    found = []
    for index, group in enumerate(plan.groups):
        members, epochs = len(group.members), plan.config.epochs
        cuts = (0, 0, 0, 0, 0)
        if index == 0 and plan.kept:
            draws = plan.config.draws if plan.config.order == "random" else 1
            cuts = (len(plan.truncation_epochs), draws, plan.config.depth + 1, len(plan.kept), _most_modes(plan))
        ends, draws, maps, kept, modes = cuts
        dtype = np.float64 if plan.config.precision == "float64" else np.float32

        def nan(*shape: int, dtype: type = dtype) -> np.ndarray:
            return np.full(shape, np.nan, dtype)

        found.append(
            GroupRecord(
                nan(members, epochs),
                nan(members, epochs),
                nan(members, epochs),
                nan(members, ends, draws, maps, kept),
                nan(members, ends, draws, kept),
                nan(members, maps, modes),
                nan(members, maps, modes),
                np.ones(members, bool),
            )
        )
    return found


def _most_modes(plan: Plan) -> int:
    """Return the largest number of modes that a map of the sweep's own networks has, padding included."""
    most = 0
    for bucket in plan.buckets:
        if bucket.group == 0:
            network = plan.groups[0].spec.build(bucket.width, bucket.modes, 1)
            shapes = jax.eval_shape(lambda network=network: network.modes(network.init(jax.random.key(0))))
            most = max([most, *(each.weight.shape[0] for each in shapes if each is not None)])
    return most


def _take(records: list[GroupRecord], plan: Plan, call: tuple[int, int, bool], reported: list[Records]) -> None:
    """Write what a call reported into the records, each member at its place in the grid."""
    first, count, truncated = call
    for bucket, report in zip(plan.buckets, reported, strict=True):
        record, members = records[bucket.group], np.array(bucket.members)
        here = slice(0, len(members))
        for name in ("train_loss", "test_loss", "test_accuracy"):
            getattr(record, name)[members, first : first + count] = getattr(report, name)[:count, here].T
        record.healthy[members] = report.healthy[here]
        if truncated and bucket.group == 0:
            end = plan.truncation_epochs.index(first + count)
            record.layer_curves[members, end] = report.layer_curves[here]
            record.together_curves[members, end] = report.together_curves[here]
            modes = report.importance.shape[-1]
            record.importance[members, :, :modes] = report.importance[here]
            record.mode_weight[members, :, :modes] = report.mode_weight[here]


def _without_padding(plan: Plan, states: list[TrainState]) -> list[TrainState]:
    return [
        jax.tree.map(lambda leaf, n=len(bucket.members): np.asarray(leaf)[:n], state)
        for bucket, state in zip(plan.buckets, states, strict=True)
    ]


def _with_padding(plan: Plan, states: list[TrainState], program: Program) -> list[TrainState]:
    def padded(leaf: np.ndarray, padding: int) -> np.ndarray:
        return np.concatenate([leaf, np.repeat(leaf[-1:], padding, axis=0)]) if padding else leaf

    return [
        jax.device_put(jax.tree.map(lambda leaf, n=bucket.padding: padded(leaf, n), state), program.by_member)
        for bucket, state in zip(plan.buckets, states, strict=True)
    ]


def _mark(plan: Plan, dataset: Dataset) -> str:
    """Return the fingerprint of a run; the number of devices and the memory limit do not change its numbers."""
    config = dataclasses.asdict(plan.config) | {"devices": 0, "memory_limit": 0.0, "data_dir": None}
    layer = plan.groups[0].spec.layer
    name = layer if isinstance(layer, str) else getattr(layer, "__qualname__", repr(layer))
    buckets = [[b.group, b.width, b.modes, list(b.members)] for b in plan.buckets]
    return checkpoint.fingerprint([config, name, buckets, dataset.content_hash, jax.default_backend()])


def execute(
    plan: Plan,
    dataset: Dataset,
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    report: Report | None = None,
    stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Run a plan.

    Args:
        plan: the plan.
        dataset: the data that it was made for.
        checkpoints: a folder for a checkpoint after every chunk; None for none.
        resume: go on from the newest whole checkpoint there.
        report: told about progress once a chunk.
        stop: asked after every chunk; where it says True the sweep stops with `Interrupted`.

    Returns:
        States and records on the host.

    Raises:
        InputError: if the checkpoints cannot be used.
        Interrupted: if `stop` said so.
    """
    config = plan.config
    with precision_scope(config.precision):
        before = time.perf_counter()
        program = make_program(program_spec(plan, dataset))
        # A program that was compiled before costs nothing now.
        fresh = time.perf_counter() - before >= program.seconds_to_compile
        timing = Timing(program.seconds_to_trace, program.seconds_to_compile, 0.0) if fresh else Timing(0.0, 0.0, 0.0)
        began = time.perf_counter()
        members = member_arrays(plan, program)
        data = device_data(dataset, program)
        states = program.start(members)
        records = _empty_records(plan)
        done = 0
        mark = _mark(plan, dataset)
        if resume and checkpoints is not None:
            like = (_without_padding(plan, states), records)
            done, (host, records), refused = checkpoint.newest(checkpoints, like, mark)
            records = [GroupRecord._make(map(np.array, record)) for record in records]
            for message in refused:
                print(f"warning: {message}; going back to the one before", file=sys.stderr)
            states = _with_padding(plan, host, program)
        key = jax.device_put(jax.random.key(config.shuffle_seed), program.everywhere)

        def number(value: int | bool, dtype: Any = jnp.int32) -> jax.Array:
            return jax.device_put(np.asarray(value, dtype), program.everywhere)

        for call in _calls(plan, done):
            first, count, truncated = call
            clock = Clock(number(first), number(count), number(config.halve_every), number(truncated, jnp.bool_), key)
            states, reported = program.compiled(states, members, data, clock)
            _take(records, plan, call, [Records._make(map(np.asarray, each)) for each in reported])
            done = first + count
            if checkpoints is not None:
                checkpoint.save(checkpoints, done, (_without_padding(plan, states), records), mark)
            if report is not None:
                accuracy = records[0].test_accuracy[records[0].healthy, done - 1]
                report(done, float(accuracy.mean()) if accuracy.size else float("nan"))
            if stop is not None and done < config.epochs and stop():
                raise Interrupted(done)
        seconds = time.perf_counter() - began
        return Outcome(plan, _without_padding(plan, states), records, timing._replace(run=seconds))


def run_sweep(
    config: SweepConfig | None = None,
    *,
    dataset: Dataset | None = None,
    layer: LayerFactory | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
    stop: Callable[[], bool] | None = None,
) -> xarray.Dataset:
    """Train a grid of networks as one compiled program and return what was measured, labelled.

    Args:
        config: the sweep; by default a small grid on digits.
        dataset: data of one's own instead of `config.dataset`.
        layer: a layer of one's own instead of `config.layer`: the number of modes as an `Extent` in, a
            `modejax.layers.Layer` out.
        out: a run folder for config, result and checkpoints; None keeps nothing.
        resume: go on from the newest checkpoint of `out`, which must be a run of the same config.
        report: told the epochs done and the mean test accuracy: before compiling, and once a chunk.
        stop: asked once a chunk whether to stop.

    Returns:
        The result; its dimensions and variables are described in `modejax.sweep.result.assemble`.

    Raises:
        InputError: if the config, the data or the folder is not allowed; nothing is written then.
        Interrupted: if `stop` said so; a run folder can be resumed.

    Example:
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> dict(result.test_accuracy.sizes)
        {'width': 1, 'modes': 1, 'seed': 2, 'learning_rate': 1, 'weight_decay': 1, 'epoch': 1}
    """
    config = SweepConfig() if config is None else config
    if dataset is None:
        dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
    plan = make_plan(config, dataset, layer)
    folder = None if out is None else Path(out)
    if folder is not None:
        _open_run(folder, config, resume)
    if report is not None:
        report(0, float("nan"))
    outcome = execute(
        plan,
        dataset,
        checkpoints=None if folder is None else folder / "checkpoint",
        resume=resume,
        report=report,
        stop=stop,
    )
    result = assemble(plan, dataset, outcome.records, outcome.timing)
    if folder is not None:
        save_result(result, folder)
    return result


def _open_run(folder: Path, config: SweepConfig, resume: bool) -> None:
    """Make a run folder ready: its config written, and checkpoints of an earlier run gone unless they are resumed."""
    if resume and not is_run(folder):
        raise InputError(f"{folder} is not a run that could be resumed (it has no config.json)")
    claim_folder(folder)
    if not resume:
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        try:
            write_atomic(folder / "config.json", lambda path: path.write_text(config.to_json() + "\n"))
        except OSError as error:
            raise InputError(f"{folder} cannot be written ({error.strerror}); name another folder") from None


class Trained(NamedTuple):
    """One trained member at its own size, without padding."""

    width: int
    modes: int  # 0 where the layer has none or full rank
    seed: int
    learning_rate: float
    weight_decay: float
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
        network = spec.build(width, modes, plan.evaluation_rows)
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
            network,
            params,
        )


def load_networks(folder: str | Path, *, layer: LayerFactory | None = None) -> list[Trained]:
    """Read the trained networks of a run from its last checkpoint.

    Args:
        folder: the run folder.
        layer: the layer of one's own with which the run was made, if it was.

    Returns:
        One record a member, in the order of the grid.

    Raises:
        InputError: if the folder is not a run, or its last checkpoint cannot be used.
    """
    folder = Path(folder)
    if not is_run(folder):
        raise InputError(f"{folder} is not a run (it has no config.json)")
    config = SweepConfig.from_json((folder / "config.json").read_text())
    dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
    plan = make_plan(config, dataset, layer)
    with precision_scope(config.precision):
        like = (_abstract_states(plan), _empty_records(plan))
        done, (states, _), _ = checkpoint.newest(folder / "checkpoint", like, _mark(plan, dataset))
        if done < config.epochs:
            raise InputError(f"{folder} has trained {done} of {config.epochs} epochs; resume it first")
        return list(trained_networks(plan, states))


def _abstract_states(plan: Plan) -> list[TrainState]:
    """Return zeros of the shapes of the states, without padding members."""
    from modejax.training import init_state

    found = []
    for bucket in plan.buckets:
        network = plan.groups[bucket.group].spec.build(bucket.width, bucket.modes, 1)
        shapes = jax.eval_shape(lambda network=network: init_state(network, jax.random.key(0), plan.config.optimiser))
        found.append(jax.tree.map(lambda s, n=len(bucket.members): np.zeros((n, *s.shape), s.dtype), shapes))
    return found
