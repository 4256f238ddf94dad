"""How a spectral layer starts: the named distributions of the papers and of their released code.

A distribution is a word and a number: `normal:0.036` (standard deviation), `uniform:0.2` (symmetric, largest absolute
value), `glorot` or `glorot:2` (uniform up to the factor times sqrt(6 / (fan_in + fan_out))), `constant:1`. The
eigenvectors know one more, `released`: the product of random factors that is not a singular value decomposition.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

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
    """A distribution read from its name."""

    kind: str
    number: float


def parse_distribution(text: str, *, what: str, released: bool = False) -> Distribution:
    """Read a distribution written as word or word:number.

    Args:
        text: for example `"normal:0.036"`.
        what: the name of the option, for the message.
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
    """Draw the eigenvectors' block phi, padding 0."""
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
    """Draw a set of eigenvalues, padding 0; `other` is the other side of the map, for Glorot's limit."""
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


def _qr(matrix: Float[Array, "n m"], n: Extent, m: Extent) -> tuple[Float[Array, "n rank"], Float[Array, "rank m"]]:
    """Return the reduced QR factors of the active block, padding 0, with a diagonal of R that is not negative.

    Column j of Q and row j of R come from the columns up to j alone, and rows of zeros below take no part, so the
    leading factors of the padded matrix are those of its active block. What stands in the padding of Q (unit vectors)
    is cut off. The sign makes the factors unique: the same on every backend.
    """
    q, r = jnp.linalg.qr(matrix)
    rank = rank_of(n, m)
    sign = jnp.where(jnp.diagonal(r) < 0, -1, 1).astype(r.dtype)
    q = jnp.where(n.mask[:, None] & rank.mask[None, :], q * sign[None, :], 0)
    r = jnp.where(rank.mask[:, None] & m.mask[None, :], r * sign[:, None], 0)
    return q, jnp.triu(r)


def qr_factors(key: PRNGKeyArray, distribution: Distribution, fan_in: Extent, fan_out: Extent) -> QRFactors:
    """Draw phi and decompose its transpose: phi^T = Q R, so that phi = R^T Q^T with the small factor in front.

    Args:
        key: a scalar threefry key.
        distribution: that of phi.
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
    q, r = _qr(phi.T, fan_in, fan_out)
    return QRFactors(r.T, q.T)


def _orthonormal(key: PRNGKeyArray, n: Extent, rank: Extent) -> Float[Array, "n rank"]:
    """Draw orthonormal columns, uniformly (Haar): the Q of a normal matrix whose R has a positive diagonal.

    References:
        Mezzadri, "How to generate random matrices from the classical compact groups", arXiv math-ph/0609050.
    """
    return _qr(normal_matrix(key, n, rank), n, rank)[0]


def svd_factors(key: PRNGKeyArray, std: float, fan_in: Extent, fan_out: Extent) -> SVDFactors:
    """Draw the singular value decomposition of a matrix of independent Normal(0, std^2) entries.

    Such a matrix looks the same in every basis, so its singular vectors are uniform and independent of its singular
    values. They are drawn in that way: the result has the distribution of the decomposition of a drawn matrix, and
    does not suffer from its nearly equal singular values, whose vectors turn by 1e-3 with the rounding of another
    padded shape.

    Args:
        key: a scalar threefry key.
        std: the standard deviation of the entries of phi.
        fan_in: the extent of the inputs.
        fan_out: the extent of the outputs.

    Returns:
        The factors; `u` has orthonormal columns, `v` orthonormal rows, `s` falls.

    Example:
        >>> import jax
        >>> factors = svd_factors(jax.random.key(0), 0.1, Extent(4, 4), Extent(3, 3))
        >>> bool(jnp.allclose(factors.u.T @ factors.u, jnp.eye(3), atol=1e-6))
        True
    """
    u_key, s_key, v_key = subkeys(key, 3)
    rank = rank_of(fan_in, fan_out)
    values = jnp.linalg.svd(normal_matrix(s_key, fan_out, fan_in), compute_uv=False)
    return SVDFactors(
        _orthonormal(u_key, fan_out, rank),
        std * jnp.where(rank.mask, values, 0),
        _orthonormal(v_key, fan_in, rank).T,
    )


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
