"""What is read off edges and kernels: dimensions, intensities, chains, near-kernels, dead channels, entropy.

All functions are finite on edge cases: no excess, one channel, zeros.

References:
    Meller and Berkouk, arXiv 2302.08183, and the code released with it, unless stated. Cut-offs and p-values are this
    project's.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from modejax.errors import InputError
from modejax.svr.neurons import clusters, haar
from modejax.svr.null import beta_log_p, bonferroni
from modejax.svr.tails import chi2_log_tail

__all__ = [
    "DeadChannels",
    "InternalDimension",
    "NearKernel",
    "adjacency_dimension",
    "aggregate",
    "chain_log_p",
    "dead_channels",
    "dominant_chain",
    "entropy",
    "internal_dimension",
    "internal_dimension_cut",
    "near_kernel",
    "near_kernel_block",
    "node_intensity",
    "path_metric",
]


class InternalDimension(NamedTuple):
    """The pair of leading blocks that share most beyond chance."""

    reader: int  # leading neurons of the reader
    writer: int  # of the writer
    excess: float  # T = c sum E - reader * writer over the block
    cut: float  # excess passes it by chance in about 5 % of pairs
    significant: bool


def internal_dimension_cut(c: int, z: float, n: int, m: int) -> float:
    """Return the cut of the excess, passed between Haar frames in at most about 5 % of draws.

    The excess of a block of a readers and b writers has the variance 2/z a (1 - a/(c z)) b (1 - b/c) to leading order;
    the largest over all blocks lies below 3.1 times the largest of these standard deviations in 95 % of draws of
    complete frames (1.1 c for z = 1), and in more draws of leading neurons alone.

    Args:
        c: channels.
        z: positions of the reader's window.
        n: readers.
        m: writers.

    Example:
        >>> round(internal_dimension_cut(100, 1, 100, 100), 1)
        109.6
    """

    def widest(count: int, whole: float) -> float:
        a = min(count, whole / 2)
        return a * (1 - a / whole)

    return 3.1 * math.sqrt(2 / z * widest(n, c * z) * widest(m, c))


def internal_dimension(
    E: Float[np.ndarray, "n m"], c: int, z: float = 1, *, released: bool = False
) -> InternalDimension:
    """Return the sizes (a, b) of the leading blocks with the largest excess T(a, b) = c sum_{n<a, m<b} E - a b.

    Args:
        E: edges, rows the reader's neurons, both sides by falling singular value.
        c: channels between the layers.
        z: positions of the reader's window, for the cut.
        released: return the indices of the maximum as the released code does, that is one less each.

    Returns:
        The sizes, the excess, its cut, and whether it passes.

    Example:
        >>> E = np.zeros((4, 4)); E[:2, :2] = 0.5; E[2:, 2:] = 0.5
        >>> internal_dimension(E, 4)[:3]
        (2, 2, 4.0)
    """
    T = c * E.cumsum(0).cumsum(1) - np.outer(np.arange(1, E.shape[0] + 1), np.arange(1, E.shape[1] + 1))
    a, b = np.unravel_index(int(T.argmax()), T.shape)
    excess, cut = float(T[a, b]), internal_dimension_cut(c, z, *E.shape)
    return InternalDimension(int(a) + (not released), int(b) + (not released), excess, cut, excess > cut)


def node_intensity(E: Float[np.ndarray, "n m"], c: int) -> Float[np.ndarray, " m"]:
    """Return how far each writer neuron's edges to the leading readers exceed chance, relative to the largest.

    relu(max_a sum_{n <= a} (c E[n, m] - 1)), over its maximum; all 0 where nothing exceeds chance (the released code
    divides 0 by 0 there).

    Args:
        E: edges, rows the reader's neurons.
        c: channels.

    Returns:
        Values in [0, 1].

    Example:
        >>> node_intensity(np.array([[1.0, 0.0], [0.0, 1.0]]), 2).tolist()
        [1.0, 0.0]
    """
    excess = np.maximum((c * E - 1).cumsum(0).max(0), 0)
    return excess / excess.max() if excess.max() > 1e-9 else np.zeros_like(excess)


def entropy(E: Float[np.ndarray, "n m"], *, normalised: bool = False) -> float:
    """Return - sum E log E over all edges, with 0 log 0 = 0.

    Args:
        E: edges.
        normalised: divide by n log m, so that equal edges with rows that sum to 1 have entropy 1.

    Example:
        >>> round(entropy(np.full((2, 4), 0.25), normalised=True), 12), entropy(np.eye(2))
        (1.0, 0.0)
    """
    total = float(special.entr(E).sum())
    if not normalised:
        return total
    return total / (E.shape[0] * math.log(E.shape[1])) if E.shape[1] > 1 else 0.0


def adjacency_dimension(E: Float[np.ndarray, "n m"]) -> float:
    """Return 1 / mean(E): the number of channels where all writers are kept, less where the kept ones are read more.

    Example:
        >>> adjacency_dimension(np.full((2, 4), 0.25))
        4.0
    """
    mean = float(E.mean())
    return 1 / mean if mean > 0 else math.inf


def aggregate(E: Float[np.ndarray, "n m"], reader: np.ndarray, writer: np.ndarray) -> Float[np.ndarray, "a b"]:
    """Return sums of E over clusters of equal singular values: what does not depend on the basis inside a cluster.

    Args:
        E: edges.
        reader: the cluster of each row, as `clusters` gives it.
        writer: of each column.

    Example:
        >>> aggregate(np.ones((3, 2)), np.array([0, 1, 1]), np.array([0, 0])).tolist()
        [[2.0], [4.0]]
    """
    rows = np.add.reduceat(E, np.flatnonzero(np.diff(reader, prepend=-1)), axis=0)
    return np.add.reduceat(rows, np.flatnonzero(np.diff(writer, prepend=-1)), axis=1)


def path_metric(
    gains: list[Float[np.ndarray, " r"]],
    edges: list[Float[np.ndarray, "n m"]],
    *,
    weighted: bool = True,
    least: float = 0.0,
) -> float:
    """Return the sum over all paths through a chain of layers of the product of their edges (and gains).

    1' D_L E_(L-1) ... E_0 D_0 1 with D the singular values above `least`, or ones there.

    Args:
        gains: singular values of each layer.
        edges: E of each pair, one fewer.
        weighted: multiply with the singular values.
        least: neurons with smaller singular values are left out.

    Raises:
        InputError: if the edges do not join the layers.

    Example:
        >>> path_metric([np.array([2.0]), np.array([3.0])], [np.array([[0.5]])])
        3.0
    """
    sizes = [(len(two), len(one)) for one, two in itertools.pairwise(gains)]
    if [E.shape for E in edges] != sizes:
        raise InputError(f"{len(gains)} layers and {len(edges)} pairs do not form a chain")
    diagonals = [np.where(least < S, S if weighted else 1.0, 0.0) for S in gains]
    total = diagonals[0]
    for E, D in zip(edges, diagonals[1:], strict=True):
        total = D * (E @ total)
    return float(total.sum())


class Chain(NamedTuple):
    """A path of spectral neurons through a chain of layers."""

    neurons: tuple[int, ...]  # one a layer
    edges: tuple[float, ...]  # E of each pair
    product: float
    weakest: float
    log_p: float  # natural logarithm


def chain_log_p(log_p: list[float], alternatives: float = 0.0) -> float:
    """Return the log p-value of a chain from those of its edges, by Fisher's sum.

    Edges of successive pairs are independent when frames are, so that -2 sum log p is chi-square of twice as many
    degrees.

    Args:
        log_p: of each edge, for a chain that was chosen beforehand.
        alternatives: log of the number of chains from which it was chosen (Bonferroni).

    References:
        Fisher, Statistical Methods for Research Workers (1925).

    Example:
        >>> round(chain_log_p([-3.0]), 6)
        -3.0
    """
    return min(float(chi2_log_tail(-2 * sum(log_p), 2 * len(log_p))) + alternatives, 0.0)


def dominant_chain(edges: list[Float[np.ndarray, "n m"]], log_p: list[Float[np.ndarray, "n m"]]) -> Chain:
    """Return the chain of neurons whose edges are together least likely by chance.

    By dynamic programming over the sum of log p. Its p-value is corrected for all chains there are.

    Args:
        edges: E of each pair of a chain of layers.
        log_p: of the same shapes.

    Raises:
        InputError: if there is no pair, or they do not form a chain.

    Example:
        >>> chain = dominant_chain([np.eye(2)[::-1]], [np.array([[0.0, -9.0], [-5.0, 0.0]])])
        >>> chain.neurons, chain.edges
        ((1, 0), (1.0,))
    """
    if not edges or any(a.shape[0] != b.shape[1] for a, b in itertools.pairwise(edges)):
        raise InputError("the pairs do not form a chain of layers; choose those along one path")
    best = np.zeros(edges[0].shape[1])
    back = []
    for each in log_p:
        through = each + best[None, :]
        back.append(through.argmin(1))
        best = through.min(1)
    neurons = [int(best.argmin())]
    for choice in reversed(back):
        neurons.append(int(choice[neurons[-1]]))
    neurons.reverse()
    steps = [(k, neurons[k + 1], neurons[k]) for k in range(len(edges))]
    found = tuple(float(edges[k][n, m]) for k, n, m in steps)
    many = math.log(edges[0].shape[1]) + sum(math.log(E.shape[0]) for E in edges)
    p = chain_log_p([float(log_p[k][n, m]) for k, n, m in steps], many)
    return Chain(tuple(neurons), found, math.prod(found), min(found), p)


class NearKernel(NamedTuple):
    """What one layer hardly writes against what the next hardly reads."""

    H: Float[np.ndarray, "c c"]  # |cosine|, rows right vectors of the reader, columns left vectors of the writer
    write_gain: Float[np.ndarray, " c"]  # singular values of the writer's unfolding by output channel, falling
    read_gain: Float[np.ndarray, " c"]  # of the reader's by input channel
    U: Float[np.ndarray, "c c"]  # of the writer: channel patterns
    V: Float[np.ndarray, "c c"]  # of the reader


def near_kernel(
    writer: Float[np.ndarray, "c i ..."], reader: Float[np.ndarray, "o c ..."], *, seed: int = 0
) -> NearKernel:
    """Return H[n, m] = |V_n . U_m| between complete bases of the channels that lie between two layers.

    U are the left singular vectors of the writer's kernel (SVR), V the right ones of the reader's with its window on
    the writing side (co-SVR), both by falling singular value, so that the bottom right corner pairs what is hardly
    written with what is hardly read. Bases of clusters of equal singular values, as those of dead channels, are turned
    at random (`neurons`).

    Args:
        writer: its kernel, axes (out, in, *window).
        reader: its kernel; its inputs are the writer's outputs.
        seed: of the rotations in clusters.

    Returns:
        H and the bases; H squared is doubly stochastic.

    Raises:
        InputError: if the channels differ.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = near_kernel(rng.standard_normal((8, 3, 3, 3)), rng.standard_normal((5, 8, 3, 3)))
        >>> found.H.shape, bool(np.allclose((found.H**2).sum(0), 1))
        ((8, 8), True)
    """
    c = _common_channels(writer, reader)
    rng = np.random.default_rng(seed)
    U, write_gain = _channel_basis(writer.reshape(c, -1), rng)
    V, read_gain = _channel_basis(np.moveaxis(reader, 1, 0).reshape(c, -1), rng)
    return NearKernel(np.abs(V.T @ U), write_gain, read_gain, U, V)


def _common_channels(writer: np.ndarray, reader: np.ndarray) -> int:
    c = writer.shape[0]
    if reader.ndim < 2 or reader.shape[1] != c:
        raise InputError(
            f"the writer has the shape {writer.shape} and the reader {reader.shape}; allowed: (out, in, *window), the "
            "inputs of the reader being the outputs of the writer (take a flattened reader apart into positions first)"
        )
    if not (np.isfinite(writer).all() and np.isfinite(reader).all()):
        raise InputError("a kernel has entries that are not finite; allowed: numbers")
    return c


def _channel_basis(A: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return complete left singular vectors of A and their singular values; equal ones are turned at random."""
    R = np.asarray(np.linalg.qr(A.T.astype(np.float64), mode="r"))
    U, S, _ = np.linalg.svd(R.T)
    S = np.concatenate([S, np.zeros(len(U) - len(S))])
    number = clusters(S, A.dtype)
    for index in np.flatnonzero(np.bincount(number) > 1):
        inside = number == index
        U[:, inside] = U[:, inside] @ haar(rng, int(inside.sum()))
    return U, S


