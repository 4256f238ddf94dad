"""A network that computes in bfloat16 with parameters in float32."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.extent import Extent
from modejax.layers.base import Modes
from modejax.networks.base import Chain, Network, Params

__all__ = ["in_bfloat16"]


def _cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)


@dataclasses.dataclass(frozen=True)
class _InBfloat16(Network):
    inner: Network

    def init(self, key: PRNGKeyArray) -> Params:
        return self.inner.init(key)

    def apply(self, params: Params, x: Float[Array, "*rows features"]) -> Float[Array, "*rows outputs"]:
        return self.inner.apply(_cast(params, jnp.bfloat16), x.astype(jnp.bfloat16)).astype(jnp.float32)

    def trainable(self, params: Params) -> Any:
        return self.inner.trainable(params)

    def penalty(self, params: Params) -> Float[Array, ""]:
        return self.inner.penalty(params)

    def num_parameters(self) -> int:
        return self.inner.num_parameters()

    @property
    def map_names(self) -> tuple[str, ...]:
        return self.inner.map_names

    def kernels(self, params: Params) -> tuple[Array, ...]:
        return self.inner.kernels(params)

    def biases(self, params: Params) -> tuple[Array | None, ...]:
        return self.inner.biases(params)

    def modes(self, params: Params) -> tuple[Modes | None, ...]:
        return self.inner.modes(params)

    def cut(self, params: Params, keep: Sequence[Bool[Array, " modes"] | None]) -> Params:
        return self.inner.cut(params, keep)


@dataclasses.dataclass(frozen=True)
class _ChainInBfloat16(_InBfloat16, Chain):
    inner: Chain

    @property
    def units(self) -> tuple[Extent, ...]:
        return self.inner.units

    def enter(self, x: Array) -> Array:
        return self.inner.enter(x)

    def through(self, params: Params, h: Array, index: int) -> Array:
        return self.inner.through(_cast(params, jnp.bfloat16), h.astype(jnp.bfloat16), index).astype(jnp.float32)

    def finish(self, params: Params, z: Array, h: Array, index: int) -> Array:
        return self.inner.finish(params, z, h, index)

    def between(self, params: Params, h: Array, start: int, stop: int) -> Array:
        cast = _cast(params, jnp.bfloat16), h.astype(jnp.bfloat16)
        return self.inner.between(*cast, start, stop).astype(jnp.float32)

    def by_kernel(self, kernel: Array, h: Array, index: int) -> Array:
        return self.inner.by_kernel(kernel, h, index)

    def mode_inputs(self, modes: Modes, h: Array, index: int) -> Array:
        return self.inner.mode_inputs(modes, h, index)

    def by_modes(self, modes: Modes, h: Array, index: int) -> Array:
        return self.inner.by_modes(modes, h, index)


def in_bfloat16(network: Network) -> Network:
    """Wrap a network to compute with bfloat16 copies of parameters and activations; outputs are returned in float32.

    Args:
        network: any network with parameters in float32.

    Returns:
        The wrapped network; a chain stays a chain. In truncation curves the map that is cut is computed in float32.

    Example:
        >>> from modejax import layers, networks
        >>> network = in_bfloat16(networks.mlp([4, 2], layers.Dense()))
        >>> network.apply(network.init(jax.random.key(0)), jnp.ones(4)).dtype
        dtype('float32')
    """
    return _ChainInBfloat16(network) if isinstance(network, Chain) else _InBfloat16(network)
