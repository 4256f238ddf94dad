"""Spectral learning: the eigenvalues of a transfer operator between two layers are the trained parameters.

Two layers of N1 inputs and N2 outputs span one space of N = N1 + N2 nodes. With Phi = [[I, 0], [phi, I]] and
Lambda = diag(lambda_in, lambda_out) the operator A = Phi Lambda Phi^-1 acts on (x, 0), and the lower block of the
result is W x with

    W_ij = (lambda_in_j - lambda_out_i) phi_ij .

Columns of Phi are eigenvectors, so the eigenvalues of A are known by construction (see `spectral_operator`).

Two freedoms leave W as it is. Both sets may be shifted by one number, so N1 + N2 eigenvalues are at most N1 + N2 - 1
effective parameters, and their gradients add up to 0; `fix_gauge` chooses the shift. Where phi is trained, only the
product of an eigenvalue difference and an entry of phi matters; initial values, optimiser and penalty choose between
them.

References:
    Giambagli et al., Nat. Commun. 12, 1330 (2021), arXiv 2005.14436 (one set); Chicchi et al., Phys. Rev. E 104,
    054312 (2021), arXiv 2106.09021 (two sets, S-QR, S-SVD), and the code released with them.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import subkeys
from modejax.errors import InputError, choices
from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, LayerParams
from modejax.layers.spectral_start import (
    SPECTRAL_STARTS,
    Distribution,
    QRFactors,
    SVDFactors,
    draw_matrix,
    draw_vector,
    parse_distribution,
    qr_factors,
    released_factors,
    svd_factors,
)

__all__ = ["SPECTRAL_VARIANTS", "SpectralParams", "kernel_beats_factors", "spectral"]


class SpectralParams(NamedTuple):
    """Parameters of a spectral layer: W = (lambda_in - lambda_out) phi, entry by entry."""

    lambda_in: Float[Array, " fan_in"]  # frozen at 0 where the variant trains the other set alone
    lambda_out: Float[Array, " fan_out"]  # likewise
    phi: Float[Array, "fan_out fan_in"] | QRFactors | SVDFactors  # the block of the eigenvectors, or its factors
    bias: Float[Array, " fan_out"] | None  # None without biases
    shift: Float[Array, ""] | None  # frozen; added to both sets, which leaves W alone; None where it is 0
    slope: Float[Array, " fan_out"] | None  # frozen u of the first released layer: lambda_out means u (t - 1)


class _Variant(NamedTuple):
    trained: tuple[str, ...]  # which sets of eigenvalues
    factors: Literal["matrix", "qr", "svd"]
    start: str


SPECTRAL_VARIANTS: dict[str, _Variant] = {
    "single_set": _Variant(("out",), "matrix", "pruning"),
    "single_set_unit": _Variant(("out",), "matrix", "pruning"),
    "input_only": _Variant(("in",), "matrix", "relevance"),
    "two_set": _Variant(("in", "out"), "matrix", "reduction"),
    "two_set_released": _Variant(("in", "out"), "svd", "reduction_released"),
    "qr_triangular": _Variant(("in", "out"), "qr", "reduction"),
    "qr_full": _Variant(("in", "out"), "qr", "reduction"),
    "svd": _Variant(("in", "out"), "svd", "reduction_svd"),
    "svd_released": _Variant(("in", "out"), "svd", "reduction_svd_released"),
}
"""For each variant the eigenvalues that it trains, the form of phi and the start it takes by default."""

VariantName = Literal[
    "single_set",
    "single_set_unit",
    "input_only",
    "two_set",
    "two_set_released",
    "qr_triangular",
    "qr_full",
    "svd",
    "svd_released",
]


def kernel_beats_factors(fan_in: int, fan_out: int, rank: int, rows: int, *, trained: bool) -> bool:
    """Decide whether to build phi = r q (or u s v) and W once for all rows, or to pass each row through the factors.

    Multiplications of one training step. By the kernel: rank fan_in fan_out for phi and as many for the gradient
    behind it, 3 rows fan_in fan_out for the product and its two gradients. By the factors, with the two terms
    phi (lambda_in x) and lambda_out (phi x): 4 rows rank (fan_in + fan_out), and 2 rows rank fan_out more where a
    factor that is a matrix is trained.

    Args:
        fan_in: the padded number of inputs.
        fan_out: the padded number of outputs.
        rank: the padded rank of the factors.
        rows: the number of examples that go through the layer in one call.
        trained: whether a matrix factor is trained, as r of S-QR is.

    Returns:
        True where the kernel is cheaper.

    Example:
        >>> [kernel_beats_factors(784, n, min(784, n), 200, trained=True) for n in (50, 500, 2000)]
        [True, False, False]
    """
    by_kernel = fan_in * fan_out * (2 * rank + 3 * rows)
    by_factors = rows * rank * (4 * (fan_in + fan_out) + (2 * fan_out if trained else 0))
    return by_kernel < by_factors


def spectral(
    variant: VariantName = "two_set",
    *,
    eigenvectors: Literal["frozen", "trained"] = "frozen",
    eigenvalues: Literal["frozen", "trained"] = "trained",
    start: str | None = None,
    phi: str | None = None,
    lambda_in: str | None = None,
    lambda_out: str | None = None,
    bias: bool = True,
    l1_in: float = 0.0,
    l1_out: float = 0.0,
    l2_in: float = 0.0,
    l2_out: float = 0.0,
    l2_phi: float = 0.0,
    rows: int = 100,
) -> Layer:
    """Make a spectral layer z_i = sum_j (lambda_in_j - lambda_out_i) phi_ij x_j + b_i.

    Variants:
        `single_set`: lambda_out trained, lambda_in = 0. `single_set_unit`: the other convention, lambda_in = 1 and
        lambda_out = 1 + d with d stored; the same W, but decay and penalty act on d.
        `input_only`: lambda_in trained, lambda_out = 0. `two_set`: both trained.
        `qr_triangular`, `qr_full`: S-QR, phi = r q with q frozen; r trained in its lower triangle, as the paper
        counts, or entirely, as the released code does. `svd`: S-SVD, phi = u diag(s) v with orthonormal u, v frozen
        and s trained; `svd_released`: u and v random instead, as in the released code. `two_set_released`: the same
        random factors with s frozen, too.

    A set alone is applied as -lambda_out (phi x) or phi (lambda_in x), which needs no product for the gradient of a
    kernel: 2 matrix products a step instead of 3 with phi frozen. Both sets over a matrix phi would need 4, so W is
    built. For factors see `kernel_beats_factors`.

    Args:
        variant: one of the names above.
        eigenvectors: whether the matrix phi is trained; the factored variants keep their frozen factors.
        eigenvalues: whether the variant's eigenvalues are trained.
        start: a name of `SPECTRAL_STARTS`; None for the variant's own. Sets that the variant fixes stay at 0.
        phi: another distribution of phi than the start's, for example `"normal:0.036"`.
        lambda_in: another distribution of lambda_in.
        lambda_out: another distribution of lambda_out.
        bias: whether there is a bias, which starts at 0.
        l1_in: the factor of the penalty sum |lambda_in|, over the variable that is stored.
        l1_out: the same for lambda_out.
        l2_in: the factor of the penalty sum lambda_in^2.
        l2_out: the same for lambda_out.
        l2_phi: the factor of the penalty sum phi^2, for trained eigenvectors.
        rows: the number of examples that go through the layer in one call.

    Returns:
        The layer. It is not a sum of modes.

    Raises:
        InputError: if a name is unknown, nothing is trained, the start makes W = 0 for good, a penalty is negative or
            is asked for on a frozen set, or the start does not fit the variant.

    Example:
        >>> import jax
        >>> layer = spectral("two_set")
        >>> params = layer.init(jax.random.key(0), 784, 500)
        >>> layer.apply(params, jnp.ones(784)).shape, layer.num_parameters(784, 500)
        ((500,), 1784)
    """
    if variant not in SPECTRAL_VARIANTS:
        raise InputError(f"unknown variant {variant!r} of a spectral layer; allowed: {choices(SPECTRAL_VARIANTS)}")
    kind = SPECTRAL_VARIANTS[variant]
    for name, value in (("eigenvectors", eigenvectors), ("eigenvalues", eigenvalues)):
        if value not in ("frozen", "trained"):
            raise InputError(f"unknown {name} {value!r} of a spectral layer; allowed: frozen, trained")
    if not isinstance(bias, bool):
        raise InputError(f"bias must be true or false, got {bias!r}")
    if eigenvectors == "trained" and kind.factors != "matrix":
        whole = choices(name for name, each in SPECTRAL_VARIANTS.items() if each.factors == "matrix")
        raise InputError(
            f"eigenvectors of the variant {variant} are products with frozen factors; train those of {whole}"
        )
    trained = kind.trained if eigenvalues == "trained" else ()
    part = {"qr": True, "svd": variant != "two_set_released", "matrix": eigenvectors == "trained"}[kind.factors]
    if not trained and not part:
        raise InputError(
            f"nothing to train: eigenvalues and eigenvectors of the variant {variant} are both frozen"
            f"{' and only a bias is left' if bias else ''}; train one of them"
        )
    name = kind.start if start is None else start
    phi_, in_, out_ = _distributions(variant, kind, name, phi, lambda_in, lambda_out)
    penalties = {"l1_in": l1_in, "l1_out": l1_out, "l2_in": l2_in, "l2_out": l2_out}
    penalised = trained if eigenvectors == "frozen" else (*trained, "phi")
    _check_penalties(penalties | {"l2_phi": l2_phi}, penalised, variant)
    triangular = variant == "qr_triangular"
    sloped = name == "first"

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> SpectralParams:
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        phi_key, in_key, out_key = subkeys(key, 3)
        if kind.factors == "qr":
            block = qr_factors(phi_key, phi_, fan_in, fan_out)
        elif phi_.kind == "released":
            block = released_factors(phi_key, fan_in, fan_out)
        elif kind.factors == "svd":
            block = svd_factors(phi_key, phi_.number, fan_in, fan_out)
        else:
            block = draw_matrix(phi_key, phi_, fan_in, fan_out)
        out = draw_vector(out_key, out_, fan_out, fan_in)
        return SpectralParams(
            draw_vector(in_key, in_, fan_in, fan_out),
            out,
            block,
            jnp.zeros(fan_out.capacity) if bias else None,
            jnp.ones(()) if variant == "single_set_unit" else None,
            out if sloped else None,
        )

    def apply(params: SpectralParams, x: Float[Array, " fan_in"]) -> Float[Array, " fan_out"]:
        z = _product(params, x)
        return z if params.bias is None else z + params.bias

    def _product(params: SpectralParams, x: Float[Array, " fan_in"]) -> Float[Array, " fan_out"]:
        left, right = params.lambda_in, free_lambda_out(params)
        match params.phi:
            case QRFactors(r, q) if not _by_kernel(r, q, trained=True):
                r = jnp.tril(r) if triangular else r
                return r @ (q @ (left * x)) - right * (r @ (q @ x))
            case SVDFactors(u, s, v) if not _by_kernel(u, v, trained=False):
                return u @ (s * (v @ (left * x))) - right * (u @ (s * (v @ x)))
            case QRFactors() | SVDFactors():
                return kernel(params) @ x
            case matrix if kind.trained == ("out",):
                return -right * (matrix @ x)
            case matrix if kind.trained == ("in",):
                return matrix @ (left * x)
        return kernel(params) @ x

    def _by_kernel(a: Array, b: Array, *, trained: bool) -> bool:
        return kernel_beats_factors(b.shape[1], a.shape[0], a.shape[1], rows, trained=trained)

    def kernel(params: SpectralParams) -> Float[Array, "fan_out fan_in"]:
        phi = params.phi
        if triangular and isinstance(phi, QRFactors):
            # Cut here, so that the upper triangle has no gradient and stays 0.
            phi = QRFactors(jnp.tril(phi.r), phi.q)
        return (params.lambda_in[None, :] - free_lambda_out(params)[:, None]) * multiplied_out(phi)

    def trainable(params: SpectralParams) -> SpectralParams:
        block: LayerParams = {
            "matrix": eigenvectors == "trained",
            "qr": QRFactors(True, False),  # pyright: ignore[reportArgumentType]
            "svd": SVDFactors(False, part, False),  # pyright: ignore[reportArgumentType]
        }[kind.factors]
        return SpectralParams(
            "in" in trained,  # pyright: ignore[reportArgumentType]
            "out" in trained,  # pyright: ignore[reportArgumentType]
            block,
            None if params.bias is None else True,  # pyright: ignore[reportArgumentType]
            None if params.shift is None else False,  # pyright: ignore[reportArgumentType]
            None if params.slope is None else False,  # pyright: ignore[reportArgumentType]
        )

    def penalty(params: SpectralParams) -> Float[Array, ""]:
        total = jnp.zeros(())
        for side, values in (("in", params.lambda_in), ("out", params.lambda_out)):
            if penalties[f"l1_{side}"]:
                total = total + penalties[f"l1_{side}"] * jnp.sum(_size(values))
            if penalties[f"l2_{side}"]:
                total = total + penalties[f"l2_{side}"] * jnp.sum(values**2)
        if l2_phi:
            total = total + l2_phi * jnp.sum(params.phi**2)  # pyright: ignore[reportOperatorIssue]
        return total

    def num_parameters(fan_in: int | Extent, fan_out: int | Extent) -> int:
        n_in, n_out = (as_extent(n).known("num_parameters") for n in (fan_in, fan_out))
        k = min(n_in, n_out)
        blocks = {
            "matrix": n_in * n_out,
            "svd": k,
            "qr": k * (k + 1) // 2 + (n_out - k) * k if triangular else n_out * k,
        }
        eigen = ("in" in trained) * n_in + ("out" in trained) * n_out
        return eigen + bias * n_out + part * blocks[kind.factors]

    return Layer(init, apply, kernel, trainable, penalty, num_parameters)


def _size(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return |values| with the derivative 0 at 0, where JAX has 1; padding must not move."""
    return jnp.where(values == 0, 0, jnp.abs(values))


