"""A perceptron with skip connections: hidden layers add to their input."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jaxtyping import Array, Float

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers.base import Family
from modejax.networks.assembled import modes_of_maps
from modejax.networks.base import Activation, Params, activate, check_activation, check_sizes
from modejax.networks.mlp import MLP, check_families

__all__ = ["Residual", "residual"]


@dataclasses.dataclass(frozen=True)
class Residual(MLP):
    """A perceptron with skip connections; made by `residual`."""

    def finish(
        self, params: Params, z: Float[Array, "*rows out"], h: Float[Array, "*rows units"], index: int
    ) -> Float[Array, "*rows out"]:
        """Return f(z) for the first map, h + f(z) for the other hidden ones, and z for the last."""
        del params
        if index == len(self.placed) - 1:
            return z
        moved = activate(self.activation, z, self.sizes[index + 1])
        return h + moved if index else moved


def residual(
    sizes: Sequence[int | Extent],
    layer: Family | Sequence[Family],
    modes: int | Extent | Sequence[int | Extent | None] | None = None,
    activation: str | Activation = "relu",
) -> Residual:
    """Make a perceptron whose hidden layers, from the second on, add to their input: h <- h + f(W h).

    Args:
        sizes: units in each layer, input and output included; all hidden layers have one size.
        layer: the family of every map, or one family for each map.
        modes: modes in every map, or one number for each map; None if the families take none, or for full rank.
        activation: a name of `ACTIVATIONS`, or an elementwise function f.

    Returns:
        The network. Its parameters are the tuple of its maps' parameters, as those of `mlp`. A truncation curve cuts
        the maps; the skip connections stay.

    Raises:
        InputError: if a size, a number of modes or the activation is not allowed, or hidden sizes differ.

    References:
        He et al., arXiv 1512.03385, without normalisation and with one map per block.

    Example:
        >>> from modejax import layers
        >>> residual([784, 100, 100, 10], layers.Mode(), 30).num_parameters()
        35910
    """
    extents = check_sizes(sizes)
    check_activation(activation)
    hidden = extents[1:-1]
    for each in hidden:
        same = each.capacity == hidden[0].capacity and (
            not (isinstance(each.active, int) and isinstance(hidden[0].active, int)) or each.active == hidden[0].active
        )
        if not same:
            raise InputError(f"the hidden layers of a residual network have one size, got {list(sizes)[1:-1]}")
    families = check_families(layer, len(extents) - 1)
    return Residual(extents, families, modes_of_maps(families, modes), activation)
