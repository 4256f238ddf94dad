"""From names to networks: a hashable record that builds a member's network at any sizes (`Extent`s)."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float

from modejax import layers
from modejax.errors import InputError, choices
from modejax.extent import Extent
from modejax.layers.base import Family
from modejax.networks.base import Network
from modejax.networks.precision import in_bfloat16
from modejax.networks.registry import Facts, make_network
from modejax.sweep.arm import Arm
from modejax.sweep.parsing import parse_options
from modejax.training.loss import Loss
from modejax.training.optimiser import Build, Optimiser

__all__ = ["ArmSpec", "BucketSpec", "Custom", "NetworkFactory", "NetworkSpec", "network_spec", "optimiser_of"]

NetworkFactory = Callable[..., Network]
"""A function that builds a custom network; its arguments are those it needs of width, modes, features, outputs,
image_shape and the axes of numbers."""

Number = float | Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class Custom:
    """Network, layer, optimiser and loss that the user passes from Python; None for each that the config names.

    Attributes:
        network: the factory of the first arm's network, see `NetworkFactory`.
        layer: the family (`layers.Family`) of the first arm's maps.
        optimiser: the optimiser of the first arm, see `modejax.training.optimiser.Build`.
        loss: the loss of all arms.
    """

    network: NetworkFactory | None = None
    layer: Family | None = None
    optimiser: Build | None = None
    loss: Loss | None = None


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """All static facts of the networks of an arm; widths and modes are passed to `build` as extents."""

    network: str | NetworkFactory
    network_options: tuple[tuple[str, Any], ...]
    layer: str | Family
    layer_options: tuple[tuple[str, Any], ...]
    features: int
    outputs: int
    image_shape: tuple[int, ...] | None
    depth: int
    activation: str
    precision: str
    bias: bool = False
    mask: str = "none"

    def build(self, width: int | Extent, modes: int | Extent, **numbers: Number) -> Network:
        """Make the network.

        Args:
            width: units in each hidden layer.
            modes: modes in each map; the integer 0 means full rank or none.
            **numbers: values on further axes of the grid by the name of the axis, such as the sparsity of the mask.

        Returns:
            The network, which computes in bfloat16 if that is the precision.

        Raises:
            InputError: if an option is unknown, or a custom factory has an argument that is not available.
        """
        count = modes or None  # pyright: ignore[reportAssignmentType]
        if isinstance(self.network, str):
            facts = Facts(
                self.features,
                self.outputs,
                self.image_shape,
                self.depth,
                self.activation,
                self.layer,
                dict(self.layer_options),
                dict(self.network_options),
                lambda family: self._wrapped(family, numbers.get("sparsity", 0.0)),
            )
            network = make_network(self.network, facts, width, count)
        else:
            network = self._of_user(width, count, numbers)
        return in_bfloat16(network) if self.precision == "bfloat16" else network

    def _wrapped(self, family: Family, sparsity: Number) -> Family:
        if self.bias:
            own = any(field.name == "use_bias" for field in dataclasses.fields(family))
            family = dataclasses.replace(family, use_bias=True) if own else layers.Biased(family)  # pyright: ignore
        return family if self.mask == "none" else layers.Masked(family, self.mask, sparsity)  # pyright: ignore

    def _of_user(self, width: int | Extent, modes: int | Extent | None, numbers: dict[str, Number]) -> Network:
        assert callable(self.network)
        offered = {
            "width": width,
            "modes": modes,
            "features": self.features,
            "outputs": self.outputs,
            "image_shape": self.image_shape,
            **numbers,
        }
        if isinstance(self.network, Network):
            raise InputError("network must be a function of width and modes that makes a network, got a network")
        parameters = inspect.signature(self.network).parameters.values()
        rest = any(each.kind is each.VAR_KEYWORD for each in parameters)
        named = [each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
        missing = [each.name for each in named if each.name not in offered and each.default is each.empty]
        if missing:
            raise InputError(
                f"the network's factory asks for {missing[0]!r}; it can have {choices(offered)}, or a number axis that "
                f"the config names (axes={{{missing[0]!r}: (...)}})"
            )
        asked = {each.name for each in named} | (set(numbers) if rest else set())
        made = self.network(**{name: value for name, value in offered.items() if name in asked})
        if isinstance(made, type) or not isinstance(made, Network):
            raise InputError(f"the network's factory must return a modejax.networks.Network, got {made!r}")
        return made


def network_spec(
    arm: Arm, precision: str, features: int, outputs: int, image_shape: tuple[int, ...] | None, custom: Custom
) -> NetworkSpec:
    """Return the static facts of the networks of an arm.

    Args:
        arm: the arm.
        precision: the precision of the sweep.
        features: number of inputs of the data set.
        outputs: number of outputs that its targets need.
        image_shape: the shape of an example before it was flattened; None if it is no image.
        custom: what the user passes from Python; used where the arm says `custom`.

    Returns:
        The record.

    Raises:
        InputError: if the arm says `custom` and nothing was given.
    """
    given: dict[str, Any] = {}
    for what in ("network", "layer"):
        name = getattr(arm, what)
        given[what] = getattr(custom, what) if name == "custom" else name
        if given[what] is None:
            raise InputError(
                f"the arm {arm.name!r} was made with a {what} of your own; give it again as {what}=..., from Python: "
                f"open_run(folder, {what}=...) or run_sweep(config, {what}=...)"
            )
    return NetworkSpec(
        network=given["network"],
        network_options=tuple(sorted(parse_options(arm.network_options, "network").items())),
        layer=given["layer"],
        layer_options=tuple(sorted(parse_options(arm.layer_options).items())),
        features=features,
        outputs=outputs,
        image_shape=image_shape,
        depth=arm.depth,
        activation=arm.activation,
        precision=precision,
        bias=arm.bias,
        mask=arm.mask,
    )


def optimiser_of(arm: Arm, custom: Custom) -> Optimiser:
    """Return the optimiser of an arm.

    Args:
        arm: the arm.
        custom: what the user passes from Python; used where the arm says `custom`.

    Returns:
        The optimiser.

    Raises:
        InputError: if the name or an option is unknown, or the arm says `custom` and nothing was given.
    """
    options = parse_options(arm.optimiser_options, "optimiser")
    if arm.momentum:
        options["momentum"] = arm.momentum
    if arm.optimiser != "custom":
        return Optimiser(arm.optimiser, tuple(sorted(options.items())))
    if custom.optimiser is None:
        raise InputError(f"the arm {arm.name!r} was made with an optimiser of your own; give it again as optimiser=...")
    return Optimiser(custom.optimiser, tuple(sorted(options.items())))


@dataclasses.dataclass(frozen=True)
class ArmSpec:
    """The static facts of an arm inside the compiled program."""

    name: str
    network: NetworkSpec
    optimiser: Optimiser
    schedule: str
    warm: bool  # whether there is a warm-up
    penalty: str
    mask_after: int
    numbers: tuple[str, ...]  # axes besides width, modes, seed, learning rate and weight decay
    to_network: tuple[str, ...]  # those of them that are passed to the network's factory
    example_numbers: tuple[tuple[str, float], ...]  # their values in the first member, for counts of arithmetic
    kept: tuple[int, ...]  # numbers of modes kept in its truncation curves; empty for none
    pruned: tuple[str, ...]  # scores by which pruning curves are taken
    ranked: bool  # whether the scores of all nodes are reported with them


@dataclasses.dataclass(frozen=True)
class BucketSpec:
    """The padded networks of a bucket in one launch."""

    arm: ArmSpec
    width: int
    modes: int
    members: int  # padding included
