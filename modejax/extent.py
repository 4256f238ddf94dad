"""A size inside a batched program: the padded capacity and the true, possibly traced, size."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from modejax.errors import InputError

__all__ = ["Extent", "as_extent", "own_size"]


@dataclasses.dataclass(frozen=True)
class Extent:
    """A number of units or modes, padded to a capacity.

    Arrays have the shape of the `capacity`; entries from `active` on are padding and are exactly 0. Scales and means
    use only `active`, so the results of a network do not depend on its padding.

    Attributes:
        capacity: the padded size, a Python int: part of the array shapes.
        active: the true size, at most `capacity`: a Python int, or a traced integer of shape ().

    Example:
        >>> Extent(capacity=4, active=3).mask.tolist()
        [True, True, True, False]
    """

    capacity: int
    active: int | Int[Array, ""]

    @property
    def mask(self) -> Bool[Array, " capacity"]:
        """True on the active entries, False on padding; shape (capacity,)."""
        return jnp.arange(self.capacity, dtype=jnp.int32) < jnp.asarray(self.active).astype(jnp.int32)

    @property
    def size(self) -> Float[Array, ""]:
        """The true size as a floating-point scalar, for scales and means."""
        # The barrier keeps the compiler from folding a known size into a constant: its own arithmetic rounds roots and
        # powers otherwise than the compiled program does for a traced size, and starts would differ in the last bit.
        return lax.optimization_barrier(jnp.asarray(self.active, dtype=jnp.result_type(float)))

    def known(self, what: str) -> int:
        """Return the true size as a Python int.

        Args:
            what: the name of the quantity that needs it, for the error message.

        Returns:
            The active size.

        Raises:
            InputError: if the size is traced.
        """
        if isinstance(self.active, Tracer):
            raise InputError(
                f"{what} needs sizes known before tracing, got a traced size of capacity {self.capacity}; "
                "call it outside jit and vmap with integers"
            )
        return int(self.active)


def as_extent(size: int | Extent) -> Extent:
    """Convert a size to an `Extent`: an `Extent` is returned unchanged, an integer gets no padding.

    Args:
        size: an `Extent`, or a positive integer.

    Returns:
        The size as an `Extent`.

    Raises:
        InputError: if the size is not a positive integer, or is larger than its capacity.

    Example:
        >>> as_extent(3)
        Extent(capacity=3, active=3)
    """
    if isinstance(size, Extent):
        capacity = _positive_integer(size.capacity, "the capacity of an Extent must be a positive integer", size)
        if isinstance(size.active, jax.Array):
            return size
        wrong = "the active size of an Extent must be an integer from 1 to its capacity"
        active = _positive_integer(size.active, wrong, size)
        if active > capacity:
            raise InputError(f"{wrong}, got {size!r}")
        return Extent(capacity, active)
    number = _positive_integer(size, "a size must be a positive integer or an Extent", size)
    return Extent(number, number)


def own_size(leaf: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Cut an array out of its padding.

    Args:
        leaf: an array with its padding at the end of each axis.
        shape: the shape without padding.

    Returns:
        The NumPy array of that shape.

    Example:
        >>> own_size([[1, 2, 0], [0, 0, 0]], (1, 2)).tolist()
        [[1, 2]]
    """
    return np.asarray(leaf)[tuple(slice(n) for n in shape)]


def _positive_integer(value: Any, allowed: str, given: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise InputError(f"{allowed}, got {given!r}")
    return number
