"""Losses of one example and what counts as a right answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

__all__ = ["LOSSES", "Loss", "cross_entropy", "squared_error"]


class Loss(NamedTuple):
    """A loss and its decision.

    Attributes:
        value: `(logits, label) -> scalar` for one example.
        correct: `(logits, label) -> bool` for one example.
    """

    value: Callable[[Float[Array, " outputs"], Int[Array, ""]], Float[Array, ""]]
    correct: Callable[[Float[Array, " outputs"], Int[Array, ""]], Bool[Array, ""]]


cross_entropy = Loss(
    value=optax.softmax_cross_entropy_with_integer_labels,
    # argmax takes the first of equal logits.
    correct=lambda logits, label: jnp.argmax(logits).astype(label.dtype) == label,
)
"""Softmax cross-entropy in nats for labels 0 ... classes - 1; the decision is the largest logit."""

squared_error = Loss(
    value=lambda outputs, label: 0.5 * jnp.sum((outputs - label.astype(outputs.dtype)) ** 2),
    correct=lambda outputs, label: jnp.sign(outputs[0]) == label.astype(outputs.dtype),
)
"""0.5 (output - label)^2 for labels -1 and +1; the decision is the sign, and an output of exactly 0 is wrong."""

LOSSES: dict[str, Loss] = {
    "classes": cross_entropy,
    "signs": squared_error,
    # Real numbers have no right answers.
    "values": squared_error._replace(correct=lambda outputs, label: jnp.zeros((), bool)),
}
"""The loss for each kind of `Dataset.targets`."""
