"""Right-hand sides of the order-parameter equations, as pure functions.

With f = (lambda, nu), c = (1/K, ..., -1/K, ...), e = sum_r c_r g(f_r) and time t = samples / d, online SGD on U obeys

    dU = -(eta/K) B^T <e g'(lambda) x^T> dt,

and Gaussian integration by parts turns the average into a matrix on the fields, <e g'(lambda_a) f> = L C. The noise
adds (eta/K)^2 B^T F B to q, with F_ab = <e^2 g'(lambda_a) g'(lambda_b)> (and |x|^2 / d -> 1). Compared with D. Saad and
S. A. Solla, Phys. Rev. E 52, 4225 (1995), the shared modes tie the hidden units through A = B B^T.

The p-space system (q, r) is exact and smaller than the K-space one (Q, M), which it implies by Q = B q B^T and
M = B r B*^T. Padded modes and units (zero rows and columns of B) get a right-hand side of exactly zero.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from modejax.online.problem import Modes, Overlaps, Problem, order_parameters, product
from modejax.online.units import ERF, Unit

__all__ = [
    "KSpace",
    "PatternFlow",
    "Trained",
    "drift",
    "error_from",
    "generalisation_error",
    "k_space",
    "noise",
    "p_space",
    "pattern_flow",
    "trained_modes",
]


class KSpace(NamedTuple):
    """The state of the K-space equations."""

    Q: Float[Array, "K K"]
    M: Float[Array, "K K"]


class Trained(NamedTuple):
    """The state when xi and sigma learn too."""

    q: Float[Array, "p p"]
    r: Float[Array, "p p"]
    modes: Modes  # the student's xi and sigma


def _covariance(Q: Array, M: Array, P: Array) -> Array:
    return jnp.concatenate(
        [jnp.concatenate([Q, M], axis=1), jnp.concatenate([M.T, P], axis=1)],
        axis=0,
    )


def _signs(units: Array, rows: int) -> Array:
    plus = jnp.full((rows,), 1.0, dtype=units.dtype) / units
    return jnp.concatenate([plus, -plus])


def error_from(Q: Array, M: Array, P: Array, units: Array, unit: Unit = ERF) -> Float[Array, ""]:
    """Return the generalisation error <e^2> / 2 = (1/2) sum_rs c_r c_s I2(r, s).

    Args:
        Q: student-student order parameters, shape (K, K).
        M: student-teacher order parameters, shape (K, K).
        P: teacher-teacher order parameters, shape (K, K).
        units: the true K (rows beyond it are zero).
        unit: the hidden unit.

    Returns:
        The error, a scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> print(error_from(one, one, one, jnp.asarray(1.0)))
        0.0
    """
    C = _covariance(Q, M, P)
    variance = jnp.diagonal(C)
    c = _signs(units, Q.shape[0])
    return 0.5 * (c @ unit.two(variance[:, None], C, variance[None, :]) @ c)


def generalisation_error(problem: Problem, state: Overlaps, unit: Unit = ERF) -> Float[Array, ""]:
    """Return the generalisation error of a p-space state.

    Args:
        problem: fixed arrays.
        state: q and r, shape (p, p).
        unit: the hidden unit.

    Returns:
        The error <e^2> / 2, a scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, Overlaps, tied_problem
        >>> problem = tied_problem(Modes(jnp.ones((4, 2)), jnp.ones(2)), jnp.eye(2), 1.0)
        >>> print(jax.jit(generalisation_error)(problem, Overlaps(jnp.eye(2), jnp.eye(2))))
        0.0
    """
    return error_from(*order_parameters(problem, state), problem.units, unit)


def drift(C: Float[Array, "2K 2K"], units: Array, unit: Unit = ERF) -> Float[Array, "K 2K"]:
    """Return L with <e g'(lambda_a) h> = sum_r L_ar <f_r h> for every Gaussian h.

    L_ar = delta_ar sum_s c_s <g''(f_a) g(f_s)> + c_r <g'(f_a) g'(f_r)>, which is sum_s c_s I3(a, h, s).

    Args:
        C: covariance of the fields (lambda, nu), shape (2K, 2K).
        units: the true K.
        unit: the hidden unit.

    Returns:
        L, shape (K, 2K).

    Example:
        >>> import jax.numpy as jnp
        >>> print(jnp.round(1e4 * drift(jnp.eye(2), jnp.asarray(1.0))))
        [[ 1838. -3183.]]
    """
    rows = C.shape[0] // 2
    variance = jnp.diagonal(C)
    c = _signs(units, rows)
    arguments = variance[:rows, None], C[:rows], variance[None, :]
    own = unit.curvature_two(*arguments) @ c
    return unit.slope_two(*arguments) * c[None, :] + jnp.pad(jnp.diag(own), ((0, 0), (0, rows)))


def noise(C: Float[Array, "2K 2K"], units: Array, unit: Unit = ERF) -> Float[Array, "K K"]:
    """Return F_ab = <e^2 g'(lambda_a) g'(lambda_b)> = sum_rs c_r c_s I4(a, b, r, s).

    Args:
        C: covariance of the fields (lambda, nu), shape (2K, 2K).
        units: the true K.
        unit: the hidden unit.

    Returns:
        F, shape (K, K), symmetric.

    Example:
        >>> import jax.numpy as jnp
        >>> print(noise(jnp.ones((2, 2)), jnp.asarray(1.0)))
        [[0.]]
    """
    rows = C.shape[0] // 2
    c = _signs(units, rows)
    # F is symmetric in (a, b) and the integrand in (r, s): only a <= b and r <= s are integrated.
    a, b = np.triu_indices(rows)
    r, s = np.triu_indices(2 * rows)
    place = np.zeros((rows, rows), dtype=np.int32)
    place[a, b] = place[b, a] = np.arange(a.size)
    twice = jnp.asarray(np.where(r == s, 1.0, 2.0), dtype=C.dtype)
    pairs = unit.four_table(C, (a, b), (r, s)) @ (twice * c[r] * c[s])
    return pairs[place]


def k_space(problem: Problem, state: KSpace, unit: Unit = ERF) -> KSpace:
    """Return dQ/dt and dM/dt.

    dQ/dt = -(eta/K) [A J_l + (A J_l)^T] + (eta/K)^2 A F A and dM/dt = -(eta/K) A J_n, with A = B B^T.

    Args:
        problem: fixed arrays; the modes must not be trained.
        state: Q and M, shape (K, K).
        unit: the hidden unit.

    Returns:
        The derivatives, in the form of the state.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> problem = tied_problem(Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
        >>> print(jax.jit(k_space)(problem, KSpace(jnp.eye(1), jnp.eye(1))).Q)
        [[0.]]
    """
    b, b_teacher = problem.student.b, problem.teacher.b
    P = b_teacher @ problem.t @ b_teacher.T
    rows = P.shape[0]
    C = _covariance(state.Q, state.M, P)
    J = drift(C, problem.units, unit) @ C
    step = problem.eta / problem.units
    A = b @ b.T
    pull = A @ J
    noisy = A @ noise(C, problem.units, unit) @ A
    return KSpace(-step * (pull[:, :rows] + pull[:, :rows].T) + step**2 * noisy, -step * pull[:, rows:])


def p_space(problem: Problem, state: Overlaps, unit: Unit = ERF) -> Overlaps:
    """Return dq/dt and dr/dt, the exact smaller system.

    dq/dt = -(eta/K) [B^T J_u + (B^T J_u)^T] + (eta/K)^2 B^T F B and dr/dt = -(eta/K) B^T J_v, where J_u and J_v are the
    averages of e g'(lambda) with U x / sqrt d and U* x / sqrt d.

    Args:
        problem: fixed arrays.
        state: q and r, shape (p, p).
        unit: the hidden unit.

    Returns:
        The derivatives, in the form of the state.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, Overlaps, tied_problem
        >>> problem = tied_problem(Modes(jnp.ones((4, 2)), jnp.ones(2)), jnp.eye(2), 1.0)
        >>> abs(float(jax.jit(p_space)(problem, Overlaps(jnp.eye(2), jnp.eye(2))).r[0, 1])) < 1e-6
        True
    """
    parts = pattern_flow(problem, state, unit)
    return Overlaps(parts.pull + parts.pull.T + parts.noise, parts.dr)


class PatternFlow(NamedTuple):
    """Pieces of the p-space right-hand side."""

    pull: Float[Array, "p p"]  # -(eta/K) B^T J_u, the drift of q from one side
    dr: Float[Array, "p p"]  # -(eta/K) B^T J_v
    noise: Float[Array, "p p"]  # (eta/K)^2 B^T F B
    average: Float[Array, "K p"]  # J_u


def pattern_flow(problem: Problem, state: Overlaps, unit: Unit = ERF) -> PatternFlow:
    """Return drift and noise of the patterns apart, for flows that project or reweight them.

    Args:
        problem: fixed arrays.
        state: q and r, shape (p, p).
        unit: the hidden unit.

    Returns:
        The pieces; dq/dt = pull + pull^T + noise.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, Overlaps, tied_problem
        >>> problem = tied_problem(Modes(jnp.ones((4, 2)), jnp.ones(2)), jnp.eye(2), 1.0)
        >>> jax.jit(pattern_flow)(problem, Overlaps(jnp.eye(2), jnp.eye(2))).average.shape
        (4, 2)
    """
    b, b_teacher = problem.student.b, problem.teacher.b
    C = _covariance(*order_parameters(problem, state))
    L = drift(C, problem.units, unit)
    J_u = product(L, jnp.concatenate([product(b, state.q), product(b_teacher, state.r.T)]))
    J_v = product(L, jnp.concatenate([product(b, state.r), product(b_teacher, problem.t)]))
    step = problem.eta / problem.units
    noisy = product(product(b.T, noise(C, problem.units, unit)), b)
    return PatternFlow(-step * product(b.T, J_u), -step * product(b.T, J_v), step**2 * noisy, J_u)


def trained_modes(problem: Problem, state: Trained, unit: Unit = ERF) -> Trained:
    """Return the derivatives when xi and sigma learn with rate eta / d a sample, beside U.

    dsigma_m/dt = -(eta/K) sum_a xi_am J_u[a, m] and dxi_am/dt = -(eta/K) sigma_m J_u[a, m]. Their noise is of order
    1/d and drops out; that of U stays.

    Args:
        problem: fixed arrays; its student modes are not used.
        state: q, r and the student's modes.
        unit: the hidden unit.

    Returns:
        The derivatives, in the form of the state.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import Modes, tied_problem
        >>> modes = Modes(jnp.ones((4, 2)), jnp.ones(2))
        >>> problem = tied_problem(modes, jnp.eye(2), 1.0)
        >>> print(jax.jit(trained_modes)(problem, Trained(jnp.eye(2), jnp.eye(2), modes)).modes.sigma.round(5) + 0.0)
        [0. 0.]
    """
    moving = problem._replace(student=state.modes)
    parts = pattern_flow(moving, Overlaps(state.q, state.r), unit)
    step = problem.eta / problem.units
    xi, sigma = state.modes
    modes = Modes(-step * sigma[None, :] * parts.average, -step * jnp.sum(xi * parts.average, axis=0))
    return Trained(parts.pull + parts.pull.T + parts.noise, parts.dr, modes)
