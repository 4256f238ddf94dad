"""The two-factor layer as a convolution: the mode convolution with every Sigma held at 1."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, subkeys
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Modes, TakesModes, known_modes, paper_scale, times
from modejax.layers.convolution import ConvFamily, convolve, draw_filters, kernel_is_cheaper

__all__ = ["LowRankConv", "LowRankConvParams"]


class LowRankConvParams(NamedTuple):
    """Parameters of a two-factor convolution: K = xi_out xi_in for every window entry."""

    xi_out: Float[Array, "channels_out modes"]
    xi_in: Float[Array, "modes channels_in ..."]  # one filter per mode, over all input channels
    active: Bool[Array, " modes"]  # frozen; False on padding


@dataclasses.dataclass(frozen=True)
class LowRankConv(ConvFamily):
    """The convolution whose kernel is a product of two factors, K_oi(w) = sum_mu xi_out_o,mu xi_in_mu,i(w).

    It is computed as `layers.ModeConv` is. Its modes are those of the kernel reshaped to a matrix.

    Attributes:
        window: see `layers.ConvFamily`.
        start: as in `layers.LowRank`, with N = channels_in x window.

    Raises:
        InputError: if a size of the geometry or `start` is not allowed.

    References:
        Our extension of the two-factor layer of the reference code of Li and Huang, arXiv 2208.09859, to convolutions.

    Example:
        >>> import jax
        >>> family = LowRankConv((3, 3))
        >>> params = family.init(jax.random.key(0), 3, 8, 2)
        >>> family.apply(params, jnp.ones((28, 28, 3))).shape, family.num_parameters(3, 8, 2)
        ((28, 28, 8), 70)
    """

    takes_modes: ClassVar[TakesModes] = "required"
    _: dataclasses.KW_ONLY
    start: Literal["he", "released"] = "he"

    def __post_init__(self) -> None:
        """Check geometry and options."""
        super().__post_init__()
        if self.start not in ("he", "released"):
            raise InputError(f"unknown start {self.start!r} of a low-rank convolution; allowed: he, released")

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> LowRankConvParams:
        """Draw both factors."""
        fan_in, fan_out, modes = as_extent(fan_in), as_extent(fan_out), known_modes(modes, self)
        out_key, in_key = subkeys(key, 2)
        seen = Extent(self.places * fan_in.capacity, self.places * fan_in.active)
        std = (2 / (seen.size * modes.size)) ** 0.25 if self.start == "he" else paper_scale(seen)
        return LowRankConvParams(
            std * normal_matrix(out_key, fan_out, modes),
            std * draw_filters(in_key, modes, fan_in, self.window),
            modes.mask,
        )

    def kernel(self, params: LowRankConvParams) -> Float[Array, "channels_out channels_in ..."]:
        """Return the product of both factors for every window entry."""
        return jnp.tensordot(params.xi_out, params.xi_in, axes=1)

    def apply(self, params: LowRankConvParams, x: Float[Array, "... channels_in"]) -> Float[Array, "... channels_out"]:
        """Convolve with the filters of the modes, or with the kernel if that is cheaper."""
        if kernel_is_cheaper(self.where, params.xi_in.shape, len(params.xi_out), x):
            return convolve(self.where, self.kernel(params), x)
        return times(params.xi_out, convolve(self.where, params.xi_in, x))

    def modes(self, params: LowRankConvParams) -> Modes:
        """Return the factors with weights 1; filters are flattened to rows."""
        weight = params.active.astype(params.xi_in.dtype)
        return Modes(params.xi_out, weight, params.xi_in.reshape(len(params.xi_in), -1), params.active)

    def cut(self, params: LowRankConvParams, keep: Bool[Array, " modes"]) -> LowRankConvParams:
        """Keep the modes marked; the others become padding."""
        return LowRankConvParams(
            jnp.where(keep[None, :], params.xi_out, 0),
            jnp.where(keep.reshape(-1, *(1,) * (1 + self.space)), params.xi_in, 0),
            params.active & keep,
        )
