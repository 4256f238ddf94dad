"""Every name that a user may type, and its meaning. Nothing here imports JAX, so that the command line answers at once.

A new layer family, network, optimiser or mask needs one file and one line here.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "ACTIVATIONS",
    "BATCHES",
    "CUTS",
    "LAYERS",
    "MASKS",
    "NETWORKS",
    "OPTIMISERS",
    "ORDERS",
    "PRECISIONS",
    "PRUNE_SCORES",
    "SCHEDULES",
    "LayerName",
    "NetworkName",
]


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
"""The families of layers; a new one needs its file and a line here."""


class NetworkName(NamedTuple):
    """A built-in architecture."""

    target: str  # module and function that make it from `modejax.networks.registry.Facts`
    layers: bool  # whether it is put together from layer families
    modes: Literal["layer", "required", "none"]  # whether it takes modes; `layer`: as its layers do
    options: tuple[str, ...] = ()  # of `--network-options`


NETWORKS: dict[str, NetworkName] = {
    "mlp": NetworkName("modejax.networks.registry:build_mlp", True, "layer"),
    "residual": NetworkName("modejax.networks.registry:build_residual", True, "layer"),
    "conv": NetworkName(
        "modejax.networks.registry:build_conv", True, "layer", ("groups", "norm", "pool", "strides", "window")
    ),
    "tied": NetworkName("modejax.networks.registry:build_tied", False, "required"),
    "sparcs": NetworkName(
        "modejax.networks.registry:build_sparcs",
        False,
        "none",
        ("eigenvalue", "eigenvectors", "last_eigenvalue", "phi"),
    ),
}
"""The architectures by name; the name `custom` is for one that the user passes from Python."""

OPTIMISERS: dict[str, str] = {
    "adam": "",
    "adamax": "",
    "adabelief": "adabelief",
    "adagrad": "adagrad",
    "amsgrad": "amsgrad",
    "lamb": "lamb",
    "lion": "lion",
    "nadam": "nadam",
    "novograd": "novograd",
    "radam": "radam",
    "rmsprop": "rmsprop",
    "sgd": "sgd",
    "yogi": "yogi",
}
"""The optimisers by name, each with the function of optax that makes it; empty if modejax has its own."""

SCHEDULES: dict[str, str] = {
    "constant": "the same rate in every step",
    "halving": "halved every `halve_every` epochs",
    "cosine": "falling to 0 as a half cosine",
    "linear": "falling to 0 in a straight line",
}
"""The learning-rate schedules by name."""

MASKS: dict[str, str] = {
    "dynamic": "the weights that are smallest at each step are 0 and have no gradient",
    "frozen": "weights chosen at random stay at their initial values",
    "random": "weights chosen at random are 0 for good",
    "static": "the smallest initial weights are 0 for good",
    "straight_through": "the weights that are smallest at each step are 0, but the gradient reaches them",
}
"""The masks of sparse weights by name."""

ACTIVATIONS = ("elu", "erf", "gelu", "identity", "relu", "sigmoid", "tanh")
BATCHES = ("shared", "per_seed")
CUTS = ("keep-leading", "remove-leading")
ORDERS = ("importance", "weight", "size", "random")
PRECISIONS = ("float32", "tf32", "bfloat16", "float64")
PRUNE_SCORES = ("eigenvalue", "eigenvector", "incoming", "throughput", "random", "weights")
