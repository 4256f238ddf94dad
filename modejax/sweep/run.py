"""Run a sweep: compile once, call the program chunk after chunk, keep what it reports."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from modejax._files import replaced
from modejax.data import Dataset, load_dataset
from modejax.errors import InputError
from modejax.networks import Params
from modejax.runs import Output, has_unfinished, kind_of, output, read_json, read_marker, unfinished
from modejax.sweep import checkpoint
from modejax.sweep.arrays import program_spec
from modejax.sweep.config import SweepConfig
from modejax.sweep.hosts import any_process, collect, from_lead, is_lead
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.program import (
    device_data,
    make_clock,
    make_program,
    member_arrays,
    precision_scope,
)
from modejax.sweep.records import empty_records, part_of, rows_of, take
from modejax.sweep.result import GroupRecord, Timing, assemble, load_result, save_result
from modejax.sweep.spec import LayerFactory
from modejax.sweep.states import check_start, state_shapes, with_given, with_padding, without_padding
from modejax.training import TrainState

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


_START = "start"
"""File beside the checkpoints of a run with given initial parameters: their digest."""

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


def _digest(start: Sequence[Params]) -> str:
    """Return a digest of given initial parameters."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(list(start)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _mark(plan: Plan, dataset: Dataset, start: str | None = None) -> str:
    """Return the fingerprint of a run; the number of devices and the memory limit do not change its numbers."""
    config = dataclasses.asdict(plan.config)
    config |= {"devices": 0, "memory_limit": 0.0, "data_dir": None, "launches": plan.launches}
    layer = plan.groups[0].spec.layer
    name = layer if isinstance(layer, str) else getattr(layer, "__qualname__", repr(layer))
    buckets = [[b.group, b.width, b.modes, list(b.members)] for b in plan.buckets]
    facts = [config, name, buckets, dataset.content_hash, jax.default_backend()]
    facts += [] if start is None else [start]
    return checkpoint.fingerprint(facts)


def _launch_folder(checkpoints: Path, launch: int) -> Path:
    return checkpoints / f"launch-{launch:04d}"


