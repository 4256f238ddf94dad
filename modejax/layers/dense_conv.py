"""The ordinary convolution: every entry of the kernel is a parameter."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.extent import Extent, as_extent
from modejax.layers.convolution import ConvFamily, draw_filters

__all__ = ["DenseConv", "DenseConvParams"]


class DenseConvParams(NamedTuple):
    """Parameters of a convolution."""

    weight: Float[Array, "channels_out channels_in ..."]
    bias: Float[Array, " channels_out"] | None  # None without biases


@dataclasses.dataclass(frozen=True)
class DenseConv(ConvFamily):
    """The ordinary convolution with He's initial values: weights ~ Normal(0, 2 / (channels_in x window)).

    Attributes:
        window: see `layers.ConvFamily`.
        use_bias: whether there is a bias for each channel, which starts at 0.

    Raises:
        InputError: if a size of the geometry is not allowed.

    References:
        He et al., arXiv 1502.01852.

    Example:
        >>> import jax
        >>> family = DenseConv((3, 3))
        >>> params = family.init(jax.random.key(0), 3, 8)
        >>> family.apply(params, jnp.ones((5, 28, 28, 3))).shape, family.num_parameters(3, 8)
        ((5, 28, 28, 8), 216)
    """

    _: dataclasses.KW_ONLY
    use_bias: bool = False

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> DenseConvParams:
        """Draw the weights; a number of modes is ignored."""
        del modes
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        drawn = draw_filters(key, fan_out, fan_in, self.window)
        return DenseConvParams(
            drawn * jnp.sqrt(2 / (self.places * fan_in.size)), jnp.zeros(fan_out.capacity) if self.use_bias else None
        )

    def kernel(self, params: DenseConvParams) -> Float[Array, "channels_out channels_in ..."]:
        """Return the weights."""
        return params.weight
