"""Gaussian integrals of the unit g(z) = erf(z / sqrt 2), in closed form.

The fields f are jointly Gaussian with mean zero and covariance C. Multiplying by g'(f) = sqrt(2/pi) exp(-f^2 / 2)
tilts that Gaussian; the formulas below read off the tilted covariance. They equal the integrals I2, I3, I4 of the
order-parameter equations (D. Saad and S. A. Solla, Phys. Rev. E 52, 4225, 1995, appendix) in an arrangement
without cancellation: the argument of every root is a sum of non-negative numbers.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf as _erf
from jaxtyping import Array, Float

from modejax.online.angle import angle_in_triangle

__all__ = ["curvature_two", "four", "four_table", "slope", "slope_two", "two", "value"]

Field = Float[Array, "..."]


def value(z: Field) -> Field:
    """Return g(z) = erf(z / sqrt 2).

    Args:
        z: fields, shape (...).

    Returns:
        Unit outputs in [-1, 1], shape (...).

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(value(jnp.asarray(1.0))):.4f}")
        0.6827
    """
    return _erf(z * math.sqrt(0.5))


def slope(z: Field) -> Field:
    """Return g'(z) = sqrt(2/pi) exp(-z^2 / 2).

    Args:
        z: fields, shape (...).

    Returns:
        Derivatives, shape (...).

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(slope(jnp.asarray(0.0))):.4f}")
        0.7979
    """
    return math.sqrt(2.0 / math.pi) * jnp.exp(-0.5 * z * z)


def _rest(c11: Field, c12: Field, c22: Field) -> Field:
    """Return (1 + c11)(1 + c22) - c12^2, which is at least 1 for a covariance."""
    # Written out, the leading terms do not cancel; the bound only acts where rounding beats the 1 (c > 1e15).
    return jnp.maximum(1.0 + (c11 + c22) + (c11 * c22 - c12 * c12), 1.0)


def two(c11: Field, c12: Field, c22: Field) -> Field:
    """Return I2 = <g(f1) g(f2)>.

    Args:
        c11: variance of f1, shape (...).
        c12: covariance of f1 and f2.
        c22: variance of f2.

    Returns:
        (2/pi) arcsin(c12 / sqrt((1 + c11)(1 + c22))), broadcast shape.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.asarray(1.0)
        >>> print(f"{float(two(one, one, one)):.6f}")
        0.333333
    """
    hypotenuse = jnp.sqrt((1.0 + c11) * (1.0 + c22))
    return (2.0 / math.pi) * angle_in_triangle(c12, jnp.sqrt(_rest(c11, c12, c22)), hypotenuse)


def slope_two(c11: Field, c12: Field, c22: Field) -> Field:
    """Return <g'(f1) g'(f2)>.

    Args:
        c11: variance of f1, shape (...).
        c12: covariance of f1 and f2.
        c22: variance of f2.

    Returns:
        (2/pi) / sqrt((1 + c11)(1 + c22) - c12^2), broadcast shape.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(slope_two(*jnp.zeros(3))):.4f}")
        0.6366
    """
    return (2.0 / math.pi) / jnp.sqrt(_rest(c11, c12, c22))


def curvature_two(c11: Field, c12: Field, c22: Field) -> Field:
    """Return <g''(f1) g(f2)>.

    Args:
        c11: variance of f1, shape (...).
        c12: covariance of f1 and f2.
        c22: variance of f2.

    Returns:
        -(2/pi) c12 / [(1 + c11) sqrt((1 + c11)(1 + c22) - c12^2)], broadcast shape.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(curvature_two(*jnp.ones(3))):.4f}")
        -0.1838
    """
    return -(2.0 / math.pi) * c12 / ((1.0 + c11) * jnp.sqrt(_rest(c11, c12, c22)))


def four(
    c11: Field,
    c12: Field,
    c13: Field,
    c14: Field,
    c22: Field,
    c23: Field,
    c24: Field,
    c33: Field,
    c34: Field,
    c44: Field,
) -> Field:
    """Return I4 = <g'(f1) g'(f2) g(f3) g(f4)>.

    Tilting by g'(f1) g'(f2) leaves (f3, f4) Gaussian with the covariance below, so I4 = <g'g'> I2(tilted).

    Args:
        c11: variance of f1, shape (...).
        c12: covariance of f1 and f2; the others likewise, by their indices.
        c13: covariance.
        c14: covariance.
        c22: variance.
        c23: covariance.
        c24: covariance.
        c33: variance.
        c34: covariance.
        c44: variance.

    Returns:
        The average, broadcast shape.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(four(*jnp.asarray([1.0, 0, 0, 0, 1, 0, 0, 1, 0.5, 1]))):.5f}")
        0.05120
    """
    rest, (w31, w32) = _tilt(c11, c12, c22, c13, c23)
    _, (w41, w42) = _tilt(c11, c12, c22, c14, c24)
    t33 = c33 - w31 * c13 - w32 * c23
    t44 = c44 - w41 * c14 - w42 * c24
    t34 = c34 - w31 * c14 - w32 * c24
    return (2.0 / math.pi) / jnp.sqrt(rest) * two(t33, t34, t44)


def _tilt(c11: Field, c12: Field, c22: Field, c1: Field, c2: Field) -> tuple[Field, tuple[Field, Field]]:
    """Return (1 + c11)(1 + c22) - c12^2, and the weights of f1 and f2 in a field of covariances c1, c2 with them."""
    rest = _rest(c11, c12, c22)
    return rest, (((1.0 + c22) * c1 - c12 * c2) / rest, ((1.0 + c11) * c2 - c12 * c1) / rest)


def four_table(
    C: Float[Array, "n n"], first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> Float[Array, "pairs others"]:
    """Return I4 for pairs of fields (a, b) under g' and pairs (r, s) under g.

    Args:
        C: covariance of the fields, shape (n, n).
        first: indices a and b, each of shape (pairs,).
        second: indices r and s, each of shape (others,).

    Returns:
        <g'(f_a) g'(f_b) g(f_r) g(f_s)>, shape (pairs, others); `four` of the gathered entries, but what belongs to
        three of the fields is computed once.

    Example:
        >>> import jax.numpy as jnp
        >>> pair = np.asarray([0]), np.asarray([0])
        >>> print(four_table(jnp.zeros((1, 1)), pair, pair))
        [[0.]]
    """
    (a, b), (r, s) = first, second
    variance = jnp.diagonal(C)
    ca, cb = C[a], C[b]
    rest, (wa, wb) = _tilt(variance[a][:, None], C[a, b][:, None], variance[b][:, None], ca, cb)
    tilted = variance[None, :] - wa * ca - wb * cb
    # Written to memory first: a gather inside the arithmetic keeps it from being vectorised.
    gathered = (wa[:, r], wb[:, r], ca[:, s], cb[:, s], tilted[:, r], tilted[:, s], C[r, s][None, :])
    wa, wb, ca, cb, t33, t44, c34 = jax.lax.optimization_barrier(gathered)
    return (2.0 / math.pi) / jnp.sqrt(rest) * two(t33, c34 - wa * ca - wb * cb, t44)
