"""The geometry of a convolution, and the convolution itself, shared by its parametrisations.

Channels come last: examples have the shape (..., *space, channels). A kernel has the shape (channels_out, channels_in,
*window). "Convolution" means the cross-correlation of deep learning.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.backend import backend
from modejax.draws import normal_matrix, subkeys
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers.base import Family, count_rows, dense_is_cheaper

__all__ = [
    "ConvFamily",
    "Geometry",
    "Padding",
    "by_lax",
    "by_patches",
    "by_places",
    "convolve",
    "draw_filters",
    "geometry",
    "kernel_is_cheaper",
    "places",
]

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]
"""`SAME` keeps the size (at stride 1; for a dilated input, the size with the inserted zeros), `VALID` adds no padding,
pairs (before, after) give the padding along each dimension."""


class Geometry(NamedTuple):
    """The geometry of a convolution; one entry for each spatial dimension."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...]
    kernel_dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class ConvFamily(Family):
    """A family of convolutions: `fan_in` and `fan_out` are channels, and x has the shape (..., *space, channels_in).

    Subclasses define `init` and `kernel`; a size given as one number is used for each spatial dimension.

    Attributes:
        window: the size of the kernel along each spatial dimension, for example (3, 3).
        strides: steps of the window, one number or one for each dimension.
        padding: `SAME` keeps the size (at stride 1), `VALID` adds no padding, pairs (before, after) give the padding,
            one pair for each dimension.
        kernel_dilation: steps between the places of the window.
        input_dilation: steps between the entries of the input, zeros between them.

    Raises:
        InputError: if a size of the geometry is not allowed.
    """

    window: Sequence[int]
    _: dataclasses.KW_ONLY
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    kernel_dilation: int | Sequence[int] = 1
    input_dilation: int | Sequence[int] = 1

    def __post_init__(self) -> None:
        """Check the geometry and bring it to one form, so that families with the same geometry compare equal."""
        found = geometry(self.window, self.strides, self.padding, self.kernel_dilation, self.input_dilation)
        for name, value in found._asdict().items():
            object.__setattr__(self, name, value)

    @property
    def where(self) -> Geometry:
        """The geometry: window, strides, padding and dilations."""
        return Geometry(self.window, self.strides, self.padding, self.kernel_dilation, self.input_dilation)  # pyright: ignore

    @property
    def places(self) -> int:
        """The number of entries of the window."""
        return math.prod(self.window)

    @property
    def space(self) -> int:
        """The number of spatial dimensions."""
        return len(self.window)

    def apply_kernel(
        self, kernel: Float[Array, "channels_out channels_in ..."], x: Float[Array, "... channels_in"]
    ) -> Float[Array, "... channels_out"]:
        """Convolve with a given kernel, without a bias."""
        return convolve(self.where, kernel, x)


def geometry(
    window: Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    kernel_dilation: int | Sequence[int] = 1,
    input_dilation: int | Sequence[int] = 1,
) -> Geometry:
    """Check the sizes of a convolution and repeat single numbers for each dimension.

    Args:
        window: the size of the kernel along each dimension of space, for example (3, 3).
        strides: steps of the window.
        padding: see `Padding`.
        kernel_dilation: steps between the places of the window.
        input_dilation: steps between the entries of the input, zeros between them.

    Returns:
        The geometry.

    Raises:
        InputError: if one of the arguments is not allowed.

    Example:
        >>> geometry((3, 3), strides=2).strides
        (2, 2)
    """
    window = tuple(window) if isinstance(window, Sequence) else ()
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
    where: Geometry, kernel: Float[Array, "channels_out channels_in ..."], x: Float[Array, "... channels_in"]
) -> Float[Array, "... channels_out"]:
    """Convolve examples with a kernel, by the method that is fastest on the backend.

    On the CPU the convolution of XLA is slow inside a compiled loop, and even slower under vmap over kernels, where it
    becomes a grouped convolution. There it is replaced by a matrix product, over all patches (`by_patches`) or over all
    positions (`by_places`), whichever stores fewer intermediate numbers, which determine the time. Patches do not
    depend on the kernel, so networks that share x share the patches. On other backends XLA's convolution is used.

    Args:
        where: the geometry.
        kernel: shape (channels_out, channels_in, *window).
        x: shape (..., *space, channels_in), any leading axes.

    Returns:
        Shape (..., *space', channels_out), where space' is the result of `places`.

    Example:
        >>> convolve(geometry((3, 3), strides=2), jnp.ones((4, 2, 3, 3)), jnp.ones((5, 8, 8, 2))).shape
        (5, 4, 4, 4)
    """
    if backend() != "cpu":
        return by_lax(where, kernel, x)
    sizes = x.shape[x.ndim - 1 - len(where.window) : -1]
    narrow = math.prod(_padded(where, sizes)) * len(kernel) < math.prod(places(where, sizes)) * x.shape[-1]
    return by_places(where, kernel, x) if narrow else by_patches(where, kernel, x)


