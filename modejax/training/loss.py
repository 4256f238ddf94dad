"""Losses of one example, the decision whether an answer is right, and sums of both over a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

__all__ = ["LOSSES", "Loss", "count_right", "cross_entropy", "squared_error", "sum_loss"]


class Loss(NamedTuple):
    """A loss, and the decision whether an answer is right.

    Attributes:
        value: `(outputs, target) -> scalar` for one example.
        correct: `(outputs, target) -> bool` for one example; None if answers are not right or wrong, as for real
            values.
    """

    value: Callable[[Float[Array, " outputs"], Array], Float[Array, ""]]
    correct: Callable[[Float[Array, " outputs"], Array], Bool[Array, ""]] | None = None


def _cross_entropy(logits: Float[Array, " classes"], label: Int[Array, ""]) -> Float[Array, ""]:
    """Return log sum exp(logits) - logits[label], shape (), of logits of shape (classes,).

    As `optax.softmax_cross_entropy_with_integer_labels`, but the logit of the label is selected by a comparison: the
    gradient of indexing is a scatter, which costs one or two extra kernels on accelerators.
    """
    logits = logits - jax.lax.stop_gradient(jnp.max(logits))
    chosen = jnp.arange(logits.shape[0], dtype=label.dtype) == label
    return jnp.log(jnp.sum(jnp.exp(logits))) - jnp.sum(jnp.where(chosen, logits, 0))


cross_entropy = Loss(
    value=_cross_entropy,
    # argmax takes the first of equal logits.
    correct=lambda logits, label: jnp.argmax(logits).astype(label.dtype) == label,
)
"""Softmax cross-entropy in nats for labels 0 ... classes - 1; the answer is the class of the largest logit."""

squared_error = Loss(
    value=lambda outputs, label: 0.5 * jnp.sum((outputs - label.astype(outputs.dtype)) ** 2),
    correct=lambda outputs, label: jnp.sign(outputs[0]) == label.astype(outputs.dtype),
)
"""0.5 (output - label)^2 for labels -1 and +1; the answer is the sign, and an output of exactly 0 is wrong."""

LOSSES: dict[str, Loss] = {
    "classes": cross_entropy,
    "signs": squared_error,
    "values": squared_error._replace(correct=None),
}
"""The loss for each kind of `Dataset.targets`."""


def count_right(
    loss: Loss, outputs: Float[Array, "rows outputs"], y: Array, counts: Bool[Array, " rows"]
) -> Int[Array, ""]:
    """Count the right answers over the rows that are no padding, shape (); 0 for a loss without a decision."""
    if loss.correct is None:
        return jnp.sum(jnp.zeros_like(counts), dtype=jnp.int32)
    return jnp.sum(jax.vmap(loss.correct)(outputs, y) & counts, dtype=jnp.int32)


def sum_loss(
    loss: Loss, outputs: Float[Array, "rows outputs"], y: Array, counts: Bool[Array, " rows"]
) -> Float[Array, ""]:
    """Sum the loss over the rows that are no padding, shape ()."""
    return jnp.sum(jnp.where(counts, jax.vmap(loss.value)(outputs, y), 0))
