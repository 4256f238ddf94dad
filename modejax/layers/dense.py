"""The ordinary layer: every weight is a parameter."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import normal_matrix
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, no_penalty
from modejax.layers.mode import mode

__all__ = ["DenseParams", "dense"]


class DenseParams(NamedTuple):
    """Parameters of a dense layer."""

    weight: Float[Array, "fan_out fan_in"]
    bias: Float[Array, " fan_out"] | None  # None without biases
    scale: Float[Array, ""] | None  # frozen 1 / sqrt(fan_in) of the paper's form; None for He's


def dense(*, bias: bool = False, start: Literal["he", "paper", "mode"] = "he", start_modes: int = 0) -> Layer:
    """Make a dense layer z = W x + b.

    Args:
        bias: whether there is a bias, which starts at 0.
        start: `"he"`: W_ij ~ Normal(0, 2 / fan_in) (He et al., arXiv 1502.01852); `"paper"`: W = w / sqrt(fan_in)
            with w_ij ~ Normal(0, 1) trained, as in the dense networks that the mode-decomposition paper
            (arXiv 2208.09859) compares with. Both give an ordinary dense layer; under Adam the second moves
            its weights 1 / sqrt(fan_in) times as far per step. `"mode"`: the very W from which a mode layer with
            `start_modes` modes and the same key starts, as a control for what its start alone does.
        start_modes: the number of modes of the start `"mode"`.

    Returns:
        The layer.

    Raises:
        InputError: if `start` is not one of the names above, or `start_modes` does not go with it.

    Example:
        >>> import jax
        >>> layer = dense()
        >>> params = layer.init(jax.random.key(0), 3, 2)
        >>> layer.apply(params, jnp.ones(3)).shape, layer.num_parameters(3, 2)
        ((2,), 6)
    """
    if start not in ("he", "paper", "mode"):
        raise InputError(f"unknown start {start!r} of a dense layer; allowed: he, mode, paper")
    if start == "mode" and start_modes < 1:
        raise InputError(f"the start mode needs a number of modes of at least 1, got start_modes={start_modes!r}")
    if start != "mode" and start_modes:
        raise InputError(f"start_modes={start_modes!r} belongs to start=mode, got start={start}; leave it out")

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> DenseParams:
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        scale = None
        if start == "mode":
            same = mode(start_modes)
            weight = same.kernel(same.init(key, fan_in, fan_out))
        elif start == "he":
            weight = normal_matrix(key, fan_out, fan_in) * jnp.sqrt(2 / fan_in.size)
        else:
            weight = normal_matrix(key, fan_out, fan_in)
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
