"""Stages of one teacher: a solve to the end of learning, rates, predicted and detected plateaus, limits of eta."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modejax.online import (
    Overlaps,
    Plateau,
    Problem,
    RateLimit,
    Sizes,
    end_rate,
    find_plateaus,
    learning_rate_limit,
    linear_rate_limit,
    log_times,
    parallel_rates,
    predicted_plateaus,
    relaxation_rates,
    solve,
    specialisation,
)
from modejax.online.sweep import start_of

__all__ = ["Stages", "problem_of", "rate_limits", "stages_of"]


class Stages(NamedTuple):
    """What one teacher shows; NumPy arrays."""

    times: np.ndarray  # (T,)
    error: np.ndarray  # (T,)
    cosines: np.ndarray  # (T, K)
    rates: np.ndarray  # (p,), descending: deviations orthogonal to the teacher
    inner: float  # smallest rate of the deviations inside the teacher's span
    predicted: np.ndarray  # (p - 1,) plateau heights
    found: list[Plateau]
    end: float  # measured end rate
    status: int


def problem_of(sizes: Sizes, teacher: int, eta: float) -> tuple[Problem, Overlaps]:
    """Return the problem and start that `run_members` uses for this teacher seed (start seed the same).

    Args:
        sizes: d, K, p as ints.
        teacher: seed.
        eta: learning rate.

    Returns:
        Problem and state, float64; call inside `with jax.enable_x64(True):`.

    Example:
        >>> import jax
        >>> with jax.enable_x64(True):
        ...     problem, state = problem_of(Sizes(20, 3, 2), 0, 1.0)
        >>> state.q.shape
        (2, 2)
    """
    from modejax.online import overlaps

    return overlaps(start_of(sizes, teacher, teacher), sizes, jnp.asarray(eta, dtype=jnp.float64))


def stages_of(sizes: Sizes, teacher: int, eta: float, *, points: int = 400, forecast: bool = True) -> Stages:
    """Solve one teacher to the end of learning and take its stages apart.

    Args:
        sizes: d, K, p as ints.
        teacher: seed.
        eta: learning rate.
        points: saved times, log-spaced up to 10 relaxation times of the slowest mode.
        forecast: whether to predict the plateau heights (a stiff solve a plateau).

    Returns:
        The stages.

    Raises:
        InputError: sizes or eta that make no sense.
    """
    with jax.enable_x64(True):
        problem, state = problem_of(sizes, teacher, eta)
        rates = relaxation_rates(problem)
        inner = float(parallel_rates(problem)[0])
        # The solution may repel (inner < 0); then the slowest rate of R sets the length of the solve.
        slowest = min(rates[-1], inner) if inner > 0 else rates[-1]
        times = log_times(0.1, 10.0 / float(slowest), points)
        solution = _solve(problem, state, jnp.asarray(times))
        error = np.asarray(solution.error)
        cosines = np.asarray(specialisation(solution.Q, solution.M, solution.P))
        predicted = np.asarray(_predict(problem, state)) if forecast else np.full(rates.size - 1, np.nan)
        found = find_plateaus(times, error)
        end = end_rate(times, error, floor=1e-12)
        return Stages(times, error, cosines, rates, inner, predicted, found, end, int(solution.status))


@jax.jit
def _solve(problem, state, times):
    return solve(problem, state, times, solver="kvaerno5", tolerance=(1e-6, 1e-12), max_steps=4000)


_predict = jax.jit(predicted_plateaus)


def rate_limits(sizes: Sizes, teachers: range, etas: np.ndarray) -> list[tuple[RateLimit, RateLimit]]:
    """Return for each teacher the largest stable eta, by a sweep of solves and by the Jacobian.

    Args:
        sizes: d, K, p as ints.
        teachers: seeds.
        etas: increasing learning rates.

    Returns:
        Pairs (sweep, Jacobian).

    Raises:
        InputError: rates that are not positive and increasing.
    """
    with jax.enable_x64(True):
        problems = [problem_of(sizes, teacher, 1.0)[0] for teacher in teachers]
        return [(learning_rate_limit(each, etas), linear_rate_limit(each, etas)) for each in problems]
