"""What a sweep will run: its members, the padded shapes they share, their arithmetic and their bytes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import jax
import numpy as np

from modejax.data import Dataset
from modejax.errors import InputError
from modejax.layers import Family
from modejax.sweep.config import LAYER_MODES, SweepConfig, parse_bytes
from modejax.sweep.cost import step_flops
from modejax.sweep.memory import Memory, available_memory, launch_memory, resident_bytes
from modejax.sweep.spec import BucketSpec, NetworkSpec, baseline_spec, network_spec

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
    sparsity: np.ndarray  # (members,) float64, percent; 0 where there is no mask

    def __len__(self) -> int:
        return len(self.width)

    def sizes(self) -> Counter[tuple[int, int]]:
        """Count the members of each width and number of modes."""
        return Counter(zip(self.width.tolist(), self.modes.tolist(), strict=True))

    def kinds(self) -> Counter[tuple[int, int, float]]:
        """Count the members of each width, number of modes and sparsity."""
        return Counter(zip(self.width.tolist(), self.modes.tolist(), self.sparsity.tolist(), strict=True))


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Members that share padded shapes."""

    group: int  # index of the group
    width: int  # capacity
    modes: int  # capacity; 0 where the layer has none or full rank
    members: tuple[int, ...]  # indices into the group's members
    capacity: int  # networks of one launch, a multiple of the devices


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
        launches: calls of the executable, one after another, over which the members are spread; each trains its share
            from the first epoch to the last.
        steps_per_epoch: batches in an epoch.
        chunk: epochs in one call of the program.
        evaluation_rows: test examples in one evaluation block.
        kept: numbers of modes kept in the truncation curves; empty for a layer without modes.
        held_out: training examples kept for validation.
        useful_flops: operations in matrix products that all members need for training, at their own sizes.
        padded_flops: the same at the padded sizes.
        parameters: trainable parameters of all members.
        memory: predicted bytes of one launch.
        resident_bytes: what the process holds besides, where the device is the host.
    """

    config: SweepConfig
    groups: tuple[Group, ...]
    buckets: tuple[Bucket, ...]
    devices: int
    launches: int
    steps_per_epoch: int
    chunk: int
    evaluation_rows: int
    kept: tuple[int, ...]
    held_out: int
    useful_flops: int
    padded_flops: int
    parameters: int
    memory: Memory
    resident_bytes: int

    @property
    def predicted_seconds(self) -> float:
        """Training time predicted from the padded operations and a usual rate of this kind of device."""
        machine = MACHINES.get(jax.default_backend(), MACHINES["gpu"])
        return self.padded_flops / (machine.flops_per_second * self.devices)

    @property
    def peak_bytes(self) -> int:
        """All bytes predicted at the peak: on the devices, and on the host where it is the device."""
        return _peak(self.memory, self.resident_bytes)

    def share(self, launch: int) -> tuple[np.ndarray, ...]:
        """Return the members of each bucket that run in a launch, as indices into the group's members."""
        return tuple(np.array_split(np.array(bucket.members), self.launches)[launch] for bucket in self.buckets)

    @property
    def truncation_epochs(self) -> tuple[int, ...]:
        """Epochs after which truncation and pruning curves are taken, counted from 1."""
        if not (self.kept or self.config.prune):
            return ()
        every = self.config.truncate_every
        return tuple(
            e for e in range(1, self.config.epochs + 1) if e == self.config.epochs or (every and e % every == 0)
        )


def _grid(config: SweepConfig) -> Members:
    assert config.modes is not None
    product = itertools.product(
        config.widths,
        config.modes,
        config.seed_numbers,
        config.learning_rates,
        config.weight_decays,
        config.sparsities or (0.0,),
    )
    return _members(list(product))


def _members(rows: Sequence[tuple[int, int, int, float, float, float]]) -> Members:
    width, modes, seed, *numbers = zip(*rows, strict=True)
    sizes = (np.array(values, np.int32) for values in (width, modes, seed))
    return Members(*sizes, *(np.array(values, np.float64) for values in numbers))


