"""Initial values of spectral layers: the named distributions of the papers and of their released code.

A distribution is a word and a number: `normal:0.036` (standard deviation), `uniform:0.2` (symmetric, largest absolute
value), `glorot` or `glorot:2` (uniform up to the factor times sqrt(6 / (fan_in + fan_out))), `constant:1`. For the
eigenvectors there is also `released`: the product of random factors, which is not a singular value decomposition.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modejax.draws import normal_matrix, normal_vector, subkeys, uniform_matrix, uniform_vector
from modejax.errors import InputError, choices
from modejax.extent import Extent

__all__ = [
    "SPECTRAL_STARTS",
    "Distribution",
    "QRFactors",
    "SVDFactors",
    "SpectralStart",
    "draw_matrix",
    "draw_vector",
    "parse_distribution",
    "qr_factors",
    "rank_of",
    "released_factors",
    "svd_factors",
]

_BLOCK = 32
_POSITIVE = ("normal", "uniform", "glorot")


class SpectralStart(NamedTuple):
    """Initial distributions of one published or released layer."""

    phi: str
    lambda_in: str
    lambda_out: str


SPECTRAL_STARTS: dict[str, SpectralStart] = {
    # Spectral_learning repository, May 2020: the first layer; lambda_out is 1 - u + u t, t trained from t = u.
    "first": SpectralStart("uniform:0.2", "constant:0", "uniform:1.8"),
    # The same repository, June 2020 to June 2021: the MNIST results of "Spectral pruning of fully connected layers".
    "pruning": SpectralStart("uniform:0.2", "constant:0", "uniform:0.5"),
    # The same repository from November 2021 on, with two sets; and its narrower option.
    "two_set": SpectralStart("glorot", "uniform:0.5", "uniform:0.5"),
    "two_set_narrow": SpectralStart("uniform:0.02", "uniform:0.5", "uniform:0.5"),
    # Code of "Training of sparse and dense deep neural networks: fewer parameters, same performance" (2106.09021):
    # its S-QR layer, its two-set layer, its S-SVD layer, and the S-QR layer of its sparse study.
    "reduction": SpectralStart("normal:0.036", "uniform:0.97", "uniform:0.13"),
    "reduction_released": SpectralStart("released", "uniform:0.97", "uniform:0.13"),
    "reduction_svd": SpectralStart("normal:0.036", "constant:0", "constant:1"),
    "reduction_svd_released": SpectralStart("released", "constant:0", "constant:1"),
    "reduction_sparse": SpectralStart("normal:0.036", "constant:1", "constant:0"),
    # SpectralTools, and the settings of "How a student becomes a teacher"; its layer's own default.
    "tools": SpectralStart("glorot", "constant:0", "constant:1"),
    "student": SpectralStart("glorot", "constant:0", "glorot"),
    # Code of "Automatic input feature relevance via spectral neural networks" (2406.01183).
    "relevance": SpectralStart("glorot", "constant:1", "constant:0"),
}
"""Initial distributions by name: of the eigenvectors' block phi and of the two sets of eigenvalues."""


class QRFactors(NamedTuple):
    """The eigenvectors' block as a product: phi = r q."""

    r: Float[Array, "fan_out rank"]  # trained; lower triangular at the start
    q: Float[Array, "rank fan_in"]  # frozen; orthonormal rows


class SVDFactors(NamedTuple):
    """The eigenvectors' block as a product: phi = u diag(s) v."""

    u: Float[Array, "fan_out rank"]  # frozen; orthonormal columns, random ones in the released form
    s: Float[Array, " rank"]  # of either sign once trained
    v: Float[Array, "rank fan_in"]  # frozen; orthonormal rows, random ones in the released form


class Distribution(NamedTuple):
    """A distribution, parsed from its name."""

    kind: str
    number: float


