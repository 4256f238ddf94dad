"""Spectral neurons of one layer: the singular triples of its kernel, exact or the leading ones.

Three ways, chosen by size:
- `gram`: eigenvectors of the smaller Gram matrix in float64. Its singular values are right to 2e-16 (S_0 / S)^2, so it
  stands only where the smallest is above 1e-5 of the largest.
- `exact`: LAPACK's SVD in float64, where it is not.
- `krylov`: the leading neurons of a large layer from a block Krylov space of random vectors (Musco and Musco, arXiv
  1504.05477), in the precision of the weights; its residual is measured.

Inside a cluster of equal singular values the vectors are arbitrary, and LAPACK likes those of the canonical basis,
which would look like sparse patterns. Each cluster is turned by a random rotation instead, so that only what is defined
looks ordered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import psutil
import scipy.linalg
from jaxtyping import Float

from modejax.errors import InputError

__all__ = ["SpectralLayer", "as_real", "check_memory", "clusters", "haar", "singular_triples", "spectral_layer"]

Method = Literal["svr", "cosvr"]

LARGEST_EXACT = 1024
"""Layers whose smaller side is above this are truncated by a Krylov space where fewer neurons are asked for."""
_GAP = 1e-6
"""Singular values closer than this, relative to the larger one, count as equal."""


class SpectralLayer(NamedTuple):
    """Spectral neurons of one layer, M = U diag(S) V' for its kernel as a matrix."""

    name: str
    U: Float[np.ndarray, "c_out z_out r"]  # what neurons write; z_out = 1 in a singular value representation
    S: Float[np.ndarray, " r"]  # falling
    V: Float[np.ndarray, "c_in z_in r"]  # what neurons read; z_in = 1 in a co-SVR
    window: tuple[int, ...]  # of a convolution; () for a matrix
    hidden: int  # neurons left out by truncation
    cluster: np.ndarray  # (r,): neurons of one number have equal singular values
    route: str  # gram, exact or krylov
    residual: float  # largest |M v - s u| / S_0 of the neurons; 0 where they are exact


def haar(rng: np.random.Generator, rows: int, columns: int | None = None) -> np.ndarray:
    """Draw a frame uniformly: a matrix with orthonormal columns, by QR with the signs fixed.

    Args:
        rng: the generator.
        rows: dimensions.
        columns: vectors, at most `rows`; by default as many.

    Returns:
        Shape (rows, columns), float64.

    Example:
        >>> Q = haar(np.random.default_rng(0), 5, 3)
        >>> bool(np.allclose(Q.T @ Q, np.eye(3)))
        True
    """
    Q, R = np.linalg.qr(rng.standard_normal((rows, rows if columns is None else columns)))
    return Q * np.where(np.diag(R) < 0, -1.0, 1.0)


def clusters(S: Float[np.ndarray, " r"], precision: Any = np.float64, gap: float = _GAP) -> np.ndarray:
    """Number the clusters of equal singular values.

    Values below 1e-12 of the largest (1e-6 for float32) are one cluster, too: directions that the map does not know.

    Args:
        S: singular values, falling.
        precision: type of the kernel.
        gap: relative distance below which neighbours belong together.

    Returns:
        Shape (r,), integers that rise from 0.

    Example:
        >>> clusters(np.array([2.0, 1.0, 1.0, 0.0, 0.0])).tolist()
        [0, 1, 1, 2, 2]
    """
    floor = S[0] * (1e-12 if np.dtype(precision) == np.float64 else 1e-6) if len(S) else 0.0
    apart = (S[:-1] - S[1:] > gap * S[:-1]) & (S[:-1] > floor)
    return np.concatenate([[0], np.cumsum(apart)]).astype(np.int64)[: len(S)]