class Block(NamedTuple):
    """The trailing block of a near-kernel adjacency."""

    mass: float  # sum of H^2 over the block, over its side; chance gives side / c
    chance: float
    significant: int  # entries beyond Bonferroni's level over all c^2


def near_kernel_block(H: Float[np.ndarray, "c c"], side: int, level: float = 0.05) -> Block:
    """Return how much the last `side` directions hardly written are the last ones hardly read.

    Args:
        H: from `near_kernel`.
        side: how many of each.
        level: of the family of all c^2 entries.

    Raises:
        InputError: if the side is not in 1 .. c.

    Example:
        >>> near_kernel_block(np.eye(8), 2)
        Block(mass=1.0, chance=0.25, significant=2)
    """
    c = len(H)
    if not 1 <= side <= c:
        raise InputError(f"side={side}; allowed: 1 to {c}")
    block = H[-side:, -side:] ** 2
    log_p = bonferroni(beta_log_p(np.minimum(block, 1.0), c), c * c)
    return Block(float(block.sum()) / side, side / c, int((log_p < math.log(level)).sum()) if c > 1 else 0)


class DeadChannels(NamedTuple):
    """Channels that are hardly written or hardly read."""

    written: Bool[np.ndarray, " c"]  # dead as outputs of the writer
    read: Bool[np.ndarray, " c"]  # dead as inputs of the reader

    @property
    def both(self) -> int:
        """How many are dead on both sides."""
        return int((self.written & self.read).sum())


def dead_channels(
    writer: Float[np.ndarray, "c i ..."], reader: Float[np.ndarray, "o c ..."], share: float = 0.01
) -> DeadChannels:
    """Return the channels whose norm, as outputs of one layer or inputs of the next, is below a share of the largest.

    Args:
        writer: its kernel, axes (out, in, *window).
        reader: its kernel.
        share: of the largest norm.

    Example:
        >>> dead_channels(np.diag([1.0, 0.0]), np.diag([1.0, 0.0])).both
        1
    """
    _common_channels(writer, reader)
    out = np.sqrt((np.asarray(writer, np.float64) ** 2).reshape(len(writer), -1).sum(1))
    into = np.sqrt((np.asarray(np.moveaxis(reader, 1, 0), np.float64) ** 2).reshape(reader.shape[1], -1).sum(1))
    return DeadChannels(out <= share * out.max(), into <= share * into.max())
