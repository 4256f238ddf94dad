"""Gaussian integrals of the ReLU unit: I2 and I3 in closed form, I4 by one-dimensional quadrature.

I2 is the arc-cosine kernel (Y. Cho and L. K. Saul, NIPS 2009); I3 follows by Gaussian integration by parts. I4 needs
the probability that four correlated fields are all positive, which has no closed form: Plackett's identity
(Biometrika 41, 351, 1954) leaves one integral, done by Gauss-Legendre quadrature with `NODES` nodes. Everything else
in I4 is closed.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from modejax.online.angle import angle, safe_sqrt

__all__ = ["NODES", "curvature_two", "four", "four_table", "slope", "slope_two", "two", "value"]

Field = Float[Array, "..."]

NODES = 24
"""Nodes of the quadrature in I4: error below 1e-12 for regular and for repeated fields, 1e-7 close to a repetition,
5e-6 (times the variance) for fields that are opposite copies."""

# Variances this small against the unconditional one are zero up to rounding; their correlations mean nothing.
_DEGENERATE = 1e-12


def value(z: Field) -> Field:
    """Return g(z) = max(z, 0).

    Args:
        z: fields, shape (...).

    Returns:
        Unit outputs, shape (...).

    Example:
        >>> import jax.numpy as jnp
        >>> print(value(jnp.asarray([-1.0, 2.0])))
        [0. 2.]
    """
    return jnp.maximum(z, 0.0)


def slope(z: Field) -> Field:
    """Return g'(z): 1 for z >= 0, else 0 (1 at z = 0, as elsewhere in this library).

    Args:
        z: fields, shape (...).

    Returns:
        Derivatives, shape (...).

    Example:
        >>> import jax.numpy as jnp
        >>> print(slope(jnp.asarray([-1.0, 0.0])))
        [0. 1.]
    """
    return jnp.where(z >= 0, jnp.ones_like(z), jnp.zeros_like(z))


@jax.custom_jvp
def two(c11: Field, c12: Field, c22: Field) -> Field:
    """Return I2 = <g(f1) g(f2)>.

    Args:
        c11: variance of f1, shape (...).
        c12: covariance of f1 and f2.
        c22: variance of f2.

    Returns:
        [sqrt(c11 c22 - c12^2) + c12 (pi/2 + arcsin rho)] / (2 pi), broadcast shape; rho is the correlation.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(two(*jnp.ones(3))):.4f}")
        0.5000
    """
    root = safe_sqrt(c11 * c22 - c12 * c12)
    return (root + c12 * (0.5 * math.pi + angle(c12, root))) / (2.0 * math.pi)


@two.defjvp
def _two_jvp(primals, tangents):
    # The root and the arc sine each have an infinite derivative at |rho| = 1; in their sum it cancels.
    c11, c12, c22 = primals
    d11, d12, d22 = tangents
    root = safe_sqrt(c11 * c22 - c12 * c12)
    half = 0.5 * root
    out = half * _over(d11, c11) + half * _over(d22, c22) + (0.5 * math.pi + angle(c12, root)) * d12
    return two(c11, c12, c22), out / (2.0 * math.pi)


def _over(numerator: Field, denominator: Field) -> Field:
    """Return numerator / denominator, 0 where the denominator is not positive."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1.0), 0.0)


def slope_two(c11: Field, c12: Field, c22: Field) -> Field:
    """Return <g'(f1) g'(f2)>, the probability that both fields are positive.

    Args:
        c11: variance of f1, shape (...).
        c12: covariance of f1 and f2.
        c22: variance of f2.

    Returns:
        1/4 + arcsin(rho) / (2 pi), broadcast shape. Its derivative at |rho| = 1, infinite, is returned as 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(slope_two(*jnp.ones(3))):.4f}")
        0.5000
    """
    return 0.25 + angle(c12, safe_sqrt(c11 * c22 - c12 * c12)) / (2.0 * math.pi)


def curvature_two(c11: Field, c12: Field, c22: Field) -> Field:
    """Return <g''(f1) g(f2)> with g'' a delta function.

    Args:
        c11: variance of f1, shape (...).
        c12: covariance of f1 and f2.
        c22: variance of f2.

    Returns:
        sqrt(c11 c22 - c12^2) / (2 pi c11), broadcast shape; 0 where c11 = 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{float(curvature_two(jnp.asarray(1.0), jnp.asarray(0.0), jnp.asarray(1.0))):.4f}")
        0.1592
    """
    return _over(safe_sqrt(c11 * c22 - c12 * c12), c11) / (2.0 * math.pi)


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
    """Return I4 = <g'(f1) g'(f2) g(f3) g(f4)> by quadrature (one dimension, `NODES` nodes).

    Integration by parts over f3 and then over f4 leaves probabilities that two (closed form) or four (Plackett)
    fields are positive. Fields may repeat.

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
        >>> print(f"{float(four(*jnp.asarray([1.0, 0, 0, 0, 1, 0, 0, 1, 0, 1]))):.4f}")
        0.0398
    """
    flat = jnp.broadcast_arrays(c11, c12, c13, c14, c22, c23, c24, c33, c34, c44)
    c11, c12, c13, c14, c22, c23, c24, c33, c34, c44 = flat
    c = ((c11, c12, c13, c14), (c12, c22, c23, c24), (c13, c23, c33, c34), (c14, c24, c34, c44))
    total = c34 * _all_positive(c)
    for j, (a, b) in ((0, (1, 2)), (1, (0, 2)), (2, (0, 1))):
        total = total + c[2][j] * _on_plane(c, j, a, b, 3)
    return total


