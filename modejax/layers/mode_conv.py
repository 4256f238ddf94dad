"""The mode layer as a convolution: a bank of spatial filters as input patterns, channel vectors as output patterns."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, normal_vector, subkeys
from modejax.extent import Extent, as_extent
from modejax.layers.base import Modes, TakesModes, known_modes, paper_scale, times
from modejax.layers.convolution import ConvFamily, convolve, draw_filters, kernel_is_cheaper

__all__ = ["ModeConv", "ModeConvParams"]


class ModeConvParams(NamedTuple):
    """Parameters of a mode convolution: K = xi_out diag(sigma) xi_in for every window entry."""

    xi_out: Float[Array, "channels_out modes"]
    sigma: Float[Array, " modes"]
    xi_in: Float[Array, "modes channels_in ..."]  # one filter per mode, over all input channels
    active: Bool[Array, " modes"]  # frozen; False on padding


@dataclasses.dataclass(frozen=True)
class ModeConv(ConvFamily):
    """The convolution whose kernel is a sum of modes, K_oi(w) = sum_mu xi_out_o,mu sigma_mu xi_in_mu,i(w).

    Each mode reads the image through one filter and writes into a vector of output channels. So the layer is a
    convolution with P output channels, followed by a map of these P numbers to the channels at each position. The
    kernel is built instead if `dense_is_cheaper` for the matrix (channels_out, channels_in x window) and the positions
    of the output in all examples, as for many modes. The initial values are those of `layers.Mode` in the plain gauge
    with N = channels_in x window. Its modes are those of the kernel reshaped to a matrix.

    Attributes: see `layers.ConvFamily`.

    Raises:
        InputError: if a size of the geometry is not allowed.

    References:
        Our extension of the mode layer of Li and Huang, arXiv 2208.09859, to convolutions.

    Example:
        >>> import jax
        >>> family = ModeConv((3,), strides=2)
        >>> params = family.init(jax.random.key(0), 8, 4, 2)
        >>> family.apply(params, jnp.ones((5, 28, 8))).shape, family.num_parameters(8, 4, 2)
        ((5, 14, 4), 58)
    """

    takes_modes: ClassVar[TakesModes] = "required"

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> ModeConvParams:
        """Draw the three factors."""
        fan_in, fan_out, modes = as_extent(fan_in), as_extent(fan_out), known_modes(modes, self)
        out_key, sigma_key, in_key = subkeys(key, 3)
        std = paper_scale(Extent(self.places * fan_in.capacity, self.places * fan_in.active))
        return ModeConvParams(
            std * normal_matrix(out_key, fan_out, modes),
            std * normal_vector(sigma_key, modes),
            std * draw_filters(in_key, modes, fan_in, self.window),
            modes.mask,
        )

    def kernel(self, params: ModeConvParams) -> Float[Array, "channels_out channels_in ..."]:
        """Return the sum of modes for every window entry."""
        return jnp.tensordot(params.xi_out * params.sigma[None, :], params.xi_in, axes=1)

    def apply(self, params: ModeConvParams, x: Float[Array, "... channels_in"]) -> Float[Array, "... channels_out"]:
        """Convolve with the filters of the modes, or with the kernel if that is cheaper."""
        if kernel_is_cheaper(self.where, params.xi_in.shape, len(params.xi_out), x):
            return convolve(self.where, self.kernel(params), x)
        return times(params.xi_out * params.sigma[None, :], convolve(self.where, params.xi_in, x))

    def modes(self, params: ModeConvParams) -> Modes:
        """Return the factors; filters are flattened to rows."""
        return Modes(params.xi_out, params.sigma, params.xi_in.reshape(len(params.xi_in), -1), params.active)

    def cut(self, params: ModeConvParams, keep: Bool[Array, " modes"]) -> ModeConvParams:
        """Keep the modes marked; the others become padding."""
        return ModeConvParams(
            jnp.where(keep[None, :], params.xi_out, 0),
            jnp.where(keep, params.sigma, 0),
            jnp.where(keep.reshape(-1, *(1,) * (1 + self.space)), params.xi_in, 0),
            params.active & keep,
        )
