"""The networks of an arm: one member for each combination of the values of its axes."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modejax.sweep.arm import Arm
from modejax.sweep.axes import Axis

__all__ = ["Members", "grid_members"]

_TYPES = {"size": np.int32, "count": np.int32, "seed": np.uint64, "number": np.float64}


@dataclasses.dataclass(frozen=True, eq=False)
class Members:
    """The networks of an arm in the order of its grid.

    Attributes:
        axes: the axes, each with its values, in the order of the grid.
        values: for the name of each axis one value per member, shape (members,).
    """

    axes: tuple[tuple[Axis, tuple[Any, ...]], ...]
    values: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.values["width"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(axis.name for axis, _ in self.axes)

    @property
    def grid(self) -> tuple[int, ...]:
        """The number of values of each axis; their product is the number of members."""
        return tuple(len(values) for _, values in self.axes)

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """The values of each axis as an array; seeds as signed integers where they fit."""
        found = {}
        for axis, values in self.axes:
            kind = _TYPES[axis.kind]
            small = axis.kind == "seed" and max(values) < 2**63
            found[axis.name] = np.array(values, np.int64 if small or axis.kind in ("size", "count") else kind)
        return found

    def numbers(self, member: int, names: Sequence[str]) -> dict[str, float]:
        """Return the values of a member on some axes, by name."""
        return {name: float(self.values[name][member]) for name in names}

    def sizes(self) -> Counter[tuple[int, int]]:
        """Count the members of each width and number of modes."""
        return Counter(zip(self["width"].tolist(), self["modes"].tolist(), strict=True))


def grid_members(arm: Arm, seeds: Sequence[int]) -> Members:
    """Return the members of an arm.

    Args:
        arm: the arm.
        seeds: the seeds of the sweep.

    Returns:
        The members, the last axis varying fastest.

    Example:
        >>> members = grid_members(Arm(widths=(8, 16), modes=(2,)), (0, 1))
        >>> len(members), members["width"].tolist(), members["seed"].tolist()
        (4, [8, 8, 16, 16], [0, 1, 0, 1])
    """
    axes = arm.grid_axes(tuple(seeds))
    rows = list(zip(*itertools.product(*(values for _, values in axes)), strict=True))
    values = {axis.name: np.array(row, _TYPES[axis.kind]) for (axis, _), row in zip(axes, rows, strict=True)}
    return Members(tuple(axes), values)
