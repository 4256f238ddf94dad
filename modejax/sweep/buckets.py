"""Members that share padded shapes, by predicted cost."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping

import jax

from modejax.sweep.members import Members

__all__ = ["MACHINES", "Bucket", "Machine", "arm_buckets", "bucket_shapes", "this_machine"]

Size = tuple[int, int]
"""Width and number of modes."""


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


def this_machine() -> Machine:
    """Return the rates of the backend that JAX runs on."""
    return MACHINES.get(jax.default_backend(), MACHINES["gpu"])


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Members that share padded shapes."""

    arm: int  # index of the arm
    width: int  # capacity
    modes: int  # capacity; 0 where the layer has none or full rank
    members: tuple[int, ...]  # indices into the arm's members
    capacity: int  # networks of one launch, a multiple of the devices


def bucket_shapes(
    counts: Mapping[Size, int],
    flops: Callable[[Size], float],
    steps: int,
    machine: Machine,
    devices: int = 1,
) -> list[tuple[Size, list[Size]]]:
    """Group member sizes into padded shapes.

    It starts from one bucket a size and merges, as long as it pays, the two buckets whose merging saves most predicted
    time: one bucket less to launch and compile against the arithmetic of more padding.

    Args:
        counts: members of each size (width, modes).
        flops: operations a step of one network at a padded size.
        steps: training steps of the whole run.
        machine: the rates.
        devices: devices over which the members of a bucket are spread; the fullest one counts.

    Returns:
        For each bucket its padded size and the sizes in it.
    """

    def seconds(shape: tuple[int, int], members: int) -> float:
        return steps * -(-members // devices) * flops(shape) / machine.flops_per_second

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


def arm_buckets(
    index: int, members: Members, how: str, flops: Callable[[Size], float], steps: int, devices: int
) -> list[Bucket]:
    """Return the buckets of an arm.

    Args:
        index: the number of the arm.
        members: its members.
        how: auto, by predicted cost; one, all in one; each, one a size.
        flops: operations a step of one network at a padded size.
        steps: training steps of the whole run.
        devices: devices over which members are spread.

    Returns:
        The buckets, with a capacity for one launch.
    """
    counts = members.sizes()
    if how == "each":
        shapes = [(size, [size]) for size in sorted(counts)]
    elif how == "one":
        shapes = [((max(w for w, _ in counts), max(p for _, p in counts)), list(counts))]
    else:
        shapes = bucket_shapes(counts, flops, steps, this_machine(), devices)
    sizes = list(zip(members["width"].tolist(), members["modes"].tolist(), strict=True))
    found = []
    for (width, modes), inside in shapes:
        chosen = set(inside)
        own = tuple(i for i, size in enumerate(sizes) if size in chosen)
        found.append(Bucket(index, width, modes, own, -(-len(own) // devices) * devices))
    return found