def by_patches(
    where: Geometry, kernel: Float[Array, "channels_out channels_in ..."], x: Float[Array, "... channels_in"]
) -> Float[Array, "... channels_out"]:
    """Convolve by one product of all patches with the kernel; arguments as in `convolve`."""
    x, windows = _laid_out(where, x)
    rows = jnp.concatenate([each(x) for each in windows], axis=-1)
    matrix = jnp.moveaxis(kernel, 1, -1).reshape(len(kernel), -1)
    return (rows.reshape(-1, rows.shape[-1]) @ matrix.T).reshape(*rows.shape[:-1], len(kernel))


def by_places(
    where: Geometry, kernel: Float[Array, "channels_out channels_in ..."], x: Float[Array, "... channels_in"]
) -> Float[Array, "... channels_out"]:
    """Convolve by one product of all positions with the kernel; results of the window entries are shifted and added.

    It stores channels_out numbers for each position and window entry, where patches store channels_in; arguments as in
    `convolve`.
    """
    x, windows = _laid_out(where, x)
    matrix = jnp.moveaxis(kernel, 1, -1).reshape(len(kernel), len(windows), -1)
    matrix = matrix.transpose(1, 0, 2).reshape(-1, x.shape[-1])
    products = (x.reshape(-1, x.shape[-1]) @ matrix.T).reshape(*x.shape[:-1], -1)
    parts = lax.split(products, (len(kernel),) * len(windows), axis=-1)
    return functools.reduce(operator.add, (each(part) for each, part in zip(windows, parts, strict=True)))


def _laid_out(
    where: Geometry, x: Float[Array, "... channels"]
) -> tuple[Float[Array, "... channels"], list[Callable[[Array], Array]]]:
    """Return the padded x, and for each window entry a function that slices such an array to the positions it reads."""
    space = len(where.window)
    batch, sizes = x.shape[: x.ndim - 1 - space], x.shape[x.ndim - 1 - space : -1]
    out = places(where, sizes)
    around = [
        (before, behind, step - 1)
        for (before, behind), step in zip(_around(where, sizes), where.input_dilation, strict=True)
    ]
    x = lax.pad(x, jnp.zeros((), x.dtype), [*((0, 0, 0),) * len(batch), *around, (0, 0, 0)])
    reach = [(n - 1) * step + 1 for n, step in zip(out, where.strides, strict=True)]

    def seen(values: Array, first: Sequence[int]) -> Array:
        last = [a + n for a, n in zip(first, reach, strict=True)]
        start, stop = (*(0,) * len(batch), *first, 0), (*batch, *last, values.shape[-1])
        return lax.slice(values, start, stop, (*(1,) * len(batch), *where.strides, 1))

    firsts = itertools.product(
        *(range(0, n * step, step) for n, step in zip(where.window, where.kernel_dilation, strict=True))
    )
    return x, [functools.partial(seen, first=first) for first in firsts]


