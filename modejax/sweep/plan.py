"""The plan of a sweep: its arms, the padded shapes that their members share, their arithmetic and their memory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from modejax.backend import made_for
from modejax.data import Dataset
from modejax.errors import InputError
from modejax.sweep.buckets import Bucket, Cost, arm_buckets
from modejax.sweep.config import SweepConfig
from modejax.sweep.cost import row_floats
from modejax.sweep.machines import Machine, Target, this_machine
from modejax.sweep.memory import Memory, available_memory, launch_memory, resident_bytes
from modejax.sweep.parsing import parse_bytes
from modejax.sweep.planned import PlannedArm, planned_arm, trained_parameters, training_examples
from modejax.sweep.predict import Size, StepCost, evaluation_seconds, step_cost, step_costs, step_seconds
from modejax.sweep.spec import ArmSpec, BucketSpec, Custom

__all__ = ["Bucket", "Plan", "PlannedArm", "make_plan"]

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Plan:
    """The plan of a sweep, before it runs.

    Attributes:
        config: the sweep.
        custom: network, layer, optimiser and loss that the user passed from Python.
        arms: the first arm, the further arms, then the baseline if there is one.
        buckets: all buckets of all arms; they run as one program.
        devices: the number of devices over which members are spread.
        launches: calls of the executable, one after another, over which the members are spread; each trains its share
            from the first epoch to the last.
        steps_per_epoch: number of batches in an epoch.
        chunk: number of epochs in one call of the program.
        evaluation_rows: number of test examples in one evaluation block.
        held_out: number of training examples kept for validation.
        useful_flops: operations in matrix products that all members need for training, at their own sizes.
        padded_flops: the same at the padded sizes.
        parameters: number of trainable parameters of all members.
        memory: predicted bytes of one launch.
        resident_bytes: bytes that the process itself uses, on the CPU backend; see `memory.resident_bytes`.
        machine: the kind of device for which the plan was made.
        test_blocks: number of blocks of an evaluation.
    """

    config: SweepConfig
    custom: Custom
    arms: tuple[PlannedArm, ...]
    buckets: tuple[Bucket, ...]
    devices: int
    launches: int
    steps_per_epoch: int
    chunk: int
    evaluation_rows: int
    held_out: int
    useful_flops: int
    padded_flops: int
    parameters: int
    memory: Memory
    resident_bytes: int
    machine: Machine
    test_blocks: int

    @property
    def step_seconds(self) -> float:
        """Predicted seconds of one step of all members of a launch."""

        def of(spec: ArmSpec, size: Size) -> tuple[float, float]:
            cost = step_cost(spec, size, self.config.batch_size, self.machine.tile)
            return step_seconds(cost, self.config.batch_size, self.machine, self.config.precision)

        return self._sum(of)

    @property
    def evaluation_seconds(self) -> float:
        """Predicted seconds of one evaluation of all members of a launch on the test set."""

        def of(spec: ArmSpec, size: Size) -> tuple[float, float]:
            return evaluation_seconds(spec, size, self.evaluation_rows, self.machine, self.config.precision)

        return self.test_blocks * self._sum(of)

    @property
    def predicted_seconds(self) -> float:
        """Predicted seconds of training with one evaluation per epoch, without compilation and without curves."""
        epoch = self.steps_per_epoch * self.step_seconds + self.evaluation_seconds
        return self.launches * self.config.epochs * epoch

    @property
    def compile_seconds(self) -> float:
        """Predicted seconds to compile the program."""
        return len(self.buckets) * self.machine.compile_seconds

    def _sum(self, of: Callable[[ArmSpec, Size], tuple[float, float]]) -> float:
        """Add up the seconds of all buckets of a launch, for the share of the networks on one device."""
        total = 0.0
        for bucket in self.buckets:
            network, own = of(self.arms[bucket.arm].spec, (bucket.width, bucket.modes))
            total += bucket.capacity // self.devices * network + own
        return total

    @property
    def peak_bytes(self) -> int:
        """Predicted peak of the bytes on the devices; on the CPU backend, with those of the host."""
        return _peak(self.memory, self.resident_bytes, self.machine)

    def share(self, launch: int) -> tuple[np.ndarray, ...]:
        """Return the members of each bucket that run in a launch, as indices into the arm's members."""
        return tuple(np.array_split(np.array(bucket.members), self.launches)[launch] for bucket in self.buckets)

    @property
    def bucket_specs(self) -> tuple[BucketSpec, ...]:
        """The padded networks of one launch."""
        return _specs(self.arms, self.buckets)

    @property
    def truncation_epochs(self) -> tuple[int, ...]:
        """Epochs after which truncation and pruning curves are taken, counted from 1."""
        if not any(arm.spec.kept or arm.spec.pruned for arm in self.arms):
            return ()
        every = self.config.truncate_every
        return tuple(
            e for e in range(1, self.config.epochs + 1) if e == self.config.epochs or (every and e % every == 0)
        )