def _baseline(config: SweepConfig) -> Members:
    rates = (config.baseline_learning_rate, config.baseline_weight_decay)
    return _members([(width, 0, seed, *rates, 0.0) for width in config.widths for seed in config.seed_numbers])


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
        counts = group.members.sizes()
        if config.buckets == "each":
            shapes = [(size, [size]) for size in sorted(counts)]
        elif config.buckets == "one":
            shapes = [((max(w for w, _ in counts), max(p for _, p in counts)), list(counts))]
        else:
            possible = itertools.product({w for w, _ in counts}, {p for _, p in counts})
            flops = {(w, p): float(step_flops(group.spec, w, p, config.batch_size)) for w, p in possible}
            shapes = bucket_shapes(counts, flops, steps, machine, devices)
        for (width, modes), inside in shapes:
            inside = set(inside)
            members = tuple(i for i, size in enumerate(sizes) if size in inside)
            found.append(Bucket(index, width, modes, members, -(-len(members) // devices) * devices))
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


def _peak(memory: Memory, resident: int) -> int:
    return memory.device + (memory.host + resident if jax.default_backend() == "cpu" else 0)


def bucket_specs(
    groups: Sequence[Group], buckets: Sequence[Bucket], prune: Sequence[str], *, truncated: bool
) -> tuple[BucketSpec, ...]:
    """Return the padded networks of one launch.

    Truncation curves are taken of the sweep's own, where it takes any; pruning curves of the baseline, too, by the
    scores that need no eigenvalues.
    """
    of_any = tuple(name for name in prune if name not in ("eigenvalue", "eigenvector"))
    scores = (tuple(prune), of_any)
    return tuple(
        BucketSpec(
            groups[b.group].spec,
            b.width,
            b.modes,
            b.capacity,
            truncated and b.group == 0,
            scores[b.group],
            b.group == 0,
        )
        for b in buckets
    )


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
    groups: Sequence[Group],
    buckets: Sequence[Bucket],
    devices: int,
    launches: int,
    *,
    truncated: bool,
) -> _Split:
    def capacity(bucket: Bucket) -> int:
        share = -(-len(bucket.members) // launches)
        return -(-share // devices) * devices

    buckets = tuple(dataclasses.replace(bucket, capacity=capacity(bucket)) for bucket in buckets)
    units = sum(b.capacity * (2 * b.width + max(b.modes, dataset.num_outputs)) for b in buckets)
    rows = _evaluation_rows(len(dataset.y_test), units)
    specs = bucket_specs(groups, buckets, config.prune, truncated=truncated)
    return _Split(launches, buckets, rows, launch_memory(specs, config, dataset, rows, devices))


def _fit(split: Callable[[int], _Split], most: int, limit: int, resident: int) -> _Split:
    """Return the split of fewest launches within the limit, or that of most launches where none is."""
    few, many = 1, most
    whole = split(1)
    if _peak(whole.memory, resident) <= limit:
        return whole
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if _peak(split(middle).memory, resident) <= limit else (middle, many)
    return split(many)


def make_plan(config: SweepConfig, dataset: Dataset, layer: Family | None = None) -> Plan:
    """Plan a sweep: its members, buckets, arithmetic and memory.

    Args:
        config: the sweep.
        dataset: its data.
        layer: a family of the user's own instead of `config.layer`.

    Returns:
        The plan.

    Raises:
        InputError: if the batch is larger than the training set, an option of the layer is unknown, there are fewer
            devices or members than asked for, or the predicted memory passes the limit even in the most launches.

    Example:
        >>> from modejax.data import load_dataset
        >>> plan = make_plan(SweepConfig(widths=(8, 16), modes=(2,), seeds=2, epochs=1), load_dataset("digits"))
        >>> len(plan.groups[0].members), plan.steps_per_epoch
        (4, 14)
    """
    held_out = round(config.validation * len(dataset.y_train))
    num_train = len(dataset.y_train) - held_out
    if config.validation and not (held_out and num_train):
        raise InputError(
            f"validation {config.validation:g} leaves {num_train} of the {len(dataset.y_train)} training examples of "
            f"{dataset.name} to train on and {held_out} to choose by; give a share that leaves some of both"
        )
    if config.batch_size > num_train:
        left = f" left beside {held_out} for validation" if held_out else ""
        raise InputError(
            f"batch_size {config.batch_size} is larger than the {num_train} training examples of {dataset.name}{left}; "
            f"allowed: 1 to {num_train}"
        )
    devices = config.devices or jax.device_count()
    if devices > jax.device_count():
        raise InputError(f"{devices} devices asked for, JAX sees {jax.device_count()}; give at most that many")
    if jax.process_count() > 1 and devices < jax.device_count():
        raise InputError(
            f"{devices} devices asked for, but the {jax.process_count()} processes of this run have "
            f"{jax.device_count()}; leave devices out, so that every process has its share"
        )
    features, outputs = dataset.num_features, dataset.num_outputs
    own = _grid(config)
    assert config.modes is not None
    grid = (len(config.widths), len(config.modes), config.seeds)
    groups = [
        Group(
            "sweep",
            network_spec(config, features, outputs, layer),
            own,
            (*grid, len(config.learning_rates), len(config.weight_decays), *filter(None, [len(config.sparsities)])),
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
    has_modes = (LAYER_MODES[config.layer] if layer is None else layer.takes_modes) != "none"
    has_modes = has_modes and config.mask == "none"
    kept = (config.kept or tuple(range(most + 1))) if has_modes else ()
    if kept and kept[-1] > most:
        raise InputError(f"kept names {kept[-1]} modes, but no member has more than {most}; allowed: 0 to {most}")

    most_launches = max(1, *(-(-len(bucket.members) // devices) for bucket in buckets))
    if config.launches > most_launches:
        raise InputError(
            f"launches {config.launches}: the largest of the sweep's buckets fills {most_launches} on {devices} "
            f"device(s); allowed: 1 to {most_launches}, or 0 for as few as memory allows"
        )
    split = functools.partial(_split, config, dataset, groups, buckets, devices, truncated=bool(kept))
    limit = parse_bytes(config.memory_limit) or available_memory()
    resident = resident_bytes()
    chosen = split(config.launches) if config.launches else _fit(split, most_launches, limit, resident)
    peak = _peak(chosen.memory, resident)
    if peak > limit:
        raise InputError(
            f"the sweep needs about {peak / _GIB:.2f} GiB in {chosen.launches} launch(es), the limit is "
            f"{limit / _GIB:.2f} GiB ({len(own)} members, widths up to {max(config.widths)}, modes up to "
            f"{max(config.modes)}; {resident / _GIB:.2f} GiB of it are the process itself); use smaller sizes"
            f"{', more launches' if chosen.launches < most_launches else ''} or raise memory_limit"
        )
    useful = parameters = 0
    for group in groups:
        for (width, modes), count in group.members.sizes().items():
            useful += count * step_flops(group.spec, width, modes, config.batch_size)
        for (width, modes, sparsity), count in group.members.kinds().items():
            parameters += count * group.spec.build(width, modes, 1, sparsity).num_parameters()
    padded = sum(
        chosen.launches * b.capacity * step_flops(groups[b.group].spec, b.width, b.modes, config.batch_size)
        for b in chosen.buckets
    )
    return Plan(
        config=config,
        groups=tuple(groups),
        buckets=chosen.buckets,
        devices=devices,
        launches=chosen.launches,
        steps_per_epoch=steps,
        chunk=_chunk(config),
        evaluation_rows=chosen.rows,
        kept=kept,
        held_out=held_out,
        useful_flops=useful * steps * config.epochs,
        padded_flops=padded * steps * config.epochs,
        parameters=parameters,
        memory=chosen.memory,
        resident_bytes=resident,
    )
