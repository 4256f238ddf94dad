"""Spectral learning: the eigenvalues of a transfer operator between two layers are the trained parameters.

A layer of N1 inputs and a layer of N2 outputs are taken together as one space of N = N1 + N2 nodes. With Phi = [[I, 0],
[phi, I]] and Lambda = diag(lambda_in, lambda_out) the operator A = Phi Lambda Phi^-1 acts on (x, 0), and the lower
block of the result is W x with

    W_ij = (lambda_in_j - lambda_out_i) phi_ij .

Columns of Phi are eigenvectors, so the eigenvalues of A are known by construction (see `spectral_operator`).

Two transformations leave W unchanged. Both sets of eigenvalues may be shifted by the same number, so N1 + N2
eigenvalues are at most N1 + N2 - 1 effective parameters, and their gradients add up to 0; `fix_gauge` chooses the
shift. If phi is trained, only the product of an eigenvalue difference and an entry of phi matters; which of the
equivalent values training finds depends on initial values, optimiser and penalty.

References:
    Giambagli et al., Nat. Commun. 12, 1330 (2021), arXiv 2005.14436 (one set); Chicchi et al., Phys. Rev. E 104,
    054312 (2021), arXiv 2106.09021 (two sets, S-QR, S-SVD), and the code released with them.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import subkeys
from modejax.errors import InputError, choices
from modejax.extent import Extent, as_extent
from modejax.layers._spectral_options import check_gauge, check_penalties, distributions_of
from modejax.layers.base import Family, LayerParams, count_rows, over_rows
from modejax.layers.spectral_start import (
    Distribution,
    QRFactors,
    SVDFactors,
    draw_matrix,
    draw_vector,
    qr_factors,
    released_factors,
    svd_factors,
)

__all__ = ["SPECTRAL_VARIANTS", "Spectral", "SpectralParams", "kernel_beats_factors"]


class SpectralParams(NamedTuple):
    """Parameters of a spectral layer: W = (lambda_in - lambda_out) phi, entry by entry."""

    lambda_in: Float[Array, " fan_in"]  # frozen at 0 if the variant trains only the other set
    lambda_out: Float[Array, " fan_out"]  # likewise
    phi: Float[Array, "fan_out fan_in"] | QRFactors | SVDFactors  # the block of the eigenvectors, or its factors
    bias: Float[Array, " fan_out"] | None  # None without biases
    shift: Float[Array, ""] | None  # frozen; added to both sets, which does not change W; None for 0
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
"""For each variant: the eigenvalues that it trains, the form of phi, and its default start."""

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
        True if the kernel is cheaper.

    Example:
        >>> [kernel_beats_factors(784, n, min(784, n), 200, trained=True) for n in (50, 500, 2000)]
        [True, False, False]
    """
    by_kernel = fan_in * fan_out * (2 * rank + 3 * rows)
    by_factors = rows * rank * (4 * (fan_in + fan_out) + (2 * fan_out if trained else 0))
    return by_kernel < by_factors


