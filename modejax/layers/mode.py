"""The mode layer (1L2P): one Sigma and two pattern sets, all trained."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, normal_vector, subkeys
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, Modes, dense_is_cheaper, no_penalty, paper_scale

__all__ = ["ModeParams", "mode"]


class ModeParams(NamedTuple):
    """Parameters of a mode layer: W = scale xi_out diag(sigma) xi_in."""

    xi_out: Float[Array, "fan_out modes"]
    sigma: Float[Array, " modes"]
    xi_in: Float[Array, "modes fan_in"]
    scale: Float[Array, ""] | None  # frozen 1 / sqrt(fan_in) in the scaled gauge; None in the plain one
    active: Bool[Array, " modes"]  # frozen; False on padding


def mode(modes: int | Extent, *, gauge: Literal["plain", "scaled"] = "plain", rows: int = 100) -> Layer:
    """Make a mode layer z = xi_out (sigma * (xi_in x)), computed in mode space.

    Args:
        modes: the number of modes P.
        gauge: `"plain"`: no prefactor, entries of all three factors ~ Normal(0, s^2) with
            s = (N ln N)^(-1/6), N the fan-in; `"scaled"`: W = N^(-1/2) xi_out diag(sigma) xi_in with
            s = (ln N)^(-1/6). Both start from the same distribution of W (variance P / (N ln N)) and move
            differently under Adam.
        rows: the number of examples that go through the layer in one call. The layer builds the kernel where
            `dense_is_cheaper` says so, as for an output layer of 10 units; the result is the same.

    Returns:
        The layer.

    Raises:
        InputError: if `modes` or `gauge` is not allowed.

    References:
        Li and Huang, "Emergence of hierarchical modes from deep learning", arXiv 2208.09859. The plain gauge is that of
        its reference code for the second figure.

    Example:
        >>> import jax
        >>> layer = mode(5)
        >>> params = layer.init(jax.random.key(0), 784, 100)
        >>> layer.apply(params, jnp.ones(784)).shape, layer.num_parameters(784, 100)
        ((100,), 4425)
    """
    modes = as_extent(modes)
    if gauge not in ("plain", "scaled"):
        raise InputError(f"unknown gauge {gauge!r} of a mode layer; allowed: plain, scaled")

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> ModeParams:
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        out_key, sigma_key, in_key = subkeys(key, 3)
        std = paper_scale(fan_in, power=1.0 if gauge == "plain" else 0.0)
        return ModeParams(
            std * normal_matrix(out_key, fan_out, modes),
            std * normal_vector(sigma_key, modes),
            std * normal_matrix(in_key, modes, fan_in),
            None if gauge == "plain" else 1 / jnp.sqrt(fan_in.size),
            modes.mask,
        )

    def weight(params: ModeParams) -> Float[Array, " modes"]:
        return params.sigma if params.scale is None else params.scale * params.sigma

    def apply(params: ModeParams, x: Float[Array, " fan_in"]) -> Float[Array, " fan_out"]:
        capacity, fan_in = params.xi_in.shape
        if dense_is_cheaper(fan_in, params.xi_out.shape[0], capacity, rows):
            return kernel(params) @ x
        return params.xi_out @ (weight(params) * (params.xi_in @ x))

    def kernel(params: ModeParams) -> Float[Array, "fan_out fan_in"]:
        return (params.xi_out * weight(params)[None, :]) @ params.xi_in

    def trainable(params: ModeParams) -> ModeParams:
        scale = None if params.scale is None else False
        return ModeParams(True, True, True, scale, False)  # pyright: ignore[reportArgumentType]

    def num_parameters(fan_in: int | Extent, fan_out: int | Extent) -> int:
        n_in, n_out, p = (as_extent(n).known("num_parameters") for n in (fan_in, fan_out, modes))
        return p * (n_in + n_out + 1)

    def to_modes(params: ModeParams) -> Modes:
        return Modes(params.xi_out, weight(params), params.xi_in, params.active)

    return Layer(init, apply, kernel, trainable, no_penalty, num_parameters, to_modes)
