"""Patterns against brute force: peeling, matchings, blocks, and the sandwich of ranks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.interpolation import block_order, dm_blocks, linear_regions, peel, sprank, tri_rank


def has_triangle(A):
    """Search all column orders for a non-singular triangle on all rows, in any row order."""
    n, m = A.shape
    if m < n:
        return False
    # A triangle exists if and only if columns can be assigned to rows in some row order with zeros for the rows after.
    for rows in itertools.permutations(range(n)):
        used = []
        for place, row in enumerate(rows):
            later = list(rows[place + 1 :])
            fits = [j for j in range(m) if j not in used and A[row, j] and not A[later, j].any()]
            if not fits:
                break
            used.append(fits[0])
        else:
            return True
    return False


def best_matching(A):
    n, m = A.shape
    if n > m:
        return best_matching(A.T)
    return max(sum(A[i, j] for i, j in enumerate(columns)) for columns in itertools.permutations(range(m), n))


def test_peeling_equals_brute_force_on_500_masks():
    rng = np.random.default_rng(0)
    yes = 0
    for _ in range(500):
        A = rng.random((4, 5)) < rng.uniform(0.2, 0.8)
        full = tri_rank(A) == 4
        assert full == has_triangle(A)
        yes += full
    assert 100 < yes < 400


def test_the_structural_rank_equals_brute_force():
    rng = np.random.default_rng(1)
    for _ in range(100):
        A = rng.random((4, 5)) < 0.35
        assert sprank(A) == best_matching(A)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(2, 12), st.floats(0.05, 0.95))
def test_the_rank_of_generic_values_lies_between_the_bounds(seed, n, m, density):
    rng = np.random.default_rng(seed)
    A = rng.random((n, m)) < density
    rank = np.linalg.matrix_rank(np.where(A, rng.uniform(0.5, 1.5, (n, m)), 0.0))
    assert tri_rank(A) <= rank <= sprank(A)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_peeled_rows_and_columns_are_a_triangle(seed):
    rng = np.random.default_rng(seed)
    A = rng.random((9, 11)) < rng.uniform(0.1, 0.5)
    found = peel(A)
    square = A[np.ix_(found.rows, found.columns)]
    assert not np.triu(square, 1).any()
    assert square.diagonal().all()


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_planted_blocks_are_found_after_shuffling(seed, sizes):
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    planted = np.zeros((n, n), bool)
    at = 0
    for size in sizes:
        planted[at : at + size, at : at + size] = True  # a full block is irreducible
        planted[at : at + size, :at] = rng.random((size, at)) < 0.4
        at += size
    A = planted[rng.permutation(n)][:, rng.permutation(n)]
    found = dm_blocks(A)
    assert found is not None
    assert sorted(found.sizes) == sorted(sizes)
    ordered = A[np.ix_(found.rows, found.columns)]
    at = 0
    for size in found.sizes:
        assert not ordered[at : at + size, at + size :].any()
        at += size


def test_a_cycle_is_one_block_and_a_bare_row_none():
    cycle = dm_blocks(np.eye(5) + np.roll(np.eye(5), 1, axis=0))
    assert cycle is not None
    assert cycle.sizes == (5,)
    assert dm_blocks(np.diag([1, 0, 1])) is None
    with pytest.raises(InputError, match="square"):
        dm_blocks(np.ones((2, 3)))


def test_an_order_is_a_permutation_and_regions_are_rows():
    rng = np.random.default_rng(2)
    for shape in ((6, 9), (7, 7), (9, 4)):
        A = rng.random(shape) < 0.4
        rows, columns = block_order(A)
        assert sorted(rows) == list(range(shape[0]))
        assert sorted(columns) == list(range(shape[1]))
        assert linear_regions(A) == len(np.unique(A, axis=0))
