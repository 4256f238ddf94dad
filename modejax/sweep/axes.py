"""The axes of a sweep's grid, each declared once. Nothing here imports JAX.

Plan, members, traced arrays, labels and coordinates loop over this list. A new axis needs an entry here, a field in
`modejax.sweep.arm.Arm`, and code that uses its values; an axis that is an argument of a network's factory needs no such
code.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

__all__ = ["AXES", "Axis", "axis_names"]


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of the grid.

    Attributes:
        name: name of the dimension of the results, and of the argument of a factory.
        field: name of the field of `Arm` that holds its values.
        kind: size, a padded extent; seed; number, a traced floating-point number; count, a traced integer.
        always: whether results have the dimension even if the arm gives no values.
        label: label of the axis in tables and figures.
        network: whether the value is passed to the network's factory.
    """

    name: str
    field: str
    kind: Literal["size", "seed", "number", "count"]
    always: bool
    label: str
    network: bool = False


AXES: tuple[Axis, ...] = (
    Axis("width", "widths", "size", True, "width"),
    Axis("modes", "modes", "size", True, "modes"),
    Axis("seed", "seeds", "seed", True, "seed"),
    Axis("learning_rate", "learning_rates", "number", True, "learning rate"),
    Axis("weight_decay", "weight_decays", "number", True, "weight decay"),
    Axis("sparsity", "sparsities", "number", False, "sparsity (%)", network=True),
    Axis("train_examples", "train_examples", "count", False, "training examples"),
    Axis("label_noise", "label_noise", "number", False, "label noise"),
)
"""The built-in axes in the order of the grid; axes that the user adds follow them."""


def axis_names() -> tuple[str, ...]:
    """Return the names of the built-in axes.

    Example:
        >>> axis_names()[:3]
        ('width', 'modes', 'seed')
    """
    return tuple(axis.name for axis in AXES)
