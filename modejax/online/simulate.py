"""Online SGD of the student, with measurements at given times made inside the compiled program.

One fresh sample a step, loss e^2 / 2, and only the input patterns U learn (or U, xi and sigma):

    U <- U - eta / (K sqrt d) B^T [e g'(lambda)] x^T.

Memory does not grow with time: one measurement is kept for each saved time. The input of step n depends on the seed and
n only, so the results of a run do not change if it is measured more often, padded, or run together with others.
"""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from modejax.errors import InputError
from modejax.online.equations import error_from
from modejax.online.problem import Draw, Modes, Overlaps, Problem, Sizes, below, check_rate, order_parameters
from modejax.online.solve import DIVERGED, LARGEST, OK, check_samples, check_times
from modejax.online.units import ERF, Unit

__all__ = ["Measured", "simulate"]

_CHUNK = 32  # steps whose inputs are drawn in one call

Weights: TypeAlias = tuple[Float[Array, "p inputs"], Modes]
"""Patterns U and modes of the student."""


class Measured(NamedTuple):
    """Measurements of one run. Entries after the last good time are NaN."""

    times: Float[Array, " T"]  # whole numbers of samples / d
    Q: Float[Array, "T K K"]
    M: Float[Array, "T K K"]
    P: Float[Array, "K K"]
    error: Float[Array, " T"]  # exact generalisation error of the weights (closed form in Q, M, P)
    test_error: Float[Array, " T"]  # mean of e^2 / 2 over the finite test set; NaN without one
    status: Int[Array, ""]  # OK or DIVERGED
    last_good_time: Float[Array, ""]


def simulate(
    start: Draw,
    key: PRNGKeyArray,
    times: Float[Array, " T"],
    sizes: Sizes,
    eta: Any,
    *,
    unit: Unit = ERF,
    train_modes: bool = False,
    test_samples: int = 0,
) -> Measured:
    """Run online SGD from a draw and measure it at the given times.

    Args:
        start: patterns and modes, possibly padded with zeros; its dtype is that of the run.
        key: key of the inputs (and, folded, of the test set).
        times: increasing times in units of d samples, shape (T,); each is rounded to whole samples.
        sizes: true d, K, p; may be traced.
        eta: learning rate; may be traced.
        unit: the hidden unit.
        train_modes: whether xi and sigma of the student learn too, with rate eta / d a sample.
        test_samples: size of a finite test set; 0 for none.

    Returns:
        The measurements; check `status`.

    Raises:
        InputError: concrete times that do not increase or reach 2^31 samples, a concrete rate <= 0, or a negative test
            size.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from modejax.online import draw
        >>> sizes = Sizes(20, 4, 2)
        >>> with jax.enable_x64(True):
        ...     start = draw(jax.random.key(0), jax.random.key(1), sizes)
        ...     run = simulate(start, jax.random.key(2), jnp.asarray([0.0, 1.0, 4.0]), sizes, 1.0)
        >>> run.error.shape, int(run.status)
        ((3,), 0)
    """
    _check(times, sizes, eta, test_samples)
    dtype = start.student.dtype
    d = jnp.asarray(sizes.d, dtype=dtype)
    run = _Run(
        start,
        unit,
        train_modes,
        d=d,
        units=jnp.asarray(sizes.units, dtype=dtype),
        rate=jnp.asarray(eta, dtype=dtype),
        root=jnp.sqrt(d),
        teacher_b=start.modes.b,
        columns=below(start.student.shape[1], sizes.d),
    )
    input_key, test_key = jax.random.split(key)
    test_inputs = _inputs(run, test_key, jnp.int32(0), test_samples) if test_samples else None

    def segment(weights: Weights, bounds: tuple[Array, Array]) -> tuple[Weights, tuple[Array, ...]]:
        weights = _trained(run, weights, input_key, *bounds)
        return weights, _measure(run, weights, test_inputs)

    counts = jnp.round(times * d.astype(times.dtype)).astype(jnp.int32)
    bounds = (jnp.concatenate([jnp.zeros(1, jnp.int32), counts[:-1]]), counts)
    _, (Q, M, P, error, test) = jax.lax.scan(segment, (start.student, start.modes), bounds)
    inside = jnp.max(jnp.abs(Q), axis=(1, 2)) < LARGEST
    good = jnp.cumprod(inside.astype(jnp.int32)) > 0
    rounded = counts.astype(dtype) / d
    blank = lambda x: jnp.where(good.reshape((-1,) + (1,) * (x.ndim - 1)), x, jnp.nan)  # noqa: E731
    return Measured(
        rounded,
        blank(Q),
        blank(M),
        P[0],
        blank(error),
        blank(test),
        jnp.where(jnp.all(inside), OK, DIVERGED),
        jnp.max(jnp.where(good, rounded, 0.0)),
    )


