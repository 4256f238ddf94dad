"""Rates, plateaus, end of learning, specialisation, and the largest learning rate."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.online import (
    Modes,
    Overlaps,
    Sizes,
    end_rate,
    find_plateaus,
    learning_rate_limit,
    linear_rate_limit,
    parallel_rates,
    pattern_flow,
    relaxation_matrix,
    relaxation_rates,
    specialisation,
    tied_problem,
)
from modejax.studies.online_stages import problem_of, stages_of


def test_rates_of_one_unit():
    with jax.enable_x64(True):
        problem = tied_problem(Modes(jnp.ones((1, 1)), 2.0 * jnp.ones(1)), jnp.eye(1), 1.5)
        # B = 2, P = 4: R = eta B^2 (2/pi) / sqrt((1 + P)^2 - P^2).
        expected = 1.5 * 4 * 2 / np.pi / np.sqrt(25 - 16)
        np.testing.assert_allclose(relaxation_rates(problem), [expected], rtol=1e-12)
        # Inside the teacher's span: <g'(nu)^2 v^2> = <g'^2> / (1 + 2 P), the variance of v under the tilt.
        np.testing.assert_allclose(parallel_rates(problem), [expected / (1 + 2 * 4)], rtol=1e-10)


@pytest.mark.slow
def test_orthogonal_deviations_relax_with_the_rates():
    with jax.enable_x64(True):
        problem, _ = problem_of(Sizes(30, 8, 3), 8, 1.0)
        rates, vectors = np.linalg.eigh(np.asarray(relaxation_matrix(problem)))
        np.testing.assert_allclose(relaxation_rates(problem), rates[::-1], rtol=1e-9)
        step = jax.jit(pattern_flow)
        for rate, vector in zip(rates, vectors.T, strict=True):
            small = 1e-6 * jnp.asarray(np.outer(vector, vector))
            # E = q - r - r^T + t is the covariance of U - U*; the noise term, of second order in eta, is left out.
            flow = step(problem, Overlaps(problem.t + small, problem.t))
            speed = 2 * vector @ np.asarray(flow.pull - flow.dr) @ vector / 1e-6
            np.testing.assert_allclose(speed, -2 * rate, rtol=1e-4)


def test_plateaus_of_a_sum_of_exponentials():
    t = np.geomspace(0.01, 1e7, 400)
    error = np.exp(-t) + 1e-2 * np.exp(-t / 1e3) + 1e-4 * np.exp(-t / 1e6)
    found = find_plateaus(t, error)
    np.testing.assert_allclose([plateau.error for plateau in found], [1e-2, 1e-4], rtol=0.1)
    assert all(a.last < b.first for a, b in itertools.pairwise(found))
    assert find_plateaus(t, 1 / (1 + t)) == []
    # The stretch before learning begins is no plateau.
    assert find_plateaus(t, np.exp(-t / 1e8)) == []
    with pytest.raises(InputError, match="do not increase"):
        find_plateaus(t[::-1], error)
    with pytest.raises(InputError, match="differ in shape"):
        find_plateaus(t, error[:-1])


def test_end_rate_sees_the_slowest_exponential_and_skips_rounding():
    t = np.linspace(0, 100, 500)
    error = np.exp(-t) + 1e-3 * np.exp(-0.3 * t) + 1e-15
    assert abs(end_rate(t, error, floor=1e-13) - 0.3) < 2e-3
    assert np.isnan(end_rate(t, np.full_like(t, np.nan)))


def test_specialisation_is_a_cosine():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 4, 9))
    out = specialisation(u @ u.T, u @ v.T, v @ v.T)
    expected = (u * v).sum(axis=1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    zero = specialisation(jnp.zeros((2, 2)), jnp.zeros((2, 2)), jnp.eye(2))
    np.testing.assert_array_equal(zero, 0.0)


@pytest.mark.slow
def test_both_limits_of_eta_agree():
    with jax.enable_x64(True):
        problem, _ = problem_of(Sizes(30, 4, 2), 0, 1.0)
        etas = np.geomspace(1.0, 200.0, 12)
        swept, linear = learning_rate_limit(problem, etas), linear_rate_limit(problem, etas)
        assert swept.largest == linear.largest
        assert etas[0] < linear.largest < etas[-1]


def test_limits_refuse_bad_rates():
    with jax.enable_x64(True):
        problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        with pytest.raises(InputError, match="increasing"):
            learning_rate_limit(problem, np.asarray([2.0, 1.0]))
        with pytest.raises(InputError, match="eta"):
            linear_rate_limit(problem, np.asarray([0.0, 1.0]))


@pytest.mark.slow
def test_stages_of_a_teacher_with_separated_rates():
    stages = stages_of(Sizes(30, 8, 3), 26, 5.0)
    gaps = stages.rates[:-1] / stages.rates[1:]
    print("rates", stages.rates, "predicted", stages.predicted, "found", stages.found)
    print("end / (2 min eig R):", stages.end / (2 * stages.rates[-1]))
    assert stages.status == 0
    assert (gaps > 100).all()
    assert len(stages.found) == 2
    np.testing.assert_allclose([plateau.error for plateau in stages.found], stages.predicted, rtol=0.25)
    assert abs(stages.end / (2 * stages.rates[-1]) - 1) < 0.10
    # No symmetric plateau: at no time after the start have all units the same cosine, until all are learned.
    moving = (stages.cosines.min(axis=1) > 0.3) & (stages.cosines.min(axis=1) < 0.99)
    assert (np.ptp(stages.cosines[moving], axis=1) > 0.01).all()


@pytest.mark.slow
@pytest.mark.parametrize("teacher", [10, 17])
def test_end_rate_where_the_orthogonal_part_is_slowest(teacher):
    stages = stages_of(Sizes(30, 8, 3), teacher, 5.0, forecast=False)
    print("end / (2 min eig R):", stages.end / (2 * stages.rates[-1]))
    assert stages.inner > 0.96 * stages.rates[-1]
    assert abs(stages.end / (2 * stages.rates[-1]) - 1) < 0.10


@pytest.mark.slow
@pytest.mark.parametrize("teacher", [6, 14])
def test_end_rate_where_the_inner_part_is_slowest(teacher):
    stages = stages_of(Sizes(30, 8, 3), teacher, 5.0, forecast=False)
    print("end / (2 inner):", stages.end / (2 * stages.inner), "/ (2 min eig R):", stages.end / (2 * stages.rates[-1]))
    assert stages.inner < 0.5 * stages.rates[-1]
    assert stages.end == pytest.approx(2 * stages.inner, rel=0.1)
