"""The arms of a plan: each is checked against the data set and has static facts and a grid of members."""

from __future__ import annotations

import dataclasses

from modejax.data import Dataset
from modejax.errors import InputError
from modejax.networks.base import Chain
from modejax.sweep.arm import Arm
from modejax.sweep.config import SweepConfig
from modejax.sweep.cost import longest_modes
from modejax.sweep.members import Members, grid_members
from modejax.sweep.spec import ArmSpec, Custom, network_spec, optimiser_of

__all__ = ["PlannedArm", "planned_arm", "trained_parameters", "training_examples"]


@dataclasses.dataclass(frozen=True)
class PlannedArm:
    """An arm of a plan."""

    arm: Arm
    spec: ArmSpec
    members: Members

    @property
    def name(self) -> str:
        """The name of the arm."""
        return self.arm.name


def training_examples(config: SweepConfig, dataset: Dataset) -> tuple[int, int]:
    """Return how many training examples are held out and how many are left."""
    held_out = round(config.validation * len(dataset.y_train))
    left = len(dataset.y_train) - held_out
    if config.validation and not (held_out and left):
        raise InputError(
            f"validation {config.validation:g} leaves {left} of the {len(dataset.y_train)} training examples of "
            f"{dataset.name} to train on and {held_out} to choose by; give a share that leaves some of both"
        )
    if config.batch_size > left:
        beside = f" left beside {held_out} for validation" if held_out else ""
        raise InputError(
            f"batch_size {config.batch_size} is larger than the {left} training examples of {dataset.name}{beside}; "
            f"allowed: 1 to {left}"
        )
    for arm in config.all_arms:
        if arm.train_examples and max(arm.train_examples) > left:
            raise InputError(
                f"train_examples names {max(arm.train_examples)}, but {dataset.name} has {left} to train on; "
                f"allowed: 1 to {left}"
            )
        if arm.label_noise and dataset.targets == "values":
            raise InputError(f"label_noise replaces labels, but the targets of {dataset.name} are real values")
    return held_out, left


def planned_arm(config: SweepConfig, index: int, arm: Arm, dataset: Dataset, custom: Custom) -> PlannedArm:
    """Return an arm with its members and the static facts of its part of the program.

    Args:
        config: the sweep.
        index: the index of the arm; the options about curves apply to the first arm.
        arm: the arm.
        dataset: the data of the sweep.
        custom: network, layer, optimiser and loss that the user passed from Python.

    Returns:
        The arm.

    Raises:
        InputError: if `kept` has more modes than a member has, or nodes are to be pruned in a network that is no chain
            of maps.
    """
    network = network_spec(
        arm, config.precision, dataset.num_features, dataset.num_outputs, dataset.image_shape, custom
    )
    members = grid_members(arm, config.seed_numbers)
    basic = {"width", "modes", "seed", "learning_rate", "weight_decay"}
    numbers = tuple(name for name in members.dims if name not in basic)
    to_network = tuple(axis.name for axis, _ in members.axes if axis.network)
    largest = max(arm.widths), max(arm.modes or (0,))
    first = tuple(sorted(members.numbers(0, to_network).items()))
    most = longest_modes(network, *largest, first)
    kept = (config.kept or tuple(range(most + 1))) if most else ()
    if kept and kept[-1] > most and index == 0:
        raise InputError(f"kept names {kept[-1]} modes, but no member has more than {most}; allowed: 0 to {most}")
    # A custom layer may have the parameters of a spectral layer.
    eigenvalues = set() if arm.layer in ("spectral", "custom") else {"eigenvalue", "eigenvector"}
    nodes = set(config.prune) - {"weights"} if not arm.depth else set()
    made = network.build(*largest, **dict(first))
    if config.prune and arm.network == "custom" and not isinstance(made, Chain):
        raise InputError(
            f"pruning curves drop nodes between the maps of a chain, and {type(made).__name__} is none "
            "(modejax.networks.Chain); leave prune out"
        )
    left_out = set(config.prune) if arm.network == "sparcs" else eigenvalues | nodes
    spec = ArmSpec(
        name=arm.name,
        network=network,
        optimiser=optimiser_of(arm, custom),
        schedule=arm.schedule,
        warm=arm.warm_up > 0,
        penalty=arm.penalty,
        mask_after=arm.mask_after,
        numbers=numbers,
        to_network=to_network,
        example_numbers=first,
        kept=tuple(k for k in kept if k <= most),
        pruned=tuple(name for name in config.prune if name not in left_out),
        ranked=index == 0,
    )
    return PlannedArm(arm, spec, members)


def trained_parameters(arm: PlannedArm) -> int:
    """Return the number of trained parameters of all members of an arm."""
    members, names = arm.members, arm.spec.to_network
    counts: dict[tuple, int] = {}
    total = 0
    for member in range(len(members)):
        numbers = members.numbers(member, names)
        size = int(members["width"][member]), int(members["modes"][member])
        kind = (*size, *numbers.values())
        if kind not in counts:
            counts[kind] = arm.spec.network.build(*size, **numbers).num_parameters()
        total += counts[kind]
    return total
