"""Encoders that disentangle classes, their decoder, and the exact autoencoder.

Reconstructions of this project. Exact on the given points, with no claim about others.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import scipy.linalg
from scipy.optimize import linprog

from modejax.errors import InputError
from modejax.interpolation.hinge import divided_differences, find_line, hinge_maps
from modejax.interpolation.maps import Built, affine_maps, relu_network
from modejax.interpolation.matrices import act_mask, interp_matrix, nrank, rho, spectrum
from modejax.interpolation.points import check_labels, check_points, merge_points, one_hot

__all__ = [
    "CodeMeasures",
    "build_autoencoder",
    "build_decoder",
    "build_encoder",
    "code_measures",
    "off_block_energy",
    "target_code",
]

EncoderMode = Literal["orth", "ovr2"]


def target_code(y: np.ndarray, mode: EncoderMode = "orth") -> np.ndarray:
    """Return the code that an encoder gives to labelled points.

    `orth`: T_ik = 1 + rank in class / class size for i in class k, else 0: classes have mutually orthogonal supports
    and points stay distinct, K numbers. `ovr2`: two numbers near vertex k of a regular K-gon, with a jitter of at most
    0.02 (less for many classes) along a small arc: every class is separated from the rest by a line.

    Args:
        y: labels 0..K-1, shape (rows,).
        mode: the kind.

    Returns:
        Shape (rows, K) or (rows, 2), no negative entry.

    Raises:
        InputError: an unknown mode.

    Example:
        >>> target_code(np.array([0, 1, 0])).tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.5, 0.0]]
    """
    y = np.asarray(y)
    K = int(y.max()) + 1
    sizes = np.bincount(y, minlength=K)
    rank = np.empty(len(y))
    for k in range(K):
        rank[y == k] = np.arange(sizes[k])
    if mode == "orth":
        return one_hot(y, K) * (1 + rank / sizes[y])[:, None]
    if mode != "ovr2":
        raise InputError(f"unknown mode {mode!r} of an encoder; allowed: orth, ovr2")
    # A vertex stands 1 - cos(2 pi / K) above the line through its neighbours; half of it is left as the margin.
    jitter = min(0.02, 0.25 * (1 - np.cos(2 * np.pi / max(K, 2))))
    angle = 2 * np.pi * y / K
    radius = 1 + jitter * (rank / np.maximum(sizes[y] - 1, 1) - 0.5)
    return 2 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def build_encoder(
    X: np.ndarray, y: np.ndarray, mode: EncoderMode = "orth", *, candidates: int = 256, seed: int = 0
) -> Built:
    """Build d -> n - 1 -> p (-> p): hinges, then the target code as the second interpolation matrix.

    Args:
        X: points, shape (rows, features).
        y: labels 0..K-1, shape (rows,).
        mode: `orth` (p = K) or `ovr2` (p = 2), see `target_code`.
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        Network and parameters; the last map is the identity, so that the outputs are the activations of the code layer.

    Raises:
        InputError: see `check_labels`, `target_code` and `find_line`.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> X = np.array([[0.0], [1.0], [2.0]])
        >>> outputs(*build_encoder(X, np.array([0, 1, 0])), X).round(9).tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.5, 0.0]]
    """
    X, y, _ = check_labels(X, y)
    points = merge_points(X, y.astype(np.float64))
    T = target_code(y[points.first], mode)
    line = find_line(points.X, candidates=candidates, seed=seed)
    second = divided_differences(line, np.where(T > 0, T, -1.0))
    return relu_network([hinge_maps(line), second, (np.eye(T.shape[1]), np.zeros(T.shape[1]))])


def build_decoder(E: np.ndarray, X: np.ndarray) -> Built:
    """Build K -> n -> d that takes the codes of an `orth` encoder back to the points.

    For class k the thresholds are 0 and all codes of the class but the largest: the interpolation matrix is block
    diagonal with triangular blocks, its condition about 1.14 (n / K)^2, a factor K^2 better than one ordered list.

    Args:
        E: codes, shape (rows, K): exactly one positive entry a row, distinct within a class.
        X: the points to decode to, shape (rows, features).

    Returns:
        Network and parameters.

    Raises:
        InputError: codes of another form, or equal codes with different points.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> E = np.array([[1.0, 0.0], [0.0, 1.0], [1.5, 0.0]])
        >>> outputs(*build_decoder(E, np.array([[5.0], [6.0], [7.0]])), E).ravel().tolist()
        [5.0, 6.0, 7.0]
    """
    points = merge_points(check_points(E, "E"), X)
    E, X = points.X, points.Y
    active = 1e-9 * E.max() < E
    if (E < -1e-9).any() or not (active.sum(axis=1) == 1).all():
        raise InputError(
            "codes need exactly one positive entry a row; allowed: the codes of build_encoder(mode='orth')"
        )
    owner = active.argmax(axis=1)
    W, b, C = [], [], []
    for k in range(E.shape[1]):
        rows = np.flatnonzero(owner == k)
        rows = rows[np.argsort(E[rows, k])]
        codes = E[rows, k]
        if codes.size > 1 and np.diff(codes).min() <= 1e-12 * codes[-1]:
            raise InputError(f"two codes of class {k} coincide to rounding; allowed: distinct codes within a class")
        thresholds = np.concatenate([[0.0], codes[:-1]])[: codes.size]
        block = np.maximum(codes[:, None] - thresholds[None, :], 0.0)
        W.append(np.repeat(np.eye(E.shape[1])[:, [k]], codes.size, axis=1))
        b.append(-thresholds)
        C.append(scipy.linalg.solve_triangular(block, X[rows], lower=True))
    return relu_network([(np.hstack(W), np.concatenate(b)), (np.vstack(C), np.zeros(X.shape[1]))])


def build_autoencoder(X: np.ndarray, y: np.ndarray, *, candidates: int = 256, seed: int = 0) -> Built:
    """Build the exact autoencoder d -> n - 1 -> K -> n -> d: an `orth` encoder and its decoder.

    Args:
        X: points, shape (rows, features).
        y: labels 0..K-1, shape (rows,).
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        Network and parameters; its outputs are the points.

    Raises:
        InputError: see `build_encoder`.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> X = np.array([[0.0], [1.0], [2.0]])
        >>> outputs(*build_autoencoder(X, np.array([0, 1, 0])), X).round(9).ravel().tolist()
        [0.0, 1.0, 2.0]
    """
    X, y, _ = check_labels(X, y)
    points = merge_points(X, y.astype(np.float64))
    encoder = build_encoder(X, y, candidates=candidates, seed=seed)
    decoder = build_decoder(target_code(y[points.first]), points.X)
    return relu_network([*affine_maps(*encoder)[:2], *affine_maps(*decoder)])


def off_block_energy(Phi: np.ndarray, y: np.ndarray) -> float:
    """Return beta = 1 - sum_j max_k e_kj / sum e_kj, e_kj the energy of unit j on class k; 0 for class blocks.

    Example:
        >>> off_block_energy(np.eye(2), np.array([0, 1])), off_block_energy(np.ones((2, 1)), np.array([0, 1]))
        (0.0, 0.5)
    """
    energy = one_hot(np.asarray(y), int(np.max(y)) + 1).T @ np.asarray(Phi, np.float64) ** 2
    total = energy.sum()
    # As a sum of what is off, not as 1 minus what is on: an exact block structure gives exactly 0.
    return float((energy.sum(axis=0) - energy.max(axis=0)).sum() / total) if total > 0 else 0.0


class CodeMeasures(NamedTuple):
    """Measures of how well a code separates points and classes."""

    distinct: int  # distinct rows of the code
    least_distance: float  # between rows
    beta: float  # off-block energy
    separable: tuple[bool, ...]  # whether a half-space parts each class from the rest (linear program)
    jaccard: float  # largest overlap of the supports of two classes
    least_angle: float  # degrees, smallest principal angle between the spans of two classes
    rank: int
    effective_rank: float
    size: int  # numbers in a code
    affine_rank: int  # of the points
    rho: float  # share of the one-hot labels that no affine readout of the code fits


def code_measures(E: np.ndarray, y: np.ndarray, X: np.ndarray) -> CodeMeasures:
    """Measure a code.

    Args:
        E: codes, shape (rows, size).
        y: labels 0..K-1, shape (rows,).
        X: the points, shape (rows, features).

    Returns:
        The measures.

    Raises:
        InputError: see `check_labels`.

    Example:
        >>> found = code_measures(np.array([[1.0, 0.0], [0.0, 1.0], [1.5, 0.0]]), np.array([0, 1, 0]), np.eye(3))
        >>> found.beta, found.separable, found.jaccard, round(found.least_angle)
        (0.0, (True, True), 0.0, 90)
    """
    from scipy.spatial.distance import pdist

    X, y, K = check_labels(X, y)
    E = check_points(E, "E")
    classes = [E[y == k] for k in range(K)]
    active = [act_mask(each).any(axis=0) for each in classes]
    overlap, angle = 0.0, 90.0
    for i in range(K):
        for j in range(i):
            union = (active[i] | active[j]).sum()
            overlap = max(overlap, float((active[i] & active[j]).sum() / union) if union else 0.0)
            if classes[i].any() and classes[j].any():
                spans = [scipy.linalg.orth(each.T) for each in (classes[i], classes[j])]
                angle = min(angle, float(np.degrees(scipy.linalg.subspace_angles(*spans).min())))
    found = spectrum(interp_matrix(E, bias=False))
    return CodeMeasures(
        distinct=len(merge_points(E, np.zeros(len(E))).X),
        least_distance=float(pdist(E).min()),
        beta=off_block_energy(E, y),
        separable=tuple(_half_space(E, y == k) for k in range(K)),
        jaccard=overlap,
        least_angle=angle,
        rank=found.rank,
        effective_rank=found.effective_rank,
        size=E.shape[1],
        affine_rank=nrank(X - X.mean(axis=0)),
        rho=rho(interp_matrix(E), one_hot(y, K)),
    )


def _half_space(E: np.ndarray, chosen: np.ndarray) -> bool:
    """Decide by a linear program whether w.e + b >= 1 on the chosen rows and <= -1 on the others has a solution."""
    sign = np.where(chosen, -1.0, 1.0)
    system = sign[:, None] * interp_matrix(E)
    found = linprog(np.zeros(E.shape[1] + 1), A_ub=system, b_ub=-np.ones(len(E)), bounds=(None, None), method="highs")
    return bool(found.status == 0)
