"""Networks with connections of known strength between spectral neurons, and frames for them."""

from __future__ import annotations

import numpy as np

from modejax.svr.neurons import haar

__all__ = ["planted_chain", "planted_frame", "smooth_kernel"]


def planted_frame(rng: np.random.Generator, target: np.ndarray, cosine: float, columns: int) -> np.ndarray:
    """Draw a frame whose first vector has a given cosine with a target, and which is uniform otherwise.

    Args:
        rng: the generator.
        target: a vector of norm 1.
        cosine: between it and the first vector.
        columns: vectors, at most as many as the target has entries.

    Returns:
        Shape (entries, columns), orthonormal columns.

    Example:
        >>> frame = planted_frame(np.random.default_rng(0), np.eye(8)[0], 0.6, 3)
        >>> round(float(frame[0, 0]), 6), bool(np.allclose(frame.T @ frame, np.eye(3)))
        (0.6, True)
    """
    aside = rng.standard_normal(len(target))
    aside -= aside @ target * target
    first = cosine * target + np.sqrt(1 - cosine**2) * aside / np.linalg.norm(aside)
    Q, R = np.linalg.qr(np.column_stack([first, rng.standard_normal((len(target), columns - 1))]))
    return Q * np.where(np.diag(R) < 0, -1.0, 1.0)


def planted_chain(
    rng: np.random.Generator, width: int, layers: int, cosine: float, positions: int = 1
) -> list[np.ndarray]:
    """Draw kernels whose leading spectral neurons form a chain: each reads what the one before writes.

    Args:
        rng: the generator.
        width: channels of all layers.
        layers: kernels.
        cosine: between the pattern that a leading neuron reads and the one that the leading neuron before writes; for
            convolutions the pattern read is the same at all positions up to a weight.
        positions: of the window; 1 for matrices.

    Returns:
        Kernels (out, in) or (out, in, positions, 1); the leading singular value is three times the median.

    Example:
        >>> [kernel.shape for kernel in planted_chain(np.random.default_rng(0), 8, 2, 0.9)]
        [(8, 8), (8, 8)]
    """
    S = np.linspace(1.5, 0.5, width)
    S[0] = 3.0
    U = haar(rng, width)
    kernels = []
    for _ in range(layers):
        spatial = rng.standard_normal(positions)
        target = np.outer(U[:, 0], spatial / np.linalg.norm(spatial)).ravel()
        V = planted_frame(rng, target, cosine, width)
        U = haar(rng, width)
        kernels.append((U * S) @ V.T)
    return kernels if positions == 1 else [kernel.reshape(width, width, positions, 1) for kernel in kernels]


def smooth_kernel(rng: np.random.Generator, out: int, into: int, size: int, correlation: float) -> np.ndarray:
    """Draw a Gaussian kernel with independent channels and weights that are correlated over the window.

    Args:
        rng: the generator.
        out: output channels.
        into: input channels.
        size: height and width of the window.
        correlation: between neighbours along a row or column of the window; 1 makes the kernel constant over it.

    Returns:
        Shape (out, into, size, size), entries of variance 1.

    Example:
        >>> kernel = smooth_kernel(np.random.default_rng(0), 2, 3, 3, 1.0)
        >>> bool(np.allclose(kernel, kernel[:, :, :1, :1]))
        True
    """
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    value, vector = np.linalg.eigh(float(correlation) ** apart)
    root = vector * np.sqrt(np.maximum(value, 0))
    return np.einsum("oiab,xa,yb->oixy", rng.standard_normal((out, into, size, size)), root, root)
