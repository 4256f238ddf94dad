"""Run a sweep: compile once, call the program chunk after chunk, keep what it reports."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from modejax._files import replaced
from modejax.data import Dataset, load_dataset
from modejax.errors import InputError
from modejax.sweep import checkpoint
from modejax.sweep.config import SweepConfig
from modejax.sweep.hosts import any_process, collect, from_lead, is_lead, place
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.program import (
    Program,
    Records,
    device_data,
    make_clock,
    make_program,
    member_arrays,
    precision_scope,
    program_spec,
)
from modejax.sweep.result import GroupRecord, Timing, assemble, claim_folder, is_run, locked, save_result
from modejax.sweep.spec import LayerFactory
from modejax.training import TrainState, init_state

if TYPE_CHECKING:
    import xarray

__all__ = ["Interrupted", "Outcome", "Progress", "execute", "restore_states", "run_sweep"]


class Interrupted(Exception):  # noqa: N818
    """A sweep was asked to stop and did so after a chunk; its run folder can be resumed."""

    def __init__(self, epoch: int, launch: int = 0, launches: int = 1) -> None:
        which = f" of launch {launch + 1} of {launches}" if launches > 1 else ""
        super().__init__(f"stopped after epoch {epoch}{which}")
        self.epoch = epoch


class Outcome(NamedTuple):
    """What a finished sweep holds on the host."""

    plan: Plan
    states: list[TrainState]  # one a bucket, members leading, padding members dropped; empty if they were not kept
    records: list[GroupRecord]  # one a group
    timing: Timing


class Progress(NamedTuple):
    """How far a sweep has come."""

    done: int  # epochs, counted in every launch
    total: int
    accuracy: float  # mean test accuracy of the launch's members that have not diverged, share of 1


Report = Callable[[Progress], None]
"""Told the progress: once before compiling, with 0 epochs and not a number, then once a chunk."""


def _calls(plan: Plan, done: int) -> Iterator[tuple[int, int, bool]]:
    """Yield first epoch, number of epochs and whether curves are due, for each call that is left."""
    ends = set(plan.truncation_epochs)
    first = done
    while first < plan.config.epochs:
        # A chunk ends where curves are due, and at the end of the run.
        last = min([first + plan.chunk, plan.config.epochs, *(end for end in ends if end > first)])
        yield first, last - first, last in ends
        first = last


def empty_records(plan: Plan) -> list[GroupRecord]:
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
                nan(members, ends, maps, modes),
                nan(members, ends, maps, modes),
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


def take_records(
    records: list[GroupRecord], plan: Plan, launch: int, call: tuple[int, int, bool], reported: list[Records]
) -> None:
    """Write what a call reported into the records, each member at its place in the grid."""
    first, count, truncated = call
    for bucket, members, report in zip(plan.buckets, plan.share(launch), reported, strict=True):
        record, here = records[bucket.group], slice(0, len(members))
        for name in ("train_loss", "test_loss", "test_accuracy"):
            getattr(record, name)[members, first : first + count] = getattr(report, name)[:count, here].T
        record.healthy[members] = report.healthy[here]
        if truncated and bucket.group == 0:
            end = plan.truncation_epochs.index(first + count)
            record.layer_curves[members, end] = report.layer_curves[here]
            record.together_curves[members, end] = report.together_curves[here]
            modes = report.importance.shape[-1]
            record.importance[members, end, :, :modes] = report.importance[here]
            record.mode_weight[members, end, :, :modes] = report.mode_weight[here]


def _rows(plan: Plan, launch: int) -> list[np.ndarray]:
    """Return the members of each group that run in a launch."""
    shares = list(zip(plan.buckets, plan.share(launch), strict=True))
    return [
        np.sort(np.concatenate([share for bucket, share in shares if bucket.group == index]))
        for index in range(len(plan.groups))
    ]


def _part(records: list[GroupRecord], rows: list[np.ndarray]) -> list[GroupRecord]:
    pairs = zip(records, rows, strict=True)
    return [GroupRecord._make(values[members] for values in record) for record, members in pairs]


def _state_shapes(plan: Plan, launch: int) -> list[TrainState]:
    """Return the shapes of a launch's states, without padding members."""
    found = []
    for bucket, share in zip(plan.buckets, plan.share(launch), strict=True):
        network = plan.groups[bucket.group].spec.build(bucket.width, bucket.modes, 1)
        shapes = jax.eval_shape(lambda network=network: init_state(network, jax.random.key(0), plan.config.optimiser))
        found.append(jax.tree.map(lambda s, count=len(share): jax.ShapeDtypeStruct((count, *s.shape), s.dtype), shapes))
    return found


