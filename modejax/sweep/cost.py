"""What a network costs: arithmetic counted from its own program, and bytes from its shapes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modejax.sweep.spec import NetworkSpec
from modejax.training import LOSSES, init_state, train_step

__all__ = ["forward_flops", "matmul_flops", "state_bytes", "step_flops"]


def matmul_flops(function: Callable, *arguments: Any) -> int:
    """Count the floating-point operations in matrix products of a function, without running it.

    A product of (m, k) and (k, n) counts 2 m k n. Everything elementwise is left out: in the networks here it is
    a small share, and it is not what a matrix unit does.

    Args:
        function: a JAX function.
        arguments: arrays or `jax.ShapeDtypeStruct`s.

    Returns:
        The count. The body of a scan counts once a step, of a while loop once, of a cond as its dearest branch.

    Example:
        >>> matmul_flops(jnp.dot, jnp.ones((2, 3)), jnp.ones((3, 4)))
        48
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contract, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            inner = math.prod(left[axis] for axis in contract)
            total += 2 * inner * math.prod(equation.outvars[0].aval.shape)
            continue
        inside = [_count(sub) for sub in _subjaxprs(equation.params)]
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
def _abstract_state(spec: NetworkSpec, width: int, modes: int, *, early: bool = False) -> Any:
    network = spec.build(width, modes, 1)
    return jax.eval_shape(lambda: init_state(network, jax.random.key(0), early=early))


@functools.lru_cache(maxsize=4096)
def step_flops(spec: NetworkSpec, width: int, modes: int, batch: int) -> int:
    """Return the matrix-product operations of one training step of one network.

    Args:
        spec: the family.
        width: units in each hidden layer.
        modes: modes in each map; 0 for none.
        batch: examples in a batch.

    Returns:
        The count: forward pass and gradients, with the products that the layer chooses at these sizes.
    """
    network = spec.build(width, modes, batch)
    state = _abstract_state(spec, width, modes)
    rate = jax.ShapeDtypeStruct((), jnp.result_type(float))
    x = jax.ShapeDtypeStruct((batch, spec.features), jnp.result_type(float))
    y = jax.ShapeDtypeStruct((batch,), jnp.int32)
    return matmul_flops(
        lambda state, x, y, rate: train_step(network, LOSSES["classes"], state, x, y, rate, rate), state, x, y, rate
    )


@functools.lru_cache(maxsize=4096)
def forward_flops(spec: NetworkSpec, width: int, modes: int, rows: int) -> int:
    """Return the matrix-product operations of one pass of `rows` examples through one network."""
    network = spec.build(width, modes, rows)
    state = _abstract_state(spec, width, modes)
    x = jax.ShapeDtypeStruct((rows, spec.features), jnp.result_type(float))
    return matmul_flops(network.apply, state.params, x)


@functools.lru_cache(maxsize=4096)
def state_bytes(spec: NetworkSpec, width: int, modes: int, *, early: bool = False) -> int:
    """Return the bytes of parameters, moments and (`early`) best parameters of one network at these padded sizes."""
    leaves = jax.tree.leaves(_abstract_state(spec, width, modes, early=early))
    return sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves)
