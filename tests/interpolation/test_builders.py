"""Constructions: exactness, widths, patterns and conditioning, in float64."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.interpolation import (
    Built,
    act_mask,
    build_affine_blocks,
    build_diagonal,
    build_hinge,
    build_target,
    classify,
    dm_blocks,
    hidden_units,
    hinge_matrix,
    interp_matrix,
    layer_report,
    matched_filter_share,
    nrank,
    outputs,
    smp_layer,
    spectrum,
    sprank,
    tri_rank,
)

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((200, 5)), rng.standard_normal((200, 3))
SMALL = X[:60, :4], Y[:60]


@pytest.mark.parametrize("theta", [0.0, 0.25])
def test_hinges_interpolate_with_n_minus_1_units_and_a_triangle(theta):
    built = build_hinge(X, Y, theta=theta)
    assert [size.capacity for size in built.network.units] == [5, 199, 3]  # pyright: ignore
    assert np.abs(outputs(*built, X) - Y).max() < 1e-9
    units = hidden_units(*built, X)[0][0]
    A = act_mask(units.Z)
    order = np.argsort(A.sum(axis=1))
    columns = np.argsort(-A.sum(axis=0))
    # Strictly triangular: the i-th point on the line sees exactly the first i units.
    np.testing.assert_array_equal(A[order][:, columns], np.tril(np.ones((200, 199), bool), -1))
    assert classify(units.Z, Y).letter == "T"


def test_a_built_network_is_an_ordinary_one():
    network, params = build_hinge(*SMALL)
    with jax.enable_x64(True):
        out = network.apply(params, jnp.asarray(SMALL[0]))
        gradient = jax.grad(lambda p: jnp.sum(network.apply(p, jnp.asarray(SMALL[0][0]))))(params)
    assert np.abs(np.asarray(out) - SMALL[1]).max() < 1e-9
    assert gradient[0].weight.shape == (59, 4)
    assert network.num_parameters() == 59 * 5 + 3 * 60
    # Outside of float64 JAX rounds the parameters; the method file has 2e-3 at n = 200.
    assert np.asarray(network.apply(params, jnp.asarray(SMALL[0][0], jnp.float32))).dtype == np.float32


def test_with_unit_gaps_the_inverse_is_a_band_and_the_condition_is_known():
    n = 256
    Phi = hinge_matrix(np.arange(n + 1.0))[1:]
    band = np.eye(n) - 2 * np.eye(n, k=-1) + np.eye(n, k=-2)
    np.testing.assert_array_equal(Phi @ band, np.eye(n))
    assert 1.13 <= np.linalg.cond(Phi) / n**2 <= 1.15


def test_thresholds_decide_the_condition():
    def cond(n, theta):
        return np.linalg.cond(hinge_matrix(np.arange(n + 1.0), theta)[1:])

    def power(theta, n):
        return np.log2(cond(2 * n, theta) / cond(n, theta))

    assert cond(32, 0.25) == pytest.approx(2.43e3, rel=0.01)
    assert cond(128, 0.25) == pytest.approx(3.77e4, rel=0.01)
    assert power(0.25, 128) == pytest.approx(2, abs=0.05)
    assert cond(128, 0.5) == pytest.approx(3.1e6, rel=0.03)
    assert power(0.5, 128) == pytest.approx(3, abs=0.05)
    # Exponential: equal steps of n multiply by (theta / (1 - theta))^step, up to a power of n.
    assert cond(48, 0.6) / cond(32, 0.6) > 0.5 * 1.5**16
    assert cond(32, 0.6) > 1e8


def test_diagonal_is_the_identity():
    built = build_diagonal(X, Y)
    units = hidden_units(*built, X)[0][0]
    assert np.abs(units.Phi - np.eye(200)).max() < 1e-11
    assert np.abs(outputs(*built, X) - Y).max() < 1e-11
    assert classify(units.Z, Y).letter == "D"
    assert spectrum(interp_matrix(units.Phi, bias=False)).condition == pytest.approx(1)


def test_a_ray_and_the_origin_do_not_disturb_the_lift():
    points = np.vstack([np.zeros((1, 2)), np.outer(np.arange(1.0, 6), [1.0, 2.0])])
    target = np.arange(6.0)
    assert np.abs(outputs(*build_diagonal(points, target), points)[:, 0] - target).max() < 1e-10
    assert matched_filter_share(points) < 1


def test_affine_blocks():
    built = build_affine_blocks(*SMALL)
    assert built.network.units[1].capacity == 59  # pyright: ignore
    assert np.abs(outputs(*built, SMALL[0]) - SMALL[1]).max() < 1e-9
    record = layer_report(built, *SMALL, tolerance=1e-9)[0]
    assert (record["class"], record["rank_1e-10"], record["blocks"]) == ("B", 60, "12 blocks")
    G = interp_matrix(act_mask(hidden_units(*built, SMALL[0])[0][0].Z).astype(float))
    blocks = dm_blocks(G)
    assert blocks is not None
    assert blocks.sizes == (5,) * 12


def test_a_remainder_makes_a_smaller_block():
    built = build_affine_blocks(X[:23], Y[:23])
    assert built.network.units[1].capacity == 22  # pyright: ignore
    assert np.abs(outputs(*built, X[:23]) - Y[:23]).max() < 1e-9


def test_an_affinely_dependent_group_is_refused_although_its_pattern_is_perfect():
    flat = np.hstack([X[:20, :1], np.zeros((20, 1))])
    with pytest.raises(InputError, match="affinely dependent"):
        build_affine_blocks(flat, Y[:20])


def test_a_target_matrix_is_met_with_its_zeros():
    points, targets = SMALL
    T = np.where(rng.random((60, 60)) < 0.119, rng.uniform(0.5, 1.5, (60, 60)), 0.0) + np.eye(60)
    built = build_target(points, targets, T)
    units = hidden_units(*built, points)[0][1]
    assert np.abs(units.Phi - T).max() < 1e-9
    np.testing.assert_array_equal(act_mask(units.Z, 1e-9), T > 0)
    assert np.abs(outputs(*built, points) - targets).max() < 1e-8
    identity = build_target(points, targets)
    assert np.abs(hidden_units(*identity, points)[0][1].Phi - np.eye(60)).max() < 1e-10


def test_a_solve_and_divided_differences_make_the_same_target():
    points, targets = SMALL
    Phi = hidden_units(*build_hinge(points, targets), points)[0][0].Phi
    W, b = smp_layer(interp_matrix(Phi), np.eye(60))
    assert np.abs(np.maximum(Phi @ W + b, 0) - np.eye(60)).max() < 1e-8


def test_the_sandwich_of_ranks_on_built_and_random_layers():
    for m in (10, 40, 90):
        Z = SMALL[0] @ rng.standard_normal((4, m)) + rng.standard_normal(m)
        A, Phi = act_mask(Z), np.maximum(Z, 0)
        assert tri_rank(A) <= nrank(Phi) <= sprank(A)


def test_rank_deficient_previous_layers_are_refused():
    G = interp_matrix(np.ones((5, 3)))
    with pytest.raises(InputError, match="rank 1 for 5 points"):
        smp_layer(G, np.eye(5))
    with pytest.raises(InputError, match="not in the span"):
        build_target(*SMALL, np.ones((60, 2)))
    with pytest.raises(InputError, match="T >= 0"):
        build_target(*SMALL, -np.eye(60))


BUILDERS: list[Callable[..., Built]] = [build_hinge, build_diagonal, build_affine_blocks, build_target]


@pytest.mark.parametrize("build", BUILDERS)
def test_equal_points_with_different_targets_are_refused_by_name(build):
    points = np.vstack([X[:20], X[3]])
    with pytest.raises(InputError, match="rows 3 and 20 are the same point"):
        build(points, np.arange(21.0))
    same = np.append(np.arange(20.0), 3.0)
    built = build(points, same)
    assert np.abs(outputs(built.network, built.params, points)[:, 0] - same).max() < 1e-8


@pytest.mark.parametrize("build", BUILDERS)
def test_bad_arrays_are_refused(build):
    holed = X[:20].copy()
    holed[7, 1] = np.nan
    with pytest.raises(InputError, match=r"not finite in 1 rows, the first are \[7\]"):
        build(holed, Y[:20])
    with pytest.raises(InputError, match="the same number"):
        build(X[:20], Y[:19])
    with pytest.raises(InputError, match="distinct point"):
        build(X[:1], Y[:1])


def test_near_duplicates_are_refused_by_name():
    points = np.vstack([X[:20], X[4] + 1e-15])
    for build in (build_hinge, build_diagonal, build_target):
        with pytest.raises(InputError, match=r"4|20"):
            build(points, np.arange(21.0))
    with pytest.raises(InputError, match=r"theta=0\.5"):
        build_hinge(*SMALL, theta=0.5)
    with pytest.raises(InputError, match="direction"):
        build_hinge(*SMALL, direction=np.zeros(4))
