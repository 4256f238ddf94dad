# pyright: reportCallIssue=false
"""Right-hand sides against loops, direct averages, each other, and padding."""

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import norm, qmc

from modejax.online import (
    ERF,
    RELU,
    KSpace,
    Modes,
    Overlaps,
    Trained,
    generalisation_error,
    k_space,
    order_parameters,
    p_space,
    tied_problem,
    trained_modes,
)
from modejax.studies.online_speed import loop_right_hand_side

P_SPACE, K_SPACE = jax.jit(p_space), jax.jit(k_space)


def _problem(seed, units=4, p=3, eta=1.0, dimensions=7):
    """Return a problem with overlaps of random patterns (a true covariance)."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, p, dimensions)) / np.sqrt(dimensions)
    modes = Modes(jnp.asarray(rng.normal(size=(units, p))), jnp.asarray(rng.normal(size=p)))
    problem = tied_problem(modes, jnp.asarray(v @ v.T), eta)
    return problem, Overlaps(jnp.asarray(u @ u.T), jnp.asarray(u @ v.T))


def test_k_space_equals_loops():
    with jax.enable_x64(True):
        problem, state = _problem(0, eta=3.0)
        Q, M, P = order_parameters(problem, state)
        out = jax.jit(k_space)(problem, KSpace(Q, M))
        dQ, dM = loop_right_hand_side(*(np.asarray(x) for x in (Q, M, P, problem.student.b)), 3.0)
        np.testing.assert_allclose(out.Q, dQ, rtol=0, atol=1e-13)
        np.testing.assert_allclose(out.M, dM, rtol=0, atol=1e-13)


@hypothesis.settings(max_examples=15)
@hypothesis.given(st.integers(0, 10_000), st.sampled_from([0.3, 5.0]))
def test_p_space_equals_k_space(seed, eta):
    with jax.enable_x64(True):
        problem, state = _problem(seed, units=5, eta=eta)
        b = problem.student.b
        small = P_SPACE(problem, state)
        large = K_SPACE(problem, KSpace(*order_parameters(problem, state)[:2]))
        scale = 1 + float(jnp.max(jnp.abs(large.Q)))
        chex.assert_trees_all_close(b @ small.q @ b.T, large.Q, rtol=0, atol=1e-12 * scale)
        chex.assert_trees_all_close(b @ small.r @ b.T, large.M, rtol=0, atol=1e-12 * scale)


def _direct(problem, state, modes, unit, samples, seed):
    """Average over inputs what one SGD step does, with the fields u, v as inputs (they are all a step sees)."""
    q, r, t = (np.asarray(x) for x in (state.q, state.r, problem.t))
    p = len(q)
    joint = np.block([[q, r], [r.T, t]])
    points = norm.ppf(qmc.Sobol(2 * p, rng=seed).random(samples)) @ np.linalg.cholesky(joint).T
    u, v = points[:, :p], points[:, p:]
    xi, sigma = (np.asarray(x) for x in modes)
    b, b_teacher = xi * sigma, np.asarray(problem.teacher.b)
    eta, K = float(problem.eta), float(problem.units)
    lam, nu = u @ b.T, v @ b_teacher.T
    if unit is ERF:
        e = (erf(lam / np.sqrt(2)) - erf(nu / np.sqrt(2))).sum(axis=1) / K
        slope = np.sqrt(2 / np.pi) * np.exp(-0.5 * lam**2)
    else:
        e = (np.maximum(lam, 0) - np.maximum(nu, 0)).sum(axis=1) / K
        slope = (lam > 0).astype(float)
    move = -(eta / K) * (e[:, None] * slope)  # of the units' patterns, per unit of x
    J = move.T @ u / samples
    pull = b.T @ J
    dq = pull + pull.T + b.T @ (move.T @ move / samples) @ b
    dr = b.T @ (move.T @ v / samples)
    return [dq, dr, sigma * J, (xi * J).sum(axis=0), np.asarray(0.5 * (e**2).mean())]


@pytest.mark.parametrize("unit", [ERF, pytest.param(RELU, marks=pytest.mark.slow)], ids=lambda unit: unit.name)
def test_right_hand_sides_match_direct_averages(unit):
    with jax.enable_x64(True):
        problem, state = _problem(2)
        rng = np.random.default_rng(5)
        # A student whose modes have left the teacher's, so that B and B* are told apart.
        modes = Modes(problem.student.xi + 0.3 * rng.normal(size=(4, 3)), 0.8 * problem.student.sigma)
        # 16 scrambled Sobol sets, two million inputs in all: their spread tells the error of the mean.
        sets = [_direct(problem, state, modes, unit, 2**17, seed) for seed in range(16)]
        out = jax.jit(trained_modes, static_argnums=2)(problem, Trained(state.q, state.r, modes), unit)
        moved = problem._replace(student=modes)
        chex.assert_trees_all_close(
            jax.jit(p_space, static_argnums=2)(moved, state, unit), Overlaps(out.q, out.r), atol=1e-13
        )
        ours = [out.q, out.r, out.modes.xi, out.modes.sigma, generalisation_error(moved, state, unit)]
        largest = []
        for value, *parts in zip(ours, *sets, strict=True):
            mean, error = np.mean(parts, axis=0), np.std(parts, axis=0, ddof=1) / 4
            difference = np.abs(np.asarray(value) - mean)
            largest.append(difference.max())
            # Student's t with 15 degrees of freedom: 6 is passed by chance once in 40,000.
            assert (difference < 6 * error + 1e-9).all()
        print(unit.name, "largest differences of dq, dr, dxi, dsigma, error:", [f"{x:.1e}" for x in largest])
        if unit is ERF:
            assert max(largest) < 5e-5


def test_solution_is_a_fixed_point():
    with jax.enable_x64(True):
        problem, _ = _problem(1)
        out = P_SPACE(problem, Overlaps(problem.t, problem.t))
        assert float(jnp.max(jnp.abs(jnp.stack(out)))) < 1e-15


def test_padding_is_exactly_neutral():
    with jax.enable_x64(True):
        problem, state = _problem(4)
        pad = lambda x, n: jnp.pad(x, [(0, m - k) for k, m in zip(x.shape, n, strict=True)])  # noqa: E731
        modes = Modes(pad(problem.student.xi, (6, 5)), pad(problem.student.sigma, (5,)))
        wide = tied_problem(modes, pad(problem.t, (5, 5)), 1.0, units=4)
        out = jax.jit(p_space)(wide, Overlaps(pad(state.q, (5, 5)), pad(state.r, (5, 5))))
        native = P_SPACE(problem, state)
        for padded, small in zip(out, native, strict=True):
            assert float(jnp.max(jnp.abs(padded[3:]))) == 0.0
            assert float(jnp.max(jnp.abs(padded[:, 3:]))) == 0.0
            chex.assert_trees_all_close(padded[:3, :3], small, rtol=0, atol=1e-15)
