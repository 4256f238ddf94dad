"""Buckets: groups of members that share padded shapes, chosen by predicted cost."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping

import numpy as np

from modejax.sweep.members import Members
from modejax.sweep.predict import Size

__all__ = ["Bucket", "Cost", "arm_buckets", "bucket_shapes"]


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Members that share padded shapes."""

    arm: int  # index of the arm
    width: int  # capacity
    modes: int  # capacity; 0 if the layer has no modes or full rank
    members: tuple[int, ...]  # indices into the arm's members
    capacity: int  # number of networks in one launch, a multiple of the number of devices


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a bucket, as functions of its size.

    Attributes:
        step_seconds: function of a padded size; returns the seconds that each network on a device adds to a step, and
            the seconds that the bucket itself adds.
        steps: training steps of the whole run.
        compile_seconds: seconds to compile one more bucket.
        devices: number of devices over which the members of a bucket are spread; the device with most members
            determines the time.
    """

    step_seconds: Callable[[Size], tuple[float, float]]
    steps: int
    compile_seconds: float
    devices: int = 1

    def seconds(self, shape: Size, members: int) -> float:
        """Return the seconds that a bucket adds to a run."""
        network, bucket = self.step_seconds(shape)
        return self.compile_seconds + self.steps * (-(-members // self.devices) * network + bucket)


def bucket_shapes(counts: Mapping[Size, int], cost: Cost) -> list[tuple[Size, list[Size]]]:
    """Group member sizes into padded shapes.

    It starts from one bucket per size. As long as this saves predicted time, it merges the two buckets whose merging
    saves most: there is one bucket less to launch and compile, but more arithmetic and memory traffic for padding.

    Args:
        counts: number of members of each size (width, modes).
        cost: the cost of a bucket.

    Returns:
        For each bucket its padded size and the list of sizes in it.
    """
    sizes = sorted(counts)
    shapes, inside = list(sizes), [[size] for size in sizes]
    members = [counts[size] for size in sizes]
    alone = [cost.seconds(size, count) for size, count in zip(shapes, members, strict=True)]
    left = np.ones(len(sizes), bool)
    saved = np.full((len(sizes), len(sizes)), -np.inf)

    def joined(i: int, j: int) -> Size:
        return max(shapes[i][0], shapes[j][0]), max(shapes[i][1], shapes[j][1])

    def compare(i: int, j: int) -> None:
        i, j = sorted((i, j))
        saved[i, j] = alone[i] + alone[j] - cost.seconds(joined(i, j), members[i] + members[j])

    for i, j in itertools.combinations(range(len(sizes)), 2):
        compare(i, j)
    while left.sum() > 1:
        i, j = np.unravel_index(int(saved.argmax()), saved.shape)
        if saved[i, j] <= 0:
            break
        shapes[i], inside[i], members[i] = joined(int(i), int(j)), inside[i] + inside[j], members[i] + members[j]
        alone[i] = cost.seconds(shapes[i], members[i])
        left[j] = False
        saved[j, :] = saved[:, j] = -np.inf
        for other in np.flatnonzero(left):
            if other != i:
                compare(int(i), int(other))
    return sorted((shapes[i], sorted(inside[i])) for i in np.flatnonzero(left))


def arm_buckets(index: int, members: Members, how: str, cost: Cost) -> list[Bucket]:
    """Return the buckets of an arm.

    Args:
        index: the index of the arm.
        members: its members.
        how: `auto`: by predicted cost; `one`: one bucket for all members; `each`: one bucket for each size.
        cost: the cost of a bucket.

    Returns:
        The buckets, with a capacity for one launch.
    """
    counts = members.sizes()
    if how == "each":
        shapes = [(size, [size]) for size in sorted(counts)]
    elif how == "one":
        shapes = [((max(w for w, _ in counts), max(p for _, p in counts)), list(counts))]
    else:
        shapes = bucket_shapes(counts, cost)
    sizes = list(zip(members["width"].tolist(), members["modes"].tolist(), strict=True))
    found = []
    for (width, modes), inside in shapes:
        chosen = set(inside)
        own = tuple(i for i, size in enumerate(sizes) if size in chosen)
        found.append(Bucket(index, width, modes, own, -(-len(own) // cost.devices) * cost.devices))
    return found
