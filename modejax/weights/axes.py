"""The orders of axes in which networks store kernels, and the canonical order (out, in, *window)."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

__all__ = ["Layout", "UserLayout", "canonical", "canonical_shape", "restore"]

UserLayout = Literal["torch", "flax", "plain"]
"""Order of the axes of a kernel: torch and plain (out, in, *window), flax (and Keras) (*window, in, out)."""

Layout = Literal[
    "torch", "flax", "plain", "torch_transposed", "keras_transposed", "keras_depthwise", "heads", "lens_heads"
]
"""Beside those of `UserLayout`: torch_transposed (in, out, *window) of transposed convolutions; keras_transposed
(*window, out, in); keras_depthwise (*window, in, multiplier), one filter or more for each channel; heads (inputs...,
outputs...), a map between several axes; lens_heads (heads, in, out of a head)."""


def canonical(array: Any, layout: Layout, inputs: int = 1) -> np.ndarray:
    """Return a kernel with the axes (out, in, *window).

    Args:
        array: the kernel as the network stores it.
        layout: see `Layout`.
        inputs: axes that are read, for `heads`.

    Example:
        >>> canonical(np.zeros((3, 3, 1, 8)), "flax").shape
        (8, 1, 3, 3)
        >>> canonical(np.zeros((16, 4, 8)), "heads").shape
        (32, 16)
    """
    array = np.asarray(array)
    match layout:
        case "flax":
            return np.moveaxis(array, (-1, -2), (0, 1))
        case "torch_transposed":
            return array.swapaxes(0, 1)
        case "keras_transposed":
            return np.moveaxis(array, (-2, -1), (0, 1))
        case "keras_depthwise":
            first = np.moveaxis(array, (-2, -1), (0, 1))
            return first.reshape(-1, 1, *first.shape[2:])
        case "heads":
            return array.reshape(math.prod(array.shape[:inputs]), -1).T
        case "lens_heads":
            return array.transpose(0, 2, 1).reshape(-1, array.shape[1])
    return array


def canonical_shape(shape: tuple[int, ...], layout: Layout, inputs: int = 1) -> tuple[int, ...]:
    """Return the shape of `canonical` for a shape as it is stored.

    Example:
        >>> canonical_shape((16, 4, 8), "heads")
        (32, 16)
    """
    match layout:
        case "flax":
            return (shape[-1], shape[-2], *shape[:-2])
        case "torch_transposed":
            return (shape[1], shape[0], *shape[2:])
        case "keras_transposed":
            return (shape[-2], shape[-1], *shape[:-2])
        case "keras_depthwise":
            return (shape[-2] * shape[-1], 1, *shape[:-2])
        case "heads":
            return (math.prod(shape[inputs:]), math.prod(shape[:inputs]))
        case "lens_heads":
            return (shape[0] * shape[2], shape[1])
    return tuple(shape)


def restore(array: np.ndarray, layout: Layout, shape: tuple[int, ...] | None = None, inputs: int = 1) -> np.ndarray:
    """Return a kernel in the order of axes of its file, the inverse of `canonical`.

    Args:
        array: the kernel, axes (out, in, *window).
        layout: see `Layout`.
        shape: as it is stored; needed where `canonical` joined axes.
        inputs: axes that are read, for `heads`.

    Example:
        >>> restore(np.zeros((8, 1, 3, 3)), "flax").shape
        (3, 3, 1, 8)
    """
    match layout:
        case "flax":
            return np.moveaxis(array, (0, 1), (-1, -2))
        case "torch_transposed":
            return array.swapaxes(0, 1)
        case "keras_transposed":
            return np.moveaxis(array, (0, 1), (-2, -1))
        case "keras_depthwise":
            assert shape is not None
            split = array.reshape(shape[-2], shape[-1], *array.shape[2:])
            return np.moveaxis(split, (0, 1), (-2, -1))
        case "heads":
            assert shape is not None
            return array.T.reshape(shape)
        case "lens_heads":
            assert shape is not None
            return array.reshape(shape[0], shape[2], shape[1]).transpose(0, 2, 1)
    return array