def parse_distribution(text: str, *, what: str, released: bool = False) -> Distribution:
    """Read a distribution written as word or word:number.

    Args:
        text: for example `"normal:0.036"`.
        what: the name of the option, for the error message.
        released: whether `released` is allowed.

    Returns:
        The distribution.

    Raises:
        InputError: if it is none.

    Example:
        >>> parse_distribution("glorot", what="phi")
        Distribution(kind='glorot', number=1.0)
    """
    allowed = ["constant:VALUE", "glorot", "glorot:FACTOR", "normal:STD", "uniform:LIMIT"]
    if released:
        allowed.append("released")
    if released and text == "released":
        return Distribution("released", 0.0)
    kind, colon, rest = str(text).partition(":")
    if kind == "glorot" and not colon:
        return Distribution("glorot", 1.0)
    try:
        number = float(rest)
    except ValueError:
        number = math.nan
    known = kind == "constant" or (kind in _POSITIVE and number > 0)
    if not (known and math.isfinite(number)):
        raise InputError(
            f"unknown distribution {text!r} of {what}; allowed: {choices(allowed)}, STD, LIMIT and FACTOR above 0"
        )
    return Distribution(kind, number)


def _glorot(fan_in: Extent, fan_out: Extent) -> Float[Array, ""]:
    return jnp.sqrt(6 / (fan_in.size + fan_out.size))


def draw_matrix(
    key: PRNGKeyArray, distribution: Distribution, fan_in: Extent, fan_out: Extent
) -> Float[Array, "fan_out fan_in"]:
    """Draw the eigenvectors' block phi; padding is 0."""
    kind, number = distribution
    if kind == "normal":
        return number * normal_matrix(key, fan_out, fan_in)
    if kind == "constant":
        return jnp.where(fan_out.mask[:, None] & fan_in.mask[None, :], number, 0.0)
    limit = number * _glorot(fan_in, fan_out) if kind == "glorot" else number
    return limit * uniform_matrix(key, fan_out, fan_in)


def draw_vector(
    key: PRNGKeyArray, distribution: Distribution, length: Extent, other: Extent
) -> Float[Array, " length"]:
    """Draw a set of eigenvalues; padding is 0; `other` is the size of the other side of the map, for Glorot's limit."""
    kind, number = distribution
    if kind == "normal":
        return number * normal_vector(key, length)
    if kind == "constant":
        return jnp.where(length.mask, number, 0.0)
    limit = number * _glorot(length, other) if kind == "glorot" else number
    return limit * uniform_matrix(key, Extent(1, 1), length)[0]


def rank_of(fan_in: Extent, fan_out: Extent) -> Extent:
    """Return the extent min(fan_in, fan_out)."""
    if isinstance(fan_in.active, int) and isinstance(fan_out.active, int):
        active: int | Array = min(fan_in.active, fan_out.active)
    else:
        active = jnp.minimum(jnp.asarray(fan_in.active), jnp.asarray(fan_out.active))
    return Extent(min(fan_in.capacity, fan_out.capacity), active)


