"""Which arrays of a network are kernels, biases and norms, and how their axes lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from modejax.errors import InputError
from modejax.weights.files import Weights

__all__ = ["Kernel", "Layout", "Norm", "canonical", "find_kernels", "find_norms", "natural", "restore"]

Layout = Literal["torch", "flax", "plain"]
"""Order of the axes of a kernel: torch and plain (out, in, *window), flax (and Keras) (*window, in, out)."""


class Kernel(NamedTuple):
    """One linear map or convolution of a network."""

    name: str  # of the module: the array's name without weight or kernel at its end
    key: str  # of the array
    layout: Layout
    shape: tuple[int, ...]  # in the order (out, in, *window)
    bias: str | None  # the name of the bias, where there is one


class Norm(NamedTuple):
    """One normalisation: names of its arrays, of one number a channel each; None where it has none."""

    name: str
    scale: str | None
    bias: str | None
    mean: str | None  # None for a norm without running statistics
    var: str | None


_KERNEL = {"weight": "torch", "kernel": "flax"}
_NORM = {
    "scale": ("weight", "scale", "gamma"),
    "bias": ("bias", "beta"),
    "mean": ("running_mean", "mean", "moving_mean"),
    "var": ("running_var", "var", "moving_variance"),
}
_MULTI_HEAD = ("query", "key", "value", "out")


def natural(name: str) -> tuple[Any, ...]:
    """Return a key that sorts names with their numbers as numbers.

    Example:
        >>> sorted(["conv10", "conv9"], key=natural)
        ['conv9', 'conv10']
    """
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part)


def canonical(array: Any, layout: Layout) -> np.ndarray:
    """Return a kernel with the axes (out, in, *window).

    Args:
        array: the kernel as the network stores it.
        layout: see `Layout`.

    Example:
        >>> canonical(np.zeros((3, 3, 1, 8)), "flax").shape
        (8, 1, 3, 3)
    """
    array = np.asarray(array)
    if layout != "flax":
        return array
    return np.moveaxis(array, (-1, -2), (0, 1))


def restore(array: np.ndarray, layout: Layout) -> np.ndarray:
    """Return a kernel in the order of axes of its file, the inverse of `canonical`.

    Example:
        >>> restore(np.zeros((8, 1, 3, 3)), "flax").shape
        (3, 3, 1, 8)
    """
    return array if layout != "flax" else np.moveaxis(array, (0, 1), (-1, -2))


def find_kernels(weights: Mapping[str, Any], layout: Layout | None = None) -> list[Kernel]:
    """Return the kernels of a network, in the order of its arrays.

    Arrays named `weight` are read as PyTorch's, `kernel` as those of Flax and Keras, and W1, W2, ... as matrices of
    shape (in, out), as `modejax interpolate` takes them. Arrays with one axis are no kernels, nor are embeddings.

    Args:
        weights: arrays by name.
        layout: the order of the axes; by default what the names say. With a layout every array of at least two axes
            that is not an embedding is a kernel, whatever its name.

    Returns:
        The kernels.

    Raises:
        InputError: no kernel, an order of axes that the names do not tell, arrays that are no numbers, an empty kernel,
            or kernels of multi-head attention with three axes, which are not convolutions.

    Example:
        >>> find_kernels({"fc.weight": np.zeros((2, 3)), "fc.bias": np.zeros(2)})[0].bias
        'fc.bias'
    """
    weights = Weights.of(weights, "the weights")
    if layout is not None and layout not in get_args(Layout):
        raise InputError(f"unknown layout {layout!r}; allowed: {', '.join(get_args(Layout))}")
    shapes = weights.shapes
    found: list[Kernel] = []
    unknown: list[str] = []
    for key, shape in shapes.items():
        name, last = _split(key)
        if len(shape) < 2 or last == "embedding" or _is_table(name, last, shapes):
            continue
        numbered = re.fullmatch(r"W\d+", last)
        known = layout or _KERNEL.get(last) or ("flax" if numbered and len(shape) == 2 else None)
        if known is None:
            unknown.append(f"{key} {shape}")
            continue
        if len(shape) == 3 and name.rsplit(".", 1)[-1] in _MULTI_HEAD:
            raise InputError(
                f"{key} has the shape {shape}: a map of multi-head attention; allowed: matrices and convolutions. "
                "Reshape it to a matrix, or leave it out"
            )
        axes = tuple(shape) if known != "flax" else (shape[-1], shape[-2], *shape[:-2])
        if 0 in axes:
            raise InputError(f"{key} has the shape {shape}; allowed: kernels with entries")
        bias = key[: -len(last)] + (last.replace("W", "b") if numbered else "bias")
        module = name if name and last in _KERNEL else key
        found.append(Kernel(module, key, known, axes, bias if bias in shapes else None))  # pyright: ignore[reportArgumentType]
    if unknown:
        raise InputError(
            f"the names do not tell the order of axes of {', '.join(unknown[:4])}{' ...' if len(unknown) > 4 else ''}; "
            "name the arrays weight (out, in, *window) or kernel (*window, in, out), or give the layout: "
            f"{', '.join(get_args(Layout))}"
        )
    if not found:
        raise InputError(
            f"{weights.source} has no kernel; it holds {', '.join(list(shapes)[:6]) or 'nothing'}. Allowed: arrays of "
            "at least two axes, named weight or kernel"
        )
    return found


def find_norms(weights: Mapping[str, Any]) -> list[Norm]:
    """Return the normalisations of a network: modules whose scale has one axis, or that hold running statistics.

    Args:
        weights: arrays by name.

    Returns:
        The norms, in the order of the arrays.

    Example:
        >>> find_norms({"bn.weight": np.ones(3), "bn.bias": np.ones(3), "bn.running_mean": np.ones(3)})[0].mean
        'bn.running_mean'
    """
    shapes = Weights.of(weights, "the weights").shapes
    modules: dict[str, dict[str, str]] = {}
    for key, shape in shapes.items():
        name, last = _split(key)
        if shape:  # a counter of batches has no axis
            modules.setdefault(name, {})[last] = key if len(shape) == 1 else ""
    found = []
    for name, parts in modules.items():
        if "" in parts.values():  # a kernel lives here
            continue
        picked = {role: next((parts[each] for each in names if each in parts), None) for role, names in _NORM.items()}
        if picked["scale"] or picked["mean"]:
            found.append(Norm(name, **picked))
    return found


def _is_table(name: str, last: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether PyTorch keeps the rows of an embedding here: a weight without a bias in a module of that name."""
    return last == "weight" and "embed" in name.rsplit(".", 1)[-1].lower() and f"{name}.bias" not in shapes


def _split(key: str) -> tuple[str, str]:
    name, _, last = key.rpartition(".")
    return name, last