def by_lax(
    where: Geometry, kernel: Float[Array, "channels_out channels_in ..."], x: Float[Array, "... channels_in"]
) -> Float[Array, "... channels_out"]:
    """Convolve with XLA's convolution; arguments as in `convolve`."""
    space = len(where.window)
    batch, sizes = x.shape[: x.ndim - 1 - space], x.shape[x.ndim - 1 - space : -1]
    inside = tuple(range(1, space + 1))
    examples = (0, space + 1, *inside)  # axes of the batch, the channels and the space
    z = lax.conv_general_dilated(
        x.reshape(math.prod(batch), *x.shape[len(batch) :]),
        kernel,
        where.strides,
        _around(where, sizes),
        lhs_dilation=where.input_dilation,
        rhs_dilation=where.kernel_dilation,
        dimension_numbers=lax.ConvDimensionNumbers(examples, tuple(range(space + 2)), examples),
    )
    return z.reshape(*batch, *z.shape[1:])


def places(where: Geometry, space: Sequence[int]) -> tuple[int, ...]:
    """Return the spatial shape of the output for the spatial shape of an input.

    Example:
        >>> places(geometry((3, 3), strides=2), (28, 28))
        (14, 14)
    """
    found = []
    for axis, wide in enumerate(_padded(where, space)):
        reach = (where.window[axis] - 1) * where.kernel_dilation[axis] + 1
        found.append((wide - reach) // where.strides[axis] + 1)
    if min(found) < 1:
        raise InputError(
            f"the window {where.window} does not fit into inputs of the size {tuple(space)} with padding "
            f"{where.padding!r}; allowed: larger inputs, a smaller window or more padding"
        )
    return tuple(found)


def kernel_is_cheaper(
    where: Geometry, filters: Sequence[int], channels_out: int, x: Float[Array, "... channels_in"]
) -> bool:
    """Decide whether to build the kernel of a sum of modes or to convolve with the filters of the modes.

    Args:
        where: the geometry.
        filters: the shape of the filters, (modes, channels_in, *window).
        channels_out: the padded number of output channels.
        x: the input of the convolution.

    Returns:
        True if the kernel is cheaper (see `layers.dense_is_cheaper`).
    """
    space = len(where.window)
    rows = count_rows(x, space) * math.prod(places(where, x.shape[x.ndim - 1 - space : -1]))
    return dense_is_cheaper(math.prod(filters[1:]), channels_out, filters[0], rows)


def draw_filters(
    key: PRNGKeyArray, rows: Extent, channels: Extent, window: Sequence[int]
) -> Float[Array, "rows channels ..."]:
    """Draw standard normal filters with padding 0: a matrix (rows, channels) for each window entry.

    Args:
        key: a scalar threefry key.
        rows: the extent of the first axis.
        channels: the extent of the second axis.
        window: sizes of the axes after these two.

    Returns:
        Shape (rows.capacity, channels.capacity, *window); an entry depends on the key and its indices only.
    """
    drawn = [normal_matrix(place_key, rows, channels) for place_key in subkeys(key, math.prod(window))]
    return jnp.stack(drawn, axis=-1).reshape(rows.capacity, channels.capacity, *window)


def _around(where: Geometry, space: Sequence[int]) -> list[tuple[int, int]]:
    """Return the number of entries that the padding adds before and after each spatial dimension."""
    if not isinstance(where.padding, str):
        return list(where.padding)
    wide = [(n - 1) * step + 1 for n, step in zip(space, where.input_dilation, strict=True)]
    reach = [(n - 1) * step + 1 for n, step in zip(where.window, where.kernel_dilation, strict=True)]
    return list(lax.padtype_to_pads(wide, reach, where.strides, where.padding))


def _padded(where: Geometry, space: Sequence[int]) -> list[int]:
    """Return the spatial sizes with padding."""
    around = _around(where, space)
    return [
        (n - 1) * step + 1 + before + behind
        for n, step, (before, behind) in zip(space, where.input_dilation, around, strict=True)
    ]


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
