"""Integration of the order-parameter equations: adaptive (diffrax) and Euler with the step 1/d of the reference.

`solve` never raises because a solution diverges: it returns a status and the last good time, also for single members
inside a `jax.vmap`. The error norm of the step control is the largest entry, not the mean, so that padded modes
(zeros) do not change a single step.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from modejax.errors import InputError, NeedsExtra, choices
from modejax.online.equations import (
    KSpace,
    Trained,
    error_from,
    k_space,
    p_space,
    trained_modes,
)
from modejax.online.problem import Overlaps, Problem, check_problem, order_parameters
from modejax.online.units import ERF, Unit

__all__ = [
    "DIVERGED",
    "LARGEST",
    "OK",
    "OUT_OF_STEPS",
    "Solution",
    "Space",
    "check_samples",
    "check_times",
    "euler",
    "log_times",
    "solve",
]

OK = 0
"""Status of a solution that reached the last time."""
DIVERGED = 1
"""Status of a solution that left the finite range, or for which no step was small enough."""
OUT_OF_STEPS = 2
"""Status of a solution that took too many steps."""

Space: TypeAlias = Literal["p", "K", "trained"]
SolverName: TypeAlias = Literal["tsit5", "dopri8", "kvaerno5"]

LARGEST = 1e8
"""Order parameters are of order one; a member that exceeds this value has diverged."""


class Solution(NamedTuple):
    """Order parameters at the saved times. Entries after the last good time are NaN."""

    times: Float[Array, " T"]  # in units of d samples
    Q: Float[Array, "T K K"]  # student-student
    M: Float[Array, "T K K"]  # student-teacher
    P: Float[Array, "K K"]  # teacher-teacher
    error: Float[Array, " T"]  # generalisation error <e^2> / 2
    status: Int[Array, ""]  # OK, DIVERGED or OUT_OF_STEPS
    last_good_time: Float[Array, ""]
    steps: Int[Array, ""]  # steps taken
    state: Any  # the saved states (Overlaps, KSpace or Trained), leading axis T


def log_times(first: float, last: float, count: int) -> np.ndarray:
    """Return 0 followed by `count` times spaced evenly in the logarithm.

    Args:
        first: first positive time, in units of d samples.
        last: last time.
        count: number of positive times.

    Returns:
        Increasing times, shape (count + 1,), float64.

    Raises:
        InputError: not 0 < first < last, or fewer than two times.

    Example:
        >>> log_times(1.0, 100.0, 3)
        array([  0.,   1.,  10., 100.])
    """
    if not (0 < first < last and np.isfinite(last)) or count < 2:
        raise InputError(f"got first={first}, last={last}, count={count}; allowed: 0 < first < last, count >= 2")
    times = np.geomspace(first, last, count)
    times[-1] = last
    return np.concatenate([[0.0], times])


def check_times(times: Any) -> None:
    """Raise unless times start at or above zero and increase.

    Args:
        times: concrete times, shape (T,).

    Raises:
        InputError: fewer than two times, a negative or non-finite one, or a step that does not increase.

    Example:
        >>> check_times([0.0, 1.0, 10.0])
    """
    host = np.asarray(times, dtype=np.float64)
    if host.ndim != 1 or host.size < 2 or not np.isfinite(host).all() or host[0] < 0:
        raise InputError(
            f"times have shape {host.shape} and start at {host.flat[0] if host.size else 'nothing'}; "
            "allowed: at least two finite times >= 0"
        )
    bad = np.flatnonzero(np.diff(host) <= 0)
    if bad.size:
        i = int(bad[0])
        raise InputError(
            f"times do not increase: times[{i}]={host[i]:g} is followed by {host[i + 1]:g}; "
            "sort them and drop repeats (modejax.online.log_times makes a good grid)"
        )


def check_samples(times: Any, d: int) -> None:
    """Raise if the samples up to the last time cannot be counted in 32 bits.

    Args:
        times: concrete times, in units of d samples.
        d: input dimension.

    Raises:
        InputError: 2^31 samples or more.

    Example:
        >>> check_samples([0.0, 1e5], 300)
    """
    last = float(np.asarray(times, dtype=np.float64).max())
    if last * d >= 2**31:
        raise InputError(
            f"the last time {last:g} at d={d} takes {last * d:.3g} samples; allowed: fewer than 2^31; "
            "end earlier, or use the adaptive `solve`"
        )


def _right_hand_side(space: Space) -> Callable[..., Any]:
    table: dict[str, Callable[..., Any]] = {"p": p_space, "K": k_space, "trained": trained_modes}
    if space not in table:
        raise InputError(f"space={space!r} is not known; allowed: {choices(table)}")
    return table[space]


def _first_state(problem: Problem, state: Overlaps, space: Space) -> Any:
    if space == "p":
        return state
    if space == "K":
        Q, M, _ = order_parameters(problem, state)
        return KSpace(Q, M)
    return Trained(state.q, state.r, problem.student)


def _readout(problem: Problem, state: Any, unit: Unit) -> tuple[Array, Array, Array]:
    """Return Q, M and the error of one state."""
    if isinstance(state, KSpace):
        b = problem.teacher.b
        return state.Q, state.M, error_from(state.Q, state.M, b @ problem.t @ b.T, problem.units, unit)
    if isinstance(state, Trained):
        problem = problem._replace(student=state.modes)
    Q, M, P = order_parameters(problem, Overlaps(state.q, state.r))
    return Q, M, error_from(Q, M, P, problem.units, unit)


def _largest(state: Any) -> Array:
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(state)]))


def _finish(problem, times, states, status, last_good, steps, unit) -> Solution:
    Q, M, error = jax.vmap(lambda s: _readout(problem, s, unit))(states)
    # Saves after the end are inf; NaN keeps them out of every plot and mean.
    good = times <= last_good
    blank = lambda x: jnp.where(good.reshape((-1,) + (1,) * (x.ndim - 1)), x, jnp.nan)  # noqa: E731
    b = problem.teacher.b
    P = b @ problem.t @ b.T
    return Solution(times, blank(Q), blank(M), P, blank(error), status, last_good, steps, jax.tree.map(blank, states))


def _check(problem: Problem, state: Overlaps, times: Array) -> None:
    leaves = jax.tree.leaves((problem, state, times))
    if not jax.config.read("jax_enable_x64") or any(leaf.dtype != jnp.float64 for leaf in leaves):
        raise InputError(
            "the equations need float64 (errors near 1e-12 are differences of numbers near one); "
            "build the problem and call inside `with jax.enable_x64(True):`"
        )
    if not any(isinstance(leaf, Tracer) for leaf in leaves):
        check_times(times)
        check_problem(problem, state)


def solve(
    problem: Problem,
    state: Overlaps,
    times: Float[Array, " T"],
    *,
    unit: Unit = ERF,
    space: Space = "p",
    solver: SolverName = "tsit5",
    tolerance: tuple[float, float] = (1e-7, 1e-10),
    max_steps: int = 200_000,
) -> Solution:
    """Integrate with adaptive steps and return the order parameters at the given times.

    Args:
        problem: fixed arrays, float64.
        state: q and r at times[0], shape (p, p).
        times: increasing times in units of d samples, shape (T,).
        unit: the hidden unit.
        space: "p" (the small exact system), "K" (Q and M) or "trained" (xi and sigma learn too).
        solver: "tsit5" or "dopri8" (explicit), or "kvaerno5" (implicit: for times far beyond 1 / fastest rate).
        tolerance: relative and absolute tolerance of a step.
        max_steps: steps after which the member stops with status `OUT_OF_STEPS`.

    Returns:
        The solution; check `status`. Under `jax.vmap` every member has its own.

    Raises:
        InputError: inputs outside a trace that make no sense; unknown names; arrays that are not float64.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> with jax.enable_x64(True):
        ...     problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        ...     solution = solve(problem, Overlaps(jnp.eye(1), 0.1 * jnp.eye(1)), jnp.asarray([0.0, 1.0, 10.0]))
        >>> int(solution.status), float(solution.error[2]) < 0.1 * float(solution.error[0])
        (0, True)
    """
    with NeedsExtra("online"):
        import diffrax
        import optimistix

    _check(problem, state, times)
    function = _right_hand_side(space)
    solvers: dict[str, Callable[[], Any]] = {
        "tsit5": diffrax.Tsit5,
        "dopri8": diffrax.Dopri8,
        "kvaerno5": diffrax.Kvaerno5,
    }
    if solver not in solvers:
        raise InputError(f"solver={solver!r} is not known; allowed: {choices(solvers)}")

    start = _first_state(problem, state, space)

    def left_range(t, y, args, **kwargs):
        del t, args, kwargs
        largest = _largest(y)
        return ~(largest < LARGEST)

    out = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: function(args, y, unit)),
        solvers[solver](),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=start,
        args=problem,
        saveat=diffrax.SaveAt(
            subs=[
                diffrax.SubSaveAt(ts=times),
                diffrax.SubSaveAt(t1=True, fn=lambda t, y, args: (t, _largest(y))),
            ]
        ),
        stepsize_controller=diffrax.PIDController(
            rtol=tolerance[0], atol=tolerance[1], norm=optimistix.max_norm, dtmin=1e-12, force_dtmin=False
        ),
        event=diffrax.Event(left_range),
        max_steps=max_steps,
        throw=False,
    )
    assert out.ys is not None
    states, (end, largest) = out.ys
    # A member that leaves the range in its first step has saved nothing, but its start is good.
    states = jax.tree.map(lambda saved, first: saved.at[0].set(first), states, start)
    end, largest = end[-1], largest[-1]
    finished = (out.result == diffrax.RESULTS.successful) & (largest < LARGEST)
    ran_out = out.result == diffrax.RESULTS.max_steps_reached
    status = jnp.where(finished, OK, jnp.where(ran_out, OUT_OF_STEPS, DIVERGED))
    # The step that left the range is not good: the last save inside it is.
    inside = jax.vmap(lambda s: _largest(s) < LARGEST)(states)
    saved = jnp.max(jnp.where(inside & (times <= end), times, times[0]))
    last_good = jnp.where(finished, times[-1], jnp.where(ran_out & (largest < LARGEST), end, saved))
    return _finish(problem, times, states, status, last_good, out.stats["num_steps"], unit)


def euler(
    problem: Problem,
    state: Overlaps,
    times: Float[Array, " T"],
    d: Any,
    *,
    unit: Unit = ERF,
    space: Space = "p",
) -> Solution:
    """Integrate by Euler steps of 1/d, one a sample, as the reference code does.

    Args:
        problem: fixed arrays, float64.
        state: q and r at time 0, shape (p, p).
        times: increasing times, shape (T,); each is rounded to a whole number of samples.
        d: input dimension; may be traced.
        unit: the hidden unit.
        space: "p", "K" or "trained".

    Returns:
        The solution; `steps` counts samples.

    Raises:
        InputError: inputs outside a trace that make no sense; arrays that are not float64.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> with jax.enable_x64(True):
        ...     problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        ...     solution = euler(problem, Overlaps(jnp.eye(1), jnp.zeros((1, 1))), jnp.asarray([0.0, 10.0]), 50)
        >>> int(solution.steps)
        500
    """
    _check(problem, state, times)
    if not isinstance(times, Tracer) and not isinstance(d, Tracer):
        check_samples(times, int(d))
    function = _right_hand_side(space)
    dimension = jnp.asarray(d, dtype=times.dtype)
    counts = jnp.round(times * dimension).astype(jnp.int32)

    def segment(y, bounds):
        def step(_, y):
            return jax.tree.map(lambda a, b: a + b / dimension, y, function(problem, y, unit))

        y = jax.lax.fori_loop(bounds[0], bounds[1], step, y)
        return y, y

    bounds = jnp.stack([jnp.concatenate([jnp.zeros(1, jnp.int32), counts[:-1]]), counts], axis=1)
    _, states = jax.lax.scan(segment, _first_state(problem, state, space), bounds)
    inside = jax.vmap(lambda s: _largest(s) < LARGEST)(states)
    last_good = jnp.max(jnp.where(jnp.cumprod(inside.astype(jnp.int32)) > 0, times, 0.0))
    status = jnp.where(jnp.all(inside), OK, DIVERGED)
    return _finish(problem, times, states, status, last_good, counts[-1], unit)
