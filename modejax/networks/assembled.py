"""Chains built from families of layers: the common base of MLPs, residual and convolutional networks."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import subkeys
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Family, LayerParams, Modes
from modejax.networks.base import Chain, Params

__all__ = ["Assembled", "Placed", "modes_of_maps", "one_a_map"]


@dataclasses.dataclass(frozen=True)
class Placed:
    """A family together with the sizes of one weight map."""

    family: Family
    fan_in: Extent
    fan_out: Extent
    modes: Extent | None = None

    def init(self, key: PRNGKeyArray) -> LayerParams:
        """Draw the parameters of the map."""
        return self.family.init(key, self.fan_in, self.fan_out, self.modes)

    def num_parameters(self) -> int:
        """Return the number of trained parameters of the map."""
        return self.family.num_parameters(self.fan_in, self.fan_out, self.modes)


class Assembled(Chain):
    """A chain whose maps are placed families. A subclass defines `placed`, `enter` and `finish`.

    Parameters are the tuple of the maps' parameters, unless a subclass overrides `parts` and `with_parts`.
    """

    @property
    @abc.abstractmethod
    def placed(self) -> tuple[Placed, ...]:
        """The maps, in the order in which they act."""

    def parts(self, params: Params) -> tuple[LayerParams, ...]:
        """Return the parameters of the maps."""
        return params

    def with_parts(self, params: Params, parts: tuple[LayerParams, ...]) -> Params:
        """Return the parameters with those of the maps replaced."""
        del params
        return parts

    @property
    def map_names(self) -> tuple[str, ...]:
        """The names of the maps."""
        return tuple(f"map{index + 1}" for index in range(len(self.placed)))

    @property
    def units(self) -> tuple[Extent, ...]:
        """The extents of all layers of units."""
        return (self.placed[0].fan_in, *(each.fan_out for each in self.placed))

    def enter(self, x: Float[Array, "*rows features"]) -> Float[Array, "*rows features"]:
        """Return the inputs unchanged."""
        return x

    def init(self, key: PRNGKeyArray) -> Params:
        """Draw the parameters of all maps."""
        keys = subkeys(key, len(self.placed))
        return tuple(each.init(keys[index]) for index, each in enumerate(self.placed))

    def through(self, params: Params, h: Float[Array, "*rows ... units"], index: int) -> Float[Array, "*rows ... out"]:
        """Return z = W h + b of a map."""
        return self.placed[index].family.apply(self.parts(params)[index], h)

    def by_kernel(
        self, kernel: Float[Array, "fan_out fan_in ..."], h: Float[Array, "*rows ... units"], index: int
    ) -> Float[Array, "*rows ... out"]:
        """Return W h with a given kernel W in place of that of a map."""
        return self.placed[index].family.apply_kernel(kernel, h)

    def kernels(self, params: Params) -> tuple[Float[Array, "fan_out fan_in ..."], ...]:
        """Return the kernel of every map."""
        return tuple(each.family.kernel(part) for each, part in self._pairs(params))

    def biases(self, params: Params) -> tuple[Float[Array, " fan_out"] | None, ...]:
        """Return the bias of every map; None for a map without a bias."""
        return tuple(each.family.bias(part) for each, part in self._pairs(params))

    def modes(self, params: Params) -> tuple[Modes | None, ...]:
        """Return the modes of every map; None for a map that is not a sum of modes."""
        return tuple(each.family.modes(part) for each, part in self._pairs(params))

    def cut(self, params: Params, keep: Sequence[Bool[Array, " modes"] | None]) -> Params:
        """Return parameters with only some of the modes; see `Network.cut`."""
        pairs = zip(self._pairs(params), keep, strict=True)
        parts = tuple(part if kept is None else each.family.cut(part, kept) for (each, part), kept in pairs)
        return self.with_parts(params, parts)

    def trainable(self, params: Params) -> Any:
        """Return a tree of bools of the structure of `params`."""
        return self.with_parts(params, tuple(each.family.trainable(part) for each, part in self._pairs(params)))

    def penalty(self, params: Params) -> Float[Array, ""]:
        """Return the sum of the maps' penalties, shape ()."""
        return sum((each.family.penalty(part) for each, part in self._pairs(params)), jnp.zeros(()))

    def num_parameters(self) -> int:
        """Return the number of trained parameters."""
        return sum(each.num_parameters() for each in self.placed)

    def _pairs(self, params: Params) -> list[tuple[Placed, LayerParams]]:
        return list(zip(self.placed, self.parts(params), strict=True))


def one_a_map(what: str, given: Any, kind: type | tuple[type, ...], maps: int) -> tuple[Any, ...]:
    """Return one value for each map, from a single value for all maps or a sequence.

    Raises:
        InputError: if the number of values is wrong.
    """
    values = (given,) * maps if given is None or isinstance(given, kind) else tuple(given)
    if len(values) != maps:
        raise InputError(f"the network has {maps} maps, got {len(values)} {what}; give one for all, or one a map")
    return values


def modes_of_maps(
    families: Sequence[Family], modes: int | Extent | Sequence[int | Extent | None] | None
) -> tuple[Extent | None, ...]:
    """Return the number of modes of every map; None for a family that takes none.

    Raises:
        InputError: if a number of modes is missing for a family that requires one, or the number of values is wrong.
    """
    each = one_a_map("numbers of modes", modes, (int, Extent), len(families))
    found = []
    for family, count in zip(families, each, strict=True):
        if family.takes_modes == "none":
            count = None
        elif count is None and family.takes_modes == "required":
            raise InputError(f"{family} needs a number of modes, got none; give modes=30, for example")
        found.append(None if count is None else as_extent(count))
    return tuple(found)
