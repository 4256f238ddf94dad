"""The mode layer as a convolution: a bank of spatial filters as input patterns, channel vectors as output patterns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, normal_vector, subkeys
from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, Modes, dense_is_cheaper, no_penalty, paper_scale
from modejax.layers.convolution import Padding, convolve, geometry, places

__all__ = ["ModeConvParams", "mode_conv"]


class ModeConvParams(NamedTuple):
    """Parameters of a mode convolution: K = xi_out diag(sigma) xi_in at every place of the window."""

    xi_out: Float[Array, "channels_out modes"]
    sigma: Float[Array, " modes"]
    xi_in: Float[Array, "modes channels_in ..."]  # one filter a mode, over all input channels
    active: Bool[Array, " modes"]  # frozen; False on padding


def mode_conv(
    modes: int | Extent,
    window: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    kernel_dilation: int | Sequence[int] = 1,
    input_dilation: int | Sequence[int] = 1,
    rows: int = 100,
) -> Layer:
    """Make a convolution whose kernel is a sum of modes, K_oi(w) = sum_mu xi_out_o,mu sigma_mu xi_in_mu,i(w).

    Each mode looks at the image through one filter and writes what it sees into a vector of output channels: in mode
    space the layer is a convolution with P output channels and a map of P numbers to the channels at each place. The
    kernel is built instead where `dense_is_cheaper` says so for the matrix (channels_out, channels_in x window) and
    rows x places of the output rows, as for many modes.

    Args:
        modes: the number of modes P.
        window: the size of the kernel along each dimension of space, for example (3, 3).
        strides: steps of the window, one number or one a dimension.
        padding: `SAME`, `VALID`, or pairs (before, behind), one a dimension.
        kernel_dilation: steps between the places of the window.
        input_dilation: steps between the entries of the input.
        rows: the number of examples that go through the layer in one call.

    Returns:
        The layer: `fan_in` and `fan_out` are channels, `apply` takes one example (channels_in, *space) and returns
        (channels_out, *space), `kernel` has the shape (channels_out, channels_in, *window). It starts as `layers.mode`
        does in the plain gauge with N = channels_in x window. Its `modes` are those of the kernel as a matrix.

    Raises:
        InputError: if the number of modes or a size of the geometry is not allowed.

    References:
        Our extension of the mode layer of Li and Huang, arXiv 2208.09859, to convolutions.

    Example:
        >>> import jax
        >>> layer = mode_conv(2, (3,), strides=2)
        >>> params = layer.init(jax.random.key(0), 8, 4)
        >>> layer.apply(params, jnp.ones((8, 28))).shape, layer.num_parameters(8, 4)
        ((4, 14), 58)
    """
    modes = as_extent(modes)
    where = geometry(window, strides, padding, kernel_dilation, input_dilation)
    size = math.prod(where.window)

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> ModeConvParams:
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        out_key, sigma_key, in_key = subkeys(key, 3)
        std = paper_scale(Extent(size * fan_in.capacity, size * fan_in.active))
        filters = [normal_matrix(place_key, modes, fan_in) for place_key in subkeys(in_key, size)]
        return ModeConvParams(
            std * normal_matrix(out_key, fan_out, modes),
            std * normal_vector(sigma_key, modes),
            std * jnp.stack(filters, axis=-1).reshape(modes.capacity, fan_in.capacity, *where.window),
            modes.mask,
        )

    def apply(params: ModeConvParams, x: Float[Array, "channels_in ..."]) -> Float[Array, "channels_out ..."]:
        count, channels, *_ = params.xi_in.shape
        outputs = rows * math.prod(places(where, x.shape[1:]))
        if dense_is_cheaper(size * channels, params.xi_out.shape[0], count, outputs):
            return convolve(where, kernel(params), x)
        u = convolve(where, params.xi_in, x)
        return jnp.tensordot(params.xi_out * params.sigma[None, :], u, axes=1)

    def kernel(params: ModeConvParams) -> Float[Array, "channels_out channels_in ..."]:
        return jnp.tensordot(params.xi_out * params.sigma[None, :], params.xi_in, axes=1)

    def trainable(params: ModeConvParams) -> ModeConvParams:
        del params
        return ModeConvParams(True, True, True, False)  # pyright: ignore[reportArgumentType]

    def num_parameters(fan_in: int | Extent, fan_out: int | Extent) -> int:
        n_in, n_out, p = (as_extent(n).known("num_parameters") for n in (fan_in, fan_out, modes))
        return p * (n_in * size + n_out + 1)

    def to_modes(params: ModeConvParams) -> Modes:
        return Modes(params.xi_out, params.sigma, params.xi_in.reshape(len(params.xi_in), -1), params.active)

    return Layer(init, apply, kernel, trainable, no_penalty, num_parameters, to_modes)
