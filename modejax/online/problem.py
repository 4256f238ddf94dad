"""A teacher and a student in mode space, their overlaps, and random draws of both.

Model (mode-decomposition learning, arXiv 2208.09859): inputs x ~ Normal(0, I) in d dimensions; fields
lambda = B U x / sqrt d and nu = B* U* x / sqrt d with B = xi diag(sigma); outputs are means of g over the K hidden
units. The reference ties B* = B; here they are two arrays, because the trained extension moves only the student's.

Sizes (d, K, p) may be smaller than the arrays: entries beyond them are exactly zero and stay so, which lets members
of different sizes share one program. Random entry (i, j) depends on the seed and on (i, j), never on the capacity.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.errors import InputError
from modejax.online.units import check_covariance

__all__ = [
    "Draw",
    "Modes",
    "Overlaps",
    "Problem",
    "Sizes",
    "check_problem",
    "check_sizes",
    "draw",
    "order_parameters",
    "overlaps",
    "tied_problem",
]


class Modes(NamedTuple):
    """The output side of p modes: B = xi diag(sigma)."""

    xi: Float[Array, "K p"]
    sigma: Float[Array, " p"]

    @property
    def b(self) -> Float[Array, "K p"]:
        """B = xi diag(sigma), shape (K, p)."""
        return self.xi * self.sigma[None, :]


class Overlaps(NamedTuple):
    """The state of the p-space equations."""

    q: Float[Array, "p p"]  # U U^T / d, student with student
    r: Float[Array, "p p"]  # U U*^T / d, student with teacher


class Problem(NamedTuple):
    """The constants of the equations. All leaves are arrays, so any of them can be vmapped."""

    student: Modes
    teacher: Modes
    t: Float[Array, "p p"]  # U* U*^T / d, teacher with teacher
    units: Float[Array, ""]  # K, the true number of hidden units
    eta: Float[Array, ""]  # learning rate


class Sizes(NamedTuple):
    """The true sizes; Python ints or traced integer scalars."""

    d: Any
    units: Any  # K
    modes: Any  # p


class Draw(NamedTuple):
    """One teacher and one student start, with the input patterns written out."""

    modes: Modes  # shared by teacher and student at the start
    student: Float[Array, "p d"]  # U
    teacher: Float[Array, "p d"]  # U*


def draw(
    teacher_key: PRNGKeyArray,
    start_key: PRNGKeyArray,
    sizes: Sizes,
    capacity: Sizes | None = None,
    *,
    redraw: bool = True,
    dtype: Any = jnp.float64,
) -> Draw:
    """Draw xi, sigma, U* (from `teacher_key`) and U (from `start_key`).

    Every entry is Normal(0, (ln d)^(-1/3)), so that field variances are p / ln d. As in the reference code, the
    student is drawn a second time when (mean Q - mean P)^2 / 2 > 0.01.

    Args:
        teacher_key: key of the teacher and of the shared xi, sigma.
        start_key: key of the student's start.
        sizes: true d, K, p; may be traced.
        capacity: shapes of the arrays; default the true sizes (then plain ints).
        redraw: whether to apply the reference's second draw.
        dtype: type of the arrays.

    Returns:
        The draw, with zeros beyond the true sizes.

    Raises:
        InputError: sizes, given as ints, that make no sense, such as p > d.

    Example:
        >>> import jax
        >>> start = draw(jax.random.key(0), jax.random.key(1), Sizes(30, 8, 3), dtype="float32")
        >>> start.student.shape, start.modes.xi.shape
        ((3, 30), (8, 3))
    """
    if all(isinstance(n, int) for n in sizes):
        check_sizes(sizes)
    capacity = sizes if capacity is None else capacity
    d = jnp.asarray(sizes.d, dtype=dtype)
    std = jnp.log(d) ** (-1.0 / 6.0)
    rows = below(capacity.modes, sizes.modes)
    columns = below(capacity.d, sizes.d)
    heads = below(capacity.units, sizes.units)
    xi_key, sigma_key, pattern_key = jax.random.split(teacher_key, 3)

    def matrix(key, height, width, keep):
        # One key a row: a row's beginning does not depend on how long the row is.
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(height))
        numbers = jax.vmap(lambda k: jax.random.normal(k, (width,), dtype))(keys)
        return jnp.where(keep, std * numbers, jnp.zeros((), dtype))

    xi = matrix(xi_key, capacity.modes, capacity.units, rows[:, None] & heads[None, :]).T
    sigma = matrix(sigma_key, capacity.modes, 1, rows[:, None])[:, 0]
    patterns = rows[:, None] & columns[None, :]
    teacher = matrix(pattern_key, capacity.modes, capacity.d, patterns)
    first, second = (matrix(k, capacity.modes, capacity.d, patterns) for k in jax.random.split(start_key))
    modes = Modes(xi, sigma)
    if redraw:
        units = jnp.asarray(sizes.units, dtype=dtype)

        def mean_overlap(u):
            # The mean of all entries of W W^T / d is the squared length of the summed rows.
            return jnp.sum((jnp.sum(modes.b, axis=0) @ u) ** 2) / (d * units**2)

        gap = 0.5 * (mean_overlap(first) - mean_overlap(teacher)) ** 2
        first = jnp.where(gap > 0.01, second, first)
    return Draw(modes, first, teacher)


def below(capacity: int, size: Any) -> Bool[Array, " n"]:
    """Return which of the first `capacity` entries are no padding.

    Args:
        capacity: shape.
        size: true size; may be traced.

    Returns:
        True for places below `size`, shape (capacity,).

    Example:
        >>> print(below(3, 2))
        [ True  True False]
    """
    return jnp.arange(capacity, dtype=jnp.int32) < jnp.asarray(size, dtype=jnp.int32)


def overlaps(start: Draw, sizes: Sizes, eta: Float[Array, ""]) -> tuple[Problem, Overlaps]:
    """Return the problem and the start of the equations that belong to a draw.

    Args:
        start: the draw.
        sizes: true d, K, p; may be traced.
        eta: learning rate.

    Returns:
        The problem and the overlaps q, r of this very draw (finite-d values, not their averages).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> sizes = Sizes(30, 8, 3)
        >>> start = draw(jax.random.key(0), jax.random.key(1), sizes, dtype="float32")
        >>> problem, state = overlaps(start, sizes, jnp.asarray(5.0))
        >>> state.r.shape
        (3, 3)
    """
    dtype = start.student.dtype
    d = jnp.asarray(sizes.d, dtype=dtype)
    u, v = start.student, start.teacher
    problem = tied_problem(start.modes, v @ v.T / d, eta, units=sizes.units)
    return problem, Overlaps(u @ u.T / d, u @ v.T / d)


def tied_problem(modes: Modes, t: Float[Array, "p p"], eta: Any, *, units: Any = None) -> Problem:
    """Return a problem in which student and teacher share xi and sigma, as in the reference.

    Args:
        modes: xi (K, p) and sigma (p,).
        t: teacher overlaps U* U*^T / d, shape (p, p).
        eta: learning rate.
        units: true K; default the number of rows of xi.

    Returns:
        The problem.

    Example:
        >>> import jax.numpy as jnp
        >>> tied_problem(Modes(jnp.ones((4, 2)), jnp.ones(2)), jnp.eye(2), 1.0).units
        Array(4., dtype=float32)
    """
    dtype = modes.xi.dtype
    count = jnp.asarray(modes.xi.shape[0] if units is None else units, dtype=dtype)
    return Problem(modes, modes, t, count, jnp.asarray(eta, dtype=dtype))


def order_parameters(problem: Problem, state: Overlaps) -> tuple[Array, Array, Array]:
    """Return Q = B q B^T, M = B r B*^T and P = B* t B*^T.

    Args:
        problem: fixed arrays.
        state: q and r, shape (p, p).

    Returns:
        Q (student-student), M (student-teacher), P (teacher-teacher), each (K, K).

    Example:
        >>> import jax.numpy as jnp
        >>> problem = tied_problem(Modes(jnp.ones((4, 2)), jnp.ones(2)), jnp.eye(2), 1.0)
        >>> Q, M, P = order_parameters(problem, Overlaps(jnp.eye(2), jnp.zeros((2, 2))))
        >>> print(Q[0, 0], M[0, 0], P[0, 0])
        2.0 0.0 2.0
    """
    b, b_teacher = problem.student.b, problem.teacher.b
    Q = product(product(b, state.q), b.T)
    M = product(product(b, state.r), b_teacher.T)
    return Q, M, product(product(b_teacher, problem.t), b_teacher.T)


def product(a: Float[Array, "m n"], b: Float[Array, "n k"]) -> Float[Array, "m k"]:
    """Return a @ b as a sum: on CPU about twice as fast for matrices of a few rows, alone and under `jax.vmap`.

    Args:
        a: matrix, shape (m, n).
        b: matrix, shape (n, k).

    Returns:
        The product, shape (m, k).

    Example:
        >>> print(product(jnp.eye(2), jnp.ones((2, 1)))[:, 0])
        [1. 1.]
    """
    return jnp.sum(a[:, :, None] * b[None, :, :], axis=1)


def check_sizes(sizes: Sizes) -> None:
    """Raise unless the sizes make sense.

    Args:
        sizes: d, K, p as plain ints.

    Raises:
        InputError: p > d, or a size below its least value.

    Example:
        >>> check_sizes(Sizes(30, 8, 3))
    """
    d, units, modes = (int(n) for n in sizes)
    if d < 2 or units < 1 or modes < 1:
        raise InputError(f"got d={d}, units={units}, modes={modes}; allowed: d >= 2, units >= 1, modes >= 1")
    if modes > d:
        raise InputError(
            f"modes={modes} is more than d={d}; {d} dimensions hold at most {d} patterns: lower modes or raise d"
        )


def check_rate(eta: float) -> None:
    """Raise unless the learning rate is a positive finite number.

    Args:
        eta: learning rate.

    Raises:
        InputError: eta <= 0 or not finite.

    Example:
        >>> check_rate(5.0)
    """
    if not (np.isfinite(eta) and eta > 0):
        raise InputError(f"eta={eta} is not a learning rate; allowed: a positive finite number, such as 5.0")


def check_problem(problem: Problem, state: Overlaps) -> None:
    """Raise unless a problem given by hand can be integrated.

    Args:
        problem: fixed arrays, concrete.
        state: q and r, concrete.

    Raises:
        InputError: shapes that do not fit, eta <= 0, overlaps that are no covariance, or a teacher of zero norm.

    Example:
        >>> import jax.numpy as jnp
        >>> problem = tied_problem(Modes(jnp.ones((4, 2)), jnp.ones(2)), jnp.eye(2), 1.0)
        >>> check_problem(problem, Overlaps(jnp.eye(2), jnp.zeros((2, 2))))
    """
    b, b_teacher = problem.student.b, problem.teacher.b
    units, p = b.shape
    shapes = [b_teacher.shape, problem.t.shape, state.q.shape, state.r.shape]
    if shapes != [(units, p), (p, p), (p, p), (p, p)]:
        raise InputError(
            f"teacher B, t, q, r have shapes {shapes}; for student B of shape {(units, p)} they must be "
            f"{[(units, p), (p, p), (p, p), (p, p)]}"
        )
    check_rate(float(problem.eta))
    joint = np.block([[np.asarray(state.q), np.asarray(state.r)], [np.asarray(state.r).T, np.asarray(problem.t)]])
    check_covariance("the joint overlap matrix [[q, r], [r^T, t]]", joint)
    norm = np.linalg.norm(np.asarray(b_teacher @ problem.t @ b_teacher.T))
    if norm == 0.0:
        raise InputError(
            "the teacher has zero norm (B* t B*^T = 0), so there is nothing to learn; "
            "give non-zero xi, sigma and teacher patterns"
        )
