"""The parts of a network found in a file: kernels with known axes, norms, and arrays that are neither."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, get_args

import numpy as np

from modejax.errors import InputError
from modejax.weights.axes import Layout, UserLayout, canonical, canonical_shape, restore
from modejax.weights.derived import compose, decompose_into, reason_to_leave
from modejax.weights.roles import Derived

__all__ = ["KINDS", "Inventory", "Kernel", "Norm", "natural", "read_bias", "read_kernel", "write_kernel"]

KINDS = {
    "linear": "a matrix",
    "conv": "a convolution",
    "transposed": "a transposed convolution",
    "depthwise": "a depthwise convolution",
    "heads": "a map to several heads",
    "heads_out": "a map from several heads",
    "stacked": "one matrix or convolution for each of several layers",
    "gates": "maps of several gates of a recurrent layer in one matrix",
    "table": "no map: numbers that are looked up",
}
"""Kinds of arrays that a user can specify."""


class Kernel(NamedTuple):
    """One linear map or convolution of a network."""

    name: str  # of the module: the array's name without weight or kernel at its end
    key: str  # of the array; of the first where it stands as several
    layout: Layout
    shape: tuple[int, ...]  # in the order (out, in, *window)
    bias: str | None  # the name of the bias, where there is one
    kind: str = "linear"  # of KINDS
    groups: int = 1
    inputs: int = 1  # axes that are read, of a map between several
    index: int | None = None  # place in a stack of layers
    derived: Derived | None = None  # where it stands as several arrays
    why: str = "its name"  # what told kind and axes
    sure: bool = True  # whether something beside a name told them


class Norm(NamedTuple):
    """One normalisation: names of its arrays, each with one number per channel; None for an array that it lacks."""

    name: str
    scale: str | None
    bias: str | None
    mean: str | None  # None for a norm without running statistics
    var: str | None
    index: int | None = None  # place in a stack of layers
    eps: float | None = None  # where the file says it


class Inventory(NamedTuple):
    """The contents of a file."""

    kernels: tuple[Kernel, ...]
    norms: tuple[Norm, ...]
    left: Mapping[str, str]  # names of arrays that are no kernels, with the reason
    notes: tuple[str, ...]

    def with_names(self, names: Mapping[str, str]) -> Inventory:
        """Return the same inventory with other names of the arrays.

        Args:
            names: for each name the new name.
        """

        def other(name: str | None) -> str | None:
            return None if name is None else names.get(name, name)

        def renamed(kernel: Kernel) -> Kernel:
            derived = kernel.derived
            if derived is not None:
                derived = derived._replace(parts=tuple(names.get(part, part) for part in derived.parts))
            return kernel._replace(key=names.get(kernel.key, kernel.key), bias=other(kernel.bias), derived=derived)

        norms = (
            each._replace(scale=other(each.scale), bias=other(each.bias), mean=other(each.mean), var=other(each.var))
            for each in self.norms
        )
        left = {names.get(name, name): why for name, why in self.left.items()}
        return Inventory(tuple(renamed(each) for each in self.kernels), tuple(norms), left, self.notes)

    def lines(self) -> list[str]:
        """Return what was inferred from which evidence, one line per kernel, and what is left out."""
        rows = [["kernel", "kind", "axes", "(out, in, window)", "inferred from"]]
        for each in self.kernels:
            kind = each.kind + (f" / {each.groups} groups" if each.groups > 1 else "")
            kind += f" ({each.derived.how})" if each.derived else ""
            rows.append([each.name, kind, each.layout, "x".join(map(str, each.shape)), each.why])
        sizes = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(cell.ljust(n) for cell, n in zip(row, sizes, strict=True)).rstrip() for row in rows]
        return [*table, *left_lines(self.left), *(f"note: {note}" for note in self.notes)]


def left_lines(left: Mapping[str, str], most: int = 12) -> list[str]:
    """Return one line for each reason to leave arrays out, with the names of these arrays.

    Example:
        >>> left_lines({"a": "a mask", "b": "a mask"})
        ['left out: a, b (a mask)']
    """
    reasons: dict[str, list[str]] = {}
    for name, why in left.items():
        reasons.setdefault(why, []).append(name)
    lines = []
    for why, names in reasons.items():
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        lines.append(f"left out: {', '.join(names[:4])}{more} ({why})")
    more = len(lines) - most
    return lines[:most] + ([f"left out for {more} more reasons; see --explain"] if more > 0 else [])


def natural(name: str) -> tuple[Any, ...]:
    """Return a sort key for names that compares the numbers in them as numbers.

    Example:
        >>> sorted(["conv10", "conv9"], key=natural)
        ['conv9', 'conv10']
    """
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts if part)


def check_choice(layout: str | None, kinds: Mapping[str, str]) -> None:
    """Refuse an unknown layout or kind.

    Raises:
        InputError: if it is unknown; the message lists the allowed ones.
    """
    if layout is not None and layout not in get_args(UserLayout):
        raise InputError(f"unknown layout {layout!r}; allowed: {', '.join(get_args(UserLayout))}")
    unknown = {kind for kind in kinds.values() if kind not in KINDS}
    if unknown:
        raise InputError(f"unknown kind {', '.join(sorted(unknown))}; allowed: {', '.join(KINDS)}")


def parse_kinds(words: Sequence[str]) -> dict[str, str]:
    """Return kinds by name from words such as `up=transposed`.

    Raises:
        InputError: a word has another form.

    Example:
        >>> parse_kinds(["up=transposed"])
        {'up': 'transposed'}
    """
    pairs = [word.rpartition("=") for word in words]
    if not all(name and kind in KINDS for name, _, kind in pairs):
        raise InputError(f"kinds {' '.join(words)!r}; allowed: NAME=KIND, with the kinds {', '.join(KINDS)}")
    return {name: kind for name, _, kind in pairs}


def picked(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name, or a module that contains it, matches one of several shell patterns.

    Example:
        >>> picked("blocks.0.fc.weight", ["blocks.0"]), picked("fc.weight", ["f*"])
        (True, True)
    """
    parts = name.split(".")
    heads = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return any(fnmatchcase(head, pattern) for head in heads for pattern in patterns)


