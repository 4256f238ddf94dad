"""Learning-rate schedules as factors of the learning rate, computed from traced numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = ["Moment", "rate_at"]


class Moment(NamedTuple):
    """The position of a step in the training; all numbers are traced."""

    epoch: Int[Array, ""]  # from 0
    step: Int[Array, ""]  # within the epoch, from 0
    epochs: Int[Array, ""]  # of the whole training


def rate_at(
    schedule: str,
    rate: Float[Array, ""],
    moment: Moment,
    steps: int,
    *,
    every: Int[Array, ""],
    warm_up: Float[Array, ""] | None = None,
) -> Float[Array, ""]:
    """Return the learning rate of a step.

    Args:
        schedule: constant; halving, rate 0.5^floor(epoch / every); cosine, rate (1 + cos(pi t)) / 2; linear,
            rate (1 - t). t is the share of all steps that are done, from 0 to below 1.
        rate: the learning rate before the schedule, shape ().
        moment: the position of the step in the training.
        steps: number of steps in an epoch.
        every: epochs between halvings, shape (); 0 means never. Other schedules ignore it.
        warm_up: epochs over which the rate is multiplied by (s + 1) / S, where s of S steps are done, in addition to
            the schedule, shape (); None for no warm-up.

    Returns:
        The learning rate, shape ().

    References:
        Cosine: Loshchilov and Hutter, arXiv 1608.03983, without restarts.

    Example:
        >>> moment = Moment(jnp.int32(5), jnp.int32(0), jnp.int32(10))
        >>> [float(rate_at(name, jnp.float32(0.5), moment, 7, every=jnp.int32(2))) for name in ("halving", "linear")]
        [0.125, 0.25]
    """
    if schedule == "halving":
        halvings = jnp.where(every > 0, moment.epoch // jnp.maximum(every, 1), 0)
        rate = rate * jnp.exp2(-halvings.astype(rate.dtype))
    elif schedule in ("cosine", "linear"):
        done = (moment.epoch * steps + moment.step).astype(rate.dtype) / (moment.epochs * steps).astype(rate.dtype)
        rate = rate * ((1 + jnp.cos(jnp.pi * done)) / 2 if schedule == "cosine" else 1 - done)
    if warm_up is None:
        return rate
    rising: Any = (moment.epoch * steps + moment.step + 1).astype(rate.dtype) / jnp.maximum(warm_up * steps, 1)
    return rate * jnp.minimum(rising, 1)
