"""Stages of learning: relaxation rates, detected plateaus, end rate, specialisation.

Near the solution the part of U outside the teacher decays with the eigenvalues of

    R = (eta / K^2) B^T H B,   H_ab = <g'(nu_a) g'(nu_b)>,

which spread over orders of magnitude because the columns of B are products xi sigma. Each mode gives one drop of the
error, in the order of decreasing rate; between two drops there is a plateau. At the end the error, quadratic in the
distance from the teacher, decays with twice the smallest rate: that of R, or of the deviations inside the span of the
teacher (`parallel_rates`), whichever is slower.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from modejax.errors import InputError
from modejax.online.equations import p_space
from modejax.online.problem import Overlaps, Problem
from modejax.online.solve import check_times
from modejax.online.units import ERF, Unit

__all__ = [
    "Plateau",
    "descending_rates",
    "end_rate",
    "find_plateaus",
    "parallel_rates",
    "relaxation_matrix",
    "relaxation_rates",
    "specialisation",
]


class Plateau(NamedTuple):
    """A stretch of log time on which the error hardly falls."""

    first: float  # time at which it begins, in units of d samples
    last: float  # time at which it ends
    error: float  # geometric mean of the error on it


def relaxation_matrix(problem: Problem, unit: Unit = ERF) -> Float[Array, "p p"]:
    """Return R = (eta / K^2) B^T H B at the teacher.

    Args:
        problem: fixed arrays.
        unit: the hidden unit.

    Returns:
        R, symmetric, shape (p, p), in units of one over time (time = samples / d).

    Example:
        >>> import jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        >>> print(f"{float(relaxation_matrix(problem)[0, 0]):.4f}")
        0.3676
    """
    b = problem.teacher.b
    P = b @ problem.t @ b.T
    variance = jnp.diagonal(P)
    H = unit.slope_two(variance[:, None], P, variance[None, :])
    return (problem.eta / problem.units**2) * (b.T @ H @ b)


def descending_rates(problem: Problem, unit: Unit = ERF) -> Float[Array, " p"]:
    """Return the rates in descending order; inside a trace, where the true p may be traced too.

    Args:
        problem: fixed arrays, possibly padded.
        unit: the hidden unit.

    Returns:
        Eigenvalues of R, descending, shape (p,); padded modes give zeros at the end.

    Example:
        >>> import jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        >>> print(f"{float(descending_rates(problem)[0]):.4f}")
        0.3676
    """
    return jnp.linalg.eigvalsh(relaxation_matrix(problem, unit))[::-1]


def relaxation_rates(problem: Problem, unit: Unit = ERF) -> np.ndarray:
    """Return the rates in descending order, one a mode.

    Args:
        problem: fixed arrays, concrete.
        unit: the hidden unit.

    Returns:
        Eigenvalues of R, shape (p,), float64. 1 / (2 rate) is the time scale of a stage.

    Example:
        >>> import jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        >>> print(relaxation_rates(problem).round(4))
        [0.3676]
    """
    return np.asarray(descending_rates(problem, unit), dtype=np.float64)


def parallel_rates(problem: Problem, unit: Unit = ERF) -> np.ndarray:
    """Return the rates at which deviations of U inside the span of the teacher decay, ascending.

    With U = (1 + C) U*, dC/dt is linear in the p x p matrix C near the solution; it is read off the p-space equations.
    These deviations relax apart from the orthogonal ones (rates: eigenvalues of R), and the smallest of them can be the
    slower: the end of learning is governed by twice the smallest rate of both kinds.

    Args:
        problem: fixed arrays, float64, concrete, no padded modes.
        unit: the hidden unit.

    Returns:
        The p^2 rates (real parts), ascending, in units of one over time.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> with jax.enable_x64(True):
        ...     problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        ...     print(f"{float(parallel_rates(problem)[0]):.4f}")
        0.1225
    """
    matrix = np.asarray(_inner_matrix(problem, unit))
    return np.sort(-np.linalg.eigvals(matrix).real)


@functools.partial(jax.jit, static_argnames="unit")
def _inner_matrix(problem: Problem, unit: Unit) -> Float[Array, "m m"]:
    """Return the p^2 x p^2 matrix (transposed) of dC/dt."""
    p = problem.t.shape[0]
    solution = Overlaps(problem.t, problem.t)
    inverse = jnp.linalg.inv(problem.t)

    def move(flat):
        change = flat.reshape(p, p) @ problem.t
        moved = Overlaps(change + change.T, change)
        _, speed = jax.jvp(lambda state: p_space(problem, state, unit), (solution,), (moved,))
        return (speed.r @ inverse).reshape(-1)

    return jax.vmap(move)(jnp.eye(p * p, dtype=problem.t.dtype))


def specialisation(
    Q: Float[Array | np.ndarray, "... K K"],
    M: Float[Array | np.ndarray, "... K K"],
    P: Float[Array | np.ndarray, "... K K"],
) -> Float[Array | np.ndarray, "... K"]:
    """Return cos_a = M_aa / sqrt(Q_aa P_aa), the overlap of each student unit with its teacher unit.

    Args:
        Q: student-student order parameters, shape (..., K, K).
        M: student-teacher order parameters.
        P: teacher-teacher order parameters.

    Returns:
        Cosines in [-1, 1], shape (..., K); 0 for a unit of zero norm. NumPy outside a trace.

    Example:
        >>> import jax.numpy as jnp
        >>> print(specialisation(jnp.eye(2), 0.5 * jnp.eye(2), jnp.eye(2)))
        [0.5 0.5]
    """
    # Outside a trace NumPy keeps float64 whether or not it is switched on in JAX at that moment.
    numbers: Any = jnp if any(isinstance(part, Tracer) for part in (Q, M, P)) else np
    # P belongs to all times: its missing leading axes are filled in.
    parts = (numbers.diagonal(numbers.asarray(part), axis1=-2, axis2=-1) for part in (Q, M, P))
    q, m, p = numbers.broadcast_arrays(*parts)
    norm = numbers.sqrt(q * p)
    return numbers.where(norm > 0, m / numbers.where(norm > 0, norm, 1.0), 0.0)


def find_plateaus(
    times: Float[np.ndarray, " T"],
    error: Float[np.ndarray, " T"],
    *,
    slope: float = 0.2,
    decades: float = 0.5,
    fallen: float = 0.9,
) -> list[Plateau]:
    """Return the plateaus of one error curve, in the order of time.

    A plateau is a stretch of at least `decades` in time on which |d ln error / d ln t| stays below `slope`. The stretch
    before learning begins is not one: the error must first have fallen below `fallen` times its first value.

    Args:
        times: increasing times, shape (T,); those at 0 are left out.
        error: the error, shape (T,); NaN entries are left out.
        slope: largest logarithmic slope on a plateau.
        decades: least length, in powers of ten of the time.
        fallen: share of the first error below which plateaus count.

    Returns:
        The plateaus.

    Raises:
        InputError: times that do not increase, or lengths that differ.

    Example:
        >>> import numpy as np
        >>> t = np.geomspace(0.1, 1e5, 200)
        >>> [round(p.error, 2) for p in find_plateaus(t, np.exp(-t) + 0.1 * np.exp(-t / 1e4))]
        [0.1]
    """
    times, error = np.asarray(times, dtype=np.float64), np.asarray(error, dtype=np.float64)
    check_times(times)
    if times.shape != error.shape:
        raise InputError(f"times {times.shape} and error {error.shape} differ in shape; give one error a time")
    keep = (times > 0) & np.isfinite(error) & (error > 0)
    first = error[np.isfinite(error)][0] if np.isfinite(error).any() else np.nan
    t, value = times[keep], error[keep]
    if t.size < 3:
        return []
    local = np.diff(np.log(value)) / np.diff(np.log(t))
    flat = (np.abs(local) < slope) & (value[1:] < fallen * first)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(int), [0]])))
    found = []
    for begin, end in edges.reshape(-1, 2):
        # Interval i lies between the points i and i + 1.
        if np.log10(t[end] / t[begin]) >= decades:
            height = float(np.exp(np.mean(np.log(value[begin : end + 1]))))
            found.append(Plateau(float(t[begin]), float(t[end]), height))
    return found


def end_rate(
    times: Float[np.ndarray, " T"],
    error: Float[np.ndarray, " T"],
    *,
    floor: float = 1e-13,
    fall: float = 10.0,
) -> float:
    """Return the rate -d ln(error) / dt at the end of a curve, in units of one over time.

    The line is fitted by least squares to ln(error) over the last factor `fall` above `floor`, where rounding of the
    error (a difference of numbers near one) is still small.

    Args:
        times: increasing times, shape (T,).
        error: the error, shape (T,).
        floor: errors below it are left out. Stay above the solver's own error: an explicit solver that is held at the
            limit of its stability leaves errors of the order of its relative tolerance.
        fall: the fit spans this factor in the error.

    Returns:
        The rate; NaN with fewer than three points. Compare with twice the smallest of
        `relaxation_rates` and `parallel_rates`.

    Example:
        >>> import numpy as np
        >>> t = np.linspace(0.0, 20.0, 50)
        >>> round(end_rate(t, np.exp(-0.5 * t)), 6)
        0.5
    """
    times, error = np.asarray(times, dtype=np.float64), np.asarray(error, dtype=np.float64)
    keep = np.isfinite(error) & (error > floor)
    if not keep.any():
        return float("nan")
    last = error[keep][-1]
    chosen = keep & (error <= fall * last)
    if chosen.sum() < 3:
        return float("nan")
    return float(-np.polyfit(times[chosen], np.log(error[chosen]), 1)[0])
