"""The cost of a network: arithmetic, counted from its traced program, and bytes, from its shapes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modejax.networks.base import Network
from modejax.sweep.spec import ArmSpec, NetworkSpec
from modejax.training import LOSSES, init_state, train_step

__all__ = [
    "forward_flops",
    "longest_modes",
    "matmul_flops",
    "row_floats",
    "state_bytes",
    "state_numbers",
    "step_flops",
    "step_products",
]

Tile = tuple[int, int, int]
"""Multiples to which a matrix unit pads the rows, the columns and the contracted axis of a product."""


def matmul_flops(function: Callable, *arguments: Any, tile: Tile = (1, 1, 1)) -> int:
    """Count the floating-point operations in matrix products of a function, without running it.

    A product of (m, k) and (k, n) counts 2 m k n. Elementwise operations are not counted: they are a small share in
    these networks, and no work of a matrix unit.

    Args:
        function: a JAX function.
        arguments: arrays or `jax.ShapeDtypeStruct`s.
        tile: multiples to which the three sizes m, n and k are padded; m and n are exchanged where that is cheaper.

    Returns:
        The count. The body of a scan counts once for each step, the body of a while loop once, a cond as its most
        expensive branch.

    Example:
        >>> matmul_flops(jnp.dot, jnp.ones((2, 3)), jnp.ones((3, 4)))
        48
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr, tile)