def _check(times: Array, sizes: Sizes, eta: Any, test_samples: int) -> None:
    """Raise if what is concrete makes no sense."""
    if test_samples < 0:
        raise InputError(f"test_samples={test_samples}; allowed: 0 (no test set) or a positive number")
    if not isinstance(times, Tracer):
        check_times(times)
        if not isinstance(sizes.d, Tracer):
            check_samples(times, int(sizes.d))
    if not isinstance(eta, Tracer):
        check_rate(float(eta))


class _Run(NamedTuple):
    """The constants of a run."""

    start: Draw
    unit: Unit
    train_modes: bool
    d: Float[Array, ""]
    units: Float[Array, ""]  # K
    rate: Float[Array, ""]
    root: Float[Array, ""]  # of d
    teacher_b: Float[Array, "K p"]
    columns: Bool[Array, " inputs"]  # those that are no padding


def _inputs(run: _Run, key: PRNGKeyArray, first: Int[Array, ""], count: int) -> Float[Array, "count inputs"]:
    """Draw the inputs of some steps from the first on."""
    dtype = run.start.student.dtype
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(first + jnp.arange(count, dtype=jnp.int32))
    x = jax.vmap(lambda k: jax.random.normal(k, run.columns.shape, dtype))(keys)
    return jnp.where(run.columns[None, :], x, jnp.zeros((), dtype))


def _sgd(run: _Run, weights: Weights, x: Float[Array, " inputs"], rate: Float[Array, ""]) -> Weights:
    """Make one step."""
    u, modes = weights
    b = modes.b
    h = u @ x / run.root
    lam = b @ h
    nu = run.teacher_b @ (run.start.teacher @ x / run.root)
    e = jnp.sum(run.unit.value(lam) - run.unit.value(nu)) / run.units
    delta = (rate / run.units) * e * run.unit.slope(lam)
    back = delta @ b
    if run.train_modes:
        # All three factors move from the same state; xi and sigma with rate eta / d.
        moved = Modes(
            modes.xi - (delta / run.d)[:, None] * (modes.sigma * h)[None, :],
            modes.sigma - (delta / run.d) @ modes.xi * h,
        )
    else:
        moved = modes
    return u - back[:, None] * (x / run.root)[None, :], moved


def _trained(run: _Run, weights: Weights, key: PRNGKeyArray, first: Int[Array, ""], last: Int[Array, ""]) -> Weights:
    """Make the steps from the first to the one before the last."""

    def chunk(carry: tuple[Array, Weights]) -> tuple[Array, Weights]:
        n, weights = carry
        steps = n + jnp.arange(_CHUNK, dtype=jnp.int32)
        # Steps beyond the segment run with rate zero: exact, and the loop keeps one shape.
        rates = jnp.where(steps < last, run.rate, jnp.zeros((), run.rate.dtype))

        def body(weights: Weights, item: tuple[Array, Array]) -> tuple[Weights, None]:
            moved = _sgd(run, weights, *item)
            return jax.tree.map(lambda a, b: jnp.where(item[1] > 0, a, b), moved, weights), None

        weights, _ = jax.lax.scan(body, weights, (_inputs(run, key, n, _CHUNK), rates))
        return n + _CHUNK, weights

    return jax.lax.while_loop(lambda carry: carry[0] < last, chunk, (first, weights))[1]


def _measure(
    run: _Run, weights: Weights, test_inputs: Float[Array, "samples inputs"] | None
) -> tuple[Array, Array, Array, Array, Array]:
    """Return Q, M, P, the exact error and that on the test set."""
    u, modes = weights
    start, unit = run.start, run.unit
    problem = Problem(modes, start.modes, start.teacher @ start.teacher.T / run.d, run.units, run.rate)
    Q, M, P = order_parameters(problem, Overlaps(u @ u.T / run.d, u @ start.teacher.T / run.d))
    test = jnp.asarray(jnp.nan, dtype=u.dtype)
    if test_inputs is not None:
        lam = test_inputs @ u.T / run.root @ modes.b.T
        nu = test_inputs @ start.teacher.T / run.root @ run.teacher_b.T
        e = jnp.sum(unit.value(lam) - unit.value(nu), axis=1) / run.units
        test = 0.5 * jnp.mean(e * e)
    return Q, M, P, error_from(Q, M, P, run.units, unit), test
