"""What a sweep will run: its members, the padded shapes they share, their arithmetic and their bytes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import jax
import numpy as np

from modejax.data import Dataset
from modejax.errors import InputError
from modejax.sweep.config import LAYER_MODES, SweepConfig
from modejax.sweep.cost import state_bytes, step_flops
from modejax.sweep.spec import LayerFactory, NetworkSpec, baseline_spec, network_spec

__all__ = ["Bucket", "Group", "Members", "Plan", "make_plan"]

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Machine:
    """Rates by which buckets are chosen: what one more bucket costs against what padding costs."""

    flops_per_second: float  # of the batched step, a device
    launch_seconds: float  # of one more bucket, a step
    compile_seconds: float  # of one more bucket


MACHINES = {
    "cpu": Machine(flops_per_second=5e10, launch_seconds=1e-4, compile_seconds=2.5),
    "gpu": Machine(flops_per_second=1.5e13, launch_seconds=2e-4, compile_seconds=3.0),
    "tpu": Machine(flops_per_second=3e13, launch_seconds=1e-4, compile_seconds=5.0),
}


@dataclasses.dataclass(frozen=True)
class Members:
    """The networks of a group, one entry each, in the order of the grid."""

    width: np.ndarray  # (members,) int32
    modes: np.ndarray  # (members,) int32; 0 where the layer has none or full rank
    seed: np.ndarray  # (members,) int32
    learning_rate: np.ndarray  # (members,) float64
    weight_decay: np.ndarray  # (members,) float64

    def __len__(self) -> int:
        return len(self.width)


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Members that share padded shapes."""

    group: int  # index of the group
    width: int  # capacity
    modes: int  # capacity; 0 where the layer has none or full rank
    members: tuple[int, ...]  # indices into the group's members
    padding: int  # members added at the end to fill all devices; copies of the last one, dropped in the result


