"""A trained bias added to a layer that has none."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, LayerParams

__all__ = ["BiasedParams", "biased"]


class BiasedParams(NamedTuple):
    """Parameters of a layer with a bias added."""

    map: LayerParams
    bias: Float[Array, " fan_out"]


def biased(layer: Layer) -> Layer:
    """Add a trained bias, which starts at 0, to a layer without one.

    Args:
        layer: the layer, for example `layers.mode(3)`, or a convolution such as `layers.mode_conv(3, (3, 3))`, whose
            channels get one number each.

    Returns:
        The layer z = W x + b; its `modes` are those of the layer inside.

    Example:
        >>> from modejax import layers
        >>> biased(layers.mode(3)).num_parameters(10, 5)
        53
    """

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> BiasedParams:
        return BiasedParams(layer.init(key, fan_in, fan_out), jnp.zeros(as_extent(fan_out).capacity))

    def apply(params: BiasedParams, x: Float[Array, "fan_in ..."]) -> Float[Array, "fan_out ..."]:
        z = layer.apply(params.map, x)
        return z + params.bias.reshape(-1, *(1,) * (z.ndim - 1))

    return Layer(
        init=init,
        apply=apply,
        kernel=lambda params: layer.kernel(params.map),
        trainable=lambda params: BiasedParams(layer.trainable(params.map), True),  # pyright: ignore
        penalty=lambda params: layer.penalty(params.map),
        num_parameters=lambda n_in, n_out: layer.num_parameters(n_in, n_out) + as_extent(n_out).known("num_parameters"),
        modes=None if layer.modes is None else lambda params: layer.modes(params.map),  # pyright: ignore
    )