def multiplied_out(phi: Float[Array, "fan_out fan_in"] | QRFactors | SVDFactors) -> Float[Array, "fan_out fan_in"]:
    """Return phi as a matrix, shape (fan_out, fan_in), where it is stored as factors."""
    match phi:
        case QRFactors(r, q):
            return r @ q
        case SVDFactors(u, s, v):
            return (u * s[None, :]) @ v
        case matrix:
            return matrix


def free_lambda_out(params: SpectralParams) -> Float[Array, " fan_out"]:
    """Return lambda_out without the shift, shape (fan_out,)."""
    return params.lambda_out if params.slope is None else params.slope * (params.lambda_out - 1)


def _distributions(
    variant: str, kind: _Variant, start: str, phi: str | None, lambda_in: str | None, lambda_out: str | None
) -> tuple[Distribution, Distribution, Distribution]:
    """Return the distributions of phi, lambda_in and lambda_out; sets that the variant fixes are constant 0."""
    if start not in SPECTRAL_STARTS:
        raise InputError(f"unknown start {start!r} of a spectral layer; allowed: {choices(SPECTRAL_STARTS)}")
    if start == "first" and (variant != "single_set_unit" or lambda_out is not None):
        raise InputError("the start 'first' is that of the variant single_set_unit with its own lambda_out")
    names = SPECTRAL_STARTS[start]
    block = parse_distribution(names.phi if phi is None else phi, what="phi", released=True)
    if (block.kind == "released") != variant.endswith("_released"):
        raise InputError(
            f"the variant {variant} does not take phi {block.kind!r} (start {start!r}): svd_released and "
            "two_set_released take phi 'released', all others another distribution"
        )
    if variant == "svd" and block.kind != "normal":
        raise InputError(f"the variant svd draws phi normal:STD, whose decomposition is known, got {block.kind}")
    sets = {"in": (lambda_in, names.lambda_in), "out": (lambda_out, names.lambda_out)}
    found = {}
    for side, (given, own) in sets.items():
        if side not in kind.trained:
            if given is not None:
                raise InputError(f"lambda_{side} is fixed in the variant {variant}; leave its distribution out")
            found[side] = Distribution("constant", 0.0)
        else:
            found[side] = parse_distribution(own if given is None else given, what=f"lambda_{side}")
    if found["in"] == found["out"] and found["in"].kind == "constant":
        raise InputError(
            f"the start {start!r} makes both sets of the variant {variant} equal, so that W = 0; "
            "take another start or give lambda_in or lambda_out"
        )
    return block, found["in"], found["out"]


def _check_penalties(penalties: dict[str, float], trained: tuple[str, ...], variant: str) -> None:
    for name, value in penalties.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be a finite number of 0 or more, got {value!r}")
        side = name.partition("_")[2]
        if value and side not in trained:
            what = "phi" if side == "phi" else f"lambda_{side}"
            raise InputError(f"{name} penalises {what}, which is frozen in this {variant} layer; leave it out")
