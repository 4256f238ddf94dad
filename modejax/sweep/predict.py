"""The time of a sweep before it runs: what a step of one network costs, and what a device makes of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from modejax.sweep.cost import forward_flops, row_floats, state_numbers, step_flops, step_products
from modejax.sweep.machines import Machine
from modejax.sweep.spec import ArmSpec

__all__ = ["Size", "StepCost", "evaluation_seconds", "step_cost", "step_costs", "step_seconds"]

Size = tuple[int, int]
"""Padded width and number of modes; 0 modes where a layer has none."""

_KERNELS_A_PRODUCT = {"mlp": 2.4, "conv": 6.3}
"""Kernels of a training step for each matrix product in it, of convolutional networks and of all others: 41 for 17
products, 76 for 12, compiled for an H100 (`benchmarks.aot`)."""

_ACTIVATION_TURNS = {"mlp": 10, "conv": 22}
"""How often a step moves the results of its products, forth and back and through what is between (norms, patches):
from the bytes of the same programs."""

_EXACT = 64
"""Sizes up to which each is counted by itself; of more, a grid of them is, and the others lie between."""

_KNOTS = 8


class StepCost(NamedTuple):
    """What one training step of one network costs."""

    flops: float  # operations of its matrix products
    filled_flops: float  # the same with sizes filled up to a matrix unit
    state: float  # numbers of parameters and moments
    trained: float  # numbers of parameters
    kernels: float  # launched, about
    activation_floats: float  # moved for one example


@functools.lru_cache(maxsize=4096)
def step_cost(spec: ArmSpec, size: Size, batch: int, tile: tuple[int, int, int] = (1, 1, 1)) -> StepCost:
    """Count what a step of one network costs.

    Args:
        spec: the arm.
        size: padded width and number of modes.
        batch: examples in a batch.
        tile: what a matrix unit fills sizes up to.

    Returns:
        The cost.
    """
    flops = step_flops(spec, *size, batch)
    filled = flops if tile == (1, 1, 1) else step_flops(spec, *size, batch, tile)
    kind = "conv" if spec.network.network == "conv" else "mlp"
    kernels = _KERNELS_A_PRODUCT[kind] * step_products(spec, *size, batch)
    moved = _ACTIVATION_TURNS[kind] * row_floats(spec, *size)[0]
    return StepCost(flops, filled, *state_numbers(spec, *size), kernels, moved)


def step_costs(
    spec: ArmSpec, sizes: Sequence[Size], batch: int, tile: tuple[int, int, int] = (1, 1, 1)
) -> dict[Size, StepCost]:
    """Count what a step costs at each of many sizes.

    Counting takes a tenth of a second a size, so that of more than 64 sizes eight widths and eight numbers of modes are
    counted, spread evenly by their logarithms; between them each number is taken to be linear in the modes, as it
    is but where a layer changes over to its kernel, and in the width.

    Args:
        spec: the arm.
        sizes: the sizes.
        batch: examples in a batch.
        tile: what a matrix unit fills sizes up to.

    Returns:
        The cost of each size.
    """
    if len(set(sizes)) <= _EXACT:
        return {size: step_cost(spec, size, batch, tile) for size in sizes}
    widths, modes = (_knots(sorted({size[axis] for size in sizes})) for axis in (0, 1))
    grid = np.array([[step_cost(spec, (w, p), batch, tile) for p in modes] for w in widths], float)

    def between(size: Size) -> StepCost:
        at_widths = [[np.interp(size[1], modes, row[:, i]) for i in range(grid.shape[2])] for row in grid]
        columns = np.array(at_widths).T
        return StepCost(*(float(np.interp(size[0], widths, column)) for column in columns))

    return {size: between(size) for size in sizes}


def _knots(values: Sequence[int]) -> list[int]:
    """Return at most eight of some sorted numbers, the first and the last among them."""
    if len(values) <= _KNOTS:
        return list(values)
    wanted = np.linspace(np.log(values[0] + 1), np.log(values[-1] + 1), _KNOTS)
    logs = np.log(np.array(values) + 1.0)
    return sorted({values[int(np.abs(logs - each).argmin())] for each in wanted})


def step_seconds(cost: StepCost, batch: int, machine: Machine, precision: str = "float32") -> tuple[float, float]:
    """Predict the time of one training step.

    A network adds the longer of the time for its products and the time to move its bytes; the starts of all kernels
    come once a bucket. Moved are parameters and moments, read and written once; gradients, written and read;
    parameters, read in both passes; and the results of the products, ten times in all (`_ACTIVATION_TURNS`).

    Args:
        cost: of one network.
        batch: examples in a batch.
        machine: the device.
        precision: of the sweep.

    Returns:
        Seconds that each network adds on a device, and seconds of the bucket.
    """
    moved = _item(precision) * (2 * cost.state + 4 * cost.trained + batch * cost.activation_floats)
    network = max(cost.filled_flops / machine.rate(precision), moved / machine.bytes_per_second)
    return network, cost.kernels * machine.kernel_seconds


def evaluation_seconds(
    spec: ArmSpec, size: Size, rows: int, machine: Machine, precision: str = "float32"
) -> tuple[float, float]:
    """Predict the time to evaluate one block of examples; as `step_seconds`, without a way back.

    Args:
        spec: the arm.
        size: padded width and number of modes.
        rows: examples of a block.
        machine: the device.
        precision: of the sweep.

    Returns:
        Seconds that each network adds on a device, and seconds of the bucket.
    """
    cost = step_cost(spec, size, rows)
    flops = forward_flops(spec, *size, rows, machine.tile)
    moved = _item(precision) * (cost.trained + rows * cost.activation_floats / 3)
    network = max(flops / machine.rate(precision), moved / machine.bytes_per_second)
    return network, cost.kernels / 3 * machine.kernel_seconds


def _item(precision: str) -> int:
    return 8 if precision == "float64" else 4