def singular_triples(
    A: Float[np.ndarray, "rows columns"], neurons: int | None = None, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return the leading singular triples of a matrix by the cheapest way that is right.

    Args:
        A: the matrix.
        neurons: how many; by default min(rows, columns).
        seed: of the random vectors of the Krylov space and of the rotations in clusters.

    Returns:
        U (rows, r), S (r,), V (columns, r) and the name of the way.

    Example:
        >>> U, S, V, route = singular_triples(np.diag([3.0, 2.0, 1.0]))
        >>> S.tolist(), route
        ([3.0, 2.0, 1.0], 'gram')
    """
    least = min(A.shape)
    kept = least if neurons is None else min(neurons, least)
    rng = np.random.default_rng(seed)
    if _by_krylov(least, kept):
        U, S, V = _krylov(A, kept, rng)
        return U, S, V, "krylov"
    precision, A = A.dtype, A.astype(np.float64)
    route, triples = "gram", _gram(A)
    if triples is None:
        route, triples = "exact", _exact(A)
    U, S, V = (each[..., :kept] for each in triples)
    number = clusters(S, precision)
    for index in np.flatnonzero(np.bincount(number) > 1):
        inside = number == index
        Q = haar(rng, int(inside.sum()))
        U[:, inside] = U[:, inside] @ Q
        V[:, inside] = V[:, inside] @ Q
    return U, S, V, route


def _by_krylov(least: int, kept: int) -> bool:
    return least > LARGEST_EXACT and 4 * kept <= least


def as_real(kernel: np.ndarray, name: str) -> np.ndarray:
    """Return a kernel in float64 or float32; halves and integers become float32, since LAPACK has none for them.

    Args:
        kernel: of any shape.
        name: of the layer.

    Raises:
        InputError: if it does not hold real numbers.

    Example:
        >>> as_real(np.ones(2, np.float16), "fc").dtype
        dtype('float32')
    """
    if kernel.dtype.kind not in "fiu" and kernel.dtype.name not in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        raise InputError(f"{name} holds {kernel.dtype}; allowed: real numbers")
    return kernel if kernel.dtype in (np.float32, np.float64) else kernel.astype(np.float32)


def check_memory(name: str, shape: Sequence[int], max_neurons: int | None) -> None:
    """Refuse a layer whose decomposition does not fit into memory, before it is read.

    Args:
        name: of the layer.
        shape: of its kernel, (out, in, *window).
        max_neurons: see `spectral_layer`.

    Raises:
        InputError: with the memory needed and the memory free.

    Example:
        >>> check_memory("fc", (10, 10), None)
    """
    size = math.prod(shape)
    least = min(shape[0], size // shape[0])
    krylov = _by_krylov(least, min(max_neurons or least, least))
    need = 4 * 2 * size if krylov else 8 * (3 * size + 4 * least**2)
    free = psutil.virtual_memory().available
    if need > free:
        way = "use a larger machine" if krylov else f"ask for at most {least // 4} leading neurons (max_neurons)"
        raise InputError(
            f"{name} has the shape {tuple(shape)}; its neurons need {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB "
            f"are free; {way}, or leave the layer out (order)"
        )


def _gram(A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return the triples by the smaller Gram matrix, or None where it loses the smallest singular values."""
    wide = A.shape[0] <= A.shape[1]
    B = A if wide else A.T
    value, U = np.linalg.eigh(B @ B.T)
    value, U = value[::-1], np.ascontiguousarray(U[:, ::-1])
    if value[-1] <= 1e-10 * value[0]:
        return None
    S = np.sqrt(value)
    V = (B.T @ U) / S
    return (U, S, V) if wide else (V, S, U)


def _exact(A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        U, S, Vt = scipy.linalg.svd(A, full_matrices=False, check_finite=False)
    except np.linalg.LinAlgError:  # divide and conquer can fail to converge; the QR iteration does not
        U, S, Vt = scipy.linalg.svd(A, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    return U, S, np.ascontiguousarray(Vt.T)


def _krylov(A: np.ndarray, kept: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return leading triples from span{A W, (A A') A W, ...} of a block W of random vectors."""
    dtype = A.dtype if A.dtype in (np.float32, np.float64) else np.dtype(np.float32)
    A = A.astype(dtype, copy=False)
    block = kept + min(32, kept)
    steps = max(2, min(4, A.shape[0] // block))
    W = A @ rng.standard_normal((A.shape[1], block), dtype=dtype)
    written: list[np.ndarray] = []  # orthonormal, all together
    read: list[np.ndarray] = []  # A' times them
    for _ in range(steps):
        for each in (*written, *written):  # twice is enough for orthogonality
            W -= each @ (each.T @ W)
        W = np.linalg.qr(W)[0]
        written.append(W)
        read.append(A.T @ W)
        W = A @ read[-1] if len(read) < steps else W
    V, R = np.linalg.qr(np.concatenate(read, axis=1))
    left, S, right = np.linalg.svd(R.T.astype(np.float64))
    U = np.concatenate(written, axis=1) @ left[:, :kept].astype(dtype)
    return U, S[:kept].astype(dtype), V @ right[:kept].T.astype(dtype)


def spectral_layer(
    kernel: Float[np.ndarray, "c_out c_in ..."],
    *,
    name: str = "layer",
    method: Method = "svr",
    max_neurons: int | None = None,
    seed: int = 0,
) -> SpectralLayer:
    """Decompose one kernel into spectral neurons.

    Args:
        kernel: axes (out, in, *window).
        name: for messages.
        method: `"svr"`: the window stands on the reading side; `"cosvr"`: on the writing side.
        max_neurons: keep the leading ones only.
        seed: see `singular_triples`.

    Returns:
        The neurons, min(c_out, c_in z) of them at most.

    Raises:
        InputError: the kernel has fewer than two axes, no entries, or entries that are not finite; an option is not
            allowed; not enough memory.

    References:
        Meller and Berkouk, arXiv 2302.08183: the SVD of the kernel's unfolding (not of the convolution as an operator).

    Example:
        >>> layer = spectral_layer(np.random.default_rng(0).standard_normal((8, 3, 5, 5)))
        >>> layer.U.shape, layer.S.shape, layer.V.shape
        ((8, 1, 8), (8,), (3, 25, 8))
    """
    if method not in ("svr", "cosvr"):
        raise InputError(f"unknown method {method!r}; allowed: svr, cosvr")
    if max_neurons is not None and (type(max_neurons) is not int or max_neurons < 1):
        raise InputError(f"max_neurons={max_neurons!r}; allowed: an integer of at least 1, or None for all")
    kernel = np.asarray(kernel)
    if kernel.ndim < 2 or kernel.size == 0:
        raise InputError(f"{name} has the shape {kernel.shape}; allowed: (out, in, *window) with entries")
    out, into, *window = kernel.shape
    check_memory(name, kernel.shape, max_neurons)
    kernel = as_real(kernel, name)
    if not np.isfinite(kernel).all():
        raise InputError(f"{name} has entries that are not finite; mend the weights, or leave the layer out")
    z = math.prod(window)
    flat = kernel.reshape(out, into, z)
    matrix = flat.reshape(out, into * z) if method == "svr" else flat.transpose(0, 2, 1).reshape(out * z, into)
    U, S, V, route = singular_triples(matrix, max_neurons, seed=seed)
    residual = float(np.linalg.norm(matrix @ V - U * S, axis=0).max() / S[0]) if route == "krylov" else 0.0
    shapes = ((out, 1), (into, z)) if method == "svr" else ((out, z), (into, 1))
    return SpectralLayer(
        name,
        U.reshape(*shapes[0], -1),
        S,
        V.reshape(*shapes[1], -1),
        tuple(window),
        min(matrix.shape) - len(S),
        clusters(S, matrix.dtype),
        route,
        residual,
    )