def _restore(
    plan: Plan, mark: str, checkpoints: Path, launch: int, records: list[GroupRecord]
) -> tuple[int, list[TrainState] | None]:
    """Read the newest whole checkpoint of a launch, its records into `records`; return epochs done and states."""
    rows = rows_of(plan, launch)
    like = (state_shapes(plan, launch), part_of(records, rows))
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
    started = checkpoints / _START
    start = started.read_text() if started.is_file() else None
    mark, records, found = _mark(plan, dataset, start), empty_records(plan), []
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
    start: Sequence[Params] | None = None,
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
        start: parameters to start the sweep's own networks from, as in `run_sweep`.

    Returns:
        States and records on the host.

    Raises:
        InputError: if the checkpoints cannot be used.
        Interrupted: if `stop` said so.
    """
    config = plan.config
    if start is not None:
        with precision_scope(config.precision):
            check_start(plan, start)
    with precision_scope(config.precision):
        before = time.perf_counter()
        program = make_program(program_spec(plan, dataset))
        # A program that was compiled before costs nothing now.
        fresh = time.perf_counter() - before >= program.seconds_to_compile
        timing = Timing(program.seconds_to_trace, program.seconds_to_compile, 0.0) if fresh else Timing(0.0, 0.0, 0.0)
        began = time.perf_counter()
        data = device_data(dataset, program, config.shuffle_seed)
        digest = None if start is None else _digest(start)
        if digest is not None and checkpoints is not None and is_lead():
            with replaced(checkpoints / _START) as part:
                part.write_text(digest)
        records, mark, final = empty_records(plan), _mark(plan, dataset, digest), []
        for launch in range(plan.launches):
            done, host = 0, None
            if resume and checkpoints is not None:
                done, host = _restore(plan, mark, checkpoints, launch, records)
            if done == config.epochs:
                final += [host] if keep_states else []
                continue
            members, rows = member_arrays(plan, program, launch), rows_of(plan, launch)
            if host is not None:
                states = with_padding(plan, host, program)
            else:
                states = program.start(members)
                if start is not None:
                    states = with_given(plan, states, start, program, launch)
            for call in _calls(plan, done):
                first, count, truncate = call
                clock = make_clock(program, first, count, config, truncate=truncate)
                host = None  # lets go of the states that the call is given
                states, reported = program.compiled(states, members, data, clock)
                take(records, plan, launch, call, collect(reported))
                done = first + count
                if checkpoints is not None:
                    host = without_padding(plan, states, launch)
                    if is_lead():
                        keep = 1 if done == config.epochs else 2
                        folder = _launch_folder(checkpoints, launch)
                        checkpoint.save(folder, done, (host, part_of(records, rows)), mark, keep=keep)
                if report is not None:
                    own = rows[0]
                    accuracy = records[0].test_accuracy[own[records[0].healthy[own]], done - 1]
                    mean = float(accuracy.mean()) if accuracy.size else float("nan")
                    report(Progress(launch * config.epochs + done, plan.launches * config.epochs, mean))
                last = done == config.epochs and launch == plan.launches - 1
                if stop is not None and not last and any_process(stop()):
                    raise Interrupted(done, launch, plan.launches)
            if keep_states:
                final.append(without_padding(plan, states, launch) if host is None else host)
        seconds = time.perf_counter() - began
        return Outcome(plan, _joined(final) if keep_states else [], records, timing._replace(run=seconds))


def run_sweep(
    config: SweepConfig | None = None,
    *,
    dataset: Dataset | None = None,
    layer: LayerFactory | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
    stop: Callable[[], bool] | None = None,
    start: Sequence[Params] | None = None,
) -> xarray.Dataset:
    """Train a grid of networks as one compiled program and return what was measured, labelled.

    Args:
        config: the sweep; by default a small grid on digits.
        dataset: data of one's own instead of `config.dataset`.
        layer: a layer of one's own instead of `config.layer`: the number of modes as an `Extent` in, a
            `modejax.layers.Layer` out.
        out: a run folder for config, result and checkpoints; None keeps nothing.
        resume: go on from the newest checkpoint of `out`, which must be a run of the same config; the result of a
            finished one is given back.
        overwrite: replace an earlier run at `out`, which stays whole until the new one is finished.
        report: told the progress: before compiling, and once a chunk.
        stop: asked once a chunk whether to stop.
        start: parameters from which the sweep's own networks start instead of drawn ones, one tree a network at its own
            size, in the order of the grid (as `modejax.load_networks` gives them).

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
    if folder is not None and resume and (done := _finished(folder, config)) is not None:
        return done
    if folder is not None and resume and config.launches == 0:
        # Memory decides on launches when a run begins, and not again.
        config = dataclasses.replace(config, launches=_stored_config(folder).launches)
    plan = make_plan(config, dataset, layer)
    if report is not None:
        report(Progress(0, plan.launches * config.epochs, float("nan")))
    with contextlib.nullcontext() if folder is None else _opened(folder, plan, resume, overwrite) as held:
        work = folder if held is None else held.path
        outcome = execute(
            plan,
            dataset,
            checkpoints=None if work is None else work / "checkpoint",
            resume=resume,
            report=report,
            stop=stop,
            keep_states=False,
            start=start,
        )
        result = assemble(plan, dataset, outcome.records, outcome.timing)
        if held is not None:
            save_result(result, held.path)
            held.finish(["config.json", "result.nc"])
    return result


def _finished(folder: Path, config: SweepConfig) -> xarray.Dataset | None:
    """Return the result of a run that is finished, if it was made with this config; None for an unfinished one."""
    if kind_of(folder) != "sweep" or read_marker(folder).state != "finished" or has_unfinished(folder, "sweep"):
        return None
    stored = SweepConfig.from_json(json.dumps(read_json(folder)))
    place = {"data_dir": None, "devices": 0, "memory_limit": 0.0, "launches": 0}
    if dataclasses.replace(stored, **place) != dataclasses.replace(config, **place):
        raise InputError(f"{folder} is finished and belongs to another config; name another folder, or overwrite it")
    return load_result(folder)


def _stored_config(folder: Path) -> SweepConfig:
    return SweepConfig.from_json(json.dumps(read_json(unfinished(folder, "sweep"), "config.json")))


@contextlib.contextmanager
def _opened(folder: Path, plan: Plan, resume: bool, overwrite: bool) -> Iterator[Output | None]:
    """Hold a run folder in the process that writes, with its config in it; all processes fail together."""
    with contextlib.ExitStack() as stack:
        problem = held = None
        if is_lead():
            try:
                held = stack.enter_context(output(folder, "sweep", resume=resume, overwrite=overwrite))
                if not resume:
                    _write_config(held.path, dataclasses.replace(plan.config, launches=plan.launches))
            except InputError as error:
                problem = error
        if any_process(problem is not None):
            raise problem or InputError("the first process of this run cannot use its run folder; see its message")
        yield held


def _write_config(folder: Path, config: SweepConfig) -> None:
    try:
        with replaced(folder / "config.json") as part:
            part.write_text(config.to_json() + "\n")
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); name another folder") from None
