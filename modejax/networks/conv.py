"""Convolutional networks: convolutions of any family, normalisation, pooling, and a linear map from pooled channels."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import subkeys
from modejax.errors import InputError, choices
from modejax.extent import Extent, as_extent
from modejax.layers.base import Family, LayerParams, Modes, dense_is_cheaper
from modejax.networks.assembled import Assembled, Placed, modes_of_maps
from modejax.networks.base import Activation, activate, check_activation
from modejax.networks.norms import NormName, NormParams, init_norm, normalise

__all__ = ["Conv", "ConvParams", "conv"]

PoolName = Literal["max", "mean", "none"]


class ConvParams(NamedTuple):
    """Parameters of a convolutional network."""

    maps: tuple[LayerParams, ...]  # the convolutions, then the map to the outputs
    norms: tuple[NormParams, ...]  # one for each convolution, or empty


@dataclasses.dataclass(frozen=True)
class Conv(Assembled):
    """A convolutional network; made by `conv`."""

    image_shape: tuple[int, ...]  # (*space, channels)
    channels: tuple[Extent, ...]  # output channels of each convolution
    outputs: Extent
    families: tuple[Family, ...]
    mode_counts: tuple[Extent | None, ...]
    activation: str | Activation
    norm: NormName
    groups: int
    pool: PoolName

    @functools.cached_property
    def placed(self) -> tuple[Placed, ...]:
        """The convolutions, then the map to the outputs."""
        ends = (as_extent(self.image_shape[-1]), *self.channels, self.outputs)
        return tuple(Placed(*each) for each in zip(self.families, ends[:-1], ends[1:], self.mode_counts, strict=True))

    @property
    def map_names(self) -> tuple[str, ...]:
        """The names of the maps."""
        return (*(f"conv{index + 1}" for index in range(len(self.channels))), "head")

    def init(self, key: PRNGKeyArray) -> ConvParams:
        """Draw the parameters."""
        keys = subkeys(key, len(self.placed))
        maps = tuple(each.init(keys[index]) for index, each in enumerate(self.placed))
        return ConvParams(maps, () if self.norm == "none" else tuple(init_norm(n) for n in self.channels))

    def parts(self, params: ConvParams) -> tuple[LayerParams, ...]:
        """Return the parameters of the maps."""
        return params.maps

    def with_parts(self, params: ConvParams, parts: tuple[LayerParams, ...]) -> ConvParams:
        """Return the parameters with those of the maps replaced."""
        return params._replace(maps=parts)

    def trainable(self, params: ConvParams) -> Any:
        """Return a tree of bools."""
        return super().trainable(params)._replace(norms=tuple(NormParams(True, True) for _ in params.norms))  # pyright: ignore

    def num_parameters(self) -> int:
        """Return the number of trained parameters, those of the normalisations included."""
        norms = sum(2 * n.known("num_parameters") for n in self.channels) if self.norm != "none" else 0
        return super().num_parameters() + norms

    def enter(self, x: Float[Array, "*rows features"]) -> Float[Array, "*rows ... channels"]:
        """Reshape rows of features to images, channels last."""
        return x.reshape(*x.shape[:-1], *self.image_shape)

    def finish(
        self, params: ConvParams, z: Float[Array, "*rows ... out"], h: Float[Array, "*rows ... units"], index: int
    ) -> Float[Array, "*rows ... out"]:
        """Normalise z, apply the activation and pool; after the last convolution take the mean over all positions."""
        del h
        if index == len(self.channels):
            return z
        space = len(self.image_shape) - 1
        if self.norm != "none":
            flat = z.reshape(*z.shape[: z.ndim - space - 1], -1, z.shape[-1])
            groups = self.groups if self.norm == "group" else None
            z = normalise(params.norms[index], flat, self.channels[index], groups).reshape(z.shape)
        z = activate(self.activation, z, self.channels[index])
        if index < len(self.channels) - 1:
            return _pooled(z, self.pool, space)
        return jnp.mean(z, axis=tuple(range(z.ndim - space - 1, z.ndim - 1)))

    def mode_inputs(
        self, modes: Modes, h: Float[Array, "rows ... units"], index: int
    ) -> Float[Array, "modes rows ..."]:
        """Return what each mode of a map reads; for a convolution, at every position."""
        if index == len(self.channels):
            return super().mode_inputs(modes, h, index)
        return jnp.moveaxis(self.families[index].apply_kernel(self._filters(modes, index), h), -1, 0)

    def by_modes(self, modes: Modes, h: Float[Array, "rows ... units"], index: int) -> Float[Array, "rows ... out"]:
        """Return W h with a given sum of modes W in place of a map."""
        if index == len(self.channels):
            return super().by_modes(modes, h, index)
        family, filters = self.families[index], self._filters(modes, index)
        read = jax.eval_shape(family.apply_kernel, filters, h)
        if dense_is_cheaper(modes.xi_in.shape[1], modes.xi_out.shape[0], len(filters), read.size // read.shape[-1]):
            return family.apply_kernel(jnp.tensordot(modes.xi_out, filters, axes=1), h)
        return family.apply_kernel(filters, h) @ modes.xi_out.T

    def _filters(self, modes: Modes, index: int) -> Float[Array, "modes fan_in ..."]:
        """Return the input patterns, times their Sigma, as the filters of a convolution."""
        weighted = modes.weight[:, None] * modes.xi_in
        fan_in = self.placed[index].fan_in.capacity
        window = jax.eval_shape(
            lambda key: self.families[index].kernel(self.placed[index].init(key)), jax.random.key(0)
        ).shape[2:]
        return weighted.reshape(len(weighted), fan_in, *window)


def _pooled(z: Float[Array, "*rows ... channels"], pool: PoolName, space: int) -> Float[Array, "*rows ... channels"]:
    """Return the maximum or mean of blocks of 2 positions along each spatial axis; an odd last position is dropped."""
    if pool == "none":
        return z
    first = z.ndim - space - 1
    for axis in range(first, first + space):
        size = z.shape[axis] // 2
        if not size:  # one position is left along this axis
            continue
        z = jnp.take(z, jnp.arange(2 * size), axis=axis) if z.shape[axis] % 2 else z
        z = z.reshape(*z.shape[:axis], size, 2, *z.shape[axis + 1 :])
        z = jnp.max(z, axis=axis + 1) if pool == "max" else jnp.mean(z, axis=axis + 1)
    return z


def conv(
    image_shape: Sequence[int],
    channels: Sequence[int | Extent],
    outputs: int | Extent,
    convolutions: Family | Sequence[Family],
    head: Family,
    modes: int | Extent | Sequence[int | Extent | None] | None = None,
    activation: str | Activation = "relu",
    *,
    norm: NormName = "none",
    groups: int = 1,
    pool: PoolName = "max",
) -> Conv:
    """Make a convolutional network: convolutions, the mean over all positions, and a map to the outputs.

    Each convolution is followed by the normalisation, the activation and, except for the last one, pooling over blocks
    of 2 x 2 positions.

    Args:
        image_shape: the shape of an input image, (*space, channels); inputs of the network are images flattened in that
            order.
        channels: the number of output channels of each convolution; ints or `Extent`s.
        outputs: the number of outputs.
        convolutions: the family of the convolutions, such as `layers.ModeConv((3, 3))`, or one family for each; it
            defines window, strides and padding.
        head: the family of the map to the outputs, such as `layers.Mode()`.
        modes: modes in every map, or one number for each map; None if the families take none.
        activation: a name of `ACTIVATIONS`, or an elementwise function.
        norm: `none`; `layer`: over the channels at each position; `group`: over all positions and the channels of a
            group.
        groups: the number of groups; the channels should be a multiple of it.
        pool: pooling of blocks of 2 positions along each axis: max, mean or none.

    Returns:
        The network. Its parameters are `ConvParams`.

    Raises:
        InputError: if an argument is not allowed.

    Example:
        >>> import jax
        >>> from modejax import layers
        >>> network = conv((28, 28, 1), (8, 8), 10, layers.ModeConv((3, 3)), layers.Mode(), 4, norm="layer")
        >>> network.apply(network.init(jax.random.key(0)), jnp.ones((5, 784))).shape, network.num_parameters()
        ((5, 10), 504)
    """
    check_activation(activation)
    shape, extents = tuple(image_shape), tuple(as_extent(each) for each in channels)
    if len(shape) < 2 or not extents:
        raise InputError(
            f"a convolutional network needs images (*space, channels) and one convolution or more, got images {shape} "
            f"and channels {tuple(channels)}"
        )
    for what, value, allowed in (("norm", norm, ("none", "layer", "group")), ("pool", pool, ("max", "mean", "none"))):
        if value not in allowed:
            raise InputError(f"unknown {what} {value!r} of a convolutional network; allowed: {choices(allowed)}")
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise InputError(f"groups must be an integer of at least 1, got {groups!r}")
    for each in extents if norm == "group" else ():
        if isinstance(each.active, int) and each.active % groups:
            raise InputError(f"{each.active} channels are no multiple of {groups} groups; change one of them")
    families = (convolutions,) * len(extents) if isinstance(convolutions, Family) else tuple(convolutions)
    for each in families:
        if not isinstance(each, Family) or each.space != len(shape) - 1:
            window = (3,) * (len(shape) - 1)
            raise InputError(
                f"images {shape}, of which the last number counts channels, need convolutions over {len(window)} axes, "
                f"such as layers.ModeConv({window}), got {each!r}; give images without channels as (height, width, 1)"
            )
    if len(families) != len(extents):
        raise InputError(f"{len(extents)} layers of channels need as many convolutions, got {len(families)}")
    if not isinstance(head, Family) or head.space:
        raise InputError(f"the map to the outputs is a family of matrices such as layers.Mode(), got {head!r}")
    head = head.at_output()
    every = (*families, head)
    counts = modes_of_maps(every, modes)
    return Conv(shape, extents, as_extent(outputs), every, counts, activation, norm, groups, pool)