def four_table(
    C: Float[Array, "n n"], first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> Float[Array, "pairs others"]:
    """Return I4 for pairs of fields (a, b) under g' and pairs (r, s) under g.

    Args:
        C: covariance of the fields, shape (n, n).
        first: indices a and b, each of shape (pairs,).
        second: indices r and s, each of shape (others,).

    Returns:
        <g'(f_a) g'(f_b) g(f_r) g(f_s)>, shape (pairs, others).

    Example:
        >>> import jax.numpy as jnp
        >>> pairs = [(np.asarray([i]), np.asarray([i + 1])) for i in (0, 2)]
        >>> print(four_table(jnp.eye(4), *pairs).round(4))
        [[0.0398]]
    """
    (a, b), (r, s) = (tuple(part[:, None] for part in first), tuple(part[None, :] for part in second))
    order = (a, b, r, s)
    return four(*(C[order[i], order[j]] for i in range(4) for j in range(i, 4)))


def _conditional(c, given: int, i: int, j: int) -> Field:
    """Return the covariance of fields i and j where field `given` is zero; a variance below rounding is 0."""
    rest = c[i][j] - c[i][given] * _over(c[given][j], c[given][given])
    return jnp.where(rest > _DEGENERATE * c[i][i], rest, 0.0) if i == j else rest


def _on_plane(c, j: int, a: int, b: int, last: int) -> Field:
    """Return <delta(f_j) theta(f_a) theta(f_b) relu(f_last)>."""
    order = (a, b, last)
    # Covariance of the three fields left, given f_j = 0.
    k = [[_conditional(c, j, min(m, n), max(m, n)) for n in order] for m in order]
    inner = k[2][2] * _boundary(k, 2, 0, 1) + k[2][0] * _boundary(k, 0, 1, 2) + k[2][1] * _boundary(k, 1, 0, 2)
    copies = (k[0][0] == 0) & (k[1][1] == 0)
    alone = _copies_positive(c[j][a] * c[j][b]) * safe_sqrt(k[2][2] / (2.0 * math.pi))
    return _over(jnp.where(copies, alone, inner), safe_sqrt(2.0 * math.pi * c[j][j]))


def _copies_positive(sign: Field) -> Field:
    """Return the chance that two copies of a field f_j count as positive at f_j = 0.

    Three equal fields are the limit of fields that differ by equal independent noise: each is the smallest in one
    case of three. Opposite signs of the copies give one case of six.
    """
    return 0.25 + jnp.sign(sign) / 12.0


def _boundary(k, j: int, a: int, b: int) -> Field:
    """Return <delta(f_j) theta(f_a) theta(f_b)> for three fields."""
    variance_a, variance_b = _conditional(k, j, a, a), _conditional(k, j, b, b)
    # A field that vanishes with f_j counts as positive half of the time, independently (theta(0) = 1/2).
    free = (variance_a > 0) & (variance_b > 0)
    # Copies of f_j both; a field that vanished one condition earlier is no copy of this f_j.
    copies = (variance_a == 0) & (variance_b == 0) & (k[a][a] > 0) & (k[b][b] > 0)
    both = jnp.where(free, slope_two(variance_a, _conditional(k, j, a, b), variance_b), 0.25)
    both = jnp.where(copies, _copies_positive(k[j][a] * k[j][b]), both)
    return _over(both, safe_sqrt(2.0 * math.pi * k[j][j]))


def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes t and weights on [0, 1], crowded at 1 where the integrand has a root singularity."""
    x, weight = np.polynomial.legendre.leggauss(NODES)
    gap = 0.5 * (1.0 - x)
    return 1.0 - gap**4, 2.0 * weight * gap**3


def _all_positive(c) -> Field:
    """Return the probability that four zero-mean Gaussian fields are all positive."""
    scale = [safe_sqrt(c[i][i]) for i in range(4)]
    r = [[jnp.clip(_over(c[i][j], scale[i] * scale[j]), -1.0, 1.0) for j in range(4)] for i in range(4)]
    nodes, weights = (jnp.asarray(part, dtype=r[0][0].dtype) for part in _quadrature())

    def add(total, node):
        # d P / d rho_ij = <delta(f_i) delta(f_j) theta(f_k) theta(f_l)>, all correlations scaled by t.
        t, weight = node
        for i, j, k, m in _PAIRS:
            rho = t * r[i][j]
            rest = (1.0 - rho) * (1.0 + rho)
            pair = (
                rest * t * r[k][m]
                - t * t * (r[k][i] * r[i][m] + r[k][j] * r[j][m])
                + t * t * rho * (r[k][i] * r[j][m] + r[k][j] * r[i][m])
            )
            own_k = rest - t * t * (r[k][i] ** 2 + r[k][j] ** 2 - 2.0 * rho * r[k][i] * r[k][j])
            own_m = rest - t * t * (r[m][i] ** 2 + r[m][j] ** 2 - 2.0 * rho * r[m][i] * r[m][j])
            turn = angle(pair, safe_sqrt(own_k * own_m - pair * pair))
            total = total + weight * _over(r[i][j], safe_sqrt(rest)) * turn
        return total, None

    start = jnp.zeros_like(r[0][0])
    curved, _ = jax.lax.scan(add, start, (nodes, weights))
    straight = start
    for i, j, *_ in _PAIRS:
        straight = straight + angle(r[i][j], safe_sqrt((1.0 - r[i][j]) * (1.0 + r[i][j])))
    return 1.0 / 16.0 + straight / (8.0 * math.pi) + curved / (4.0 * math.pi**2)


_PAIRS = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 0, 2), (2, 3, 0, 1))
