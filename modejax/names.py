"""Every name a user may type, with where its object is found. JAX may not come in: the command line reads this file."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["LAYERS", "LayerName"]


class LayerName(NamedTuple):
    """A family of layers by name."""

    family: str  # where it is, as module:class
    takes_modes: Literal["none", "optional", "required"]
    convolution: str | None  # the family of convolutions of this name, None where there is none


LAYERS: dict[str, LayerName] = {
    "dense": LayerName("modejax.layers.dense:Dense", "none", "modejax.layers.dense_conv:DenseConv"),
    "low_rank": LayerName("modejax.layers.low_rank:LowRank", "required", "modejax.layers.low_rank_conv:LowRankConv"),
    "mode": LayerName("modejax.layers.mode:Mode", "required", "modejax.layers.mode_conv:ModeConv"),
    "spectral": LayerName("modejax.layers.spectral:Spectral", "none", "modejax.layers.spectral_conv:SpectralConv"),
    "svd": LayerName("modejax.layers.svd:SVD", "optional", None),
}
"""The families of layers: a new one is its file and a line here."""
