"""Run a plan: compile once, call the program for one chunk of epochs after another, and collect its records."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from modejax._files import replaced
from modejax.data import Dataset
from modejax.errors import InputError
from modejax.networks.base import Params
from modejax.sweep import checkpoint
from modejax.sweep.arrays import Data, MemberArrays, program_spec
from modejax.sweep.hosts import any_process, collect, from_lead, is_lead
from modejax.sweep.inputs import device_data, make_clock, member_arrays
from modejax.sweep.label import Timing
from modejax.sweep.plan import Plan
from modejax.sweep.program import Program, make_program, precision_scope
from modejax.sweep.records import ArmRecord, empty_records, part_of, rows_of, take
from modejax.sweep.states import check_start, state_shapes, with_given, with_padding, without_padding
from modejax.training import TrainState

__all__ = ["Interrupted", "Outcome", "Progress", "Report", "Watch", "execute"]


class Interrupted(Exception):  # noqa: N818
    """Raised when a sweep was asked to stop and has stopped after a chunk; its run folder can be resumed."""

    def __init__(self, epoch: int, launch: int = 0, launches: int = 1) -> None:
        which = f" of launch {launch + 1} of {launches}" if launches > 1 else ""
        super().__init__(f"stopped after epoch {epoch}{which}")
        self.epoch = epoch


class Outcome(NamedTuple):
    """The results of a finished sweep, on the host."""

    plan: Plan
    states: list[TrainState]  # one for each bucket, members leading, without padding members; empty if not kept
    records: list[ArmRecord]  # one for each arm
    timing: Timing


class Progress(NamedTuple):
    """Progress of a sweep."""

    done: int  # epochs, counted in every launch
    total: int
    accuracy: float  # mean test accuracy of the launch's members that have not diverged, share of 1
    loss: float  # their mean test loss


_START = "start"
"""File in the folder of checkpoints with the digest of the initial parameters, if these were given."""

Report = Callable[[Progress], None]
"""Callback that gets the progress: once before compiling, with 0 epochs and NaN values, then after each chunk."""


def _calls(plan: Plan, done: int) -> Iterator[tuple[int, int, bool]]:
    """Yield first epoch, number of epochs and whether curves are due, for each remaining call."""
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
    """Return the fingerprint of a run; number of devices and memory limit are no part of it."""
    config = dataclasses.asdict(plan.config)
    config |= {"devices": 0, "memory_limit": 0.0, "data_dir": None, "launches": plan.launches}
    custom = [getattr(each, "__qualname__", repr(each)) for each in (plan.custom.network, plan.custom.optimiser)]
    custom += [repr(plan.custom.layer), plan.custom.loss is not None]
    buckets = [[b.arm, b.width, b.modes, list(b.members)] for b in plan.buckets]
    facts = [config, custom, buckets, dataset.content_hash, jax.default_backend()]
    facts += [] if start is None else [start]
    return checkpoint.fingerprint(facts)


class _Checkpoints(NamedTuple):
    """The folder of the checkpoints of a run, and the fingerprint that is stored in them."""

    folder: Path
    mark: str

    def of_launch(self, launch: int) -> Path:
        """Return the folder of a launch."""
        return self.folder / f"launch-{launch:04d}"


def _restore(
    plan: Plan, checkpoints: _Checkpoints, launch: int, records: list[ArmRecord]
) -> tuple[int, list[TrainState] | None]:
    """Read the newest complete checkpoint of a launch: fill `records` and return the epochs done and the states."""
    rows = rows_of(plan, launch)
    like = (state_shapes(plan, launch), part_of(records, rows))
    done, tree, problem = 0, None, None
    if is_lead():
        try:
            done, tree, refused = checkpoint.newest(checkpoints.of_launch(launch), like, checkpoints.mark)
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


def _joined(launches: list[Any]) -> list[TrainState]:
    return launches[0] if len(launches) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *launches)


@dataclasses.dataclass(frozen=True)
class Watch:
    """Callbacks while a plan runs.

    Attributes:
        report: called with the progress after each chunk.
        stop: called after each chunk; if it returns True in any process of the run, the sweep stops with `Interrupted`.
        finished: called after each launch with its index, from 0, and its states on the host.
    """

    report: Report | None = None
    stop: Callable[[], bool] | None = None
    finished: Callable[[int, list[TrainState]], None] | None = None


def execute(
    plan: Plan,
    dataset: Dataset,
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    keep_states: bool = True,
    start: Sequence[Params] | None = None,
) -> Outcome:
    """Run a plan.

    Args:
        plan: the plan.
        dataset: the data that it was made for.
        checkpoints: folder in which a checkpoint is written after every chunk; None for no checkpoints.
        resume: whether to go on from the newest complete checkpoints in that folder.
        watch: callbacks; None for none.
        keep_states: whether to keep the final states of all launches; if not, the host needs memory for one launch
            only.
        start: parameters to start the networks of the first arm from, as in `run_sweep`.

    Returns:
        States and records on the host.

    Raises:
        InputError: if the checkpoints cannot be used.
        Interrupted: if `watch.stop` returned True.
    """
    config, watch = plan.config, Watch() if watch is None else watch
    with precision_scope(config.precision):
        if start is not None:
            check_start(plan, start)
        spec = program_spec(plan, dataset)
        fresh = make_program.cache_info().misses
        program = make_program(spec)
        fresh = make_program.cache_info().misses > fresh
        timing = Timing(program.seconds_to_trace, program.seconds_to_compile, 0.0) if fresh else Timing(0.0, 0.0, 0.0)
        began = time.perf_counter()
        data = device_data(plan, dataset, program)
        digest = None if start is None else _digest(start)
        if digest is not None and checkpoints is not None and is_lead():
            with replaced(checkpoints / _START) as part:
                part.write_text(digest)
        records, final = empty_records(plan), []
        saved = None if checkpoints is None else _Checkpoints(checkpoints, _mark(plan, dataset, digest))
        for launch in range(plan.launches):
            done, host = 0, None
            if resume and saved is not None:
                done, host = _restore(plan, saved, launch, records)
            if done < config.epochs:
                members = member_arrays(plan, program, launch)
                if host is not None:
                    states = with_padding(plan, host, program)
                else:
                    states = program.start(members)
                    if start is not None:
                        states = with_given(plan, states, start, program, launch)
                host = _run_launch(plan, program, (states, members, data), launch, done, records, saved, watch)
            assert host is not None
            if watch.finished is not None:
                watch.finished(launch, host)
            if keep_states:
                final.append(host)
        seconds = time.perf_counter() - began
        return Outcome(plan, _joined(final) if keep_states else [], records, timing._replace(run=seconds))


def _run_launch(
    plan: Plan,
    program: Program,
    inputs: tuple[list[TrainState], list[MemberArrays], Data],
    launch: int,
    done: int,
    records: list[ArmRecord],
    checkpoints: _Checkpoints | None,
    watch: Watch,
) -> list[TrainState]:
    """Train the members of a launch to the last epoch and return their states on the host."""
    config, (states, members, data) = plan.config, inputs
    rows, host = rows_of(plan, launch), None
    for call in _calls(plan, done):
        first, count, truncate = call
        clock = make_clock(plan, program, first, count, truncate=truncate)
        host = None  # so that no reference is kept to the states, which are donated to the call
        states, reported = program.compiled(states, members, data, clock)
        take(records, plan, launch, call, collect(reported))
        done = first + count
        if checkpoints is not None:
            host = without_padding(plan, states, launch)
            if is_lead():
                keep = 1 if done == config.epochs else 2
                tree = host, part_of(records, rows)
                checkpoint.save(checkpoints.of_launch(launch), done, tree, checkpoints.mark, keep=keep)
        if watch.report is not None:
            watch.report(_progress(plan, launch, done, records[0], rows[0]))
        last = done == config.epochs and launch == plan.launches - 1
        if watch.stop is not None and not last and any_process(watch.stop()):
            raise Interrupted(done, launch, plan.launches)
    return without_padding(plan, states, launch) if host is None else host


def _progress(plan: Plan, launch: int, done: int, record: ArmRecord, rows: np.ndarray) -> Progress:
    fine = rows[record.healthy[rows]]
    accuracy, loss = (values[fine, done - 1] for values in (record.test_accuracy, record.test_loss))
    means = [float(each.mean()) if each.size else float("nan") for each in (accuracy, loss)]
    epochs = plan.config.epochs
    return Progress(launch * epochs + done, plan.launches * epochs, *means)
