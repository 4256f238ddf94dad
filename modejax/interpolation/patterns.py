"""Structure of activation patterns: bounds on the rank that need no values.

tau(A) <= rank(Phi) <= sprank(A): a pattern that can be peeled to a triangle is never singular, and no values on a
pattern without a large matching are regular. Peeling, and its proof of confluence, are reconstructions of
this project; matchings and the fine Dulmage-Mendelsohn form are standard.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching

from modejax.errors import InputError
from modejax.interpolation.points import _groups

__all__ = ["Blocks", "Peeling", "block_order", "dm_blocks", "linear_regions", "peel", "sprank", "tri_rank"]


def _mask(A: np.ndarray) -> Bool[np.ndarray, "rows columns"]:
    A = np.asarray(A)
    if A.ndim != 2:
        raise InputError(f"a pattern has shape {A.shape}; allowed: (rows, columns)")
    return A.astype(bool)


class Peeling(NamedTuple):
    """The order in which column singletons were taken; A[rows, columns] is lower triangular with a full diagonal."""

    rows: Int[np.ndarray, " tau"]
    columns: Int[np.ndarray, " tau"]


def peel(A: np.ndarray) -> Peeling:
    """Take columns with one active row among the remaining rows, and that row, until there are none.

    The number of steps does not depend on the order (peeling is confluent). A column that is taken has entries only in
    its own row and in rows taken before, so in reversed order the matrix is lower triangular.

    Args:
        A: the pattern, shape (rows, columns).

    Returns:
        The rows and columns, last taken first.

    Example:
        >>> found = peel(np.tril(np.ones((3, 3))))
        >>> found.rows.tolist(), found.columns.tolist()
        ([0, 1, 2], [0, 1, 2])
    """
    A = _mask(A)
    count = A.sum(axis=0)
    # The sum of the active rows' numbers names the row of a singleton without a search.
    total = A.T.astype(np.int64) @ np.arange(len(A))
    rows, columns = [], []
    queue = np.flatnonzero(count == 1).tolist()
    while queue:
        column = queue.pop()
        if count[column] != 1:
            continue
        row = int(total[column])
        rows.append(row)
        columns.append(column)
        active = np.flatnonzero(A[row])
        count[active] -= 1
        total[active] -= row
        queue.extend(active[count[active] == 1].tolist())
    return Peeling(np.array(rows[::-1], np.int64), np.array(columns[::-1], np.int64))


def tri_rank(A: np.ndarray) -> int:
    """Return the triangular rank tau: the number of columns that peeling takes.

    Args:
        A: the pattern, shape (rows, columns).

    Returns:
        tau; tau = rows if and only if some columns can be permuted to a regular triangle.

    Example:
        >>> tri_rank([[1, 1], [1, 1]]), tri_rank([[1, 0], [1, 1]])
        (0, 2)
    """
    return len(peel(A).rows)


def _matching(A: np.ndarray) -> Int[np.ndarray, " rows"]:
    """Return the column matched to each row, -1 for none."""
    return np.asarray(maximum_bipartite_matching(csr_array(A), perm_type="column"))


def sprank(A: np.ndarray) -> int:
    """Return the structural rank: the size of a largest matching of rows and columns.

    Example:
        >>> sprank([[1, 1], [1, 1]]), sprank([[1, 1], [0, 0]])
        (2, 1)
    """
    return int((_matching(_mask(A)) >= 0).sum())


class Blocks(NamedTuple):
    """The block triangular form of a square pattern; `A[rows][:, columns]` is block lower triangular."""

    sizes: tuple[int, ...]  # of the irreducible diagonal blocks, in order
    rows: Int[np.ndarray, " n"]
    columns: Int[np.ndarray, " n"]


def dm_blocks(A: np.ndarray) -> Blocks | None:
    """Return the fine Dulmage-Mendelsohn form of a square pattern.

    A perfect matching is moved to the diagonal; the strongly connected components of the directed graph of the rest
    are the irreducible blocks.

    Args:
        A: the pattern, shape (n, n).

    Returns:
        The blocks, or None where the pattern has no perfect matching (it is structurally singular).

    Raises:
        InputError: if the pattern is not square.

    Example:
        >>> dm_blocks([[1, 1, 0], [1, 1, 0], [1, 0, 1]]).sizes
        (2, 1)
    """
    A = _mask(A)
    if A.shape[0] != A.shape[1]:
        raise InputError(f"a pattern has shape {A.shape}; blocks need a square one. Leave columns out or add rows")
    match = _matching(A)
    if (match < 0).any():
        return None
    diagonal = A[:, match]  # row i has its own column at i
    count, label = connected_components(csr_array(diagonal), directed=True, connection="strong")
    # An entry (i, j) asks that block of j comes before block of i; order the condensed graph accordingly.
    source, target = np.nonzero(diagonal)
    edges = np.unique(np.stack([label[target], label[source]]), axis=1)
    edges = edges[:, edges[0] != edges[1]]
    order = _topological(count, edges)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    rows = np.argsort(place[label], kind="stable")
    sizes = np.bincount(place[label], minlength=count)
    return Blocks(tuple(int(s) for s in sizes), rows, match[rows])


def _topological(count: int, edges: np.ndarray) -> list[int]:
    """Order the nodes of a graph without cycles, the smallest free number first."""
    import heapq

    waiting = np.bincount(edges[1], minlength=count)
    order = np.argsort(edges[0], kind="stable")
    heads, starts = edges[1][order], np.searchsorted(edges[0][order], np.arange(count + 1))
    free = np.flatnonzero(waiting == 0).tolist()
    found = []
    while free:
        node = heapq.heappop(free)
        found.append(node)
        for head in heads[starts[node] : starts[node + 1]].tolist():
            waiting[head] -= 1
            if not waiting[head]:
                heapq.heappush(free, head)
    return found


def block_order(A: np.ndarray) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " columns"]]:
    """Return an order of rows and columns that shows the structure of any pattern.

    Square patterns with a perfect matching come in their block order. Others: what peeling takes, in triangular order,
    then the rest by the number of active entries.

    Example:
        >>> rows, columns = block_order([[0, 1], [1, 1]])
        >>> rows.tolist(), columns.tolist()
        ([0, 1], [1, 0])
    """
    A = _mask(A)
    blocks = dm_blocks(A) if A.shape[0] == A.shape[1] else None
    if blocks is not None:
        return blocks.rows, blocks.columns
    taken = peel(A)

    def rest(size: int, used: np.ndarray, active: np.ndarray) -> np.ndarray:
        left = np.setdiff1d(np.arange(size), used)
        return left[np.argsort(-active[left], kind="stable")]

    rows = np.concatenate([rest(A.shape[0], taken.rows, A.sum(axis=1)), taken.rows])
    columns = np.concatenate([rest(A.shape[1], taken.columns, A.sum(axis=0)), taken.columns])
    return rows, columns


def linear_regions(A: np.ndarray) -> int:
    """Return the number of distinct rows of a pattern: the linear regions of the layer that the data hit.

    Example:
        >>> linear_regions([[1, 0], [1, 0], [0, 0]])
        2
    """
    A = _mask(A)
    return 1 if A.shape[1] == 0 else len(_groups(np.packbits(A, axis=1))[1])
