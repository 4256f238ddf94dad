"""Dimensions, overlaps and class subspaces: closed forms, symmetries, values by chance, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_params import random_params
from scipy.stats import ortho_group

from modejax import layers, mlp
from modejax.errors import InputError
from modejax.modes import (
    alignment,
    class_overlap,
    hidden_activity,
    participation_dimension,
    principal_angles,
    second_moment_overlap,
    subspace_overlap,
)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(2, 9), st.booleans())
def test_the_dimension_is_that_of_the_covariances_eigenvalues(seed, rows, units, centred):
    x = np.random.default_rng(seed).normal(size=(rows, units))
    moment = np.cov(x.T, bias=True).reshape(units, units) if centred else x.T @ x
    values = np.linalg.eigvalsh(moment)
    dimension = float(participation_dimension(x, centred=centred))
    np.testing.assert_allclose(dimension, values.sum() ** 2 / (values**2).sum(), rtol=1e-9)
    turn = ortho_group.rvs(units, random_state=seed)
    np.testing.assert_allclose(participation_dimension(3.0 * x @ turn, centred=centred), dimension, rtol=1e-8)
    assert 1 - 1e-9 <= dimension <= min(rows - centred, units) + 1e-9


def test_a_stack_gives_what_each_matrix_gives():
    x = np.random.default_rng(0).normal(size=(4, 7, 5))
    np.testing.assert_allclose(participation_dimension(x), [participation_dimension(each) for each in x])


def test_overlap_and_angles_agree_and_chance_is_right():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 10)), rng.normal(size=(5, 10))
    overlap, chance = subspace_overlap(a, b)
    np.testing.assert_allclose(overlap, np.mean(np.cos(principal_angles(a, b)) ** 2))
    assert chance == 0.5
    # 300 random pairs; one overlap has a standard deviation below 0.12, so four errors of the mean are 0.028.
    many = [subspace_overlap(rng.normal(size=(3, 10)), rng.normal(size=(5, 10)))[0] for _ in range(300)]
    assert abs(np.mean(many) - chance) < 0.028
    assert subspace_overlap(a, rng.normal(size=(3, 3)) @ a)[0] == pytest.approx(1.0)
    assert principal_angles(a, a) == pytest.approx(np.zeros(3), abs=1e-7)


def test_a_set_that_repeats_itself_spans_what_it_spans():
    a = np.eye(4)[:2]
    assert subspace_overlap(np.concatenate([a, a, a.sum(0)[None]]), a) == (pytest.approx(1.0), 0.5)


def test_the_chance_of_weighted_overlaps_is_the_mean_over_rotations():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(3, 6)), rng.normal(size=(4, 6)) * np.array([5, 1, 1, 1, 1, 1])
    chance = second_moment_overlap(a, b)[1]
    turned = [second_moment_overlap(a, b @ turn)[0] for turn in ortho_group.rvs(6, size=800, random_state=0)]
    assert abs(np.mean(turned) - chance) < 4 * np.std(turned) / np.sqrt(800)
    assert second_moment_overlap(a, 3 * a)[0] == pytest.approx(1.0)


def test_the_gauge_does_not_move_an_alignment():
    network = mlp([6, 8, 7, 3], layers.Mode(), 4)
    params = random_params(network)
    moved = tuple(p._replace(xi_in=2.0 * p.xi_in, sigma=p.sigma / 2) for p in params)
    for before, after in zip(alignment(network, params), alignment(network, moved), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-6)
    left, right = (np.asarray(w, np.float64) for w in network.kernels(params)[:2])
    assert alignment(network, params)[0].kernels == pytest.approx(second_moment_overlap(left.T, right)[0])


def test_hidden_activities_are_those_of_the_network():
    network = mlp([4, 5, 6, 2], layers.Mode(), 3)
    params, x = random_params(network), np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    first, second = hidden_activity(network, params, x)
    kernels = [np.asarray(w) for w in network.kernels(params)]
    np.testing.assert_allclose(first, np.maximum(x @ kernels[0].T, 0), atol=1e-5)
    np.testing.assert_allclose(second, np.maximum(first @ kernels[1].T, 0), atol=1e-5)


def test_classes_that_share_their_directions_overlap_and_others_do_not():
    rng = np.random.default_rng(3)
    rows, labels = 40, np.repeat([0, 1, 2], 40)
    same = np.concatenate([rng.normal(size=(rows, 2)) @ np.eye(2, 9) + shift for shift in (0.0, 4.0, -2.0)])
    assert class_overlap(same, labels, 2) == pytest.approx(1.0)
    apart = np.concatenate([rng.normal(size=(rows, 3)) @ np.eye(9)[3 * i : 3 * i + 3] for i in range(3)])
    assert class_overlap(apart, labels, 3) == pytest.approx(0.0, abs=1e-12)
    # Directions of unstructured noise: chance is k / N; 0.02 is more than four errors of the mean of 40 draws.
    many = [class_overlap(rng.normal(size=(120, 20)), labels, 4) for _ in range(40)]
    assert abs(np.mean(many) - 4 / 20) < 0.02


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: participation_dimension(np.ones((3, 4))), "span no direction"),
        (lambda: participation_dimension(np.ones(4)), "needs rows and columns"),
        (lambda: participation_dimension(np.full((2, 2), np.nan)), "not finite"),
        (lambda: principal_angles(np.eye(3), np.eye(4)), "as many units, got 3 and 4"),
        (lambda: subspace_overlap(np.zeros((2, 3)), np.eye(3)), "the first set spans no direction"),
        (lambda: second_moment_overlap(np.zeros((2, 3)), np.eye(3)), "all 0 has no overlap"),
        (lambda: class_overlap(np.eye(4), np.zeros(4)), "at least 2 classes, got 1"),
        (lambda: class_overlap(np.eye(4), np.array([0, 0, 1, 1]), 2), "class 0 varies in 1 directions"),
        (lambda: class_overlap(np.eye(4), np.zeros(3)), "one class an example"),
        (lambda: class_overlap(np.eye(4), np.array([0, 0, 1, 1]), 0), "directions must be at least 1"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_dense_networks_have_no_pattern_sets():
    network = mlp([4, 5, 2], layers.Dense())
    with pytest.raises(InputError, match="has no pattern sets"):
        alignment(network, random_params(network))
    flat = mlp([4, 2], layers.Mode(), 2)
    with pytest.raises(InputError, match="without hidden layers"):
        alignment(flat, random_params(flat))
