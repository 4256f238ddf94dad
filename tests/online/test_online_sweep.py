# pyright: reportOptionalMemberAccess=false, reportFunctionMemberAccess=false, reportAttributeAccessIssue=false
"""Many members in one program: padding, grouping, reproducibility, theory against simulation."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.online import (
    RELU,
    Members,
    Sizes,
    SweepOptions,
    draw,
    grid,
    log_times,
    run_members,
    simulate,
    sweep,
)
from modejax.online.sweep import start_of


def _sizes(d, units, modes):
    one = lambda x, kind=np.int32: np.asarray(x, dtype=kind)  # noqa: E731
    n = len(d)
    return Members(one(d), one(units), one(modes), np.full(n, 2.0), *(one(range(n)) for _ in range(3)))


def test_draws_do_not_depend_on_the_capacity():
    with jax.enable_x64(True):
        sizes, wide = Sizes(11, 3, 2), Sizes(20, 5, 4)
        keys = jax.random.key(3), jax.random.key(4)
        native, padded = draw(*keys, sizes), draw(*keys, sizes, wide)
        np.testing.assert_array_equal(padded.student[:2, :11], native.student)
        np.testing.assert_array_equal(padded.modes.xi[:3, :2], native.modes.xi)
        assert float(jnp.abs(padded.teacher[2:]).max()) == float(jnp.abs(padded.teacher[:, 11:]).max()) == 0.0


@pytest.mark.slow
def test_start_has_the_stated_scale():
    with jax.enable_x64(True):
        sizes = Sizes(1000, 8, 6)
        start = start_of(sizes, 0, 0)
        for part in (start.student, start.teacher):
            assert abs(float(jnp.std(part)) / np.log(1000) ** (-1 / 6) - 1) < 0.05


@pytest.fixture(scope="module")
def mixed():
    members = _sizes((16, 24, 32, 24, 16), (2, 3, 2, 3, 2), (1, 2, 3, 3, 2))
    times = log_times(0.3, 6.0, 6)
    options = SweepOptions(simulation=True, test_samples=64)
    return members, times, options, run_members(members, times, options)


@pytest.mark.slow
def test_a_padded_simulation_equals_a_native_one():
    options = SweepOptions(simulation=True, theory=False)
    members, times = _sizes((6, 9), (2, 3), (1, 2)), log_times(0.3, 2.0, 2)
    together = run_members(members, times, options)
    alone = run_members(Members(*(np.asarray(part)[:1] for part in members)), times, options)
    np.testing.assert_allclose(together.simulation.error[0], alone.simulation.error[0], rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(together.simulation.Q[0, :, :2, :2], alone.simulation.Q[0], rtol=1e-11, atol=1e-14)
    assert np.abs(np.asarray(together.simulation.Q[0, :, 2:])).max() == 0


@pytest.mark.slow
def test_padded_equals_native(mixed):
    members, times, options, together = mixed
    # Member 0 is the smallest in every size.
    for i in (0,):
        one = Members(*(np.asarray(part)[i : i + 1] for part in members))
        alone = run_members(one, times, options)
        K = int(members.units[i])
        for wide, small in ((together.theory, alone.theory), (together.simulation, alone.simulation)):
            np.testing.assert_allclose(wide.error[i], small.error[0], rtol=1e-11, atol=1e-15)
            np.testing.assert_allclose(wide.Q[i, :, :K, :K], small.Q[0], rtol=1e-11, atol=1e-14)
            assert np.abs(np.asarray(wide.Q[i, :, K:])).max(initial=0.0) == 0.0
            assert np.abs(np.asarray(wide.M[i, :, :, K:])).max(initial=0.0) == 0.0
        # Same steps, not only the same answer: the step control does not see the padding.
        assert int(together.theory.steps[i]) == int(alone.theory.steps[0])
        np.testing.assert_array_equal(together.rates[i, int(members.modes[i]) :], 0.0)


@pytest.mark.slow
def test_groups_change_nothing(mixed):
    members, times, _, together = mixed
    grouped = run_members(members, times, SweepOptions(groups=2))
    np.testing.assert_allclose(grouped.theory.error, together.theory.error, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(grouped.rates, together.rates, rtol=1e-11, atol=1e-15)


@pytest.mark.slow
def test_runs_do_not_depend_on_the_measurements(mixed):
    members, times, options, together = mixed
    others = times.copy()
    others[1:-1] *= 0.7
    moved = run_members(members, others, options)
    np.testing.assert_array_equal(moved.simulation.error[:, -1], together.simulation.error[:, -1])
    assert not np.array_equal(moved.simulation.error[:, 3], together.simulation.error[:, 3])


@pytest.mark.slow
def test_one_compile_for_other_values_of_the_same_shape(mixed):
    members, times, options, _ = mixed
    count = sweep._program._cache_size()
    other = members._replace(eta=members.eta[::-1] * 0.7, modes=members.modes[::-1], noise=members.noise + 9)
    run_members(other, times * 0.5, options)
    assert sweep._program._cache_size() == count


def test_simulation_equals_plain_sgd():
    with jax.enable_x64(True):
        sizes = Sizes(10, 3, 2)
        start, key = start_of(sizes, 1, 1), jax.random.key(8)
        out = simulate(start, key, jnp.asarray([0.0, 7.0]), sizes, 3.0, train_modes=True)
        from scipy.special import erf

        xi, sigma, u, v = (np.asarray(x) for x in (*start.modes, start.student, start.teacher))
        teacher = xi * sigma
        input_key = jax.random.split(key)[0]
        for n in range(70):
            x = np.asarray(jax.random.normal(jax.random.fold_in(input_key, n), (10,), jnp.float64))
            h = u @ x / np.sqrt(10)
            lam, nu = (xi * sigma) @ h, teacher @ (v @ x) / np.sqrt(10)
            e = (erf(lam / np.sqrt(2)) - erf(nu / np.sqrt(2))).mean()
            delta = e * np.sqrt(2 / np.pi) * np.exp(-0.5 * lam**2)
            du = 3.0 / (3 * np.sqrt(10)) * np.outer((xi * sigma).T @ delta, x)
            dxi = 3.0 / (3 * 10) * np.outer(delta, sigma * h)
            dsigma = 3.0 / (3 * 10) * (xi.T @ delta) * h
            u, xi, sigma = u - du, xi - dxi, sigma - dsigma
        b = xi * sigma
        np.testing.assert_allclose(out.Q[-1], b @ (u @ u.T / 10) @ b.T, rtol=1e-10)
        np.testing.assert_allclose(out.M[-1], b @ (u @ v.T / 10) @ teacher.T, rtol=1e-10)


@pytest.mark.slow
def test_finite_test_set_agrees_with_the_exact_error():
    with jax.enable_x64(True):
        sizes = Sizes(40, 3, 2)
        out = simulate(
            start_of(sizes, 0, 0), jax.random.key(0), jnp.asarray([0.0, 2.0]), sizes, 1.0, test_samples=40_000
        )
        # Relative standard error of a mean of squares is about sqrt(2 / n) times the kurtosis factor, below 2 %.
        np.testing.assert_allclose(out.test_error, out.error, rtol=0.06)


@pytest.mark.slow
def test_a_diverging_run_has_a_status():
    with jax.enable_x64(True):
        sizes = Sizes(10, 3, 2)
        start, times = start_of(sizes, 0, 0), jnp.asarray([0.0, 1.0, 30.0])
        run = jax.vmap(lambda eta: simulate(start, jax.random.key(1), times, sizes, eta, unit=RELU))
        out = run(jnp.asarray([0.3, 1e4]))
        np.testing.assert_array_equal(out.status, [0, 1])
        assert float(out.last_good_time[1]) < 30.0
        assert np.isnan(float(out.error[1, -1]))
        assert np.isfinite(np.asarray(out.error[0])).all()


def test_bad_input():
    with pytest.raises(InputError, match="modes=9 is more than d=8"):
        grid(d=(8,), modes=(9,))
    for eta in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="eta"):
            grid(eta=(eta,))
    with pytest.raises(InputError, match="empty"):
        grid(noise=())
    with pytest.raises(InputError, match="do not increase"):
        run_members(grid(d=(9,), modes=(1,)), [0.0, 2.0, 1.0])
    with pytest.raises(InputError, match="allowed: fewer than 2"):
        run_members(grid(d=(1000,), modes=(1,)), [0.0, 3e6], SweepOptions(simulation=True))
    with pytest.raises(InputError, match="modes=3 is more than d=2"):
        draw(jax.random.key(0), jax.random.key(1), Sizes(2, 1, 3))
    with pytest.raises(InputError, match="neither"):
        run_members(grid(d=(9,), modes=(1,)), [0.0, 1.0], SweepOptions(theory=False))


@pytest.mark.slow
def test_simulation_follows_the_theory():
    deviation = {}
    for d in (300, 1000):
        members = grid(d=(d,), modes=(5,), teacher=(0,), noise=range(5))
        out = run_members(members, log_times(1.0, 250.0, 25), SweepOptions(simulation=True))
        ratio = np.asarray(out.simulation.error / out.theory.error)[:, 1:] - 1
        deviation[d] = float(np.sqrt((ratio**2).mean()))
        print(f"d={d}: worst of the mean {np.abs(ratio.mean(axis=0)).max():.4f}, of a seed {np.abs(ratio).max():.4f}")
        assert np.abs(ratio.mean(axis=0)).max() < 0.10
    print("root mean square deviation of a seed:", deviation)
    assert deviation[1000] < deviation[300]


@pytest.mark.slow
def test_trained_modes_follow_their_theory():
    members = grid(d=(1000,), modes=(3,), teacher=(0,), noise=range(4))
    out = run_members(members, log_times(0.5, 40.0, 10), SweepOptions(simulation=True, train_modes=True))
    ratio = np.asarray(out.simulation.error / out.theory.error)[:, 1:].mean(axis=0) - 1
    still = run_members(members, log_times(0.5, 40.0, 10), SweepOptions())
    apart = np.abs(np.asarray(still.theory.error[0] / out.theory.error[0])[1:] - 1).max()
    print("worst deviation of the mean:", np.abs(ratio).max(), "; U alone differs by", apart)
    assert np.abs(ratio).max() < 0.10
    # The check means something: training U alone gives another curve.
    assert apart > 0.3
    chex.assert_tree_all_finite(out.theory.error)
