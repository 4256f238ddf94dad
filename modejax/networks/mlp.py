"""The multi-layer perceptron: a chain of maps of one family or of several."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from jaxtyping import Array, Float

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers.base import Family
from modejax.networks.assembled import Assembled, Placed, modes_of_maps, one_a_map
from modejax.networks.base import Activation, Params, activate, check_activation, check_sizes

__all__ = ["MLP", "check_families", "mlp"]


@dataclasses.dataclass(frozen=True)
class MLP(Assembled):
    """A multi-layer perceptron; made by `mlp`."""

    sizes: tuple[Extent, ...]
    families: tuple[Family, ...]
    mode_counts: tuple[Extent | None, ...]
    activation: str | Activation

    @functools.cached_property
    def placed(self) -> tuple[Placed, ...]:
        """The maps, in the order in which they act."""
        ends = zip(self.families, self.sizes[:-1], self.sizes[1:], self.mode_counts, strict=True)
        return tuple(Placed(*each) for each in ends)

    def finish(
        self, params: Params, z: Float[Array, "*rows out"], h: Float[Array, "*rows units"], index: int
    ) -> Float[Array, "*rows out"]:
        """Return the activation of z; the last map has none."""
        del params, h
        return z if index == len(self.placed) - 1 else activate(self.activation, z, self.sizes[index + 1])


def check_families(layer: Family | Sequence[Family], maps: int) -> tuple[Family, ...]:
    """Return one family for each map; for the last map `Family.at_output` is applied.

    Raises:
        InputError: if an entry is no family, or the number of families is wrong.
    """
    if isinstance(layer, Family | type) or callable(layer):
        layer = (layer,) * maps  # pyright: ignore[reportAssignmentType]
    families = one_a_map("families", layer, Family, maps)
    for each in families:
        if isinstance(each, type):
            raise InputError(f"a layer is an instance of a family, got the class {each.__name__}; write it with ()")
        if not isinstance(each, Family):
            raise InputError(f"a layer is a family such as layers.Mode(), got {each!r}")
    return (*families[:-1], families[-1].at_output())


def mlp(
    sizes: Sequence[int | Extent],
    layer: Family | Sequence[Family],
    modes: int | Extent | Sequence[int | Extent | None] | None = None,
    activation: str | Activation = "relu",
) -> MLP:
    """Make a multi-layer perceptron whose outputs are logits.

    Args:
        sizes: units in each layer, input and output included; ints or `Extent`s.
        layer: the family of every map, or one family for each map.
        modes: modes in every map, or one number for each map; None if the families take none, or for full rank.
        activation: a name of `ACTIVATIONS`, or an elementwise function.

    Returns:
        The network. Its parameters are the tuple of its maps' parameters.

    Raises:
        InputError: if a size, a number of modes or the activation is not allowed, or the number of families or modes
            does not fit.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from modejax import layers
        >>> network = mlp([784, 100, 100, 10], layers.Mode(), 30)
        >>> params = network.init(jax.random.key(0))
        >>> network.apply(params, jnp.ones((5, 784))).shape, network.num_parameters()
        ((5, 10), 35910)
    """
    extents = check_sizes(sizes)
    check_activation(activation)
    families = check_families(layer, len(extents) - 1)
    return MLP(extents, families, modes_of_maps(families, modes), activation)