@dataclasses.dataclass(frozen=True)
class Group:
    """Networks of one family: the sweep's own, or its baseline."""

    name: str
    spec: NetworkSpec
    members: Members
    grid: tuple[int, ...]  # the shape of the grid whose product the members are


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep before it runs.

    Attributes:
        config: the sweep.
        groups: the sweep's own networks, then the baseline where there is one.
        buckets: all buckets of all groups; they run in one program.
        devices: the number of devices over which members are spread.
        steps_per_epoch: batches in an epoch.
        chunk: epochs in one call of the program.
        evaluation_rows: test examples in one evaluation block.
        kept: numbers of modes kept in the truncation curves; empty for a layer without modes.
        useful_flops: operations in matrix products that all members need for training, at their own sizes.
        padded_flops: the same at the padded sizes.
        parameters: trainable parameters of all members.
        state_bytes: bytes of parameters and moments, padding included.
        peak_bytes: predicted peak of all bytes: state, gradients, activations, data.
    """

    config: SweepConfig
    groups: tuple[Group, ...]
    buckets: tuple[Bucket, ...]
    devices: int
    steps_per_epoch: int
    chunk: int
    evaluation_rows: int
    kept: tuple[int, ...]
    useful_flops: int
    padded_flops: int
    parameters: int
    state_bytes: int
    peak_bytes: int

    @property
    def truncation_epochs(self) -> tuple[int, ...]:
        """Epochs after which truncation curves are taken, counted from 1."""
        if not self.kept:
            return ()
        every = self.config.truncate_every
        return tuple(
            e for e in range(1, self.config.epochs + 1) if e == self.config.epochs or (every and e % every == 0)
        )


def _grid(config: SweepConfig) -> Members:
    assert config.modes is not None
    product = itertools.product(
        config.widths, config.modes, config.seed_numbers, config.learning_rates, config.weight_decays
    )
    return _members(list(product))


def _members(rows: Sequence[tuple[int, int, int, float, float]]) -> Members:
    width, modes, seed, rate, decay = zip(*rows, strict=True)
    return Members(
        np.array(width, np.int32), np.array(modes, np.int32), np.array(seed, np.int32), np.array(rate), np.array(decay)
    )


def _baseline(config: SweepConfig) -> Members:
    rates = (config.baseline_learning_rate, config.baseline_weight_decay)
    return _members([(width, 0, seed, *rates) for width in config.widths for seed in config.seed_numbers])


def bucket_shapes(
    counts: dict[tuple[int, int], int],
    flops: dict[tuple[int, int], float],
    steps: int,
    machine: Machine,
    devices: int = 1,
) -> list[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Group member sizes into padded shapes.

    It starts from one bucket a size and merges, as long as it pays, the two buckets whose merging saves most predicted
    time: one bucket less to launch and compile against the arithmetic of more padding.

    Args:
        counts: members of each size (width, modes).
        flops: operations a step of one network at each padded size that can come up.
        steps: training steps of the whole run.
        machine: the rates.
        devices: devices over which the members of a bucket are spread; the fullest one counts.

    Returns:
        For each bucket its padded size and the sizes in it.
    """

    def seconds(shape: tuple[int, int], members: int) -> float:
        return steps * -(-members // devices) * flops[shape] / machine.flops_per_second

    buckets = [(size, [size], count) for size, count in sorted(counts.items())]
    overhead = steps * machine.launch_seconds + machine.compile_seconds
    while len(buckets) > 1:
        best, pair = 0.0, None
        for i, j in itertools.combinations(range(len(buckets)), 2):
            (a, _, n), (b, _, m) = buckets[i], buckets[j]
            shape = (max(a[0], b[0]), max(a[1], b[1]))
            saved = overhead + seconds(a, n) + seconds(b, m) - seconds(shape, n + m)
            if saved > best:
                best, pair = saved, (i, j, shape)
        if pair is None:
            break
        i, j, shape = pair
        merged = (shape, buckets[i][1] + buckets[j][1], buckets[i][2] + buckets[j][2])
        buckets = [bucket for k, bucket in enumerate(buckets) if k not in (i, j)] + [merged]
    return sorted((shape, sorted(sizes)) for shape, sizes, _ in buckets)


def _buckets(config: SweepConfig, groups: Sequence[Group], steps: int, devices: int) -> tuple[Bucket, ...]:
    machine = MACHINES.get(jax.default_backend(), MACHINES["gpu"])
    found = []
    for index, group in enumerate(groups):
        sizes = list(zip(group.members.width.tolist(), group.members.modes.tolist(), strict=True))
        counts = {size: sizes.count(size) for size in set(sizes)}
        if config.buckets == "each":
            shapes = [(size, [size]) for size in sorted(counts)]
        elif config.buckets == "one":
            shapes = [((max(w for w, _ in counts), max(p for _, p in counts)), list(counts))]
        else:
            possible = itertools.product({w for w, _ in counts}, {p for _, p in counts})
            flops = {(w, p): float(step_flops(group.spec, w, p, config.batch_size)) for w, p in possible}
            shapes = bucket_shapes(counts, flops, steps, machine, devices)
        for (width, modes), inside in shapes:
            members = tuple(i for i, size in enumerate(sizes) if size in set(inside))
            found.append(Bucket(index, width, modes, members, -len(members) % devices))
    return tuple(found)


def _chunk(config: SweepConfig) -> int:
    """Return the epochs of one call: about twenty calls a run, each ending where curves are due."""
    wanted = -(-config.epochs // 20)
    if not config.truncate_every:
        return wanted
    every = min(config.truncate_every, config.epochs)
    return max(d for d in range(1, every + 1) if every % d == 0 and d <= max(wanted, 1))


def _evaluation_rows(num_test: int, units: int) -> int:
    """Return the rows of a test block: even blocks of about 1000, fewer where all members' rows would pass 256 MiB."""
    most = max(50, min(1000, 256 * 2**20 // (4 * max(units, 1))))
    blocks = -(-num_test // most)
    return -(-num_test // blocks)


def available_memory() -> int:
    """Return the bytes that the sweep may use: the first device's own, or the machine's main memory."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) * jax.device_count()
    import psutil

    return psutil.virtual_memory().total


def make_plan(config: SweepConfig, dataset: Dataset, layer: LayerFactory | None = None) -> Plan:
    """Plan a sweep: its members, buckets, arithmetic and memory.

    Args:
        config: the sweep.
        dataset: its data.
        layer: a layer of the user's own, `Extent of modes -> Layer`, instead of `config.layer`.

    Returns:
        The plan.

    Raises:
        InputError: if the batch is larger than the training set, an option of the layer is unknown, there are fewer
            devices than asked for, or the predicted memory passes the limit.

    Example:
        >>> from modejax.data import load_dataset
        >>> plan = make_plan(SweepConfig(widths=(8, 16), modes=(2,), seeds=2, epochs=1), load_dataset("digits"))
        >>> len(plan.groups[0].members), plan.steps_per_epoch
        (4, 14)
    """
    num_train = len(dataset.y_train)
    if config.batch_size > num_train:
        raise InputError(
            f"batch_size {config.batch_size} is larger than the {num_train} training examples of {dataset.name}; "
            f"allowed: 1 to {num_train}"
        )
    devices = config.devices or jax.device_count()
    if devices > jax.device_count():
        raise InputError(f"{devices} devices asked for, JAX sees {jax.device_count()}; give at most that many")
    features, outputs = dataset.num_features, dataset.num_outputs
    own = _grid(config)
    assert config.modes is not None
    grid = (len(config.widths), len(config.modes), config.seeds)
    groups = [
        Group(
            "sweep",
            network_spec(config, features, outputs, layer),
            own,
            (*grid, len(config.learning_rates), len(config.weight_decays)),
        )
    ]
    if config.baseline == "dense":
        groups.append(
            Group(
                "baseline",
                baseline_spec(config, features, outputs),
                _baseline(config),
                (len(config.widths), config.seeds),
            )
        )
    steps = num_train // config.batch_size
    buckets = _buckets(config, groups, steps * config.epochs, devices)
    most = max(config.modes) or min(max(config.widths) or outputs, features)
    has_modes = layer is not None or LAYER_MODES[config.layer] != "none"
    kept = (config.kept or tuple(range(most + 1))) if has_modes else ()
    if kept and kept[-1] > most:
        raise InputError(f"kept names {kept[-1]} modes, but no member has more than {most}; allowed: 0 to {most}")

    units = sum((len(b.members) + b.padding) * (2 * b.width + max(b.modes, outputs)) for b in buckets)
    rows = _evaluation_rows(len(dataset.y_test), units)
    useful = padded = parameters = states = 0
    for bucket in buckets:
        group = groups[bucket.group]
        count = len(bucket.members) + bucket.padding
        states += count * state_bytes(group.spec, bucket.width, bucket.modes)
        padded += count * step_flops(group.spec, bucket.width, bucket.modes, config.batch_size)
        for member in bucket.members:
            width, modes = int(group.members.width[member]), int(group.members.modes[member])
            useful += step_flops(group.spec, width, modes, config.batch_size)
            parameters += group.spec.build(width, modes, 1).num_parameters()
    data = sum(a.nbytes for a in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)) * devices
    activations = 4 * units * max(config.batch_size * (config.depth + 1) * 2, rows * 3)
    plan = Plan(
        config=config,
        groups=tuple(groups),
        buckets=buckets,
        devices=devices,
        steps_per_epoch=steps,
        chunk=_chunk(config),
        evaluation_rows=rows,
        kept=kept,
        useful_flops=useful * steps * config.epochs,
        padded_flops=padded * steps * config.epochs,
        parameters=parameters,
        state_bytes=states,
        # The gradient is a third of the state; a donated state is there twice while one chunk hands over.
        peak_bytes=2 * states + states // 3 + activations + data,
    )
    limit = int(config.memory_limit * _GIB) or available_memory()
    if plan.peak_bytes > limit:
        raise InputError(
            f"the sweep needs about {plan.peak_bytes / _GIB:.2f} GiB, the limit is {limit / _GIB:.2f} GiB "
            f"({len(own)} members, widths up to {max(config.widths)}, modes up to {max(config.modes)}); "
            "use fewer members or smaller sizes, or raise memory_limit"
        )
    return plan
