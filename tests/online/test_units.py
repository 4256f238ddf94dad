"""Gaussian integrals against sampling, quadrature and their edges."""

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from modejax.errors import InputError
from modejax.online import ERF, RELU, gaussian_average, three, unit_named
from modejax.online.angle import angle


def _covariance(rng, repeat=None):
    factor = rng.normal(size=(4, 5)) * np.exp(0.5 * rng.normal(size=(4, 1)))
    if repeat is not None:
        factor = factor[list(repeat)]
    return factor, factor @ factor.T


def _samples(unit, fields):
    if unit is ERF:
        return erf(fields / np.sqrt(2)), np.sqrt(2 / np.pi) * np.exp(-0.5 * fields**2)
    return np.maximum(fields, 0), (fields > 0).astype(float)


def _deviations(unit, factor, covariance, rng, batches, size):
    """Return (sampled - closed) / standard error for I2, I3 and I4."""
    total, squares = np.zeros(3), np.zeros(3)
    for _ in range(batches):
        fields = rng.normal(size=(size, factor.shape[1])) @ factor.T
        g, slope = _samples(unit, fields)
        # A repeated ReLU field is positive with itself: sampling needs no convention there.
        terms = np.stack(
            [
                g[:, 0] * g[:, 1],
                slope[:, 0] * fields[:, 1] * g[:, 2],
                slope[:, 0] * slope[:, 1] * g[:, 2] * g[:, 3],
            ]
        )
        total += terms.sum(axis=1)
        squares += (terms**2).sum(axis=1)
    count = batches * size
    mean = total / count
    error = np.sqrt((squares / count - mean**2) / count)
    with jax.enable_x64(True):
        closed = [float(gaussian_average(unit, jnp.asarray(covariance[:n, :n]))) for n in (2, 3, 4)]
    return (mean - np.asarray(closed)) / error


@pytest.mark.parametrize("unit", [ERF, RELU], ids=lambda unit: unit.name)
@pytest.mark.parametrize("repeat", [None, (0, 1, 0, 3), (0, 1, 0, 0), (0, 0, 0, 0), (0, 1, 1, 1)])
def test_integrals_match_sampling(unit, repeat):
    rng = np.random.default_rng(7)
    factor, covariance = _covariance(rng, repeat)
    assert np.abs(_deviations(unit, factor, covariance, rng, 1, 200_000)).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("unit", [ERF, RELU], ids=lambda unit: unit.name)
def test_integrals_match_four_million_samples(unit):
    rng = np.random.default_rng(0)
    deviations = []
    for _ in range(6):
        factor, covariance = _covariance(rng)
        deviations.append(_deviations(unit, factor, covariance, rng, 4, 1_000_000))
    print(unit.name, "deviations in standard errors (I2, I3, I4):", np.round(deviations, 2).tolist())
    assert np.abs(deviations).max() < 4


@hypothesis.settings(max_examples=25)
@hypothesis.given(st.integers(0, 10_000), st.floats(0.1, 1.5))
def test_erf_integrals_match_quadrature(seed, scale):
    rng = np.random.default_rng(seed)
    factor = scale * rng.uniform(-0.6, 0.6, size=(3, 3))
    C = factor @ factor.T
    x, w = np.polynomial.hermite_e.hermegauss(30)
    w = w / w.sum()
    points = np.stack(np.meshgrid(x, x, x, indexing="ij"), axis=-1).reshape(-1, 3) @ factor.T
    weight = np.einsum("i,j,k->ijk", w, w, w).reshape(-1)
    g, slope = _samples(ERF, points)
    with jax.enable_x64(True):
        c = jnp.asarray(C)
        both = float(gaussian_average(ERF, c[:2, :2]))
        triple = float(gaussian_average(ERF, c))
    assert abs(both - weight @ (g[:, 0] * g[:, 1])) < 1e-9
    assert abs(triple - weight @ (slope[:, 0] * points[:, 1] * g[:, 2])) < 1e-9


@pytest.mark.slow
def test_relu_four_of_repeated_fields():
    # <theta(x) theta(y) y^2> has a closed form: rounding must not pick the wrong limit for any variances.
    rng = np.random.default_rng(0)
    one, other = rng.uniform(0.1, 3.0, (2, 2000))
    rho = rng.uniform(-0.99, 0.99, 2000)
    C = np.empty((2000, 2, 2))
    C[:, 0, 0], C[:, 1, 1], C[:, 0, 1], C[:, 1, 0] = one**2, other**2, rho * one * other, rho * one * other
    exact = 0.25 + np.arcsin(rho) / (2 * np.pi) + rho * np.sqrt(1 - rho**2) / (2 * np.pi)
    with jax.enable_x64(True):
        for order in ((0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1)):
            value = gaussian_average(RELU, jnp.asarray(C[:, order][:, :, order]))
            np.testing.assert_allclose(value / other**2, exact, rtol=0, atol=1e-5)


