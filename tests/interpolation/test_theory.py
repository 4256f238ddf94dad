"""Classes, counts, over-parameterised fits, depth statements and one-mode ranks."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.interpolation import (
    antipodal_rank_bound,
    classify,
    count_orderings,
    count_supports,
    diagonal_blocks,
    duplicate_floor,
    find_orderings,
    find_supports,
    generic_jacobian_rank,
    gradient_descent_limit,
    hidden_units,
    interp_matrix,
    jacobian_rank,
    least_norm,
    merge_points,
    multi_output_fit,
    normal_form,
    nrank,
    null_basis,
    one_mode_rank,
    random_features,
    regular_limit,
    regular_share,
    rho,
    smp_layer,
    solve_blocks,
    spectrum,
    support_budget,
    tent_network,
    truncation_profile,
)

rng = np.random.default_rng(0)


@pytest.mark.parametrize(("n", "d", "count"), [(6, 1, 12), (6, 2, 32), (6, 3, 52), (8, 2, 58)])
def test_supports_are_counted_by_linear_programs(n, d, count):
    assert count_supports(n, d) == count == len(find_supports(rng.standard_normal((n, d))))


@pytest.mark.parametrize(("n", "d", "count"), [(5, 2, 20), (5, 3, 72), (6, 2, 30), (6, 3, 172), (4, 3, 24)])
def test_orderings_are_counted_near_all_rays(n, d, count):
    assert count_orderings(n, d) == count == len(find_orderings(rng.standard_normal((n, d))))


def test_every_class_has_an_example():
    n = 8
    line, target = np.arange(float(n))[:, None], rng.standard_normal((n, 1))
    cases = {
        "A": line + 1,
        "D": np.where(np.eye(n) > 0, 1.0, -1.0),
        "T": line - np.arange(n - 1.0),
        "F": rng.standard_normal((n, n - 1)) + np.where(np.eye(n, n - 1) + np.eye(n, n - 1, k=-1), 9.0, 0.0),
        "W": np.abs(rng.standard_normal((n, 3 * n))) - 0.5,
    }
    cases["B"] = np.where(np.kron(np.eye(4), np.ones((2, 2))) > 0, rng.uniform(1, 2, (n, n)), -1.0)
    for letter, Z in cases.items():
        bias = letter != "B"
        assert classify(Z, target, bias=bias).letter == letter, letter
    few = rng.standard_normal((n, 3))
    fitted = interp_matrix(np.maximum(few, 0)) @ rng.standard_normal((4, 1))
    assert classify(few, fitted).letter == "L"
    assert classify(few, target).letter == "X"


def test_a_normal_form_keeps_the_outputs_on_the_points():
    X = rng.standard_normal((40, 3))
    W, b = rng.standard_normal((3, 12)), rng.standard_normal(12)
    W, b = np.hstack([W, 3 * W[:, :2], rng.standard_normal((3, 8))]), np.concatenate([b, 3 * b[:2], np.full(8, 20.0)])
    W, b = np.hstack([W, W[:, :1]]), np.append(b, -50.0)  # dead
    C, c0 = rng.standard_normal((23, 2)), rng.standard_normal(2)
    form = normal_form(W, b, C, c0, X)
    before = np.maximum(X @ W + b, 0) @ C + c0
    after = np.maximum(X @ form.W + form.b, 0) @ form.C + form.c0
    np.testing.assert_allclose(after, before, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(form.W, axis=0), 1)
    active = (X @ W[:, :12] + b[:12] > 0).mean(axis=0)
    # Of the units active everywhere 3 are independent besides the bias; doubles and dead ones are gone.
    assert len(form.b) == ((active > 0) & (active < 1)).sum() + 3


def test_the_floor_of_duplicates_is_reached_and_not_passed():
    X = rng.standard_normal((30, 3))
    X[10:20] = X[:10]
    Y = rng.standard_normal((30, 2))
    M = np.vstack([np.eye(20)[:10], np.eye(20)[:10], np.eye(20)[10:]])
    exact = np.linalg.norm(Y - M @ np.linalg.pinv(M) @ Y)
    assert duplicate_floor(X, Y) == pytest.approx(exact, rel=1e-12)
    Phi = np.maximum(X @ rng.standard_normal((3, 200)) + rng.standard_normal(200), 0)
    assert rho(interp_matrix(Phi), Y) * np.linalg.norm(Y) == pytest.approx(exact, rel=1e-6)
    merged = merge_points(X, Y, average=True)
    np.testing.assert_allclose(merged.Y[merged.group], M @ np.linalg.pinv(M) @ Y)


def test_least_norm_and_null_space():
    G, Y = rng.standard_normal((12, 20)), rng.standard_normal((12, 3))
    C, N = least_norm(G, Y), null_basis(G)
    np.testing.assert_allclose(C, np.linalg.pinv(G) @ Y, atol=1e-12)
    assert N.shape == (20, 8)
    V = rng.standard_normal((8, 3))
    np.testing.assert_allclose(G @ (C + N @ V), Y, atol=1e-12)
    assert np.sum((C + N @ V) ** 2) == pytest.approx(np.sum(C**2) + np.sum(V**2))
    C0 = rng.standard_normal((20, 3))
    step, at = 1.9 / np.linalg.norm(G, 2) ** 2, C0
    for _ in range(4000):
        at = at - step * G.T @ (G @ at - Y)
    np.testing.assert_allclose(at, gradient_descent_limit(G, Y, C0), atol=1e-9)


def test_a_rank_deficient_fit_reports_each_output():
    G = rng.standard_normal((10, 3)) @ rng.standard_normal((3, 15))
    Y = np.hstack([G[:, :1], rng.standard_normal((10, 1))])
    fit = multi_output_fit(G, Y)
    assert fit.rank == 3
    assert fit.residual[0] < 1e-12 < 0.1 < fit.residual[1]
    np.testing.assert_allclose(fit.C, np.linalg.pinv(G) @ Y, atol=1e-10)


@pytest.mark.parametrize("m", [5, 10, 13, 14, 20])
def test_the_jacobian_has_its_generic_rank(m):
    # The method file checked this with one draw: 80 points in 5 dimensions.
    draw = np.random.default_rng(m)
    X, W = draw.standard_normal((80, 5)), draw.standard_normal((5, m))
    found = jacobian_rank(X, W, 0.3 * draw.standard_normal(m), draw.standard_normal(m))
    assert found == generic_jacobian_rank(80, 5, m)


def test_budget_of_supports():
    for seed, m in ((0, 1), (1, 3), (2, 7)):
        draw = np.random.default_rng(seed)
        Phi = np.maximum(draw.standard_normal((8, 2)) @ draw.standard_normal((2, m)) + draw.standard_normal(m), 0)
        found, bound = support_budget(Phi)
        assert found <= bound
    assert support_budget(np.eye(6)) == (64, 64)  # rank n: every support


def test_a_free_target_changes_every_zero_at_will():
    Phi = random_features(12, 4, 30, 4, 1)
    T = np.where(rng.random((12, 9)) < 0.4, rng.uniform(0.5, 2, (12, 9)), 0)
    W, b = smp_layer(interp_matrix(Phi), T)
    np.testing.assert_allclose(np.maximum(Phi @ W + b, 0), T, atol=1e-10)


def test_blocks_decouple():
    Phi = np.zeros((9, 9))
    for low, high in ((0, 4), (4, 6), (6, 9)):
        Phi[low:high, low:high] = rng.uniform(0.5, 2, (high - low, high - low))
    order = rng.permutation(9)
    Phi, Y = Phi[order], rng.standard_normal((9, 2))
    fit = solve_blocks(Phi, Y)
    assert (fit.blocks, fit.largest) == (3, 4)
    np.testing.assert_allclose(fit.C, np.linalg.solve(Phi, Y), atol=1e-9)
    rows, _ = diagonal_blocks(Phi)
    changed = Y.copy()
    changed[rows == rows[0]] += 1.0
    moved = np.abs(solve_blocks(Phi, changed).C - fit.C).max(axis=1) > 1e-12
    assert moved.sum() == (rows == rows[0]).sum()


def test_random_masks_are_regular_as_often_as_the_limit_says():
    for c in (0.0, 2.0, 4.0):
        share, limit = regular_share(100, c, draws=300, seed=3), regular_limit(c)
        # Four standard errors, and the finite-size deviation that the method file measured (up to 0.04 at n = 100).
        assert abs(share - limit) < 4 * np.sqrt(limit * (1 - limit) / 300) + 0.04


def test_folding_merges_rows():
    levels = 12
    u = np.arange(2**levels + 1)[:, None] / 2**levels
    layers, out = hidden_units(*tent_network(levels), u)
    np.testing.assert_array_equal(out[:, 0], np.arange(2**levels + 1) % 2)
    distinct = [len(np.unique(each.Phi, axis=0)) for each in layers]
    assert distinct == [2 ** (levels - k) + 1 for k in range(levels)]
    assert max(nrank(interp_matrix(each.Phi)) for each in layers) <= 3


def exact_rank(rows):
    """Rank over the rationals."""
    rows = [[Fraction(value) for value in row] for row in rows]
    rank = 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for i in range(rank + 1, len(rows)):
            factor = rows[i][column] / rows[rank][column]
            if factor:
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[rank], strict=True)]
        rank += 1
    return rank


def test_the_one_mode_rank_is_exact_in_200_cases():
    draw = np.random.default_rng(4)
    for case in range(200):
        n, m = int(draw.integers(2, 14)), int(draw.integers(1, 22))
        t = np.sort(draw.choice(10**6, n, replace=False))
        thresholds = draw.integers(-(10**5), 11 * 10**5, m)
        if case % 4 == 0:
            thresholds[: m // 3] = draw.choice(t, m // 3)  # thresholds on points
        sign = draw.choice([-1, 1], m)
        Phi = np.maximum(sign * (t[:, None] - thresholds), 0)
        M = np.hstack([Phi, t[:, None], np.ones((n, 1), int)])
        assert one_mode_rank(t, thresholds) == exact_rank(M.tolist()), case


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(3, 30), st.integers(1, 60))
def test_more_thresholds_never_lower_the_one_mode_rank(seed, n, m):
    draw = np.random.default_rng(seed)
    t, thresholds = draw.standard_normal(n), draw.standard_normal(m)
    ranks = [one_mode_rank(t, thresholds[:k]) for k in range(1, m + 1)]
    assert all(0 <= b - a <= 1 for a, b in itertools.pairwise(ranks))
    assert ranks[-1] <= min(n, m + 2)


def test_without_biases_one_mode_has_rank_2_and_antipodes_a_floor():
    X = rng.standard_normal((60, 5))
    assert nrank(np.maximum(X @ np.outer(rng.standard_normal(5), rng.standard_normal(40)), 0)) == 2
    both = np.vstack([X, -X])
    for width in (200, 600):
        assert nrank(np.maximum(both @ rng.standard_normal((5, width)), 0)) == antipodal_rank_bound(120, 5) == 65


def test_truncation_of_a_one_mode_map_needs_one_mode():
    from modejax.interpolation import build_target

    X = rng.standard_normal((20, 3))
    Y = rng.standard_normal((20, 2))
    built = build_target(X, Y)
    first = truncation_profile(*built, 0, X, Y, (1, 2))
    assert (first.least, first.flips[0]) == (1, pytest.approx(0, abs=1e-2))
    assert truncation_profile(*built, 1, X, Y, (1, 20)).rho[0] > 0.1
    with pytest.raises(InputError, match=r"layer=2"):
        truncation_profile(*built, 2, X, Y, (1,))


def test_spectra_do_not_depend_on_positive_scaling():
    G = random_features(30, 4, 20, 4)
    scaled = G * 10.0 ** rng.uniform(-6, 6, 20)
    np.testing.assert_allclose(spectrum(scaled).values, spectrum(G).values, atol=1e-12)
    with pytest.raises(InputError, match="shape"):
        spectrum(np.zeros((0, 3)))
