"""A wrapper that adds a trained bias to a family without one."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.extent import Extent, as_extent
from modejax.layers.base import Family, LayerParams, Modes, TakesModes, plus_bias

__all__ = ["Biased", "BiasedParams"]


class BiasedParams(NamedTuple):
    """Parameters of a layer with a bias added."""

    map: LayerParams
    bias: Float[Array, " fan_out"]


@dataclasses.dataclass(frozen=True)
class Biased(Family):
    """The layer z = W x + b with a trained bias, which starts at 0; its modes are those of the wrapped family.

    Attributes:
        family: a family without a bias, for example `layers.Mode()`, or a convolution such as `layers.ModeConv((3,
            3))`, where each output channel gets one bias.

    Example:
        >>> from modejax import layers
        >>> Biased(layers.Mode()).num_parameters(10, 5, 3)
        53
    """

    family: Family

    @property
    def takes_modes(self) -> TakesModes:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The value of the wrapped family."""
        return self.family.takes_modes

    @property
    def space(self) -> int:
        """The value of the wrapped family."""
        return self.family.space

    def at_output(self) -> Family:
        """Return the wrapper with the wrapped family replaced by its `at_output`."""
        return dataclasses.replace(self, family=self.family.at_output())

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> BiasedParams:
        """Draw the parameters of the wrapped family; the bias is 0."""
        return BiasedParams(self.family.init(key, fan_in, fan_out, modes), jnp.zeros(as_extent(fan_out).capacity))

    def kernel(self, params: BiasedParams) -> Float[Array, "fan_out fan_in ..."]:
        """Return the kernel of the wrapped family."""
        return self.family.kernel(params.map)

    def apply(self, params: BiasedParams, x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
        """Apply the wrapped family and add the bias."""
        return plus_bias(self.family.apply(params.map, x), params.bias)

    def apply_kernel(
        self, kernel: Float[Array, "fan_out fan_in ..."], x: Float[Array, "... fan_in"]
    ) -> Float[Array, "... fan_out"]:
        """Apply a kernel as the wrapped family does."""
        return self.family.apply_kernel(kernel, x)

    def trainable(self, params: BiasedParams) -> BiasedParams:
        """Mark the trained parameters of the wrapped family, and the bias."""
        return BiasedParams(self.family.trainable(params.map), True)  # pyright: ignore[reportArgumentType]

    def penalty(self, params: BiasedParams) -> Float[Array, ""]:
        """Return the penalty of the wrapped family."""
        return self.family.penalty(params.map)

    def num_parameters(self, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None) -> int:
        """Count the parameters of the wrapped family, and one bias per output."""
        bias = as_extent(fan_out).known("num_parameters")
        return self.family.num_parameters(fan_in, fan_out, modes) + bias

    def modes(self, params: BiasedParams) -> Modes | None:
        """Return the modes of the wrapped family."""
        return self.family.modes(params.map)

    def cut(self, params: BiasedParams, keep: Bool[Array, " modes"]) -> BiasedParams:
        """Cut the wrapped family; the bias stays."""
        return BiasedParams(self.family.cut(params.map, keep), params.bias)
