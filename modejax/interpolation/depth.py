"""The effect of depth: the sparse-matrix principle as operational statements, and sparseness across layers.

The paper's abstract (arXiv 2208.07498) names a "sparse-matrix principle" of deep layers; its statement was not
available.
SMP-1 to SMP-5 are statements of this project:

1. budget: the supports that a unit of the next layer can have are at most Cov(n, rank G - 1), all 2^n at rank n;
2. free target: at rank n every T >= 0 can be the next interpolation matrix (`builders.smp_layer`);
3. independence: a block diagonal matrix decouples solves and edits;
4. how sparse is allowed: random masks of density p are regular with probability exp(-2 e^-c), p = (ln n + c) / n;
5. merging: depth may merge rows with equal targets instead (tent folding).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from modejax.errors import InputError
from modejax.interpolation.classes import count_supports, find_supports
from modejax.interpolation.maps import Built, hidden_units, relu_network
from modejax.interpolation.matrices import act_mask, interp_matrix, nrank
from modejax.interpolation.patterns import sprank
from modejax.interpolation.points import check_points, check_targets
from modejax.networks import Network, Params

__all__ = [
    "BlockFit",
    "activity_profile",
    "diagonal_blocks",
    "regular_limit",
    "regular_share",
    "solve_blocks",
    "support_budget",
    "tent_network",
]


def support_budget(Phi: np.ndarray) -> tuple[int, int]:
    """Return the number of supports that a unit after a layer can have, and the bound Cov(n, rank G - 1) (SMP-1).

    Args:
        Phi: activations, shape (rows, units), at most 16 rows.

    Returns:
        The number found by linear programs, and the bound.

    Example:
        >>> support_budget(np.array([[0.0], [1.0], [3.0]]))
        (6, 6)
    """
    Phi = check_points(Phi, "Phi")
    n = len(Phi)
    return len(find_supports(Phi)), min(2**n, count_supports(n, nrank(interp_matrix(Phi)) - 1))


def diagonal_blocks(Phi: np.ndarray) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " columns"]]:
    """Return the block of each row and of each column: the components of the graph of active entries.

    A block diagonal matrix has more than one; rows and columns without entries are blocks of their own.

    Example:
        >>> diagonal_blocks(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]))[0].tolist()
        [0, 0, 1]
    """
    A = act_mask(check_points(Phi, "Phi"))
    n, m = A.shape
    rows, columns = np.nonzero(A)
    graph = csr_array((np.ones(len(rows)), (rows, columns + n)), shape=(n + m, n + m))
    label = connected_components(graph, directed=False)[1]
    return label[:n], label[n:]


class BlockFit(NamedTuple):
    """A readout solved block by block."""

    C: Float[np.ndarray, "units outputs"]
    blocks: int
    largest: int  # rows of the largest block


def solve_blocks(Phi: np.ndarray, Y: np.ndarray) -> BlockFit:
    """Solve Phi C = Y block by block (SMP-3): cost sum n_k^3 instead of n^3, and edits of one block stay in it.

    Args:
        Phi: activations, shape (rows, units), without a bias column, which would join all blocks.
        Y: targets, shape (rows, outputs) or (rows,).

    Returns:
        The readout of least norm, equal to that of a single solve.

    Example:
        >>> solve_blocks(np.diag([2.0, 4.0]), np.array([2.0, 2.0])).C.ravel().tolist()
        [1.0, 0.5]
    """
    Phi, Y = check_targets(Phi, Y)
    row_block, column_block = diagonal_blocks(Phi)
    C = np.zeros((Phi.shape[1], Y.shape[1]))
    names, sizes = np.unique(row_block, return_counts=True)
    for name in names:
        rows, columns = np.flatnonzero(row_block == name), np.flatnonzero(column_block == name)
        if columns.size:
            C[columns] = np.linalg.lstsq(Phi[np.ix_(rows, columns)], Y[rows], rcond=None)[0]
    return BlockFit(C, len(names), int(sizes.max()))


def regular_limit(c: float) -> float:
    """Return exp(-2 e^-c), the limit of P(a random n x n mask of density (ln n + c) / n has a perfect matching).

    Erdos and Renyi, Studia Sci. Math. Hung. 3, 459 (1968); generic values on a mask have rank = sprank.

    Example:
        >>> [round(regular_limit(c), 3) for c in (-2, 0, 2, 4)]
        [0.0, 0.135, 0.763, 0.964]
    """
    return float(np.exp(-2 * np.exp(-c)))


def regular_share(n: int, c: float, *, draws: int = 200, seed: int = 0) -> float:
    """Return the share of random n x n masks of density (ln n + c) / n that have a perfect matching (SMP-4).

    Args:
        n: number of rows and columns.
        c: offset of the density.
        draws: number of masks.
        seed: seed of the draws.

    Returns:
        The share; its standard deviation is at most 1 / (2 sqrt(draws)).

    Raises:
        InputError: a density out of [0, 1].

    Example:
        >>> regular_share(20, 15.0, draws=20)
        1.0
    """
    p = (np.log(n) + c) / n
    if not 0 <= p <= 1:
        raise InputError(f"n={n} and c={c} make the density {p:.3g}; allowed: 0 to 1")
    rng = np.random.default_rng(seed)
    return float(np.mean([sprank(rng.random((n, n)) < p) == n for _ in range(draws)]))


def tent_network(levels: int) -> Built:
    """Build the folding network of width 2 that gives i mod 2 at u = i / 2^levels (SMP-5).

    h = (relu(u), relu(u - 1/2)), next u = 2 h_1 - 4 h_2: each layer merges the rows u and 1 - u, so that the number of
    distinct rows halves while every interpolation matrix keeps rank at most 3 (Telgarsky, arXiv 1602.04485).

    Args:
        levels: number of hidden layers, at least 1.

    Returns:
        Network and parameters, one input and one output.

    Raises:
        InputError: no levels.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> outputs(*tent_network(2), np.arange(5)[:, None] / 4).ravel().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0]
    """
    if levels < 1:
        raise InputError(f"levels={levels}; allowed: at least 1")
    shift = np.array([0.0, -0.5])
    fold = np.array([[2.0, 2.0], [-4.0, -4.0]])
    maps = [(np.ones((1, 2)), shift), *[(fold, shift)] * (levels - 1), (fold[:, :1], np.zeros(1))]
    return relu_network(maps)


def activity_profile(network: Network, params: Params, X: np.ndarray) -> Float[np.ndarray, " layers"]:
    """Return the density of active units in each hidden layer, next to the input first.

    Args:
        network: the network.
        params: its parameters.
        X: points, shape (rows, features).

    Returns:
        Shares of 1.

    Example:
        >>> activity_profile(*tent_network(2), np.arange(5)[:, None] / 4).round(2).tolist()
        [0.6, 0.4]
    """
    units, _ = hidden_units(network, params, X)
    return np.array([act_mask(each.Z).mean() for each in units])