def _without_padding(plan: Plan, states: list[TrainState], launch: int) -> list[TrainState]:
    return [
        jax.tree.map(lambda leaf, count=len(share): leaf[:count], state)
        for share, state in zip(plan.share(launch), collect(states), strict=True)
    ]


def with_padding(plan: Plan, states: list[TrainState], program: Program) -> list[TrainState]:
    def padded(leaf: np.ndarray, capacity: int) -> np.ndarray:
        missing = capacity - len(leaf)
        # A launch may have no member of a bucket; then the whole bucket is padding, and zeros do.
        last = leaf[-1:] if len(leaf) else np.zeros((1, *leaf.shape[1:]), leaf.dtype)
        return np.concatenate([leaf, np.repeat(last, missing, axis=0)]) if missing else leaf

    return [
        place(jax.tree.map(lambda leaf, n=bucket.capacity: padded(leaf, n), state), program.by_member)
        for bucket, state in zip(plan.buckets, states, strict=True)
    ]


def _mark(plan: Plan, dataset: Dataset) -> str:
    """Return the fingerprint of a run; the number of devices and the memory limit do not change its numbers."""
    config = dataclasses.asdict(plan.config)
    config |= {"devices": 0, "memory_limit": 0.0, "data_dir": None, "launches": plan.launches}
    layer = plan.groups[0].spec.layer
    name = layer if isinstance(layer, str) else getattr(layer, "__qualname__", repr(layer))
    buckets = [[b.group, b.width, b.modes, list(b.members)] for b in plan.buckets]
    return checkpoint.fingerprint([config, name, buckets, dataset.content_hash, jax.default_backend()])


def _launch_folder(checkpoints: Path, launch: int) -> Path:
    return checkpoints / f"launch-{launch:04d}"


def _restore(
    plan: Plan, mark: str, checkpoints: Path, launch: int, records: list[GroupRecord]
) -> tuple[int, list[TrainState] | None]:
    """Read the newest whole checkpoint of a launch, its records into `records`; return epochs done and states."""
    rows = _rows(plan, launch)
    like = (_state_shapes(plan, launch), _part(records, rows))
    done, tree, problem = 0, None, None
    if is_lead():
        try:
            done, tree, refused = checkpoint.newest(_launch_folder(checkpoints, launch), like, mark)
        except InputError as error:
            problem = error
        else:
            for message in refused:
                print(f"warning: {message}; going back to the one before", file=sys.stderr)
    if any_process(problem is not None):
        raise problem or InputError("the first process of this run cannot use its checkpoints; see its message")
    done = int(from_lead(np.int32(done)))
    if not done:
        return 0, None
    if tree is None:
        tree = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    states, parts = from_lead(tree)
    for record, members, part in zip(records, rows, parts, strict=True):
        for values, found in zip(record, part, strict=True):
            values[members] = found
    return done, states


def restore_states(plan: Plan, dataset: Dataset, checkpoints: Path) -> list[TrainState]:
    """Read the final states of all launches.

    Args:
        plan: the plan of the run.
        dataset: its data.
        checkpoints: the run's folder of checkpoints.

    Returns:
        One state a bucket, members leading, on the host.

    Raises:
        InputError: if a launch has not trained to the last epoch, or its checkpoint cannot be used.
    """
    mark, records, found = _mark(plan, dataset), empty_records(plan), []
    for launch in range(plan.launches):
        done, states = _restore(plan, mark, checkpoints, launch, records)
        if done < plan.config.epochs:
            which = f" in launch {launch + 1} of {plan.launches}" if plan.launches > 1 else ""
            raise InputError(
                f"{checkpoints.parent} has trained {done} of {plan.config.epochs} epochs{which}; resume it first"
            )
        found.append(states)
    return _joined(found)


def _joined(launches: list[Any]) -> list[TrainState]:
    return launches[0] if len(launches) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *launches)