@dataclasses.dataclass(frozen=True)
class Spectral(Family):
    """The spectral layer z_i = sum_j (lambda_in_j - lambda_out_i) phi_ij x_j + b_i. It is not a sum of modes.

    Variants:
        `single_set`: lambda_out trained, lambda_in = 0. `single_set_unit`: the other convention, lambda_in = 1 and
        lambda_out = 1 + d, where d is stored; the same W, but weight decay and penalty act on d. `input_only`:
        lambda_in trained, lambda_out = 0. `two_set`: both trained. `qr_triangular`, `qr_full`: S-QR, phi = r q with q
        frozen; r is trained in its lower triangle, as the paper counts, or entirely, as in the released code. `svd`:
        S-SVD, phi = u diag(s) v with orthonormal u, v frozen and s trained; `svd_released`: u and v random instead, as
        in the released code. `two_set_released`: the same random factors with s frozen, too.

    A single set is applied as -lambda_out (phi x) or phi (lambda_in x), which needs no product for the gradient of a
    kernel: 2 matrix products per step instead of 3 with phi frozen. Both sets with a matrix phi would need 4, so W is
    built. For factored phi see `kernel_beats_factors`.

    Attributes:
        variant: one of the names above.
        eigenvectors: whether the matrix phi is trained; the factored variants keep their frozen factors.
        eigenvalues: whether the variant's eigenvalues are trained.
        start: a name of `SPECTRAL_STARTS`; None for the default of the variant. Sets that the variant fixes stay at 0.
        phi: initial distribution of phi, for example `"normal:0.036"`; None for that of `start`.
        lambda_in: initial distribution of lambda_in, likewise.
        lambda_out: initial distribution of lambda_out, likewise.
        use_bias: whether there is a bias, which starts at 0.
        l1_in: the factor of the penalty sum |lambda_in|, over the values as stored.
        l1_out: the same for lambda_out.
        l2_in: the factor of the penalty sum lambda_in^2.
        l2_out: the same for lambda_out.
        l2_phi: the factor of the penalty sum phi^2, for trained eigenvectors.
        gauge: `"plain"`: the initial phi of `start`. `"width_free"`, allowed if no matrix is trained: phi_ij ~
            Normal(0, 1 / fan_in), and Normal(0, 1 / fan_in^2) in the map to the outputs, so that a step of Adam on the
            eigenvalues changes W x by an amount that does not depend on the width.
        to_outputs: whether the map makes the outputs of a network, for the gauge `"width_free"`; networks set it.

    Raises:
        InputError: if a name is unknown, nothing is trained, the start gives W = 0 that training cannot change, a
            penalty is negative or acts on a frozen set, or the start does not fit the variant.

    Example:
        >>> import jax
        >>> family = Spectral("two_set")
        >>> params = family.init(jax.random.key(0), 784, 500)
        >>> family.apply(params, jnp.ones(784)).shape, family.num_parameters(784, 500)
        ((500,), 1784)
    """

    variant: VariantName = "two_set"
    _: dataclasses.KW_ONLY
    eigenvectors: Literal["frozen", "trained"] = "frozen"
    eigenvalues: Literal["frozen", "trained"] = "trained"
    start: str | None = None
    phi: str | None = None
    lambda_in: str | None = None
    lambda_out: str | None = None
    use_bias: bool = True
    l1_in: float = 0.0
    l1_out: float = 0.0
    l2_in: float = 0.0
    l2_out: float = 0.0
    l2_phi: float = 0.0
    gauge: Literal["plain", "width_free"] = "plain"
    to_outputs: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        variant, eigenvectors = self.variant, self.eigenvectors
        if variant not in SPECTRAL_VARIANTS:
            raise InputError(f"unknown variant {variant!r} of a spectral layer; allowed: {choices(SPECTRAL_VARIANTS)}")
        for name, value in (("eigenvectors", eigenvectors), ("eigenvalues", self.eigenvalues)):
            if value not in ("frozen", "trained"):
                raise InputError(f"unknown {name} {value!r} of a spectral layer; allowed: frozen, trained")
        if not isinstance(self.use_bias, bool):
            raise InputError(f"use_bias must be true or false, got {self.use_bias!r}")
        if eigenvectors == "trained" and self._kind.factors != "matrix":
            whole = choices(name for name, each in SPECTRAL_VARIANTS.items() if each.factors == "matrix")
            raise InputError(
                f"eigenvectors of the variant {variant} are products with frozen factors; train those of {whole}"
            )
        if not self._trained and not self._block_moves:
            raise InputError(
                f"nothing to train: eigenvalues and eigenvectors of the variant {variant} are both frozen"
                f"{' and only a bias is left' if self.use_bias else ''}; train one of them"
            )
        check_gauge(
            self.gauge, variant, eigenvectors, self._kind.factors, own_phi=self.phi is not None, start=self._start
        )
        self._distributions()
        penalised = self._trained if eigenvectors == "frozen" else (*self._trained, "phi")
        penalties = {name: getattr(self, name) for name in ("l1_in", "l1_out", "l2_in", "l2_out", "l2_phi")}
        check_penalties(penalties, penalised, variant)

    def at_output(self) -> Spectral:
        """Mark the map that makes the outputs, whose phi starts smaller in the width-free gauge."""
        return dataclasses.replace(self, to_outputs=True) if self.gauge == "width_free" else self

    @property
    def _kind(self) -> _Variant:
        return SPECTRAL_VARIANTS[self.variant]

    @property
    def _trained(self) -> tuple[str, ...]:
        """The sets of eigenvalues that are trained."""
        return self._kind.trained if self.eigenvalues == "trained" else ()

    @property
    def _block_moves(self) -> bool:
        """Whether phi or a factor of it is trained."""
        moves = {"qr": True, "svd": self.variant != "two_set_released", "matrix": self.eigenvectors == "trained"}
        return moves[self._kind.factors]

    @property
    def _start(self) -> str:
        return self._kind.start if self.start is None else self.start

    def _distributions(self) -> tuple[Distribution, Distribution, Distribution]:
        return distributions_of(
            self.variant, self._kind.trained, self._start, self.phi, self.lambda_in, self.lambda_out
        )

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> SpectralParams:
        """Draw eigenvalues and eigenvectors; a number of modes is ignored."""
        del modes
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        phi, left, right = self._distributions()
        if self.gauge == "width_free":
            # The width enters through the standard deviation, which is traced here.
            std = 1 / fan_in.size if self.to_outputs else 1 / jnp.sqrt(fan_in.size)
            phi = Distribution("normal", std)  # pyright: ignore[reportArgumentType]
        phi_key, in_key, out_key = subkeys(key, 3)
        if self._kind.factors == "qr":
            block = qr_factors(phi_key, phi, fan_in, fan_out)
        elif phi.kind == "released":
            block = released_factors(phi_key, fan_in, fan_out)
        elif self._kind.factors == "svd":
            block = svd_factors(phi_key, phi.number, fan_in, fan_out)
        else:
            block = draw_matrix(phi_key, phi, fan_in, fan_out)
        out = draw_vector(out_key, right, fan_out, fan_in)
        return SpectralParams(
            draw_vector(in_key, left, fan_in, fan_out),
            out,
            block,
            jnp.zeros(fan_out.capacity) if self.use_bias else None,
            jnp.ones(()) if self.variant == "single_set_unit" else None,
            out if self._start == "first" else None,
        )

    def kernel(self, params: SpectralParams) -> Float[Array, "fan_out fan_in"]:
        """Return (lambda_in - lambda_out) phi, entry by entry."""
        phi = params.phi
        if self.variant == "qr_triangular" and isinstance(phi, QRFactors):
            # Cut here, so that the upper triangle has no gradient and stays 0.
            phi = QRFactors(jnp.tril(phi.r), phi.q)
        return (params.lambda_in[None, :] - free_lambda_out(params)[:, None]) * multiplied_out(phi)

    def apply(self, params: SpectralParams, x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
        """Apply the map by the method that the docstring of the class gives for the variant and the rows of x."""
        rows = count_rows(x)

        def one(x: Float[Array, " fan_in"]) -> Float[Array, " fan_out"]:
            z = self._product(params, x, rows)
            return z if params.bias is None else z + params.bias

        return over_rows(one, x)

    def _product(self, params: SpectralParams, x: Float[Array, " fan_in"], rows: int) -> Float[Array, " fan_out"]:
        left, right = params.lambda_in, free_lambda_out(params)

        def by_kernel(a: Array, b: Array, *, trained: bool) -> bool:
            return kernel_beats_factors(b.shape[1], a.shape[0], a.shape[1], rows, trained=trained)

        match params.phi:
            case QRFactors(r, q) if not by_kernel(r, q, trained=True):
                r = jnp.tril(r) if self.variant == "qr_triangular" else r
                return r @ (q @ (left * x)) - right * (r @ (q @ x))
            case SVDFactors(u, s, v) if not by_kernel(u, v, trained=False):
                return u @ (s * (v @ (left * x))) - right * (u @ (s * (v @ x)))
            case QRFactors() | SVDFactors():
                return self.kernel(params) @ x
            case matrix if self._kind.trained == ("out",):
                return -right * (matrix @ x)
            case matrix if self._kind.trained == ("in",):
                return matrix @ (left * x)
        return self.kernel(params) @ x

    def trainable(self, params: SpectralParams) -> SpectralParams:
        """Mark the eigenvalues, factors and bias that the options train."""
        block: LayerParams = {
            "matrix": self.eigenvectors == "trained",
            "qr": QRFactors(True, False),  # pyright: ignore[reportArgumentType]
            "svd": SVDFactors(False, self._block_moves, False),  # pyright: ignore[reportArgumentType]
        }[self._kind.factors]
        return SpectralParams(
            "in" in self._trained,  # pyright: ignore[reportArgumentType]
            "out" in self._trained,  # pyright: ignore[reportArgumentType]
            block,
            None if params.bias is None else True,  # pyright: ignore[reportArgumentType]
            None if params.shift is None else False,  # pyright: ignore[reportArgumentType]
            None if params.slope is None else False,  # pyright: ignore[reportArgumentType]
        )

    def penalty(self, params: SpectralParams) -> Float[Array, ""]:
        """Return the sum of the penalties whose factors are not 0."""
        total = jnp.zeros(())
        for side, values in (("in", params.lambda_in), ("out", params.lambda_out)):
            l1, l2 = getattr(self, f"l1_{side}"), getattr(self, f"l2_{side}")
            if l1:
                total = total + l1 * jnp.sum(_size(values))
            if l2:
                total = total + l2 * jnp.sum(values**2)
        if self.l2_phi:
            total = total + self.l2_phi * jnp.sum(params.phi**2)  # pyright: ignore[reportOperatorIssue]
        return total

    def num_parameters(self, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None) -> int:
        """Count the trained parameters by a formula, since shapes do not tell how many entries a triangle has."""
        del modes
        n_in, n_out = (as_extent(n).known("num_parameters") for n in (fan_in, fan_out))
        k = min(n_in, n_out)
        blocks = {
            "matrix": n_in * n_out,
            "svd": k,
            "qr": k * (k + 1) // 2 + (n_out - k) * k if self.variant == "qr_triangular" else n_out * k,
        }
        eigen = ("in" in self._trained) * n_in + ("out" in self._trained) * n_out
        return eigen + self.use_bias * n_out + self._block_moves * blocks[self._kind.factors]


def _size(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return |values| with the derivative 0 at 0, where JAX has 1, so that padding does not move."""
    return jnp.where(values == 0, 0, jnp.abs(values))


def multiplied_out(phi: Float[Array, "fan_out fan_in"] | QRFactors | SVDFactors) -> Float[Array, "fan_out fan_in"]:
    """Return phi as a matrix, shape (fan_out, fan_in), also if it is stored as factors."""
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
