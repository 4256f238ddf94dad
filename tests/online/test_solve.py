"""The solvers: agreement, order, status instead of exceptions, bad input."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.online import (
    DIVERGED,
    OK,
    OUT_OF_STEPS,
    Modes,
    Overlaps,
    euler,
    log_times,
    solve,
    tied_problem,
)

TIMES = np.asarray([0.0, 0.5, 2.0, 8.0])

# Compiled once for all tests that need an accurate solution of `_problem`.
EXACT = jax.jit(functools.partial(solve, tolerance=(1e-10, 1e-13)), static_argnames="space")


def _problem(eta=1.0):
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 2, 9)) / 3.0
    modes = Modes(jnp.asarray(rng.normal(size=(3, 2))), jnp.asarray(rng.normal(size=2)))
    return tied_problem(modes, jnp.asarray(v @ v.T), eta), Overlaps(jnp.asarray(u @ u.T), jnp.asarray(u @ v.T))


def test_spaces_agree_and_errors_fall():
    with jax.enable_x64(True):
        problem, state = _problem()
        p, K = (EXACT(problem, state, jnp.asarray(TIMES), space=space) for space in ("p", "K"))
        assert int(p.status) == int(K.status) == OK
        assert float(p.last_good_time) == TIMES[-1]
        chex.assert_trees_all_close((p.Q, p.M, p.error), (K.Q, K.M, K.error), rtol=0, atol=1e-8)
        assert (np.diff(np.asarray(p.error, dtype=np.float64)) < 0).all()


@pytest.mark.slow
def test_euler_is_first_order():
    with jax.enable_x64(True):
        problem, state = _problem()
        times = jnp.asarray(TIMES)
        exact = EXACT(problem, state, times, space="p").error[-1]
        coarse, fine = (float(euler(problem, state, times, d).error[-1] - exact) for d in (50, 100))
        assert 1.8 < coarse / fine < 2.2


@pytest.mark.slow
def test_a_diverging_member_leaves_the_others_alone():
    with jax.enable_x64(True):
        problem, state = _problem()
        times = jnp.asarray([0.0, 1.0, 5.0, 100.0])

        def member(eta):
            return solve(problem._replace(eta=eta), state, times, tolerance=(1e-5, 1e-8))

        program = jax.jit(jax.vmap(member))
        out, calm = program(jnp.asarray([0.5, 1e9])), program(jnp.asarray([0.5, 0.4]))
        np.testing.assert_array_equal(out.status, [OK, DIVERGED])
        np.testing.assert_array_equal(calm.status, [OK, OK])
        np.testing.assert_array_equal(out.error[0], calm.error[0])
        last = float(out.last_good_time[1])
        assert last in np.asarray(times)[:-1]
        good = np.asarray(times) <= last
        np.testing.assert_array_equal(np.isfinite(out.error[1]), good)
        np.testing.assert_array_equal(np.isfinite(out.Q[1]).all(axis=(1, 2)), good)


@pytest.mark.slow
def test_out_of_steps_is_a_status():
    with jax.enable_x64(True):
        problem, state = _problem()
        out = solve(problem, state, jnp.asarray([0.0, 1.0, 1000.0]), max_steps=8)
        assert int(out.status) == OUT_OF_STEPS
        assert 0 <= float(out.last_good_time) < 1000.0
        assert np.isnan(float(out.error[-1]))


def test_bad_input():
    with jax.enable_x64(True):
        problem, state = _problem()
        for times in ([0.0, 2.0, 1.0], [0.0, 1.0, 1.0], [-1.0, 1.0], [0.0]):
            with pytest.raises(InputError, match="times"):
                solve(problem, state, jnp.asarray(times))
        good = jnp.asarray(TIMES)
        with pytest.raises(InputError, match="eta"):
            solve(problem._replace(eta=jnp.asarray(0.0)), state, good)
        with pytest.raises(InputError, match="eigenvalue"):
            solve(problem, state._replace(r=5.0 * state.r), good)
        silent = Modes(problem.student.xi, jnp.zeros(2))
        with pytest.raises(InputError, match="zero norm"):
            solve(problem._replace(teacher=silent), state, good)
        with pytest.raises(InputError, match="must be"):
            solve(problem, Overlaps(jnp.eye(3), jnp.eye(3)), good)
        with pytest.raises(InputError, match="solver"):
            solve(problem, state, good, solver="rk4")  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="space"):
            solve(problem, state, good, space="x")  # pyright: ignore[reportArgumentType]
    single = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
    with pytest.raises(InputError, match="float64"):
        solve(single, Overlaps(jnp.eye(1), jnp.eye(1)), jnp.asarray([0.0, 1.0]))
    with pytest.raises(InputError, match="count"):
        log_times(1.0, 0.5, 3)
