"""The two-factor layer: W = xi_out xi_in, the mode layer with every Sigma held at 1."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, subkeys
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import (
    Family,
    Modes,
    TakesModes,
    known_modes,
    paper_scale,
    through_modes,
)

__all__ = ["LowRank", "LowRankParams"]


class LowRankParams(NamedTuple):
    """Parameters of a two-factor layer: W = xi_out xi_in."""

    xi_out: Float[Array, "fan_out modes"]
    xi_in: Float[Array, "modes fan_in"]
    active: Bool[Array, " modes"]  # frozen; False on padding


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowRank(Family):
    """The two-factor layer z = xi_out (xi_in x).

    Attributes:
        start: standard deviation of both factors. `"he"`: (2 / (N P))^(1/4) with N the fan-in and P the number of
            modes, so that W has He's variance 2 / N; `"released"`: (N ln N)^(-1/6), kept unchanged from the
            three-factor layer by the mode-decomposition paper's code, which gives the variance P (N ln N)^(-2/3): 130 /
            N at N = 784, P = 50, a start that handicaps this family.

    Raises:
        InputError: if `start` is not allowed.

    References:
        Reference code of Li and Huang, arXiv 2208.09859 (Fig2/2factor.py); He et al., arXiv 1502.01852.

    Example:
        >>> import jax
        >>> family = LowRank()
        >>> family.kernel(family.init(jax.random.key(0), 784, 100, 5)).shape, family.num_parameters(784, 100, 5)
        ((100, 784), 4420)
    """

    takes_modes: ClassVar[TakesModes] = "required"
    start: Literal["he", "released"] = "he"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.start not in ("he", "released"):
            raise InputError(f"unknown start {self.start!r} of a low-rank layer; allowed: he, released")

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> LowRankParams:
        """Draw both factors."""
        fan_in, fan_out, modes = as_extent(fan_in), as_extent(fan_out), known_modes(modes, self)
        out_key, in_key = subkeys(key, 2)
        std = (2 / (fan_in.size * modes.size)) ** 0.25 if self.start == "he" else paper_scale(fan_in)
        return LowRankParams(
            std * normal_matrix(out_key, fan_out, modes),
            std * normal_matrix(in_key, modes, fan_in),
            modes.mask,
        )

    def kernel(self, params: LowRankParams) -> Float[Array, "fan_out fan_in"]:
        """Return xi_out xi_in."""
        return params.xi_out @ params.xi_in

    def apply(self, params: LowRankParams, x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
        """Multiply by both factors, or by the kernel if `dense_is_cheaper` for the number of rows of x."""
        return through_modes(params.xi_out, None, params.xi_in, x)

    def num_parameters(self, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None) -> int:
        """Count the trained entries by a formula, which is faster than from the shapes."""
        extents = as_extent(fan_in), as_extent(fan_out), known_modes(modes, self)
        n_in, n_out, p = (extent.known("num_parameters") for extent in extents)
        return p * (n_in + n_out)

    def modes(self, params: LowRankParams) -> Modes:
        """Return the factors with weights 1."""
        return Modes(params.xi_out, params.active.astype(params.xi_in.dtype), params.xi_in, params.active)

    def cut(self, params: LowRankParams, keep: Bool[Array, " modes"]) -> LowRankParams:
        """Keep the modes marked; the others become padding."""
        return LowRankParams(
            jnp.where(keep[None, :], params.xi_out, 0), jnp.where(keep[:, None], params.xi_in, 0), params.active & keep
        )
