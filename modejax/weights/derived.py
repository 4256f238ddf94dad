"""Kernels that a file stores as several arrays: composing them, and decomposing them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from modejax.errors import InputError
from modejax.weights.roles import Derived

__all__ = ["compose", "composed_shape", "decompose_into", "reason_to_leave"]


def composed_shape(derived: Derived, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of `compose` without reading values.

    Example:
        >>> composed_shape(Derived("fc", "weight_norm", ("g", "v")), {"g": (3, 1), "v": (3, 2)})
        (3, 2)
    """
    if derived.how == "lora":
        down, up, _, order = derived.parts
        a, b = shapes[down], shapes[up]
        return (a[0], b[1]) if order == "flax" else (b[0], a[1], *a[2:])
    return shapes[derived.parts[1 if derived.how == "weight_norm" else 0]]


def compose(derived: Derived, arrays: Mapping[str, Any]) -> np.ndarray:
    """Return the kernel that several arrays represent, in their order of axes, float64.

    Args:
        derived: the kernel.
        arrays: by name.

    Returns:
        weight_norm: g v / |v|, the norm over all axes but that of g; spectral_norm: W / (u' W v); mask: W times the
        mask; lora: B A times alpha / rank where the file has alpha; lora_merged: W + B A; scaled: codes times scales.

    Raises:
        InputError: shapes do not fit.

    References:
        Salimans and Kingma, Weight Normalization, arXiv 1602.07868; Miyato et al., Spectral Normalization, arXiv
        1802.05957; Hu et al., LoRA, arXiv 2106.09685.

    Example:
        >>> compose(Derived("fc", "weight_norm", ("g", "v")), {"g": np.full((1, 1), 2.0), "v": np.array([[3.0, 4.0]])})
        array([[1.2, 1.6]])
    """
    values = [np.asarray(arrays[part], np.float64) if part in arrays else None for part in derived.parts]
    first, second = values[0], values[1]
    assert first is not None
    try:
        match derived.how:
            case "weight_norm":
                assert second is not None
                return _weight_norm(first, second)
            case "spectral_norm":
                assert second is not None
                return first / _sigma(first, second)
            case "mask":
                return first * second  # pyright: ignore
            case "scaled":
                assert second is not None
                return first * (second if second.size == 1 else second.reshape(-1, *(1,) * (first.ndim - 1)))
            case "lora":
                return _product(derived.parts, arrays)
            case "lora_merged":
                product = _product(derived.parts[1:], arrays)
                return first + product.reshape(first.shape)
    except (ValueError, TypeError) as error:
        raise InputError(f"{derived.name}: {', '.join(derived.parts)} do not fit together ({error})") from None
    raise AssertionError(derived.how)


def _weight_norm(g: np.ndarray, v: np.ndarray) -> np.ndarray:
    if g.ndim == 1 and g.size == v.shape[0]:
        g = g.reshape(-1, *(1,) * (v.ndim - 1))
    axes = tuple(i for i in range(v.ndim) if g.ndim != v.ndim or g.shape[i] == 1)
    norm = np.sqrt((v**2).sum(axis=axes, keepdims=True))
    return g * v / np.where(norm > 0, norm, 1)


def _sigma(W: np.ndarray, u: np.ndarray) -> float:
    """Return u' W v with the v that u makes, as one step of the power iteration that torch keeps."""
    matrix = W.reshape(W.shape[0], -1) if u.size == W.shape[0] else np.moveaxis(W, 1, 0).reshape(W.shape[1], -1)
    v = matrix.T @ (u / max(float(np.linalg.norm(u)), 1e-300))
    return max(float(np.linalg.norm(v)), 1e-300)


def _product(parts: tuple[str, ...], arrays: Mapping[str, Any]) -> np.ndarray:
    down, up, alpha, order = parts
    A, B = (np.asarray(arrays[part], np.float64) for part in (down, up))
    if order == "flax":
        return A @ B
    rank = A.shape[0]
    scale = float(np.asarray(arrays[alpha], np.float64).reshape(-1)[0]) / rank if alpha in arrays else 1.0
    product = B.reshape(B.shape[0], rank) @ A.reshape(rank, -1)
    return scale * product.reshape(B.shape[0], *A.shape[1:])


def reason_to_leave(derived: Derived) -> str:
    """Return the reason why a kernel cannot be written back as modes; empty if it can.

    Example:
        >>> reason_to_leave(Derived("fc", "weight_norm", ("g", "v")))
        ''
    """
    match derived.how:
        case "mask":
            return "a pruning mask lies over it, and modes would fill its zeros; multiply the mask into it, then save"
        case "spectral_norm":
            return "it is divided by its own norm at every call; save the weight that the network applies"
        case "scaled":
            return "quantised codes, in which modes cannot be written; save dequantised weights"
    return ""


def decompose_into(derived: Derived, kernel: np.ndarray, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return new values of the arrays that represent a kernel.

    Args:
        derived: a kernel of weight_norm, lora or lora_merged.
        kernel: the new kernel, in the order of axes of `compose`.
        arrays: the present values, by name.

    Returns:
        The arrays that change; their product is the kernel to rounding. Factors of LoRA keep their rank, with zeros.

    Example:
        >>> old = {"g": np.ones((1, 1)), "v": np.ones((1, 2))}
        >>> new = decompose_into(Derived("fc", "weight_norm", ("g", "v")), np.array([[3.0, 4.0]]), old)
        >>> new["g"].tolist()
        [[5.0]]
    """
    kernel = np.asarray(kernel, np.float64)
    types = {part: np.asarray(arrays[part]).dtype for part in derived.parts if part in arrays}
    if derived.how == "weight_norm":
        g = np.asarray(arrays[derived.parts[0]])
        column = g.reshape(-1, *(1,) * (kernel.ndim - 1)) if g.ndim == 1 and g.size == kernel.shape[0] else g
        axes = tuple(i for i in range(kernel.ndim) if column.ndim != kernel.ndim or column.shape[i] == 1)
        norm = np.sqrt((kernel**2).sum(axis=axes, keepdims=True))
        new = dict(zip(derived.parts, (norm.reshape(g.shape), kernel), strict=True))
    elif derived.how == "lora_merged":
        product = _product(derived.parts[1:], arrays)
        new = {derived.parts[0]: kernel - product.reshape(kernel.shape)}
    else:
        down, up, alpha, order = derived.parts
        A, B = np.asarray(arrays[down]), np.asarray(arrays[up])
        rank = A.shape[1] if order == "flax" else A.shape[0]
        scale = float(np.asarray(arrays[alpha]).reshape(-1)[0]) / rank if alpha in arrays else 1.0
        U, s, V = np.linalg.svd(kernel.reshape(kernel.shape[0], -1) / scale, full_matrices=False)
        root = np.zeros(rank)
        root[: min(rank, len(s))] = np.sqrt(s[:rank])
        left = np.zeros((len(U), rank))
        right = np.zeros((rank, V.shape[1]))
        left[:, : len(s)] = U[:, :rank]
        right[: len(s)] = V[:rank]
        first, second = left * root, root[:, None] * right
        pair = (first, second) if order == "flax" else (second.reshape(A.shape), first.reshape(B.shape))
        new = dict(zip((down, up), pair, strict=True))
    return {part: np.asarray(each).astype(types[part]) for part, each in new.items()}
