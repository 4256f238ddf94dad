"""Built-in networks by name, from the facts of a data set and names and options that a user gave."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from modejax.errors import InputError, choices
from modejax.extent import Extent
from modejax.layers.base import Family
from modejax.layers.registry import family_options, family_type, make_family
from modejax.names import NETWORKS
from modejax.networks.base import Network
from modejax.networks.conv import conv
from modejax.networks.mlp import mlp
from modejax.networks.residual import residual
from modejax.networks.sparcs import sparcs
from modejax.networks.tied import tied

__all__ = ["Facts", "make_network", "takes_modes"]

Size = int | Extent


class Facts(NamedTuple):
    """The facts from which a built-in network is made.

    Attributes:
        features: number of inputs of the data set.
        outputs: number of outputs that its targets need.
        image_shape: the shape of an example before it was flattened; None if it is no image.
        depth: number of hidden layers, or of convolutions.
        activation: name of the activation.
        layer: the name of a family, or a custom family.
        layer_options: options of the family by name.
        options: options of the network by name.
        wrap: function that adds bias and mask to a family.
    """

    features: int
    outputs: int
    image_shape: tuple[int, ...] | None
    depth: int
    activation: str
    layer: str | Family
    layer_options: Mapping[str, Any]
    options: Mapping[str, Any]
    wrap: Callable[[Family], Family]

    def family(self) -> Family:
        """Return the family of the maps."""
        if not isinstance(self.layer, str):
            return self.wrap(self.layer)
        return self.wrap(make_family(self.layer, self.layer_options))

    def sizes(self, width: Size) -> tuple[Size, ...]:
        """Return the units of all layers."""
        return (self.features, *(width,) * self.depth, self.outputs)


def make_network(name: str, facts: Facts, width: Size, modes: Size | None) -> Network:
    """Make a built-in network.

    Args:
        name: a name of `modejax.names.NETWORKS`.
        facts: the facts from which it is made.
        width: units in each hidden layer, or channels of each convolution.
        modes: modes in each map; None for none or full rank.

    Returns:
        The network.

    Raises:
        InputError: if an option is not allowed.
    """
    module, _, function = NETWORKS[name].target.partition(":")
    return getattr(importlib.import_module(module), function)(facts, width, modes)


def build_mlp(facts: Facts, width: Size, modes: Size | None) -> Network:
    """Make a perceptron."""
    return mlp(facts.sizes(width), facts.family(), modes, facts.activation)


def build_residual(facts: Facts, width: Size, modes: Size | None) -> Network:
    """Make a perceptron with skip connections."""
    return residual(facts.sizes(width), facts.family(), modes, facts.activation)


def build_tied(facts: Facts, width: Size, modes: Size | None) -> Network:
    """Make a network that shares patterns between its maps."""
    return tied(facts.sizes(width), modes, facts.activation)


def build_sparcs(facts: Facts, width: Size, modes: Size | None) -> Network:
    """Make a network whose maps come from one spectral operator."""
    del modes
    return sparcs(facts.sizes(width), facts.activation, **facts.options)


def build_conv(facts: Facts, width: Size, modes: Size | None) -> Network:
    """Make a convolutional network; the convolutions and the map to the outputs are of the same family."""
    shape = facts.image_shape
    if shape is None:
        raise InputError(
            f"a convolutional network needs images, got rows of {facts.features} features; give a data set of images "
            "(x_train of shape (examples, height, width[, channels])) or another network"
        )
    if len(shape) == 2:
        shape = (*shape, 1)
    if not isinstance(facts.layer, str):
        raise InputError("a layer of your own has no convolutions; give a network of your own, or name a layer")
    options = dict(facts.options)
    window, strides = options.pop("window", 3), options.pop("strides", 1)
    known = [set(family_options(family_type(facts.layer, convolution=each))) for each in (True, False)]
    for name in facts.layer_options:
        if name not in known[0] | known[1]:
            raise InputError(
                f"unknown option {name!r} of the layer {facts.layer}; allowed: {choices(known[0] | known[1])}"
            )
    gauge = facts.layer_options.get("gauge", "plain")
    if "gauge" not in known[0] and gauge != "plain":
        raise InputError(
            f"convolutions of {facts.layer} layers have the plain gauge alone, got gauge={gauge}; "
            "leave it out, or take a network without convolutions"
        )
    given, rest = ({k: v for k, v in facts.layer_options.items() if k in names} for names in known)
    given |= {"strides": strides}
    family = facts.wrap(make_family(facts.layer, given, window=(window,) * (len(shape) - 1)))
    head = facts.wrap(make_family(facts.layer, rest))
    return conv(shape, (width,) * facts.depth, facts.outputs, family, head, modes, facts.activation, **options)


def takes_modes(network: Network) -> bool:
    """Return whether any map of a network is a sum of modes."""
    import jax

    shapes = jax.eval_shape(lambda: network.modes(network.init(jax.random.key(0))))
    return any(each is not None for each in shapes)
