"""Normalisation over channels that ignores padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from modejax.extent import Extent

__all__ = ["NormName", "NormParams", "init_norm", "normalise"]

NormName = Literal["none", "layer", "group"]

_EPS = 1e-5


class NormParams(NamedTuple):
    """The trained parameters of a normalisation."""

    gain: Float[Array, " channels"]
    shift: Float[Array, " channels"]


def init_norm(channels: Extent) -> NormParams:
    """Return the initial parameters of a normalisation: gain 1 and shift 0; on padding both are 0.

    Args:
        channels: the extent of the channels.

    Returns:
        The parameters.
    """
    mask = channels.mask
    gain = mask.astype(jnp.result_type(float))
    return NormParams(gain, jnp.zeros_like(gain))


def normalise(
    params: NormParams, z: Float[Array, "*rows places channels"], channels: Extent, groups: int | None
) -> Float[Array, "*rows places channels"]:
    """Shift and scale activations to mean 0 and variance 1, then by the trained gain and shift.

    Args:
        params: gain and shift.
        z: activations, (..., positions, channels); padded channels are 0.
        channels: the extent of the channels; padding does not enter any mean.
        groups: None: normalise each position over its channels (layer norm); a number: normalise over all positions and
            the channels of a group, for that many groups of neighbouring channels (group norm). Channel c belongs to
            group floor(c groups / channels).

    Returns:
        The same shape; padded channels are 0.

    References:
        Ba et al., arXiv 1607.06450; Wu and He, arXiv 1803.08494. The variance is the biased one, with 1e-5 added.

    Example:
        >>> z = normalise(init_norm(Extent(3, 2)), jnp.array([[1.0, 3.0, 0.0]]), Extent(3, 2), None)
        >>> [round(float(each), 3) for each in z[0]]
        [-1.0, 1.0, 0.0]
    """
    if groups is None or groups == 1:
        mean = _mean_of_all(z, channels, axes=(-1,) if groups is None else (-2, -1))
    else:
        mean = _mean_of_groups(z, channels, groups)
    centred = (z - mean(z)) * _like(channels.mask.astype(z.dtype), z)
    scale = 1 / jnp.sqrt(mean(centred**2) + _EPS)
    return centred * scale * _like(params.gain, z) + _like(params.shift, z)


def _mean_of_all(z: Array, channels: Extent, axes: tuple[int, ...]) -> Callable[[Array], Array]:
    """Return a function that takes the mean over all channels, and over positions if these are in the axes.

    It maps (*rows, positions, channels) to the same shape with 1 for each of the axes.
    """
    count = jnp.maximum(jnp.asarray(channels.active), 1).astype(z.dtype) * (1 if len(axes) == 1 else z.shape[-2])
    mask = _like(channels.mask, z)
    return lambda values: jnp.sum(jnp.where(mask, values, 0), axis=axes, keepdims=True) / count


def _mean_of_groups(z: Array, channels: Extent, groups: int) -> Callable[[Array], Array]:
    """Return a function that gives every entry the mean over all positions and the channels of its group.

    It maps (*rows, positions, channels) to (*rows, 1, channels).
    """
    member = _membership(channels, groups).astype(z.dtype)
    count = jnp.sum(member, axis=0)
    count = jnp.where(count > 0, count, 1) * z.shape[-2]
    return lambda values: (jnp.sum(values, axis=-2, keepdims=True) @ member / _like(count, values)) @ member.T


def _membership(channels: Extent, groups: int) -> Float[Array, "channels groups"]:
    index = jnp.arange(channels.capacity, dtype=jnp.int32)
    active = jnp.asarray(channels.active).astype(jnp.int32)
    group = index * groups // jnp.maximum(active, 1)
    return (group[:, None] == jnp.arange(groups, dtype=jnp.int32)[None, :]) & channels.mask[:, None]


def _like(values: Float[Array, " channels"], of: Float[Array, ...]) -> Float[Array, ...]:
    return values.reshape((1,) * (of.ndim - 1) + (-1,))
