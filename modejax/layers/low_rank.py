"""The two-factor layer: W = xi_out xi_in, the mode layer with every Sigma held at 1."""

from __future__ import annotations

from typing import Literal, NamedTuple

from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, subkeys
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, Modes, dense_is_cheaper, no_penalty, paper_scale

__all__ = ["LowRankParams", "low_rank"]


class LowRankParams(NamedTuple):
    """Parameters of a two-factor layer: W = xi_out xi_in."""

    xi_out: Float[Array, "fan_out modes"]
    xi_in: Float[Array, "modes fan_in"]
    active: Bool[Array, " modes"]  # frozen; False on padding


def low_rank(modes: int | Extent, *, start: Literal["he", "released"] = "he", rows: int = 100) -> Layer:
    """Make a two-factor layer z = xi_out (xi_in x).

    Args:
        modes: the number of modes P.
        start: standard deviation of both factors. `"he"`: (2 / (N P))^(1/4), N the fan-in, which gives W He's
            variance 2 / N; `"released"`: (N ln N)^(-1/6), kept unchanged from the three-factor layer by the
            mode-decomposition paper's code, which gives the variance P (N ln N)^(-2/3): 130 / N at N = 784, P = 50,
            a start that handicaps this family.
        rows: the number of examples that go through the layer in one call (see `dense_is_cheaper`).

    Returns:
        The layer.

    Raises:
        InputError: if `modes` or `start` is not allowed.

    References:
        Reference code of Li and Huang, arXiv 2208.09859 (Fig2/2factor.py); He et al., arXiv 1502.01852.

    Example:
        >>> import jax
        >>> layer = low_rank(5)
        >>> layer.kernel(layer.init(jax.random.key(0), 784, 100)).shape, layer.num_parameters(784, 100)
        ((100, 784), 4420)
    """
    modes = as_extent(modes)
    if start not in ("he", "released"):
        raise InputError(f"unknown start {start!r} of a low-rank layer; allowed: he, released")

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> LowRankParams:
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        out_key, in_key = subkeys(key, 2)
        std = (2 / (fan_in.size * modes.size)) ** 0.25 if start == "he" else paper_scale(fan_in)
        return LowRankParams(
            std * normal_matrix(out_key, fan_out, modes),
            std * normal_matrix(in_key, modes, fan_in),
            modes.mask,
        )

    def apply(params: LowRankParams, x: Float[Array, " fan_in"]) -> Float[Array, " fan_out"]:
        capacity, fan_in = params.xi_in.shape
        if dense_is_cheaper(fan_in, params.xi_out.shape[0], capacity, rows):
            return kernel(params) @ x
        return params.xi_out @ (params.xi_in @ x)

    def kernel(params: LowRankParams) -> Float[Array, "fan_out fan_in"]:
        return params.xi_out @ params.xi_in

    def trainable(params: LowRankParams) -> LowRankParams:
        del params
        return LowRankParams(True, True, False)  # pyright: ignore[reportArgumentType]

    def num_parameters(fan_in: int | Extent, fan_out: int | Extent) -> int:
        n_in, n_out, p = (as_extent(n).known("num_parameters") for n in (fan_in, fan_out, modes))
        return p * (n_in + n_out)

    def to_modes(params: LowRankParams) -> Modes:
        return Modes(params.xi_out, params.active.astype(params.xi_in.dtype), params.xi_in, params.active)

    return Layer(init, apply, kernel, trainable, no_penalty, num_parameters, to_modes)
