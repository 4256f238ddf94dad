"""The tied (1L1P) mode network: neighbouring maps share the patterns of the layer of units between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, normal_vector, subkeys
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Modes, paper_scale, through_modes
from modejax.networks.base import Activation, Chain, activate, check_activation, check_sizes

__all__ = ["Tied", "TiedParams", "tied"]


class TiedParams(NamedTuple):
    """Parameters of a tied network: one pattern set for each layer of units."""

    patterns: tuple[Float[Array, "modes units"], ...]  # input, hidden ..., output
    sigma: tuple[Float[Array, " modes"], ...]  # one for each map
    active: Bool[Array, " modes"]  # frozen; False on padding


@dataclasses.dataclass(frozen=True)
class Tied(Chain):
    """A tied mode network; made by `tied`."""

    sizes: tuple[Extent, ...]
    mode_count: Extent
    activation: str | Activation

    @property
    def map_names(self) -> tuple[str, ...]:
        """The names of the maps."""
        return tuple(f"map{index + 1}" for index in range(len(self.sizes) - 1))

    @property
    def units(self) -> tuple[Extent, ...]:
        """The extents of all layers of units."""
        return self.sizes

    def enter(self, x: Float[Array, "*rows features"]) -> Float[Array, "*rows features"]:
        """Return the inputs unchanged."""
        return x

    def init(self, key: PRNGKeyArray) -> TiedParams:
        """Draw the pattern sets and the Sigmas."""
        patterns, sigma, maps = [], [], len(self.sizes) - 1
        for i, (size, size_key) in enumerate(zip(self.sizes, subkeys(key, len(self.sizes)), strict=True)):
            pattern_key, sigma_key = subkeys(size_key, 2)
            std = paper_scale(self.sizes[min(i, maps - 1)])
            patterns.append(std * normal_matrix(pattern_key, self.mode_count, size))
            if i < maps:
                sigma.append(std * normal_vector(sigma_key, self.mode_count))
        return TiedParams(tuple(patterns), tuple(sigma), self.mode_count.mask)

    def through(self, params: TiedParams, h: Float[Array, "*rows units"], index: int) -> Float[Array, "*rows out"]:
        """Return z = W h of a map, mode by mode or with the kernel, whichever is cheaper."""
        return through_modes(params.patterns[index + 1].T, params.sigma[index], params.patterns[index], h)

    def finish(
        self, params: TiedParams, z: Float[Array, "*rows out"], h: Float[Array, "*rows units"], index: int
    ) -> Float[Array, "*rows out"]:
        """Return the activation of z; the last map has none."""
        del params, h
        return z if index == len(self.sizes) - 2 else activate(self.activation, z, self.sizes[index + 1])

    def kernels(self, params: TiedParams) -> tuple[Float[Array, "fan_out fan_in"], ...]:
        """Return the kernel of every map."""
        return tuple((each.xi_out * each.weight[None, :]) @ each.xi_in for each in self.modes(params))

    def modes(self, params: TiedParams) -> tuple[Modes, ...]:
        """Return the modes of every map."""
        pairs = zip(params.patterns[1:], params.sigma, params.patterns[:-1], strict=True)
        return tuple(Modes(after.T, sigma, before, params.active) for after, sigma, before in pairs)

    def cut(self, params: TiedParams, keep: Sequence[Bool[Array, " modes"] | None]) -> TiedParams:
        """Keep only some modes, see `Network.cut`; patterns are shared by maps, so only Sigmas are set to 0."""
        pairs = zip(params.sigma, keep, strict=True)
        return params._replace(sigma=tuple(s if kept is None else jnp.where(kept, s, 0) for s, kept in pairs))

    def trainable(self, params: TiedParams) -> TiedParams:
        """Return a tree of bools: all but the mask of padding is trained."""
        return TiedParams(
            (True,) * len(params.patterns),  # pyright: ignore[reportArgumentType]
            (True,) * len(params.sigma),  # pyright: ignore[reportArgumentType]
            False,  # pyright: ignore[reportArgumentType]
        )

    def num_parameters(self) -> int:
        """Return the number of trained parameters."""
        known = [each.known("num_parameters") for each in self.sizes]
        return self.mode_count.known("num_parameters") * (sum(known) + len(known) - 1)


def tied(sizes: Sequence[int | Extent], modes: int | Extent | None, activation: str | Activation = "relu") -> Tied:
    """Make the tied (1L1P) mode network: neighbouring maps share the patterns of the layer between them.

    W^l = patterns[l]^T diag(sigma[l-1]) patterns[l-1], l = 1 ... L. Initial values ~ Normal(0, s^2) with s = (N ln
    N)^(-1/6): for a pattern set N is the size of its layer (for the output's set, the size of the last hidden layer),
    for the Sigmas the fan-in.

    Args:
        sizes: units in each layer, input and output included; ints or `Extent`s.
        modes: the number of modes P, the same in all maps.
        activation: a name of `ACTIVATIONS`, or an elementwise function.

    Returns:
        The network.

    Raises:
        InputError: if a size, the number of modes or the activation is not allowed.

    References:
        Li and Huang, arXiv 2208.09859; initial values of its reference code (Fig2/MDL-1L1P.py).

    Example:
        >>> tied([784, 100, 100, 10], 30).num_parameters()
        29910
    """
    check_activation(activation)
    if modes is None:
        raise InputError("a tied network needs a number of modes, got none; give modes=30, for example")
    return Tied(check_sizes(sizes), as_extent(modes), activation)