def test_table_of_four_equals_its_entries():
    rng = np.random.default_rng(2)
    factor = rng.normal(size=(5, 7))
    first, second = np.triu_indices(3), np.triu_indices(5)
    with jax.enable_x64(True):
        C = jnp.asarray(factor @ factor.T)
        table = ERF.four_table(C, first, second)
        # All (a, b, r, s) at once, each the checked average of its own covariance.
        (a, b), (r, s) = ([part[:, None] for part in first], [part[None, :] for part in second])
        order = np.stack(np.broadcast_arrays(a, b, r, s), axis=-1)
        entries = gaussian_average(ERF, C[order[..., :, None], order[..., None, :]])
        chex.assert_trees_all_close(table, entries, rtol=1e-12, atol=1e-15)


def test_spec_formula_of_three():
    with jax.enable_x64(True):
        C = jnp.asarray(_covariance(np.random.default_rng(1))[1])
        root = jnp.sqrt((1 + C[0, 0]) * (1 + C[2, 2]) - C[0, 2] ** 2)
        formula = 2 / np.pi * (C[1, 2] * (1 + C[0, 0]) - C[0, 1] * C[0, 2]) / ((1 + C[0, 0]) * root)
        chex.assert_trees_all_close(three(ERF, C[0, 0], C[0, 1], C[0, 2], C[1, 2], C[2, 2]), formula, rtol=1e-13)


# The quadrature of ReLU's I4 takes its time to compile.
@pytest.mark.parametrize(
    ("unit", "four"), [(ERF, True), (RELU, False), pytest.param(RELU, True, marks=pytest.mark.slow)]
)
def test_finite_at_the_edge(unit, four):
    size, sign, gap = (
        part.reshape(-1) for part in np.meshgrid([1e-12, 1.0, 1e4, 1e12], [1.0, -1.0], [0.0, 1e-17, 1e-9])
    )
    pairs = np.stack([size, sign * size * (1 - gap), size], axis=1)
    signs = np.stack([np.ones_like(sign), sign, np.ones_like(sign), sign], axis=1)
    fours = (size[:, None, None] * signs[:, :, None] * signs[:, None, :])[:, *np.triu_indices(4)]
    functions = [(f, pairs) for f in (unit.two, unit.slope_two, unit.curvature_two)]
    if four:
        functions.append((unit.four, fours))
    with jax.enable_x64(True):
        for function, points in functions:
            both = jax.jit(jax.vmap(jax.value_and_grad(lambda x, f=function: f(*x))))(jnp.asarray(points))
            chex.assert_tree_all_finite(both)


@pytest.mark.parametrize("unit", [ERF, RELU], ids=lambda unit: unit.name)
def test_gradient_of_two_is_right_at_the_edge(unit):
    # d <g g> / d c12 = <g' g'>, exact also where the fields coincide.
    with jax.enable_x64(True):
        one = jnp.asarray(1.3)
        slope = jax.grad(unit.two, argnums=1)(one, one, one)
        chex.assert_trees_all_close(slope, unit.slope_two(one, one, one), rtol=1e-12)


@pytest.mark.parametrize("unit", [ERF, pytest.param(RELU, marks=pytest.mark.slow)], ids=lambda unit: unit.name)
def test_gradients_match_differences(unit):
    with jax.enable_x64(True):
        flat = jnp.asarray(_covariance(np.random.default_rng(3))[1][np.triu_indices(4)])
        slopes = jax.jit(jax.grad(lambda x: unit.four(*x)))(flat)
        step = 1e-5
        up, down = (jax.jit(unit.four)(*(flat[None] + sign * step * jnp.eye(10)).T) for sign in (1, -1))
        chex.assert_trees_all_close(slopes, (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def test_angle_is_the_arc_tangent():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        opposite, adjacent = rng.normal(size=5000), np.abs(rng.normal(size=5000))
        out = np.asarray(angle(jnp.asarray(opposite), jnp.asarray(adjacent)))
        np.testing.assert_allclose(out, np.arctan2(opposite, adjacent), rtol=0, atol=1e-15)


def test_bad_covariances_and_names():
    with pytest.raises(InputError, match="eigenvalue"):
        gaussian_average(ERF, jnp.asarray([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(InputError, match="symmetric"):
        gaussian_average(ERF, jnp.asarray([[1.0, 0.5], [0.2, 1.0]]))
    with pytest.raises(InputError, match="n = 2, 3 or 4"):
        gaussian_average(ERF, jnp.eye(5))
    with pytest.raises(InputError, match="not finite"):
        gaussian_average(ERF, jnp.full((2, 2), jnp.nan))
    with pytest.raises(InputError, match="erf, relu"):
        unit_named("tanh")
