"""Spectral learning of a convolution: eigenvalues of the channels, K_oi = (lambda_in_i - lambda_out_o) phi_oi."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import subkeys
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, no_penalty
from modejax.layers.convolution import Padding, convolve, geometry
from modejax.layers.spectral_start import draw_matrix, draw_vector, parse_distribution

__all__ = ["SpectralConvParams", "spectral_conv"]


class SpectralConvParams(NamedTuple):
    """Parameters of a spectral convolution."""

    lambda_in: Float[Array, " channels_in"]
    lambda_out: Float[Array, " channels_out"]
    phi: Float[Array, "channels_out channels_in ..."]
    bias: Float[Array, " channels_out"] | None  # None without biases


def spectral_conv(
    window: Sequence[int],
    *,
    eigenvectors: Literal["frozen", "trained"] = "frozen",
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    kernel_dilation: int | Sequence[int] = 1,
    input_dilation: int | Sequence[int] = 1,
    phi: str | None = None,
    lambda_in: str = "uniform:0.97",
    lambda_out: str = "uniform:0.13",
    bias: bool = True,
) -> Layer:
    """Make a convolution whose kernel is K_oi = (lambda_in_i - lambda_out_o) phi_oi at every place of the window.

    An eigenvalue belongs to a channel: at each place of the window the layer is a two-set map between the channels, and
    all places share the eigenvalues. The same map follows from two factors beside an ordinary convolution: channels are
    multiplied by lambda_in before it, or by lambda_out behind it; here the kernel is built, which costs nothing beside
    the convolution itself. Only the cross-correlation of deep learning is meant by convolution.

    Args:
        window: the size of the kernel along each dimension of space, for example (3, 3).
        eigenvectors: whether phi is trained beside the eigenvalues.
        strides: steps of the window, one number or one a dimension.
        padding: `SAME` keeps the size (at stride 1), `VALID` adds nothing around, pairs add (before, behind).
        kernel_dilation: steps between the places of the window.
        input_dilation: steps between the entries of the input.
        phi: the distribution of phi, as in `layers.spectral`; by default normal with the standard deviation
            sqrt(2 / (channels_in size of window)) (He).
        lambda_in: that of lambda_in.
        lambda_out: that of lambda_out.
        bias: whether there is one for each channel, starting at 0.

    Returns:
        The layer: `fan_in` and `fan_out` are channels, `apply` takes one example (channels_in, *space) and returns
        (channels_out, *space), `kernel` has the shape (channels_out, channels_in, *window).

    Raises:
        InputError: if the window, an option or a distribution is not allowed.

    References:
        The formula on channels is this project's: the convolution released with SpectralTools multiplies the last axis
        of its output, which is not the channels'.

    Example:
        >>> import jax
        >>> layer = spectral_conv((3, 3))
        >>> params = layer.init(jax.random.key(0), 3, 8)
        >>> layer.apply(params, jnp.ones((3, 28, 28))).shape, layer.num_parameters(3, 8)
        ((8, 28, 28), 19)
    """
    where = geometry(window, strides, padding, kernel_dilation, input_dilation)
    window = where.window
    if eigenvectors not in ("frozen", "trained"):
        raise InputError(f"unknown eigenvectors {eigenvectors!r} of a spectral convolution; allowed: frozen, trained")
    block = None if phi is None else parse_distribution(phi, what="phi")
    first = parse_distribution(lambda_in, what="lambda_in")
    last = parse_distribution(lambda_out, what="lambda_out")
    if first == last and first.kind == "constant":
        raise InputError(f"lambda_in and lambda_out are both {lambda_in}, so that the kernel is 0; change one of them")
    places = math.prod(window)

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> SpectralConvParams:
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        phi_key, in_key, out_key = subkeys(key, 3)
        drawn = []
        for place_key in subkeys(phi_key, places):
            if block is None:
                unit = draw_matrix(place_key, parse_distribution("normal:1", what="phi"), fan_in, fan_out)
                drawn.append(unit * jnp.sqrt(2 / (places * fan_in.size)))
            else:
                drawn.append(draw_matrix(place_key, block, fan_in, fan_out))
        return SpectralConvParams(
            draw_vector(in_key, first, fan_in, fan_out),
            draw_vector(out_key, last, fan_out, fan_in),
            jnp.stack(drawn, axis=-1).reshape(fan_out.capacity, fan_in.capacity, *window),
            jnp.zeros(fan_out.capacity) if bias else None,
        )

    def kernel(params: SpectralConvParams) -> Float[Array, "channels_out channels_in ..."]:
        difference = params.lambda_in[None, :] - params.lambda_out[:, None]
        return difference.reshape(*difference.shape, *(1,) * len(window)) * params.phi

    def apply(params: SpectralConvParams, x: Float[Array, "channels_in ..."]) -> Float[Array, "channels_out ..."]:
        z = convolve(where, kernel(params), x)
        return z if params.bias is None else z + params.bias.reshape(-1, *(1,) * len(window))

    def trainable(params: SpectralConvParams) -> SpectralConvParams:
        moving = (True, True, eigenvectors == "trained", None if params.bias is None else True)
        return SpectralConvParams(*moving)  # pyright: ignore[reportArgumentType]

    def num_parameters(fan_in: int | Extent, fan_out: int | Extent) -> int:
        n_in, n_out = (as_extent(n).known("num_parameters") for n in (fan_in, fan_out))
        return n_in + n_out * (1 + bias) + (n_in * n_out * places if eigenvectors == "trained" else 0)

    return Layer(init, apply, kernel, trainable, no_penalty, num_parameters)
