"""The mode layer (1L2P): one Sigma and two pattern sets, all trained."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, normal_vector, subkeys
from modejax.errors import InputError, choices
from modejax.extent import Extent, as_extent
from modejax.layers.base import (
    Family,
    Modes,
    TakesModes,
    known_modes,
    paper_scale,
    through_modes,
)

__all__ = ["Mode", "ModeParams"]

_GAUGES = ("plain", "scaled", "width_free")


class ModeParams(NamedTuple):
    """Parameters of a mode layer: W = scale xi_out diag(sigma) xi_in."""

    xi_out: Float[Array, "fan_out modes"]
    sigma: Float[Array, " modes"]
    xi_in: Float[Array, "modes fan_in"]
    scale: Float[Array, ""] | None  # frozen prefactor of the gauges scaled and width_free; None in the gauge plain
    active: Bool[Array, " modes"]  # frozen; False on padding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mode(Family):
    """The mode layer z = xi_out (sigma * (xi_in x)), computed in mode space.

    The kernel is built instead if `dense_is_cheaper` for the number of rows of x, as for an output layer of 10 units;
    the result is the same up to rounding.

    Attributes:
        gauge: `"plain"`: no prefactor, entries of all three factors ~ Normal(0, s^2) with s = (N ln N)^(-1/6), N the
            fan-in; `"scaled"`: W = N^(-1/2) xi_out diag(sigma) xi_in with s = (ln N)^(-1/6). Both have the same initial
            distribution of W (variance P / (N ln N) for P modes), but train differently under Adam. `"width_free"`: W =
            N^(-1) xi_out diag(sigma) xi_in with all entries ~ Normal(0, 1): a step of Adam changes what a mode reads,
            sum_j xi_in_j x_j / N, and what it writes by amounts that do not depend on the width, so that one learning
            rate serves all widths.

    Raises:
        InputError: if `gauge` is not allowed.

    References:
        Li and Huang, "Emergence of hierarchical modes from deep learning", arXiv 2208.09859. The plain gauge is that of
        its reference code for the second figure.

    Example:
        >>> import jax
        >>> family = Mode()
        >>> params = family.init(jax.random.key(0), 784, 100, 5)
        >>> family.apply(params, jnp.ones((20, 784))).shape, family.num_parameters(784, 100, 5)
        ((20, 100), 4425)
    """

    takes_modes: ClassVar[TakesModes] = "required"
    gauge: Literal["plain", "scaled", "width_free"] = "plain"

    def __post_init__(self) -> None:
        """Check the options."""
        if self.gauge not in _GAUGES:
            raise InputError(f"unknown gauge {self.gauge!r} of a mode layer; allowed: {choices(_GAUGES)}")

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> ModeParams:
        """Draw the three factors."""
        fan_in, fan_out, modes = as_extent(fan_in), as_extent(fan_out), known_modes(modes, self)
        out_key, sigma_key, in_key = subkeys(key, 3)
        if self.gauge == "width_free":
            std, scale = jnp.ones(()), 1 / fan_in.size
        elif self.gauge == "scaled":
            std, scale = paper_scale(fan_in, power=0.0), 1 / jnp.sqrt(fan_in.size)
        else:
            std, scale = paper_scale(fan_in), None
        return ModeParams(
            std * normal_matrix(out_key, fan_out, modes),
            std * normal_vector(sigma_key, modes),
            std * normal_matrix(in_key, modes, fan_in),
            scale,
            modes.mask,
        )

    def kernel(self, params: ModeParams) -> Float[Array, "fan_out fan_in"]:
        """Return scale xi_out diag(sigma) xi_in."""
        return (params.xi_out * _weight(params)[None, :]) @ params.xi_in

    def apply(self, params: ModeParams, x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
        """Multiply by the three factors, or by the kernel if `dense_is_cheaper` for the number of rows of x."""
        return through_modes(params.xi_out, _weight(params), params.xi_in, x)

    def trainable(self, params: ModeParams) -> ModeParams:
        """Mark the three factors."""
        scale = None if params.scale is None else False
        return ModeParams(True, True, True, scale, False)  # pyright: ignore[reportArgumentType]

    def num_parameters(self, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None) -> int:
        """Count the trained entries by a formula, which is faster than from the shapes."""
        extents = as_extent(fan_in), as_extent(fan_out), known_modes(modes, self)
        n_in, n_out, p = (extent.known("num_parameters") for extent in extents)
        return p * (n_in + n_out + 1)

    def modes(self, params: ModeParams) -> Modes:
        """Return the factors; the weights include the scale."""
        return Modes(params.xi_out, _weight(params), params.xi_in, params.active)

    def cut(self, params: ModeParams, keep: Bool[Array, " modes"]) -> ModeParams:
        """Keep the modes marked; the others become padding."""
        return params._replace(
            xi_out=jnp.where(keep[None, :], params.xi_out, 0),
            sigma=jnp.where(keep, params.sigma, 0),
            xi_in=jnp.where(keep[:, None], params.xi_in, 0),
            active=params.active & keep,
        )


def _weight(params: ModeParams) -> Float[Array, " modes"]:
    return params.sigma if params.scale is None else params.scale * params.sigma
