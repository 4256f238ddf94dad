"""Angles and roots that stay finite, with finite derivatives, where a correlation reaches one.

Every closed form of this package ends in an arc sine. `jnp.arcsin` calls a scalar routine on CPU and its derivative
is infinite at one; `angle` is a polynomial that vectorises (about five times faster in float64) and takes the two
legs of a right triangle, so that nothing has to be subtracted from one.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["angle", "angle_in_triangle", "safe_sqrt"]


def _arctan_coefficients(terms: int = 23) -> tuple[float, ...]:
    """Return the coefficients of arctan(x) / x in powers of x^2, for |x| <= 1.

    arctan(x) = 2 sum_k (-1)^k r^(2k+1) T_(2k+1)(x) / (2k+1) with r = tan(pi / 8): the imaginary part of
    log((1 + i r w) / (1 - i r w)) with x = (w + 1/w) / 2. 23 terms reach 2e-19.
    """
    ratio = math.tan(math.pi / 8)
    series = np.zeros(2 * terms)
    orders = 2 * np.arange(terms) + 1
    series[orders] = 2 * (-1.0) ** np.arange(terms) * ratio**orders / orders
    return tuple(float(value) for value in np.polynomial.chebyshev.cheb2poly(series)[1::2])


_COEFFICIENTS = _arctan_coefficients()


def angle(opposite: Float[Array, "..."], adjacent: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return arctan(opposite / adjacent) for adjacent >= 0, in [-pi/2, pi/2].

    An arc sine of a / m is `angle(a, sqrt(m^2 - a^2))`.

    Args:
        opposite: any real numbers, shape (...).
        adjacent: numbers >= 0, of a shape that broadcasts with `opposite`.

    Returns:
        The angle in radians, broadcast shape. At (0, 0) it is 0, with derivative 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(angle(jnp.asarray(1.0), jnp.asarray(0.0))):.4f}")
        1.5708
    """
    hypotenuse = jax.lax.stop_gradient(safe_sqrt(opposite * opposite + adjacent * adjacent))
    return angle_in_triangle(opposite, adjacent, hypotenuse)


@jax.custom_jvp
def angle_in_triangle(
    opposite: Float[Array, "..."], adjacent: Float[Array, "..."], hypotenuse: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Return the angle of a right triangle whose three sides are known (saves a root; derivatives need two sides).

    Args:
        opposite: any real numbers, shape (...).
        adjacent: numbers >= 0.
        hypotenuse: sqrt(opposite^2 + adjacent^2); it carries no derivative of its own.

    Returns:
        The angle in radians, in [-pi/2, pi/2], broadcast shape.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(angle_in_triangle(*jnp.asarray([3.0, 4.0, 5.0]))):.4f}")
        0.6435
    """
    total = hypotenuse + adjacent
    # tan(theta / 2) = opposite / (adjacent + hypotenuse) lies in [-1, 1], where one polynomial is enough.
    half = opposite / jnp.where(total > 0, total, 1.0)
    square = half * half
    series = jnp.full_like(square, _COEFFICIENTS[-1])
    for coefficient in _COEFFICIENTS[-2::-1]:
        series = series * square + coefficient
    return 2.0 * half * series


@angle_in_triangle.defjvp
def _angle_jvp(primals, tangents):
    opposite, adjacent, hypotenuse = primals
    d_opposite, d_adjacent, _ = tangents
    square = opposite * opposite + adjacent * adjacent
    slope = adjacent * d_opposite - opposite * d_adjacent
    out = angle_in_triangle(opposite, adjacent, hypotenuse)
    return out, slope / jnp.where(square > 0, square, 1.0)


def safe_sqrt(value: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the square root of max(value, 0), with derivative 0 where value <= 0.

    Args:
        value: real numbers, shape (...); rounding may have made a zero slightly negative.

    Returns:
        The root, same shape; never NaN for a finite value, neither is its derivative.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> print(safe_sqrt(jnp.asarray(-1e-20)), jax.grad(safe_sqrt)(jnp.asarray(0.0)))
        0.0 0.0
    """
    positive = value > 0
    # Both branches of a `where` are differentiated: the inner one must be harmless too.
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, value, 1.0)), 0.0)
