"""The contract of a layer: pure functions over one NamedTuple of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.extent import Extent

__all__ = ["Layer", "LayerParams", "Modes", "dense_is_cheaper", "no_penalty", "paper_scale"]

LayerParams = Any
"""The parameters of one layer: a NamedTuple of arrays, one type a family."""


class Modes(NamedTuple):
    """A weight matrix as a sum of modes: W = xi_out diag(weight) xi_in.

    Whatever scale the family carries is in `weight`, so that the sum over modes is the kernel itself.
    """

    xi_out: Float[Array, "fan_out modes"]  # column mu is the output pattern of mode mu
    weight: Float[Array, " modes"]  # of either sign
    xi_in: Float[Array, "modes fan_in"]  # row mu is the input pattern of mode mu
    active: Bool[Array, " modes"]  # False on padding


class Layer(NamedTuple):
    """One parametrisation of a weight matrix, as pure functions.

    Attributes:
        init: `(key, fan_in, fan_out) -> params`. Sizes are ints or `Extent`s; entries of the padding are 0 and
            all others depend on the key and their indices only.
        apply: `(params, x) -> z` for one example, `(fan_in,) -> (fan_out,)`. Callers vmap.
        kernel: `params -> W`, the dense matrix of shape (fan_out, fan_in) for which the parameters stand
            (without the bias, where there is one).
        trainable: `params -> tree of bools` of the same structure. Leaves marked False get neither an update nor
            optimiser state.
        penalty: `params -> scalar`. Its gradient is added to the optimiser's step and multiplied by the learning
            rate, as decoupled weight decay is; it does not pass through the moment estimates.
        num_parameters: `(fan_in, fan_out) -> int`, the number of trainable parameters.
        modes: `params -> Modes`, or None for a family that is not a sum of modes. It gives the family its
            truncation curves and importances.
    """

    init: Callable[[PRNGKeyArray, int | Extent, int | Extent], LayerParams]
    apply: Callable[[LayerParams, Float[Array, " fan_in"]], Float[Array, " fan_out"]]
    kernel: Callable[[LayerParams], Float[Array, "fan_out fan_in"]]
    trainable: Callable[[LayerParams], LayerParams]
    penalty: Callable[[LayerParams], Float[Array, ""]]
    num_parameters: Callable[[int | Extent, int | Extent], int]
    modes: Callable[[LayerParams], Modes] | None = None


def no_penalty(params: LayerParams) -> Float[Array, ""]:
    """Return the penalty of a family that has none: 0, shape ()."""
    del params
    return jnp.zeros(())


def paper_scale(fan_in: Extent, power: float = 1.0) -> Float[Array, ""]:
    """Return the standard deviation (N^power ln N)^(-1/6) of the entries of a mode layer's factors.

    A fan-in of 1 counts as 2, where the logarithm would vanish.

    Args:
        fan_in: the extent of the layer's input.
        power: 1 for the form without a prefactor, 0 for the form with 1 / sqrt(fan_in).

    Returns:
        The standard deviation, shape ().

    References:
        Li and Huang, "Emergence of hierarchical modes from deep learning", arXiv 2208.09859; the initial values
        of its reference code (Fig2/MDL-1L2P.py).

    Example:
        >>> round(float(paper_scale(Extent(784, 784))), 4)
        0.2401
    """
    size = jnp.maximum(fan_in.size, 2.0)
    return (size**power * jnp.log(size)) ** (-1 / 6)


def dense_is_cheaper(fan_in: int, fan_out: int, modes: int, rows: int) -> bool:
    """Decide whether to build the kernel once for all rows instead of passing each row through the modes.

    Per call the kernel costs fan_in fan_out (modes + rows) multiplications, mode space
    (fan_in + fan_out) modes rows; the gradients triple both.

    Args:
        fan_in: the padded number of inputs.
        fan_out: the padded number of outputs.
        modes: the padded number of modes.
        rows: the number of examples that go through the layer in one call.

    Returns:
        True where the kernel is cheaper, as for 10 outputs and 30 modes.

    Example:
        >>> dense_is_cheaper(784, 100, 30, 100), dense_is_cheaper(100, 10, 30, 100)
        (False, True)
    """
    return fan_in * fan_out * (modes + rows) < (fan_in + fan_out) * modes * rows
