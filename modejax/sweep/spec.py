"""From names to networks: a hashable record that builds a member's network at any extents."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modejax import layers
from modejax.errors import InputError, choices
from modejax.extent import Extent
from modejax.layers.base import Family
from modejax.networks import Network, mlp, tied_mode_mlp
from modejax.sparcs import sparcs_mlp
from modejax.sweep.config import SweepConfig, parse_options

__all__ = ["NetworkSpec", "baseline_spec", "network_spec"]

_NETWORKS: dict[str, Callable[..., Any]] = {"sparcs": sparcs_mlp, "tied_mode": tied_mode_mlp}
"""Networks that are not maps of one family."""


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """All static facts of a family of networks; widths and modes come as extents."""

    layer: str | Family
    options: tuple[tuple[str, Any], ...]
    features: int
    outputs: int
    depth: int
    activation: str
    precision: str
    mask: str = "none"

    def build(
        self, width: int | Extent, modes: int | Extent, rows: int, sparsity: float | Float[Array, ""] = 0.0
    ) -> Network:
        """Make the network.

        Args:
            width: units in each hidden layer.
            modes: modes in each map; a capacity of 0 is written as the integer 0 and means full rank or none.
            rows: the number of examples that go through the network in one call.
            sparsity: percentage of weights that the mask of the family takes away.

        Returns:
            The network, which computes in bfloat16 where the precision says so.

        Raises:
            InputError: if an option of the layer is unknown.
        """
        del rows  # seen from the shapes of the examples
        sizes = (self.features, *(width,) * self.depth, self.outputs)
        options = dict(self.options)
        # The integer 0 stands for no number of modes.
        count = modes or None
        if isinstance(self.layer, str) and self.layer in _NETWORKS:
            self._check_options(options)
            factory = _NETWORKS[self.layer]
            first = (sizes, modes) if self.layer == "tied_mode" else (sizes,)
            network = factory(*first, self.activation, **options)
        else:
            family = layers.make_family(self.layer, options) if isinstance(self.layer, str) else self.layer
            network = mlp(sizes, self._masked(family, sparsity), count, self.activation)
        return _in_bfloat16(network) if self.precision == "bfloat16" else network

    def _masked(self, family: Family, sparsity: float | Float[Array, ""]) -> Family:
        return family if self.mask == "none" else layers.Masked(family, self.mask, sparsity)  # pyright: ignore

    def _check_options(self, options: dict[str, Any]) -> None:
        assert isinstance(self.layer, str)
        # What the sweep itself gives is not an option.
        keywords = {*inspect.signature(_NETWORKS[self.layer]).parameters} - {"sizes", "modes", "activation"}
        for name in options:
            if name not in keywords:
                allowed = choices(keywords) or "none"
                raise InputError(f"unknown option {name!r} of the layer {self.layer}; allowed: {allowed}")


def _in_bfloat16(network: Network) -> Network:
    """Compute with bfloat16 copies of the parameters and activations; logits come back in float32."""

    def cast(tree: Any, dtype: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)

    def between(params: Any, h: Any, start: int, stop: int) -> Any:
        return network.between(cast(params, jnp.bfloat16), h.astype(jnp.bfloat16), start, stop).astype(jnp.float32)

    maps = len(network.sizes) - 1
    return network._replace(between=between, apply=lambda params, x: between(params, x, 0, maps))


@dataclasses.dataclass(frozen=True)
class BucketSpec:
    """The padded networks of a bucket in one launch."""

    network: NetworkSpec
    width: int
    modes: int
    members: int  # padding included
    truncated: bool  # whether truncation curves are taken
    pruned: tuple[str, ...] = ()  # scores by which pruning curves are taken
    ranked: bool = True  # whether the scores of single nodes are reported with them


def network_spec(config: SweepConfig, features: int, outputs: int, layer: Family | None = None) -> NetworkSpec:
    """Return the family of networks of a sweep.

    Args:
        config: the sweep.
        features: inputs of the data set.
        outputs: outputs that its labels need.
        layer: a family of the user's own instead of `config.layer`.

    Returns:
        The record.
    """
    return NetworkSpec(
        layer=config.layer if layer is None else layer,
        options=tuple(sorted(parse_options(config.layer_options).items())),
        features=features,
        outputs=outputs,
        depth=config.depth,
        activation=config.activation,
        precision=config.precision,
        mask=config.mask,
    )


def baseline_spec(config: SweepConfig, features: int, outputs: int) -> NetworkSpec:
    """Return the family of the dense baseline: He start, the same sizes and activation."""
    options = (("use_bias", True),) if config.baseline_bias else ()
    return dataclasses.replace(network_spec(config, features, outputs), layer="dense", options=options, mask="none")
