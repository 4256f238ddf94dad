"""Hidden units with their Gaussian integrals, and one checked way to evaluate these.

A `Unit` bundles what the equations need: g, g' and the averages <g g>, <g' g'>, <g'' g> and I4. I3 is not stored: by
Gaussian integration by parts it is linear in the middle field (see `three`), which is also how the equations use it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from modejax.errors import InputError, choices
from modejax.online import erf, relu

__all__ = ["ERF", "RELU", "Unit", "gaussian_average", "three", "unit_named"]


class Unit(NamedTuple):
    """A hidden unit: functions only, hashable, so it can be a static argument of `jax.jit`."""

    name: str
    value: Callable[[Array], Array]  # g(z)
    slope: Callable[[Array], Array]  # g'(z)
    two: Callable[..., Array]  # <g(f1) g(f2)> of c11, c12, c22
    slope_two: Callable[..., Array]  # <g'(f1) g'(f2)>
    curvature_two: Callable[..., Array]  # <g''(f1) g(f2)>
    four: Callable[..., Array]  # <g'(f1) g'(f2) g(f3) g(f4)> of c11, c12, c13, c14, c22, c23, c24, c33, c34, c44
    four_table: Callable[..., Array]  # the same of C for index pairs (a, b) and (r, s): shape (pairs, pairs)


def _unit(name: str, module) -> Unit:
    functions = ("value", "slope", "two", "slope_two", "curvature_two", "four", "four_table")
    return Unit(name, *(getattr(module, function) for function in functions))


ERF = _unit("erf", erf)
"""g(z) = erf(z / sqrt 2): every integral in closed form."""

RELU = _unit("relu", relu)
"""g(z) = max(z, 0): I2 and I3 in closed form, I4 by one-dimensional quadrature."""

_UNITS = {unit.name: unit for unit in (ERF, RELU)}


def unit_named(name: str) -> Unit:
    """Return the unit of this name.

    Args:
        name: "erf" or "relu".

    Returns:
        The unit.

    Raises:
        InputError: the name is unknown.

    Example:
        >>> unit_named("erf").name
        'erf'
    """
    if name not in _UNITS:
        raise InputError(f"unit {name!r} is not known; allowed: {choices(_UNITS)}")
    return _UNITS[name]


def three(unit: Unit, c11: Array, c12: Array, c13: Array, c23: Array, c33: Array) -> Array:
    """Return I3 = <g'(f1) f2 g(f3)> = c12 <g''(f1) g(f3)> + c23 <g'(f1) g'(f3)>.

    Args:
        unit: the hidden unit.
        c11: variance of f1, shape (...).
        c12: covariance of f1 and f2; the others likewise, by their indices.
        c13: covariance.
        c23: covariance.
        c33: variance of f3. The variance of f2 does not matter.

    Returns:
        The average, broadcast shape. For erf units: (2/pi) [c23 (1 + c11) - c12 c13] /
        {(1 + c11) sqrt[(1 + c11)(1 + c33) - c13^2]}.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(three(ERF, *jnp.asarray([1.0, 0.0, 0.0, 0.5, 1.0]))):.4f}")
        0.1592
    """
    return c12 * unit.curvature_two(c11, c13, c33) + c23 * unit.slope_two(c11, c13, c33)


def gaussian_average(unit: Unit, covariance: Float[Array, "... n n"]) -> Float[Array, "..."]:
    """Return I2, I3 or I4 for whole covariance matrices, checked.

    Args:
        unit: the hidden unit.
        covariance: covariance of the n = 2, 3 or 4 fields, shape (..., n, n). n = 2 gives <g g>, n = 3
            <g' f g>, n = 4 <g' g' g g>.

    Returns:
        The averages, shape (...).

    Raises:
        InputError: the matrices have another size, are not symmetric, or have a negative eigenvalue.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(gaussian_average(ERF, jnp.ones((2, 2)))):.6f}")
        0.333333
    """
    n = covariance.shape[-1] if covariance.ndim >= 2 else 0
    if n not in (2, 3, 4) or covariance.shape[-2] != n:
        raise InputError(f"covariance has shape {covariance.shape}; allowed: (..., n, n) with n = 2, 3 or 4")
    check_covariance("covariance", covariance)
    c = [[covariance[..., i, j] for j in range(n)] for i in range(n)]
    if n == 2:
        return unit.two(c[0][0], c[0][1], c[1][1])
    if n == 3:
        return three(unit, c[0][0], c[0][1], c[0][2], c[1][2], c[2][2])
    return unit.four(*(c[i][j] for i in range(4) for j in range(i, 4)))


def check_covariance(name: str, matrix: Array | np.ndarray) -> None:
    """Raise unless the matrices are symmetric and have no negative eigenvalue beyond rounding.

    Args:
        name: what the matrix is, for the message.
        matrix: shape (..., n, n), concrete numbers.

    Raises:
        InputError: not finite, not symmetric, or not positive semi-definite.

    Example:
        >>> import numpy as np
        >>> check_covariance("covariance", np.eye(2))
    """
    host = np.asarray(matrix, dtype=np.float64)
    if not np.isfinite(host).all():
        raise InputError(f"{name} holds values that are not finite; give finite variances and covariances")
    scale = max(float(np.abs(host).max()), np.finfo(np.float64).tiny)
    rounding = 50 * float(np.finfo(np.asarray(matrix).dtype).eps) * scale
    gap = float(np.abs(host - np.swapaxes(host, -1, -2)).max())
    if gap > rounding:
        raise InputError(f"{name} is not symmetric (largest difference {gap:.3g}); give a symmetric matrix")
    lowest = float(np.linalg.eigvalsh(host).min())
    if lowest < -rounding * host.shape[-1]:
        raise InputError(
            f"{name} has the eigenvalue {lowest:.3g}; allowed: none below zero. "
            "Build it as a covariance, X X^T / n, or check the order of the fields"
        )
