"""Helpers of the checks of a family: report, inputs, a loss, and the comparison of numbers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from modejax.layers.base import Family, LayerParams
from modejax.layers.convolution import ConvFamily

__all__ = [
    "CLOSE",
    "FEW",
    "MANY",
    "MORE",
    "Report",
    "StopError",
    "difference",
    "inputs",
    "loss_of",
    "moved",
    "moving",
    "named",
    "quick",
]

CLOSE = 1e-8
"""Relative difference up to which two float64 numbers count as equal."""
MORE = (3, 4, 2)
"""Padding of inputs, outputs and modes."""
FEW, MANY = 4, 60
"""Numbers of rows with which a family is applied, since it may choose its method by the number of rows."""


quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""`jax.jit` without optimisation: drawing initial values compiles in a fifth of the time, and runs only once."""


class StopError(Exception):
    """Raised when the checks cannot go on; the message is already in the report."""


class Report(NamedTuple):
    messages: list[str]

    def say(self, message: str) -> None:
        if message not in self.messages:
            self.messages.append(message)

    def stop(self, message: str) -> NoReturn:
        self.say(message)
        raise StopError

    def call(self, what: str, function: Callable[[], Any], hint: str = "") -> Any:
        """Return the value of a call; an exception becomes a message in the report."""
        try:
            return function()
        except StopError:
            raise
        except Exception as error:
            first = (str(error).strip().splitlines() or ["no message"])[0]
            self.say(f"{what} raised {type(error).__name__}: {first}{'; ' * bool(hint)}{hint}")
            raise StopError from error

    def attempt(self, check: Callable[..., None], *arguments: Any) -> None:
        """Run one check to its end or its first exception."""
        with contextlib.suppress(StopError):
            self.call(f"the check of {check.__name__.strip('_')}", lambda: check(self, *arguments))


def inputs(family: Family, kernel: Any, fan_in: int, batch: tuple[int, ...]) -> jax.Array:
    """Draw inputs with the leading axes of `batch`; images are a little larger than the window."""
    space = tuple(n + 3 for n in kernel.shape[2:])
    if isinstance(family, ConvFamily):
        where = family.where
        space = tuple((n - 1) * d + 4 for n, d in zip(where.window, where.kernel_dilation, strict=True))
    return jnp.asarray(np.random.default_rng(5).normal(size=(*batch, *space, fan_in)))


def moved(family: Family, params: LayerParams) -> LayerParams:
    """Return parameters slightly different from the initial ones, so that also biases are not 0."""
    rng = np.random.default_rng(6)

    def move(leaf: Any, moves: bool) -> Any:
        return leaf + 0.1 * jnp.asarray(rng.normal(size=leaf.shape)) if moves else leaf

    return jax.tree.map(move, params, family.trainable(params))


def moving(family: Family, params: LayerParams) -> list[tuple[str, Any]]:
    chosen = jax.tree.leaves(family.trainable(params))
    return [pair for pair, moves in zip(named(params), chosen, strict=True) if moves]


def loss_of(
    family: Family, params: LayerParams, x: jax.Array, outputs: int = -1
) -> tuple[list[Any], Callable[[list[Any]], jax.Array]]:
    """Return the trained leaves and a loss of them without symmetries, over the first outputs; -1 for all."""
    leaves, tree = jax.tree.flatten(params)
    chosen = jax.tree.leaves(family.trainable(params))

    def loss(moving: list[Any]) -> jax.Array:
        parts = iter(moving)
        full = tree.unflatten([next(parts) if moves else leaf for leaf, moves in zip(leaves, chosen, strict=True)])
        z = family.apply(full, x)
        z = z if outputs < 0 else z[..., :outputs]
        weight = jnp.asarray(np.random.default_rng(7).normal(size=z.shape))
        return jnp.sum(jnp.sin(z) * weight) + family.penalty(full)

    return [leaf for leaf, moves in zip(leaves, chosen, strict=True) if moves], loss


def named(params: LayerParams) -> list[tuple[str, Any]]:
    paths = jax.tree_util.tree_leaves_with_path(params)
    return [(jax.tree_util.keystr(path).lstrip("."), leaf) for path, leaf in paths]


def difference(one: Any, other: Any) -> float:
    """Return the largest difference, relative to the largest |entry| of the second argument if that is above 1."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.size == 0:
        return 0.0
    found = float(np.max(np.abs(one - other)) / max(1.0, float(np.max(np.abs(other)))))
    return found if np.isfinite(found) else float("inf")