def _chunk(config: SweepConfig) -> int:
    """Return the epochs of one call: a run has about twenty calls, each ending at an epoch where curves are due."""
    wanted = -(-config.epochs // 20)
    if not config.truncate_every:
        return wanted
    every = min(config.truncate_every, config.epochs)
    return max(d for d in range(1, every + 1) if every % d == 0 and d <= max(wanted, 1))


def _evaluation_rows(num_test: int, units: int, machine: Machine) -> int:
    """Return the rows of a test block: equal blocks of about 1000, smaller if the rows of all members pass a limit.

    The limit is 256 MiB on a CPU, where larger blocks are slower, and 2 % of the memory on an accelerator, which small
    blocks would leave idle.
    """
    room = 256 * 2**20 if machine.backend == "cpu" else (machine.memory or 2**34) // 50
    most = max(50, min(1000, room // (4 * max(units, 1))))
    blocks = -(-num_test // most)
    return -(-num_test // blocks)


def _peak(memory: Memory, resident: int, machine: Machine) -> int:
    return memory.device + (memory.host + resident if machine.backend == "cpu" else 0)


def _specs(arms: Sequence[PlannedArm], buckets: Sequence[Bucket]) -> tuple[BucketSpec, ...]:
    return tuple(BucketSpec(arms[b.arm].spec, b.width, b.modes, b.capacity) for b in buckets)


@dataclasses.dataclass(frozen=True)
class _Split:
    """The buckets of a plan for some number of launches."""

    launches: int
    buckets: tuple[Bucket, ...]
    rows: int
    memory: Memory


def _split(
    config: SweepConfig,
    dataset: Dataset,
    arms: Sequence[PlannedArm],
    buckets: Sequence[Bucket],
    target: Target,
    launches: int,
) -> _Split:
    devices = target.devices

    def capacity(bucket: Bucket) -> int:
        share = -(-len(bucket.members) // launches)
        return -(-share // devices) * devices

    buckets = tuple(dataclasses.replace(bucket, capacity=capacity(bucket)) for bucket in buckets)
    units = 0
    for b in buckets:
        # A convolution has its channels at every position.
        _, widest, _ = row_floats(arms[b.arm].spec, b.width, b.modes)
        units += b.capacity * max(2 * b.width + max(b.modes, dataset.num_outputs), widest)
    rows = _evaluation_rows(len(dataset.y_test), units, target.machine)
    return _Split(launches, buckets, rows, launch_memory(_specs(arms, buckets), config, dataset, rows, target))


def _fit(split: Callable[[int], _Split], most: int, fits: Callable[[_Split], bool]) -> _Split:
    """Return the split with the fewest launches that fits into memory; if none does, that with the most launches."""
    few, many = 1, most
    whole = split(1)
    if fits(whole):
        return whole
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if fits(split(middle)) else (middle, many)
    return split(many)


def _devices(config: SweepConfig, target: Target | None) -> int:
    if target is not None:
        return target.devices
    devices = config.devices or jax.device_count()
    if devices > jax.device_count():
        raise InputError(f"{devices} devices asked for, JAX sees {jax.device_count()}; give at most that many")
    if jax.process_count() > 1 and devices < jax.device_count():
        raise InputError(
            f"{devices} devices asked for, but the {jax.process_count()} processes of this run have "
            f"{jax.device_count()}; leave devices out, so that every process has its share"
        )
    return devices


def make_plan(
    config: SweepConfig, dataset: Dataset, custom: Custom | None = None, target: Target | None = None
) -> Plan:
    """Plan a sweep: its members, buckets, arithmetic and memory.

    Args:
        config: the sweep.
        dataset: its data.
        custom: network, layer, optimiser and loss of the user, used where the config says `custom`.
        target: the devices to plan for, which this machine need not have; by default those of JAX. Their number
            overrides that of the config.

    Returns:
        The plan.

    Raises:
        InputError: if the batch is larger than the training set, an option of the layer is unknown, there are fewer
            devices or members than asked for, or the predicted memory exceeds the limit even with the largest number of
            launches.

    Example:
        >>> from modejax.data import load_dataset
        >>> plan = make_plan(SweepConfig(widths=(8, 16), modes=(2,), seeds=2, epochs=1), load_dataset("digits"))
        >>> len(plan.arms[0].members), plan.steps_per_epoch
        (4, 14)
    """
    custom = Custom() if custom is None else custom
    machine = this_machine() if target is None else target.machine
    with made_for(machine.backend):
        return _made(config, dataset, custom, machine, target)


def _made(config: SweepConfig, dataset: Dataset, custom: Custom, machine: Machine, target: Target | None) -> Plan:
    held_out, num_train = training_examples(config, dataset)
    devices = _devices(config, target)
    arms = tuple(planned_arm(config, i, arm, dataset, custom) for i, arm in enumerate(config.all_arms))
    steps = num_train // config.batch_size
    buckets: list[Bucket] = []
    useful = parameters = 0
    for index, each in enumerate(arms):
        costs = _costs(each, config, machine)
        step = lambda size, of=costs: step_seconds(of[size], config.batch_size, machine, config.precision)  # noqa: E731
        cost = Cost(step, steps * config.epochs, machine.compile_seconds, devices)
        buckets += arm_buckets(index, each.members, config.buckets, cost)
        useful += sum(count * costs[size].flops for size, count in each.members.sizes().items())
        parameters += trained_parameters(each)
    chosen, resident = _within_memory(config, dataset, arms, buckets, Target(machine, devices, here=target is None))
    padded = 0.0
    for b in chosen.buckets:
        cost = step_cost(arms[b.arm].spec, (b.width, b.modes), config.batch_size)
        padded += chosen.launches * b.capacity * cost.flops
    return Plan(
        config=config,
        custom=custom,
        arms=arms,
        buckets=chosen.buckets,
        devices=devices,
        launches=chosen.launches,
        steps_per_epoch=steps,
        chunk=_chunk(config),
        evaluation_rows=chosen.rows,
        held_out=held_out,
        useful_flops=round(useful) * steps * config.epochs,
        padded_flops=round(padded) * steps * config.epochs,
        parameters=parameters,
        memory=chosen.memory,
        resident_bytes=resident,
        machine=machine,
        test_blocks=-(-len(dataset.y_test) // chosen.rows),
    )


def _costs(arm: PlannedArm, config: SweepConfig, machine: Machine) -> dict[Size, StepCost]:
    """Return the cost of a step at each size to which members of an arm may be padded."""
    sizes = arm.members.sizes()
    if config.buckets != "auto":  # no costs are compared
        return step_costs(arm.spec, list(sizes), config.batch_size, machine.tile)
    padded = [(w, p) for w in sorted({w for w, _ in sizes}) for p in sorted({p for _, p in sizes})]
    return step_costs(arm.spec, padded, config.batch_size, machine.tile)


def _within_memory(
    config: SweepConfig, dataset: Dataset, arms: tuple[PlannedArm, ...], buckets: list[Bucket], target: Target
) -> tuple[_Split, int]:
    """Return the buckets for as few launches as memory allows, or as many as asked for."""
    machine, devices = target.machine, target.devices
    most_launches = max(1, *(-(-len(bucket.members) // devices) for bucket in buckets))
    if config.launches > most_launches:
        raise InputError(
            f"launches {config.launches}: the largest of the sweep's buckets fills {most_launches} on {devices} "
            f"device(s); allowed: 1 to {most_launches}, or 0 for as few as memory allows"
        )
    split = functools.partial(_split, config, dataset, arms, buckets, target)
    limit = parse_bytes(config.memory_limit) or available_memory(target)
    resident = resident_bytes(machine)

    def peak_of(split: _Split) -> int:
        return _peak(split.memory, resident, machine)

    fits = lambda split: peak_of(split) <= limit  # noqa: E731
    chosen = split(config.launches) if config.launches else _fit(split, most_launches, fits)
    peak = peak_of(chosen)
    if peak > limit:
        raise InputError(
            f"the sweep needs about {peak / _GIB:.2f} GiB in {chosen.launches} launch(es), the limit is "
            f"{limit / _GIB:.2f} GiB ({sum(len(each.members) for each in arms)} members, widths up to "
            f"{max(max(each.arm.widths) for each in arms)}; {resident / _GIB:.2f} GiB of it are the process itself); "
            f"use smaller sizes{', more launches' if chosen.launches < most_launches else ''} or raise memory_limit"
        )
    return chosen, resident
