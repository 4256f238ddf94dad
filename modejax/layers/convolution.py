"""The geometry of a convolution, and the convolution itself, shared by its parametrisations.

Channels come first: one example has the shape (channels, *space), a kernel (channels_out, channels_in, *window). By
convolution the cross-correlation of deep learning is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from jax import lax
from jaxtyping import Array, Float

from modejax.errors import InputError

__all__ = ["Geometry", "Padding", "convolve", "geometry", "places"]

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]
"""`SAME` keeps the size (at stride 1), `VALID` adds nothing, pairs add (before, behind) along each dimension."""


class Geometry(NamedTuple):
    """Where the window of a convolution goes; one entry a dimension of space."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...]
    kernel_dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]


def geometry(
    window: Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    kernel_dilation: int | Sequence[int] = 1,
    input_dilation: int | Sequence[int] = 1,
) -> Geometry:
    """Check the sizes of a convolution and write single numbers out for each dimension.

    Args:
        window: the size of the kernel along each dimension of space, for example (3, 3).
        strides: steps of the window.
        padding: see `Padding`.
        kernel_dilation: steps between the places of the window.
        input_dilation: steps between the entries of the input, zeros between them.

    Returns:
        The geometry.

    Raises:
        InputError: if one of them is not allowed.

    Example:
        >>> geometry((3, 3), strides=2).strides
        (2, 2)
    """
    window = tuple(window)
    if not window or not all(_is_size(n) for n in window):
        raise InputError(f"the window must be integers of at least 1, one for each dimension of space, got {window!r}")
    named = {"strides": strides, "kernel_dilation": kernel_dilation, "input_dilation": input_dilation}
    each = {}
    for name, value in named.items():
        each[name] = (value,) * len(window) if isinstance(value, int) else tuple(value)
        if len(each[name]) != len(window) or not all(_is_size(n) for n in each[name]):
            raise InputError(
                f"{name} must be an integer of at least 1, or {len(window)} of them, one a dimension, got {value!r}"
            )
    if not isinstance(padding, str):
        padding = tuple(tuple(pair) for pair in padding)  # pyright: ignore[reportAssignmentType]
        if len(padding) != len(window) or not all(len(p) == 2 and all(isinstance(n, int) for n in p) for p in padding):
            raise InputError(f"padding must be SAME, VALID or {len(window)} pairs (before, behind), got {padding!r}")
    elif padding not in ("SAME", "VALID"):
        raise InputError(f"unknown padding {padding!r} of a convolution; allowed: SAME, VALID, or pairs of integers")
    return Geometry(window, each["strides"], padding, each["kernel_dilation"], each["input_dilation"])  # pyright: ignore


def convolve(
    where: Geometry, kernel: Float[Array, "channels_out channels_in ..."], x: Float[Array, "channels_in ..."]
) -> Float[Array, "channels_out ..."]:
    """Convolve one example with a kernel."""
    return lax.conv_general_dilated(
        x[None],
        kernel,
        where.strides,
        where.padding,
        lhs_dilation=where.input_dilation,
        rhs_dilation=where.kernel_dilation,
    )[0]


def places(where: Geometry, space: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the output's space for an input's.

    Example:
        >>> places(geometry((3, 3), strides=2), (28, 28))
        (14, 14)
    """
    wide = [(n - 1) * d + 1 for n, d in zip(space, where.input_dilation, strict=True)]
    reach = [(n - 1) * d + 1 for n, d in zip(where.window, where.kernel_dilation, strict=True)]
    if where.padding == "SAME":
        return tuple(-(-n // stride) for n, stride in zip(wide, where.strides, strict=True))
    added = [0] * len(wide) if isinstance(where.padding, str) else [sum(pair) for pair in where.padding]
    return tuple(
        (n + more - m) // stride + 1 for n, more, m, stride in zip(wide, added, reach, where.strides, strict=True)
    )


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