def _filled(m: int, n: int, k: int, tile: Tile) -> int:
    rows, columns, inner = tile
    ways = (-(-a // rows) * rows * -(-b // columns) * columns for a, b in ((m, n), (n, m)))
    return -(-k // inner) * inner * min(ways)


def _count(jaxpr: Any, tile: Tile) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contract, _), (batch, _) = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner, count = (math.prod(left[axis] for axis in axes) for axes in (contract, batch))
            rows = math.prod(left) // max(inner * count, 1)
            columns = math.prod(equation.outvars[0].aval.shape) // max(rows * count, 1)
            total += 2 * count * _filled(rows, columns, inner, tile)
            continue
        if equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            out = equation.params["dimension_numbers"].rhs_spec[0]
            inner = math.prod(kernel) // kernel[out]
            places = math.prod(equation.outvars[0].aval.shape) // max(kernel[out], 1)
            total += 2 * _filled(places, kernel[out], inner, tile)
            continue
        inside = [_count(sub, tile) for sub in _subjaxprs(equation.params)]
        if equation.primitive.name == "cond":
            total += max(inside, default=0)
        else:
            total += sum(inside) * equation.params.get("length", 1)
    return total


def _subjaxprs(params: dict[str, Any]) -> list[Any]:
    found = []
    for value in params.values():
        for item in value if isinstance(value, list | tuple) else (value,):
            jaxpr = getattr(item, "jaxpr", item)
            if hasattr(jaxpr, "eqns"):
                found.append(jaxpr)
    return found


@functools.lru_cache(maxsize=4096)
def _abstract_state(spec: ArmSpec, width: int, modes: int, *, early: bool = False) -> Any:
    network = _built(spec.network, width, modes, spec.example_numbers)
    return jax.eval_shape(lambda: init_state(network, jax.random.key(0), spec.optimiser, early=early))


def _built(network: NetworkSpec, width: int, modes: int, numbers: tuple[tuple[str, float], ...] = ()) -> Network:
    return network.build(width, modes, **dict(numbers))


@functools.lru_cache(maxsize=4096)
def longest_modes(network: NetworkSpec, width: int, modes: int, numbers: tuple[tuple[str, float], ...] = ()) -> int:
    """Return the largest number of modes in any map of the network; 0 if no map is a sum of modes.

    Args:
        network: the networks.
        width: units in each hidden layer.
        modes: modes in each map; 0 for none or full rank.
        numbers: values of the grid's axes that the network's factory takes, by name.

    Returns:
        The number, padding included.
    """
    made = _built(network, width, modes, numbers)
    shapes = jax.eval_shape(lambda: made.modes(made.init(jax.random.key(0))))
    return max([0, *(each.weight.shape[0] for each in shapes if each is not None)])


@functools.lru_cache(maxsize=4096)
def step_flops(spec: ArmSpec, width: int, modes: int, batch: int, tile: Tile = (1, 1, 1)) -> int:
    """Return the matrix-product operations of one training step of one network.

    Args:
        spec: the arm.
        width: units in each hidden layer.
        modes: modes in each map; 0 for none.
        batch: examples in a batch.
        tile: as in `matmul_flops`.

    Returns:
        The count for forward pass and gradients, by the method of multiplication that the layer chooses at these sizes.
    """
    return _count(_step_program(spec, width, modes, batch), tile)


@functools.lru_cache(maxsize=256)
def _step_program(spec: ArmSpec, width: int, modes: int, batch: int) -> Any:
    """Return the jaxpr of a training step of one network."""
    network = _built(spec.network, width, modes, spec.example_numbers)
    state = _abstract_state(spec, width, modes)
    rate = jax.ShapeDtypeStruct((), jnp.result_type(float))
    x = jax.ShapeDtypeStruct((batch, spec.network.features), jnp.result_type(float))
    y = jax.ShapeDtypeStruct((batch,), jnp.int32)

    def step(state: Any, x: Any, y: Any, rate: Any) -> Any:
        return train_step(network, LOSSES["classes"], state, (x, y), rate, rate, spec.optimiser)

    return jax.make_jaxpr(step)(state, x, y, rate).jaxpr


@functools.lru_cache(maxsize=4096)
def forward_flops(spec: ArmSpec, width: int, modes: int, rows: int, tile: Tile = (1, 1, 1)) -> int:
    """Return the matrix-product operations of one pass of `rows` examples through one network."""
    network = _built(spec.network, width, modes, spec.example_numbers)
    state = _abstract_state(spec, width, modes)
    x = jax.ShapeDtypeStruct((rows, spec.network.features), jnp.result_type(float))
    return matmul_flops(network.apply, state.params, x, tile=tile)


@functools.lru_cache(maxsize=4096)
def step_products(spec: ArmSpec, width: int, modes: int, batch: int) -> int:
    """Return the number of matrix products and convolutions in a training step; arguments as in `step_flops`."""

    def count(jaxpr: Any) -> int:
        found = sum(each.primitive.name in ("dot_general", "conv_general_dilated") for each in jaxpr.eqns)
        return found + sum(count(sub) for each in jaxpr.eqns for sub in _subjaxprs(each.params))

    return count(_step_program(spec, width, modes, batch))


@functools.lru_cache(maxsize=4096)
def state_numbers(spec: ArmSpec, width: int, modes: int) -> tuple[int, int]:
    """Return the number of entries in the state of one network, and how many of them are parameters."""
    state = _abstract_state(spec, width, modes)
    return _size(state), _size(state.params)


def _size(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@functools.lru_cache(maxsize=4096)
def state_bytes(spec: ArmSpec, width: int, modes: int, *, early: bool = False) -> int:
    """Return the bytes of parameters, moments and (`early`) best parameters of one network at these padded sizes."""
    leaves = jax.tree.leaves(_abstract_state(spec, width, modes, early=early))
    return sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves)


@functools.lru_cache(maxsize=4096)
def row_floats(spec: ArmSpec, width: int, modes: int) -> tuple[int, int, int]:
    """Return the number of intermediate values that a network computes for one example.

    Args:
        spec: the arm.
        width: units in each hidden layer.
        modes: modes in each map; 0 for none.

    Returns:
        The total size of the results of all matrix products (and of the patches of convolutions), the largest of these
        sizes, and the largest size of the result of a matrix product.
    """
    network = _built(spec.network, width, modes, spec.example_numbers)
    params = _abstract_state(spec, width, modes).params
    counts = []
    for rows in (64, 128):
        x = jax.ShapeDtypeStruct((rows, spec.network.features), jnp.result_type(float))
        counts.append(_result_sizes(jax.make_jaxpr(network.apply)(params, x).jaxpr))
    # The size of a kernel does not depend on the number of rows.
    apart = [((b - a) // 64, is_product) for (a, is_product), (b, _) in zip(*counts, strict=False)]
    sizes = [size for size, _ in apart]
    return sum(sizes), max(sizes, default=0), max([size for size, is_product in apart if is_product], default=0)


def _result_sizes(jaxpr: Any) -> list[tuple[int, bool]]:
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "concatenate", "conv_general_dilated"):
            found.append((math.prod(equation.outvars[0].aval.shape), equation.primitive.name != "concatenate"))
        elif equation.primitive.name == "split" and found:
            # The product before it is laid out as patches are (`layers.convolution.by_places`); the parts add up to the
            # convolution's result.
            found[-1] = (found[-1][0], False)
            found.append((math.prod(equation.outvars[0].aval.shape), True))
        for inside in _subjaxprs(equation.params):
            found += _result_sizes(inside)
    return found
