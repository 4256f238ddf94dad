"""The ordinary layer: every weight is a parameter."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import normal_matrix
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, no_penalty

__all__ = ["DenseParams", "dense"]


class DenseParams(NamedTuple):
    """Parameters of a dense layer."""

    weight: Float[Array, "fan_out fan_in"]
    bias: Float[Array, " fan_out"] | None  # None without biases
    scale: Float[Array, ""] | None  # frozen 1 / sqrt(fan_in) of the paper's form; None for He's


def dense(*, bias: bool = False, start: Literal["he", "paper"] = "he") -> Layer:
    """Make a dense layer z = W x + b.

    Args:
        bias: whether there is a bias, which starts at 0.
        start: `"he"`: W_ij ~ Normal(0, 2 / fan_in) (He et al., arXiv 1502.01852); `"paper"`: W = w / sqrt(fan_in)
            with w_ij ~ Normal(0, 1) trained, as in the dense networks that the mode-decomposition paper
            (arXiv 2208.09859) compares with. Both give an ordinary dense layer; under Adam the second moves
            its weights 1 / sqrt(fan_in) times as far per step.

    Returns:
        The layer.

    Raises:
        InputError: if `start` is not one of the names above.

    Example:
        >>> import jax
        >>> layer = dense()
        >>> params = layer.init(jax.random.key(0), 3, 2)
        >>> layer.apply(params, jnp.ones(3)).shape, layer.num_parameters(3, 2)
        ((2,), 6)
    """
    if start not in ("he", "paper"):
        raise InputError(f"unknown start {start!r} of a dense layer; allowed: he, paper")

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> DenseParams:
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        weight = normal_matrix(key, fan_out, fan_in)
        scale = None
        if start == "he":
            weight = weight * jnp.sqrt(2 / fan_in.size)
        else:
            scale = 1 / jnp.sqrt(fan_in.size)
        return DenseParams(weight, jnp.zeros(fan_out.capacity) if bias else None, scale)

    def apply(params: DenseParams, x: Float[Array, " fan_in"]) -> Float[Array, " fan_out"]:
        z = params.weight @ x
        if params.scale is not None:
            z = params.scale * z
        return z if params.bias is None else z + params.bias

    def kernel(params: DenseParams) -> Float[Array, "fan_out fan_in"]:
        return params.weight if params.scale is None else params.scale * params.weight

    def trainable(params: DenseParams) -> DenseParams:
        return DenseParams(
            True,  # pyright: ignore[reportArgumentType]
            None if params.bias is None else True,  # pyright: ignore[reportArgumentType]
            None if params.scale is None else False,  # pyright: ignore[reportArgumentType]
        )

    def num_parameters(fan_in: int | Extent, fan_out: int | Extent) -> int:
        n_in, n_out = (as_extent(n).known("num_parameters") for n in (fan_in, fan_out))
        return n_out * (n_in + bias)

    return Layer(init, apply, kernel, trainable, no_penalty, num_parameters)
