"""Predictions that need a solve of their own: plateau heights, and the largest stable learning rate."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from modejax.errors import InputError, NeedsExtra
from modejax.online.equations import generalisation_error, p_space, pattern_flow
from modejax.online.problem import Overlaps, Problem, check_rate
from modejax.online.solve import OK, solve
from modejax.online.stages import relaxation_matrix
from modejax.online.units import ERF, Unit

__all__ = ["RateLimit", "learning_rate_limit", "linear_rate_limit", "predicted_plateaus"]


class RateLimit(NamedTuple):
    """Outcome of a sweep over learning rates."""

    eta: np.ndarray  # (n,), increasing
    stable: np.ndarray  # bool (n,)
    growth: np.ndarray  # error at the end over error at half time, (n,); NaN for a diverged member
    largest: float  # largest eta up to which all are stable; NaN if the first is not


def predicted_plateaus(
    problem: Problem, state: Overlaps, *, unit: Unit = ERF, until: float = 20.0
) -> Float[Array, " p"]:
    """Return the heights of the plateaus: the error while the slower modes have not yet moved.

    Entry k freezes the part of U along the eigenvectors of R with the rates k+1, k+2, ... and follows the others to
    the time `until` / rate_k: the plateau after drop k.

    Args:
        problem: fixed arrays, float64, no padded modes.
        state: q and r at the start.
        unit: the hidden unit.
        until: time of the solve, in relaxation times of the slowest mode that moves.

    Returns:
        Errors, shape (p - 1,); NaN where the solve did not finish.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> with jax.enable_x64(True):
        ...     problem = tied_problem(Modes(jnp.ones((2, 2)), jnp.asarray([1.0, 0.01])), jnp.eye(2), 1.0)
        ...     heights = predicted_plateaus(problem, Overlaps(jnp.eye(2), jnp.zeros((2, 2))))
        >>> heights.shape
        (1,)
    """
    with NeedsExtra("online"):
        import diffrax
        import optimistix

    rate, vectors = jnp.linalg.eigh(relaxation_matrix(problem, unit))
    rate, vectors = rate[::-1], vectors[:, ::-1]

    def field(t, y, args):
        del t
        keep, scale = args
        frozen = vectors @ jnp.diag(1.0 - keep) @ vectors.T
        free = jnp.eye(keep.size, dtype=keep.dtype) - frozen
        # dU -> free dU: the drift of q is projected from one side, its noise from both.
        flow = pattern_flow(problem, y, unit)
        pull = free @ flow.pull
        return Overlaps(scale * (pull + pull.T + free @ flow.noise @ free), scale * (free @ flow.dr))

    def rest(k):
        keep = (jnp.arange(rate.size) <= k).astype(rate.dtype)
        out = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Kvaerno5(),
            t0=0.0,
            t1=1.0,
            dt0=None,
            y0=state,
            args=(keep, until / rate[k]),
            stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-11, norm=optimistix.max_norm),
            max_steps=2_000,
            throw=False,
        )
        assert out.ys is not None
        final = jax.tree.map(lambda x: x[-1], out.ys)
        done = out.result == diffrax.RESULTS.successful
        return jnp.where(done, generalisation_error(problem, final, unit), jnp.nan)

    return jax.lax.map(rest, jnp.arange(rate.size - 1))


def learning_rate_limit(
    problem: Problem,
    etas: Float[np.ndarray, " n"],
    *,
    distance: float = 0.01,
    last: float = 60.0,
    unit: Unit = ERF,
) -> RateLimit:
    """Return the largest learning rate at which the student still converges, by one vmapped sweep.

    Each member starts close to the teacher, U = U* + noise of relative size `distance`, and is solved to the time
    `last`: below the limit the error ends up falling, above it the noise of the gradient drives it away from the
    solution. A member is stable if its error ends below its first value, or below ten times that and falling in the
    second half (slow modes feed fast ones for a while). Growth slower than about 1 / `last` is not seen.

    Args:
        problem: fixed arrays, float64; its own eta is not used.
        etas: increasing learning rates to try, shape (n,).
        distance: relative size of the first deviation.
        last: time of the solve, in units of d samples.
        unit: the hidden unit.

    Returns:
        Stability by learning rate. `largest` is the last rate before the first unstable one.

    Raises:
        InputError: rates that are not positive and increasing.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from modejax.online import Modes, tied_problem
        >>> with jax.enable_x64(True):
        ...     problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        ...     print(learning_rate_limit(problem, np.asarray([1.0, 20.0])).stable)
        [ True False]
    """
    etas = _check_etas(etas)
    p = problem.t.shape[0]
    scale = jnp.trace(problem.t) / p
    # The deviation is orthogonal to the teacher: r = t and q = t + distance^2.
    state = Overlaps(problem.t + distance**2 * scale * jnp.eye(p, dtype=problem.t.dtype), problem.t)
    times = jnp.asarray([0.0, 0.5 * last, last])

    def member(eta):
        out = solve(problem._replace(eta=eta), state, times, unit=unit, tolerance=(1e-8, 1e-14), max_steps=20_000)
        return out.status, out.error[2] / out.error[1], out.error[2] / out.error[0]

    status, growth, total = (np.asarray(part) for part in jax.jit(jax.vmap(member))(jnp.asarray(etas)))
    # A member that was driven away may have come to rest: its error no longer grows but is far above the first one.
    # Below the first error a rise is none: the part that is left hardly moves, or is the solver's own error.
    stable = (status == OK) & ((total < 1.0) | ((growth < 1.0) & (total < 10.0)))
    return RateLimit(etas, stable, growth, _last_stable(etas, stable))


def linear_rate_limit(problem: Problem, etas: Float[np.ndarray, " n"], *, unit: Unit = ERF) -> RateLimit:
    """Return the same limit from the Jacobian of the p-space equations at the solution.

    Args:
        problem: fixed arrays, float64, no padded modes; its own eta is not used.
        etas: increasing learning rates to try, shape (n,).
        unit: the hidden unit.

    Returns:
        Stability by learning rate; `growth` holds the largest real part of the Jacobian's eigenvalues, in units of
        one over time, stable where it is negative.

    Raises:
        InputError: rates that are not positive and increasing.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from modejax.online import Modes, tied_problem
        >>> with jax.enable_x64(True):
        ...     problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        ...     print(linear_rate_limit(problem, np.asarray([1.0, 20.0])).stable)
        [ True False]
    """
    etas = _check_etas(etas)
    p = problem.t.shape[0]
    rows, columns = np.triu_indices(p)
    pairs = rows.size

    def flat(vector, eta):
        half = jnp.zeros((p, p), vector.dtype).at[rows, columns].set(vector[:pairs])
        q = half + half.T - jnp.diag(jnp.diagonal(half))
        out = p_space(problem._replace(eta=eta), Overlaps(q, vector[pairs:].reshape(p, p)), unit)
        return jnp.concatenate([out.q[rows, columns], out.r.reshape(-1)])

    here = jnp.concatenate([problem.t[rows, columns], problem.t.reshape(-1)])
    jacobians = jax.jit(jax.vmap(lambda eta: jax.jacfwd(flat)(here, eta)))(jnp.asarray(etas))
    growth = np.linalg.eigvals(np.asarray(jacobians)).real.max(axis=1)
    stable = growth < 0.0
    return RateLimit(etas, stable, growth, _last_stable(etas, stable))


def _check_etas(etas) -> np.ndarray:
    host = np.asarray(etas, dtype=np.float64)
    if host.ndim != 1 or host.size == 0 or (np.diff(host) <= 0).any():
        raise InputError(f"etas have shape {host.shape}; allowed: a list of increasing positive learning rates")
    check_rate(float(host[0]))
    check_rate(float(host[-1]))
    return host


def _last_stable(etas: np.ndarray, stable: np.ndarray) -> float:
    good = int(np.argmin(stable)) if not stable.all() else stable.size
    return float(etas[good - 1]) if good else float("nan")
