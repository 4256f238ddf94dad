"""Dimensions, overlaps and separation of the spaces that patterns and hidden activities span.

Linear algebra in float64 on the host. Rows are samples or patterns, columns are units.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from modejax.errors import InputError

if TYPE_CHECKING:
    from modejax.networks import Network

__all__ = [
    "Alignment",
    "alignment",
    "class_overlap",
    "hidden_activity",
    "participation_dimension",
    "principal_angles",
    "second_moment_overlap",
    "subspace_overlap",
]


def _rows(x: Any, name: str = "x") -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim < 2 or 0 in x.shape:
        raise InputError(f"{name} needs rows and columns, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"{name} holds numbers that are not finite; leave out networks that diverged")
    return x


def participation_dimension(x: Float[np.ndarray, "... rows units"], *, centred: bool = True) -> Float[np.ndarray, ...]:
    """Return the participation dimension D = (tr C)^2 / tr C^2 of rows.

    It is the number of directions over which their variance is spread: D is between 1 and the rank, and equals the
    dimension if the variance is equal in all directions.

    Args:
        x: the rows; patterns as rows, activities with examples as rows.
        centred: True: C is the covariance; False: the second moment, which for a matrix W gives the dimension of W W^T.

    Returns:
        The dimension, one for each matrix of a stack.

    Raises:
        InputError: if x has no rows and columns, numbers that are not finite, or rows that are all the same.

    Example:
        >>> float(participation_dimension(np.eye(4), centred=False)), float(participation_dimension([[1, 0], [3, 0]]))
        (4.0, 1.0)
    """
    x = _rows(x)
    if centred:
        x = x - x.mean(axis=-2, keepdims=True)
    # The smaller of the two Gram matrices has the same trace and the same trace of its square.
    gram = x @ np.swapaxes(x, -1, -2) if x.shape[-2] < x.shape[-1] else np.swapaxes(x, -1, -2) @ x
    trace, squares = np.trace(gram, axis1=-2, axis2=-1), (gram**2).sum(axis=(-2, -1))
    if (squares <= 0).any():
        raise InputError("rows that are all the same span no direction; are all units of this layer dead?")
    return trace**2 / squares


def _basis(rows: np.ndarray, name: str) -> np.ndarray:
    """Return an orthonormal basis of the span of rows as columns."""
    rows = _rows(rows, name)
    _, values, directions = np.linalg.svd(rows, full_matrices=False)
    rank = int((values > values[0] * max(rows.shape) * np.finfo(float).eps).sum())
    if not rank:
        raise InputError(f"{name} spans no direction: all of it is 0")
    return directions[:rank].T


def principal_angles(
    a: Float[np.ndarray, "rows units"], b: Float[np.ndarray, "others units"]
) -> Float[np.ndarray, " angles"]:
    """Return the principal angles between the spans of two sets of rows, in radian, smallest first.

    Args:
        a: one set of rows.
        b: the other, with as many columns.

    Returns:
        The angles; their number is the dimension of the smaller span.

    Raises:
        InputError: if the numbers of columns differ or a set spans nothing.

    References:
        Knyazev and Argentati, SIAM J. Sci. Comput. 23, 2008 (2002), as in `scipy.linalg.subspace_angles`.

    Example:
        >>> np.degrees(principal_angles(np.array([[1.0, 0, 0]]), np.array([[1.0, 1.0, 0]]))).round(6).tolist()
        [45.0]
    """
    from scipy.linalg import subspace_angles

    first, second = _pair(a, b)
    return subspace_angles(first, second)[::-1]


def _pair(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    first, second = _basis(a, "the first set"), _basis(b, "the second set")
    if first.shape[0] != second.shape[0]:
        raise InputError(f"two sets of one layer have as many units, got {first.shape[0]} and {second.shape[0]}")
    return first, second


def subspace_overlap(a: Float[np.ndarray, "rows units"], b: Float[np.ndarray, "others units"]) -> tuple[float, float]:
    """Return the overlap of the spans of two sets of rows, and that of random spans of the same dimensions.

    O = ||U^T V||_F^2 / min(p, q) with orthonormal bases U and V, the mean squared cosine of the principal angles;
    max(p, q) / N for random spans.

    Args:
        a: one set of rows, of rank p.
        b: the other, of rank q.

    Returns:
        The overlap and the random value.

    Raises:
        InputError: as `principal_angles`.

    Example:
        >>> subspace_overlap(np.eye(4)[:2], np.eye(4)[1:3])
        (0.5, 0.5)
    """
    first, second = _pair(a, b)
    p, q = first.shape[1], second.shape[1]
    return float(((first.T @ second) ** 2).sum()) / min(p, q), max(p, q) / first.shape[0]


def second_moment_overlap(
    a: Float[np.ndarray, "rows units"], b: Float[np.ndarray, "others units"]
) -> tuple[float, float]:
    """Return the overlap of two weighted sets of rows, and its mean over random rotations of one of them.

    With A = a^T a and B = b^T b it is tr(A B) / sqrt(tr A^2 tr B^2): 1 if they agree, 0 if they are orthogonal. Unlike
    the overlap of spans it weights each direction by its variance. The mean over rotations of B is tr A tr B / (N
    sqrt(tr A^2 tr B^2)).

    Args:
        a: rows, scaled by their weights.
        b: the other set of rows, likewise.

    Returns:
        The overlap and the random value.

    Raises:
        InputError: if the numbers of columns differ or a set is all 0.

    Example:
        >>> overlap, chance = second_moment_overlap(np.diag([2.0, 1.0]), np.diag([2.0, 1.0]))
        >>> round(overlap, 6), round(chance, 6)
        (1.0, 0.735294)
    """
    a, b = _rows(a, "the first set"), _rows(b, "the second set")
    if a.shape[-1] != b.shape[-1]:
        raise InputError(f"two sets of one layer have as many units, got {a.shape[-1]} and {b.shape[-1]}")
    left, right = a.T @ a, b.T @ b
    length = float(np.linalg.norm(left) * np.linalg.norm(right))
    if length == 0:
        raise InputError("a set of rows that is all 0 has no overlap")
    return float((left * right).sum()) / length, float(np.trace(left) * np.trace(right)) / (len(left) * length)


class Alignment(NamedTuple):
    """Comparison of the two pattern sets of a hidden layer: Xi_out of the map before it, Xi_in of the map after it."""

    overlap: float  # of the spans
    overlap_random: float
    weighted: float  # patterns scaled by the gauge-free size of their modes
    weighted_random: float
    kernels: float  # of W^l W^l^T and (W^{l+1})^T W^{l+1}; needs no modes
    kernels_random: float
    angle: float  # mean principal angle between the spans, radian


def alignment(network: Network, params: Any) -> list[Alignment]:
    """Compare, in each hidden layer, the patterns that are written to it with those that are read from it.

    Args:
        network: a network whose maps have modes.
        params: its parameters.

    Returns:
        One record for each hidden layer.

    Raises:
        InputError: if a map has no modes, or there is no hidden layer.

    Example:
        >>> import jax
        >>> from modejax import layers, mlp
        >>> network = mlp([6, 8, 3], layers.Mode(), 2)
        >>> round(alignment(network, network.init(jax.random.key(0)))[0].overlap_random, 3)
        0.25
    """
    modes, kernels = network.modes(params), [np.asarray(w, np.float64) for w in network.kernels(params)]
    if len(kernels) < 2:
        raise InputError("a network without hidden layers has no two pattern sets to compare")
    found = []
    for index, (left, right) in enumerate(itertools.pairwise(modes)):
        if left is None or right is None:
            raise InputError(
                "a network without modes (dense) has no pattern sets; use second_moment_overlap of kernels"
            )
        out, w_out, in_left = (np.asarray(each, np.float64) for each in (left.xi_out, left.weight, left.xi_in))
        into, w_in, out_right = (np.asarray(each, np.float64) for each in (right.xi_in, right.weight, right.xi_out))
        written = out.T * (np.abs(w_out) * np.linalg.norm(in_left, axis=1))[:, None]
        read = into * (np.abs(w_in) * np.linalg.norm(out_right, axis=0))[:, None]
        found.append(
            Alignment(
                *subspace_overlap(out.T, into),
                *second_moment_overlap(written, read),
                *second_moment_overlap(kernels[index].T, kernels[index + 1]),
                float(principal_angles(out.T, into).mean()),
            )
        )
    return found


def hidden_activity(network: Network, params: Any, x: Any) -> list[Float[np.ndarray, "examples units"]]:
    """Return the activities of all hidden layers.

    Args:
        network: the network.
        params: its parameters.
        x: inputs as the network takes them, (examples, features).

    Returns:
        One array for each hidden layer.

    Example:
        >>> import jax
        >>> from modejax import layers, mlp
        >>> network = mlp([4, 3, 5, 2], layers.Mode(), 2)
        >>> [h.shape for h in hidden_activity(network, network.init(jax.random.key(0)), np.ones((7, 4)))]
        [(7, 3), (7, 5)]
    """
    import jax
    import jax.numpy as jnp

    @jax.jit
    def all_layers(params: Any, x: Any) -> list[Any]:
        h, found = network.enter(x), []  # pyright: ignore
        for index in range(len(network.units) - 2):  # pyright: ignore
            h = network.between(params, h, index, index + 1)  # pyright: ignore
            found.append(h)
        return found

    return [np.asarray(h) for h in all_layers(params, jnp.asarray(x))]


def class_overlap(
    activity: Float[np.ndarray, "examples units"], labels: Int[np.ndarray, " examples"], directions: int = 5
) -> float:
    """Return the share of the directions of variance that the classes have in common: 1 all of them, 0 none.

    Mean over pairs of classes of ||U_a^T U_b||_F^2 / k, with the k leading principal directions of each class, centred
    on its own mean. Lower is more disentangled; random directions give k / N.

    Args:
        activity: activities of a layer.
        labels: the class of each example.
        directions: the number k of leading directions.

    Returns:
        The mean overlap.

    Raises:
        InputError: if there are fewer than two classes, or a class varies in fewer than k directions.

    Example:
        >>> h = np.array([[1.0, 0, 5, 0], [-1, 0, 5, 0], [0, 1, 0, 0], [0, -1, 0, 0]])
        >>> class_overlap(h, np.array([0, 0, 1, 1]), 1)
        0.0
    """
    activity, labels = _rows(activity, "activity"), np.asarray(labels)
    if labels.shape != activity.shape[:1]:
        raise InputError(f"labels need one class an example, got {labels.shape} for {activity.shape[0]} examples")
    classes = np.unique(labels)
    if classes.size < 2:
        raise InputError(f"an overlap of classes takes at least 2 classes, got {classes.size}")
    if directions < 1:
        raise InputError(f"directions must be at least 1, got {directions}")
    bases = []
    for each in classes:
        rows = activity[labels == each]
        rows = rows - rows.mean(axis=0)
        _, values, found = np.linalg.svd(rows, full_matrices=False)
        rank = int((values > max(rows.shape) * np.finfo(float).eps * max(values[0], 1e-300)).sum())
        if rank < directions:
            raise InputError(
                f"class {each} varies in {rank} directions, fewer than the {directions} asked for; "
                "give more examples or ask for fewer directions"
            )
        bases.append(found[:directions].T)
    pairs = [((a.T @ b) ** 2).sum() / directions for a, b in itertools.combinations(bases, 2)]
    return float(np.mean(pairs))
