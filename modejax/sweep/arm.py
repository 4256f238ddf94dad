"""An arm: a network, its grid and its optimiser. A sweep has one or several arms. Nothing here imports JAX."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from modejax.errors import InputError, choices
from modejax.names import ACTIVATIONS, LAYERS, MASKS, NETWORKS, OPTIMISERS, SCHEDULES
from modejax.sweep.axes import AXES, Axis, axis_names
from modejax.sweep.parsing import (
    a_flag,
    an_integer,
    are_given,
    integers,
    listed,
    numbers,
    one_of,
    parse_options,
    percentages,
)

__all__ = ["Arm", "option_texts"]

ActivationName = Literal["elu", "erf", "gelu", "identity", "relu", "sigmoid", "tanh"]
MaskName = Literal["none", "dynamic", "frozen", "random", "static", "straight_through"]

_DEFAULT_MODES = (2, 5, 10, 20)
_DEFAULT_WIDTHS = (16, 32, 64)

_TAKEN = frozenset(
    (
        "arm",
        "at",
        "epoch",
        "features",
        "hidden_layer",
        "image_shape",
        "kept",
        "map_name",
        "mode",
        "node",
        "node_ranking",
        "outputs",
        "params",
        "percentile",
        "precision",
        "removal",
        "scale",
        "score",
        "status",
        "targets",
        "truncation_epoch",
    )
)
"""Names that an axis of the user cannot have: dimensions of results, attributes of `Trained`, arguments of
factories."""


def option_texts(options: Any) -> tuple[str, ...]:
    """Return options as texts `name=value`, from such texts or from a mapping.

    Example:
        >>> option_texts({"bias": True, "gauge": "scaled"})
        ('bias=true', 'gauge=scaled')
    """
    if isinstance(options, Mapping):
        return tuple(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in options.items())
    if isinstance(options, str):
        return (options,)
    return tuple(str(each) for each in listed("options", options, "texts name=value"))


@dataclasses.dataclass(frozen=True)
class Arm:
    """A named part of a sweep: a network, the grid of its members, and how they are trained.

    Example:
        >>> Arm(layer="dense", widths=(50,)).modes
        (0,)
    """

    name: str = ""
    """Name of this arm in the results; by default made from the names of network and layer."""
    network: str = "mlp"
    """Architecture: mlp, residual, conv (images), tied (shared patterns), sparcs (one spectral operator)."""
    network_options: tuple[str, ...] = ()
    """Options of the architecture as name=value: window=3, strides=1, norm=layer, groups=2, pool=max (conv)."""
    layer: str = "mode"
    """Parametrisation of the weight maps: dense, low_rank, mode, spectral, svd."""
    layer_options: tuple[str, ...] = ()
    """Options of the layer as name=value: gauge=scaled (mode), start=released (low_rank), variant=svd (spectral). The
    variants of spectral: single_set, single_set_unit, input_only, two_set (by default), two_set_released,
    qr_triangular, qr_full, svd, svd_released."""
    bias: bool = False
    """Give every map a trained bias; for the biases that dense and spectral layers have themselves, see the layer
    option use_bias."""
    widths: tuple[int, ...] = _DEFAULT_WIDTHS
    """Units in each hidden layer, or channels of each convolution. With depth 0 there is no hidden layer: leave widths
    out."""
    modes: tuple[int, ...] | None = None
    """Numbers of modes in each map; by default 2 5 10 20, or full rank for svd. dense, sparcs and spectral take
    none."""
    depth: int = 2
    """Number of hidden layers, or of convolutions; 0: one map from inputs to outputs."""
    activation: ActivationName = "relu"
    """Activation of the hidden layers."""
    learning_rates: tuple[float, ...] = (0.005,)
    """Learning rates; an axis of the grid."""
    weight_decays: tuple[float, ...] = (1e-3,)
    """Coefficients of decoupled weight decay, which is multiplied by the learning rate; an axis of the grid."""
    sparsities: tuple[float, ...] = ()
    """Percentages of the weights of each map that the mask removes; an axis of the grid, needs mask."""
    train_examples: tuple[int, ...] = ()
    """Numbers of training examples; an axis of the grid. Each network draws its batches from its own subset."""
    label_noise: tuple[float, ...] = ()
    """Shares of the training labels, from 0 to 1, that are replaced by wrong ones; an axis of the grid."""
    axes: tuple[str, ...] = ()
    """Further axes of the grid as name=value,value, for a network of your own, whose factory has arguments of these
    names."""
    mask: MaskName = "none"
    """Sparse weights: dynamic, static, random, straight_through, or frozen (at their initial values instead of 0)."""
    mask_after: int = 0
    """Epochs trained without the mask, for dynamic and straight_through; the rest is trained with it."""
    optimiser: str = "adam"
    """Optimiser: adam (AdamW), adamax, sgd, or the name of another one of optax; all with decoupled weight decay."""
    optimiser_options: tuple[str, ...] = ()
    """Arguments of the optax optimiser as name=value: nesterov=true, b1=0.9."""
    momentum: float = 0.0
    """Momentum of sgd."""
    schedule: Literal["constant", "halving", "cosine", "linear"] = "constant"
    """Learning-rate schedule: constant, halving (with halve-every), cosine or linear."""
    halve_every: int = 0
    """Epochs between halvings of the learning rate; 0: never."""
    warm_up: float = 0.0
    """Epochs at the start over which the learning rate rises linearly."""
    penalty: Literal["decoupled", "loss"] = "decoupled"
    """Where penalties of the layer act: on the parameters, apart from the gradient step (decoupled), or in the loss, as
    in Keras."""

    def __post_init__(self) -> None:
        """Convert the fields to their canonical form and check them."""
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        for what in ("network", "layer", "optimiser"):
            put(f"{what}_options", option_texts(getattr(self, f"{what}_options")))
            parse_options(getattr(self, f"{what}_options"), what)
        one_of("network", self.network, (*NETWORKS, "custom"))
        one_of("layer", self.layer, (*LAYERS, "custom"))
        one_of("optimiser", self.optimiser, (*OPTIMISERS, "custom"))
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("mask", self.mask, ("none", *MASKS))
        one_of("penalty", self.penalty, ("decoupled", "loss"))
        one_of("schedule", self.schedule, SCHEDULES)
        for name in ("depth", "mask_after", "halve_every"):
            put(name, an_integer(name, getattr(self, name), 0))
        put("widths", self._allowed_widths())
        put("modes", self._allowed_modes())
        put("learning_rates", numbers("learning_rates", self.learning_rates, positive=True))
        put("weight_decays", numbers("weight_decays", self.weight_decays, positive=False))
        put("sparsities", percentages("sparsities", self.sparsities))
        put("train_examples", integers("train_examples", self.train_examples) if are_given(self.train_examples) else ())
        put("label_noise", numbers("label_noise", self.label_noise, positive=False, some=False))
        if any(share > 1 for share in self.label_noise):
            raise InputError(f"label_noise must be shares from 0 to 1, got {list(self.label_noise)}")
        put("axes", self._allowed_axes())
        self._check_masks()
        self._check_training()
        put("bias", a_flag("bias", self.bias))
        if not isinstance(self.name, str):
            raise InputError(f"the name of an arm is a text, got {self.name!r}")
        if self.name and not self.name.replace("_", "").replace("-", "").isalnum():
            raise InputError(f"the name of an arm has letters, digits, - and _ only, got {self.name!r}")

    def _allowed_widths(self) -> tuple[int, ...]:
        """Return the widths; without hidden layers the only entry is 0."""
        if self.depth:
            return integers("widths", self.widths)
        if self.network not in ("mlp", "custom"):
            raise InputError(f"depth 0 is for mlp alone, got network={self.network!r}; give a depth of at least 1")
        if tuple(self.widths) not in ((0,), _DEFAULT_WIDTHS):
            raise InputError(f"depth 0 has no hidden layers, got widths={self.widths!r}; leave widths out")
        return (0,)

    @property
    def label(self) -> str:
        """The name of the arm; if it is empty, the default made from layer and network."""
        if self.name or self.network == "custom":
            return self.name or "custom"
        own = self.layer if NETWORKS[self.network].layers else self.network
        return own if self.network in ("mlp", "tied", "sparcs") else f"{self.network}_{self.layer}"

    @property
    def takes_modes(self) -> Literal["none", "optional", "required"]:
        """Whether the network takes a number of modes; `optional` if a custom network or layer decides."""
        kind = NETWORKS[self.network].modes if self.network != "custom" else "optional"
        if kind == "layer":
            return LAYERS[self.layer].takes_modes if self.layer != "custom" else "optional"
        return kind

    def _allowed_modes(self) -> tuple[int, ...]:
        takes = self.takes_modes
        if self.modes is None:
            return _DEFAULT_MODES if takes == "required" else (0,)
        if takes == "none" and tuple(self.modes) != (0,):
            what = f"the layer {self.layer}" if NETWORKS[self.network].layers else f"the network {self.network}"
            raise InputError(f"{what} has no modes, got modes={self.modes!r}; leave modes out")
        return integers("modes", self.modes, 0 if takes != "required" else 1)

    def _allowed_axes(self) -> tuple[str, ...]:
        given = self.axes
        if isinstance(given, Mapping):
            given = [
                f"{name}={','.join(str(value) for value in listed(f'the axis {name}', values, 'numbers'))}"
                for name, values in given.items()
            ]
        texts = option_texts(given)
        for name, _ in self._own_axes(texts):
            if not name.isidentifier() or name in _TAKEN.union(axis_names()) or hasattr(Arm, name):
                raise InputError(f"an axis of your own needs a name that is no other's, got {name!r}; choose another")
        return texts

    @staticmethod
    def _own_axes(texts: tuple[str, ...]) -> list[tuple[str, tuple[float, ...]]]:
        found: dict[str, tuple[float, ...]] = {}
        for text in texts:
            name, equals, values = text.partition("=")
            if not equals or name in found:
                raise InputError(f"an axis is written once as name=value,value, for example gain=0.5,1; got {text!r}")
            found[name] = numbers(f"the axis {name}", values.split(","), positive=False, signed=True)
        return list(found.items())

    def _check_masks(self) -> None:
        if bool(self.sparsities) != (self.mask != "none"):
            raise InputError(
                f"a mask and its sparsities go together, got mask={self.mask!r} and sparsities={self.sparsities}; "
                f"give a mask of {choices(MASKS)} and percentages, or neither"
            )
        if self.mask_after and self.mask not in ("dynamic", "straight_through"):
            raise InputError(
                f"mask_after {self.mask_after} needs a mask that follows the weights (dynamic, straight_through), "
                f"got mask={self.mask!r}"
            )
        if self.mask != "none" and not NETWORKS.get(self.network, NETWORKS["mlp"]).layers:
            raise InputError(f"the network {self.network} shares factors between its maps and takes no mask")

    def _check_training(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        for name in ("momentum", "warm_up"):
            put(name, numbers(name, (getattr(self, name),), positive=False)[0])
        if self.momentum >= 1:
            raise InputError(f"momentum must be from 0 to below 1, got {self.momentum!r}")
        if self.momentum and self.optimiser != "sgd":
            raise InputError(f"momentum belongs to sgd, got optimiser={self.optimiser!r}; leave momentum out")
        if self.halve_every and self.schedule == "constant":
            put("schedule", "halving")
        if bool(self.halve_every) != (self.schedule == "halving"):
            raise InputError(
                f"halve_every and the schedule halving go together, got halve_every={self.halve_every} and "
                f"schedule={self.schedule!r}"
            )
        if self.network == "custom":
            return
        unknown = set(parse_options(self.network_options)) - set(NETWORKS[self.network].options)
        if unknown:
            allowed = choices(NETWORKS[self.network].options) or "none"
            raise InputError(f"unknown option {min(unknown)!r} of the network {self.network}; allowed: {allowed}")
        if self.layer_options and not NETWORKS[self.network].layers:
            raise InputError(f"the network {self.network} has no layers to choose; leave layer_options out")

    def grid_axes(self, seeds: tuple[int, ...]) -> list[tuple[Axis, tuple[Any, ...]]]:
        """Return the axes of the arm's grid with their values, in the order of the grid.

        Args:
            seeds: the seeds of the sweep.

        Returns:
            The axes of the results, each with its values; the members are the product of the values.

        Example:
            >>> [(axis.name, len(values)) for axis, values in Arm(layer="dense").grid_axes((0, 1))]
            [('width', 3), ('modes', 1), ('seed', 2), ('learning_rate', 1), ('weight_decay', 1)]
        """
        found = []
        for axis in AXES:
            values = seeds if axis.kind == "seed" else getattr(self, axis.field)
            if values or axis.always:
                found.append((axis, tuple(values)))
        own = [
            (Axis(name, "axes", "number", False, name, network=True), values)
            for name, values in self._own_axes(self.axes)
        ]
        return [*found, *own]