def read_kernel(weights: Mapping[str, Any], kernel: Kernel) -> np.ndarray:
    """Return a kernel of a file with the axes (out, in, *window); groups are not expanded.

    Args:
        weights: the arrays of the file.
        kernel: a kernel of its inventory.
    """
    array = compose(kernel.derived, weights) if kernel.derived else np.asarray(weights[kernel.key])
    if kernel.index is not None:
        array = array[kernel.index]
    return canonical(array, kernel.layout, kernel.inputs)


def read_bias(weights: Mapping[str, Any], kernel: Kernel) -> np.ndarray | None:
    """Return the bias of a kernel, shape (out,), or None without one."""
    if kernel.bias is None:
        return None
    array = np.asarray(weights[kernel.bias])
    return (array if kernel.index is None else array[kernel.index]).reshape(-1)


def write_kernel(arrays: dict[str, np.ndarray], kernel: Kernel, value: np.ndarray, bias: np.ndarray | None) -> None:
    """Put a kernel of axes (out, in, *window) and its bias into arrays of a file, in their types and order of axes.

    Args:
        arrays: arrays by name; changed in place.
        kernel: a kernel of the inventory of the file.
        value: the kernel.
        bias: shape (out,), or None to leave it unchanged.

    Raises:
        InputError: the kernel cannot be written, see `weights.derived`, or the dtype in the file cannot represent its
            numbers.
    """
    if kernel.derived is not None:
        if why := reason_to_leave(kernel.derived):
            raise InputError(f"{kernel.name}: {why}")
        stored = restore(value, kernel.layout, np.shape(compose(kernel.derived, arrays)), kernel.inputs)
        arrays.update(decompose_into(kernel.derived, stored, arrays))
    else:
        old = arrays[kernel.key]
        shape = old.shape if kernel.index is None else old.shape[1:]
        with np.errstate(over="ignore"):
            stored = restore(value, kernel.layout, shape, kernel.inputs).astype(old.dtype)
        if not np.isfinite(stored.astype(np.float64)).all():
            raise InputError(f"{kernel.name} would have numbers beyond {old.dtype}; a smaller learning rate may help")
        if kernel.index is None:
            arrays[kernel.key] = stored
        else:
            old = arrays[kernel.key] = np.array(old)
            old[kernel.index] = stored
    if kernel.bias is not None and bias is not None:
        old = arrays[kernel.bias] = np.array(arrays[kernel.bias])
        if kernel.index is None:
            old[...] = bias.reshape(old.shape).astype(old.dtype)
        else:
            old[kernel.index] = bias.reshape(old.shape[1:]).astype(old.dtype)


def shaped(kernel: Kernel, stored: tuple[int, ...]) -> Kernel:
    """Return a kernel with its shape from that of the array."""
    return kernel._replace(shape=canonical_shape(stored, kernel.layout, kernel.inputs))