def _orthonormalised(columns: Float[Array, "n rank"]) -> Float[Array, "n rank"]:
    """Return the Q of a QR decomposition whose R has a positive diagonal; columns of zeros stay zeros.

    Gram-Schmidt by blocks of columns, each block done twice, which makes the columns orthonormal to rounding (Giraud,
    Langou, Rozloznik and van den Eshof, Numer. Math. 101, 87, 2005). Column j depends only on the columns up to j, and
    zeros contribute nothing, so the leading columns of a padded matrix are those of its active block. The positive
    diagonal makes the factor unique, and so the same on every backend. LAPACK is not used because several batched calls
    of it in one program deadlock on a machine with few cores (jax 0.10.1 on two).
    """
    rank = columns.shape[1]
    size = min(_BLOCK, rank)
    blocks = -(-rank // size)
    padded = jnp.pad(columns, ((0, 0), (0, blocks * size - rank)))
    product = functools.partial(jnp.matmul, precision="highest")
    order = jnp.arange(size, dtype=jnp.int32)

    def column(j: Int[Array, ""], block: Float[Array, "n size"]) -> Float[Array, "n size"]:
        done = jnp.where((order < j)[None, :], block, 0)
        rest = block[:, j] - product(done, product(done.T, block[:, j]))
        square = jnp.sum(rest**2)
        return block.at[:, j].set(jnp.where(square > 0, rest / jnp.sqrt(jnp.where(square > 0, square, 1)), 0))

    def one(i: Int[Array, ""], q: Float[Array, "n columns"]) -> Float[Array, "n columns"]:
        block = jax.lax.dynamic_slice_in_dim(padded, i * size, size, 1)
        for _ in range(2):
            block = block - product(q, product(q.T, block))  # columns of q that are not computed yet are 0
            block = jax.lax.fori_loop(0, size, column, block)
        return jax.lax.dynamic_update_slice_in_dim(q, block, i * size, 1)

    return jax.lax.fori_loop(0, blocks, one, jnp.zeros_like(padded))[:, :rank]


def _singular_values(key: PRNGKeyArray, fan_in: Extent, fan_out: Extent) -> Float[Array, " rank"]:
    """Draw the singular values of a matrix of independent standard normal numbers, in decreasing order; padding is 0.

    Reflections bring such a matrix (larger side m, smaller side n) to a bidiagonal one whose entries are independent,
    chi-distributed with m, m - 1, ... and n - 1, n - 2, ... degrees of freedom. They are drawn as norms of normal
    vectors of those lengths. The singular values are found by bisection, counting how many are larger than a number.

    References:
        Silverstein, Ann. Probab. 13, 1364 (1985); Edelman and Rao, Acta Numerica 14, 233 (2005), section 4; counts by
        pivots of the Golub-Kahan matrix: Demmel and Kahan, SIAM J. Sci. Stat. Comput. 11, 873 (1990).
    """
    rank = rank_of(fan_in, fan_out)
    capacity = max(fan_in.capacity, fan_out.capacity)
    small = rank.size.astype(jnp.int32)
    large = jnp.maximum(fan_in.size, fan_out.size).astype(jnp.int32)
    i, j = (jnp.arange(n, dtype=jnp.int32) for n in (rank.capacity, capacity))
    diagonal_key, above_key = subkeys(key, 2)

    def norms(key: PRNGKeyArray, degrees: Int[Array, " rank"]) -> Float[Array, " rank"]:
        normal = normal_matrix(key, rank, Extent(capacity, capacity))
        return jnp.sqrt(jnp.sum(jnp.where(j[None, :] < degrees[:, None], normal, 0) ** 2, axis=1))

    diagonal, above = norms(diagonal_key, large - i), norms(above_key, small - 1 - i)
    # The symmetric matrix with these numbers alternating beside its diagonal has each singular value with both signs.
    squares = jnp.stack([diagonal, above], axis=1).ravel() ** 2
    tiny = jnp.finfo(squares.dtype).tiny

    def larger(x: Float[Array, " rank"]) -> Int[Array, " rank"]:
        """Count the singular values larger than each number x: the positive pivots of the matrix minus x."""

        def pivot(
            carry: tuple[Array, Array], square: Float[Array, ""]
        ) -> tuple[tuple[Float[Array, " rank"], Int[Array, " rank"]], None]:
            q, count = carry
            q = -x - square / jnp.where(jnp.abs(q) < tiny, -tiny, q)
            return (q, count + (q > 0).astype(jnp.int32)), None

        return jax.lax.scan(pivot, (-x, jnp.zeros_like(x, jnp.int32)), squares[:-1])[0][1]

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = 0.5 * (low + high)
        above_middle = larger(middle) > i
        return jnp.where(above_middle, middle, low), jnp.where(above_middle, high, middle)

    high = jnp.sqrt(jnp.sum(squares))  # no singular value exceeds the Frobenius norm
    bounds = (jnp.zeros_like(diagonal), jnp.full_like(diagonal, high))
    low, high = jax.lax.fori_loop(0, 64 if squares.dtype == jnp.float64 else 34, halve, bounds)
    return jnp.where(rank.mask, 0.5 * (low + high), 0)


def qr_factors(key: PRNGKeyArray, distribution: Distribution, fan_in: Extent, fan_out: Extent) -> QRFactors:
    """Draw phi and decompose its transpose: phi^T = Q R, so that phi = R^T Q^T with the small factor in front.

    Args:
        key: a scalar threefry key.
        distribution: the distribution of phi.
        fan_in: the extent of the inputs.
        fan_out: the extent of the outputs.

    Returns:
        The factors; `r` is lower triangular with a diagonal that is not negative, `q` has orthonormal rows.

    References:
        Chicchi et al., Phys. Rev. E 104, 054312 (arXiv 2106.09021), S-QR.

    Example:
        >>> import jax
        >>> factors = qr_factors(jax.random.key(0), Distribution("normal", 0.1), Extent(4, 4), Extent(3, 3))
        >>> bool(jnp.allclose(factors.q @ factors.q.T, jnp.eye(3), atol=1e-6))
        True
    """
    phi = draw_matrix(key, distribution, fan_in, fan_out)
    rank = rank_of(fan_in, fan_out)
    # Columns of phi^T beyond the rank depend on those before; only rounding errors would remain of them.
    q = _orthonormalised(jnp.where(rank.mask[None, :], phi.T[:, : rank.capacity], 0))
    r = jnp.tril(jnp.matmul(phi, q, precision="highest"))
    return QRFactors(jnp.where(fan_out.mask[:, None], r, 0), q.T)


def svd_factors(key: PRNGKeyArray, std: float, fan_in: Extent, fan_out: Extent) -> SVDFactors:
    """Draw the singular value decomposition of a matrix of independent Normal(0, std^2) entries.

    The distribution of such a matrix is the same in every basis, so its singular vectors are uniform (Haar) and
    independent of its singular values. Both are drawn separately: the result has the distribution of the decomposition
    of a drawn matrix, but avoids its nearly equal singular values, whose vectors would change with the rounding of
    another padded shape. Uniform vectors are the Q of a normal matrix whose R has a positive diagonal.

    Args:
        key: a scalar threefry key.
        std: the standard deviation of the entries of phi.
        fan_in: the extent of the inputs.
        fan_out: the extent of the outputs.

    Returns:
        The factors; `u` has orthonormal columns, `v` orthonormal rows, `s` is in decreasing order.

    References:
        Mezzadri, "How to generate random matrices from the classical compact groups", arXiv math-ph/0609050.

    Example:
        >>> import jax
        >>> factors = svd_factors(jax.random.key(0), 0.1, Extent(4, 4), Extent(3, 3))
        >>> bool(jnp.allclose(factors.u.T @ factors.u, jnp.eye(3), atol=1e-6))
        True
    """
    u_key, s_key, v_key = subkeys(key, 3)
    rank = rank_of(fan_in, fan_out)
    u, v = (_orthonormalised(normal_matrix(k, n, rank)) for k, n in ((u_key, fan_out), (v_key, fan_in)))
    return SVDFactors(u, std * _singular_values(s_key, fan_in, fan_out), v.T)


def released_factors(key: PRNGKeyArray, fan_in: Extent, fan_out: Extent) -> SVDFactors:
    """Draw the factors of the released S-SVD layer: u, v ~ Normal(0, 0.04^2), s uniform on (0, 3).

    The code of arXiv 2106.09021 computes a decomposition and uses only its shapes, so u and v are not orthonormal.
    """
    u_key, s_key, v_key = subkeys(key, 3)
    rank = rank_of(fan_in, fan_out)
    return SVDFactors(
        0.04 * normal_matrix(u_key, fan_out, rank),
        3.0 * uniform_vector(s_key, rank),
        0.04 * normal_matrix(v_key, rank, fan_in),
    )
