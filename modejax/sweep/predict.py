"""Prediction of the time of a sweep: the cost of a step of one network, and the time that a device takes for it."""

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
"""Padded width and number of modes; the number is 0 if the layer has no modes."""

_KERNELS_A_PRODUCT = {"mlp": 2.4, "conv": 6.3}
"""Kernels launched per matrix product of a training step, for convolutional networks and for all others: 41 for 17
products, 76 for 12, compiled for an H100 (`benchmarks.aot`)."""

_ACTIVATION_TURNS = {"mlp": 10, "conv": 22}
"""How often a step reads or writes the results of its products, in both passes and in the operations between products
(norms, patches); measured from the bytes of the same programs."""

_EXACT = 64
"""Up to this number of sizes each size is counted; of more sizes a grid is counted and the others are interpolated."""

_KNOTS = 8


class StepCost(NamedTuple):
    """The cost of one training step of one network."""

    flops: float  # floating-point operations of its matrix products
    filled_flops: float  # the same with sizes padded to those of a matrix unit
    state: float  # number of entries of parameters and moments
    trained: float  # number of parameters
    kernels: float  # approximate number of kernels launched
    activation_floats: float  # number of entries moved for one example


@functools.lru_cache(maxsize=4096)
def step_cost(spec: ArmSpec, size: Size, batch: int, tile: tuple[int, int, int] = (1, 1, 1)) -> StepCost:
    """Count the cost of a step of one network.

    Args:
        spec: the arm.
        size: padded width and number of modes.
        batch: examples in a batch.
        tile: multiples to which a matrix unit pads sizes, see `Machine`.

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
    """Count the cost of a step at each of many sizes.

    Counting takes a tenth of a second per size. Of more than 64 sizes, only eight widths and eight numbers of modes are
    counted, spread evenly by their logarithms; between them each count is interpolated linearly in the width and in the
    modes. In the modes this is exact except where a layer changes over to its kernel.

    Args:
        spec: the arm.
        sizes: the sizes.
        batch: examples in a batch.
        tile: multiples to which a matrix unit pads sizes, see `Machine`.

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

    Each network adds the time for its products or the time to move its bytes, whichever is longer; each bucket adds the
    time to start its kernels. The bytes moved are: parameters and moments, read and written once; gradients, written
    and read; parameters, read in both passes; and the results of the products, ten times in all (`_ACTIVATION_TURNS`).

    Args:
        cost: the cost of one network.
        batch: examples in a batch.
        machine: the kind of device.
        precision: the precision of the sweep.

    Returns:
        Seconds that each network on a device adds, and seconds that the bucket itself adds.
    """
    moved = _item(precision) * (2 * cost.state + 4 * cost.trained + batch * cost.activation_floats)
    network = max(cost.filled_flops / machine.rate(precision), moved / machine.bytes_per_second)
    return network, cost.kernels * machine.kernel_seconds


def evaluation_seconds(
    spec: ArmSpec, size: Size, rows: int, machine: Machine, precision: str = "float32"
) -> tuple[float, float]:
    """Predict the time to evaluate one block of examples; as `step_seconds`, but without the backward pass.

    Args:
        spec: the arm.
        size: padded width and number of modes.
        rows: number of examples in a block.
        machine: the kind of device.
        precision: the precision of the sweep.

    Returns:
        Seconds that each network on a device adds, and seconds that the bucket itself adds.
    """
    cost = step_cost(spec, size, rows)
    flops = forward_flops(spec, *size, rows, machine.tile)
    moved = _item(precision) * (cost.trained + rows * cost.activation_floats / 3)
    network = max(flops / machine.rate(precision), moved / machine.bytes_per_second)
    return network, cost.kernels / 3 * machine.kernel_seconds


def _item(precision: str) -> int:
    return 8 if precision == "float64" else 4