def execute(
    plan: Plan,
    dataset: Dataset,
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    report: Report | None = None,
    stop: Callable[[], bool] | None = None,
    keep_states: bool = True,
) -> Outcome:
    """Run a plan.

    Args:
        plan: the plan.
        dataset: the data that it was made for.
        checkpoints: a folder for a checkpoint after every chunk; None for none.
        resume: go on from the newest whole checkpoints there.
        report: told about progress once a chunk.
        stop: asked after every chunk; where it says True (in any process of the run) the sweep stops with
            `Interrupted`.
        keep_states: hold the final states of all launches; without, the memory of one launch is enough for any number.

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
        data = device_data(dataset, program)
        records, mark, final = empty_records(plan), _mark(plan, dataset), []
        for launch in range(plan.launches):
            done, host = 0, None
            if resume and checkpoints is not None:
                done, host = _restore(plan, mark, checkpoints, launch, records)
            if done == config.epochs:
                final += [host] if keep_states else []
                continue
            members, rows = member_arrays(plan, program, launch), _rows(plan, launch)
            states = program.start(members) if host is None else with_padding(plan, host, program)
            for call in _calls(plan, done):
                first, count, truncate = call
                clock = make_clock(program, first, count, config, truncate=truncate)
                host = None  # lets go of the states that the call is given
                states, reported = program.compiled(states, members, data, clock)
                take_records(records, plan, launch, call, collect(reported))
                done = first + count
                if checkpoints is not None:
                    host = _without_padding(plan, states, launch)
                    if is_lead():
                        keep = 1 if done == config.epochs else 2
                        folder = _launch_folder(checkpoints, launch)
                        checkpoint.save(folder, done, (host, _part(records, rows)), mark, keep=keep)
                if report is not None:
                    own = rows[0]
                    accuracy = records[0].test_accuracy[own[records[0].healthy[own]], done - 1]
                    mean = float(accuracy.mean()) if accuracy.size else float("nan")
                    report(Progress(launch * config.epochs + done, plan.launches * config.epochs, mean))
                last = done == config.epochs and launch == plan.launches - 1
                if stop is not None and not last and any_process(stop()):
                    raise Interrupted(done, launch, plan.launches)
            if keep_states:
                final.append(_without_padding(plan, states, launch) if host is None else host)
        seconds = time.perf_counter() - began
        return Outcome(plan, _joined(final) if keep_states else [], records, timing._replace(run=seconds))


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
        report: told the progress: before compiling, and once a chunk.
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
    folder = None if out is None else Path(out)
    if folder is not None and resume and config.launches == 0:
        # Memory decides on launches when a run begins, and not again.
        config = dataclasses.replace(config, launches=_stored_config(folder).launches)
    plan = make_plan(config, dataset, layer)
    if report is not None:
        report(Progress(0, plan.launches * config.epochs, float("nan")))
    with contextlib.nullcontext() if folder is None else _opened(folder, plan, resume=resume):
        outcome = execute(
            plan,
            dataset,
            checkpoints=None if folder is None else folder / "checkpoint",
            resume=resume,
            report=report,
            stop=stop,
            keep_states=False,
        )
        result = assemble(plan, dataset, outcome.records, outcome.timing)
        if folder is not None and is_lead():
            save_result(result, folder)
    return result


def _stored_config(folder: Path) -> SweepConfig:
    if not is_run(folder):
        raise InputError(f"{folder} is not a run that could be resumed (it has no config.json)")
    return SweepConfig.from_json((folder / "config.json").read_text())


@contextlib.contextmanager
def _opened(folder: Path, plan: Plan, *, resume: bool) -> Iterator[None]:
    """Hold a run folder, made ready by the process that writes; all processes fail together."""
    with contextlib.ExitStack() as held:
        problem = None
        if is_lead():
            try:
                claim_folder(folder)
                held.enter_context(locked(folder))
                for name in ("config", "result", "report"):
                    for unfinished in folder.glob(f".{name}-*"):  # of a process that was killed while it wrote
                        unfinished.unlink(missing_ok=True)
                if not resume:
                    _clear(folder, dataclasses.replace(plan.config, launches=plan.launches))
            except InputError as error:
                problem = error
        if any_process(problem is not None):
            raise problem or InputError("the first process of this run cannot use its run folder; see its message")
        yield


def _clear(folder: Path, config: SweepConfig) -> None:
    """Write the config of a new run, and remove the checkpoints of an earlier one."""
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    try:
        with replaced(folder / "config.json") as part:
            part.write_text(config.to_json() + "\n")
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); name another folder") from None
