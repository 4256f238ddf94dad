"""Start a layer from a trained kernel: the best sum of P modes by its singular value decomposition.

W = U diag(s) V with s in falling order; the first P terms are the matrix of rank P that is closest to W in the
Frobenius norm (Eckart and Young 1936). The kernel of a convolution is reshaped to the matrix (channels_out, channels_in
x window).

The gauge: how a term of size s is split between its factors does not change the function, but changes its training.
Here all entries of the factors of one mode have the same root mean square, as in the layer's own start, where all
entries come from one distribution: in three factors xi_out = r sqrt(n_out) U_mu, sigma = r, xi_in = r sqrt(n_in) V_mu
with r = (s_mu / sqrt(n_in n_out))^(1/3); in two factors with the power 1/2 and no sigma. An optimiser with one step
size for every entry, such as Adam, then changes all factors by the same relative amount. In this gauge every ranking of
the modes (importance, |sigma|, size) is the ranking by s.

Decompositions are made on the host in float64, whatever the type of the kernel; factors have the kernel's type.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from modejax.errors import InputError, choices
from modejax.layers.low_rank import LowRankParams
from modejax.layers.mode import ModeParams
from modejax.layers.mode_conv import ModeConvParams
from modejax.layers.spectral import SPECTRAL_VARIANTS, SpectralParams
from modejax.layers.spectral_conv import SpectralConvParams
from modejax.layers.spectral_start import QRFactors, SVDFactors

__all__ = [
    "SingularModes",
    "check_kernel",
    "low_rank_from_modes",
    "mode_from_modes",
    "singular_modes",
    "spectral_conv_from_kernel",
    "spectral_from_kernel",
]


class SingularModes(NamedTuple):
    """The singular value decomposition of a kernel, in float64 on the host."""

    u: Float[np.ndarray, "fan_out full"]
    s: Float[np.ndarray, " full"]  # in decreasing order
    v: Float[np.ndarray, "full fan_in"]  # fan_in is channels_in x window for a convolution
    shape: tuple[int, ...]  # of the kernel, (fan_out, fan_in, *window)
    dtype: Any  # of the kernel
    rank: int  # singular values above rounding: see `singular_modes`

    def kept_energy(self, modes: int) -> float:
        """Return the share of sum s^2 in the first modes, from 0 to 1; 1 for a kernel of zeros."""
        total = float(np.sum(self.s**2))
        return float(np.sum(self.s[:modes] ** 2)) / total if total else 1.0

    def count(self, modes: int | None = None, energy: float | None = None) -> int:
        """Return the number of modes to keep: `modes`, or the least number that keeps the share `energy`, or the rank.

        Raises:
            InputError: if both are given, `modes` is not from 1 to the rank, or `energy` not in (0, 1].
        """
        if modes is not None and energy is not None:
            raise InputError(f"give modes or energy, not both; got modes={modes!r} and energy={energy!r}")
        if energy is not None:
            if isinstance(energy, bool) or not isinstance(energy, int | float) or not 0 < energy <= 1:
                raise InputError(f"energy must be a share above 0 and up to 1, got {energy!r}")
            modes = min(_least(self.s, energy - 1e-12), max(self.rank, 1))
        if self.rank == 0:
            raise InputError(f"the kernel of shape {self.shape} is 0 and has no modes; leave its layer out")
        if modes is None:
            return self.rank
        if isinstance(modes, bool) or not isinstance(modes, int) or not 1 <= modes <= self.rank:
            raise InputError(
                f"modes must be an integer from 1 to {self.rank}, the rank of the kernel of shape {self.shape}, "
                f"got {modes!r}"
            )
        return modes


def check_kernel(kernel: Any) -> np.ndarray:
    """Return a kernel (fan_out, fan_in, *window) as a float64 array on the host.

    Raises:
        InputError: if it has less than two axes, is empty, not of a floating type, or not finite.
    """
    array = np.asarray(kernel)
    if array.ndim < 2 or 0 in array.shape:
        raise InputError(
            f"a kernel has the shape (fan_out, fan_in, *window), got {array.shape}; this layer cannot be decomposed"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise InputError(f"a kernel must be of a floating type, got {array.dtype}; convert it first")
    wide = array.astype(np.float64)
    if not np.isfinite(wide).all():
        raise InputError(f"the kernel of shape {array.shape} has entries that are not finite")
    return wide


def singular_modes(kernel: Any) -> SingularModes:
    """Decompose a kernel into modes by singular values.

    Args:
        kernel: shape (fan_out, fan_in, *window), of any floating type.

    Returns:
        The decomposition. The rank counts the singular values above s[0] max(fan_out, fan_in) eps, where eps is that of
        the kernel's type or of float32, whichever is smaller; the modes up to the rank hold all but 1e-10 of sum s^2 at
        least.

    Raises:
        InputError: see `check_kernel`.

    Example:
        >>> found = singular_modes(np.diag([3.0, 4.0, 0.0]))
        >>> found.s.tolist(), found.rank, found.kept_energy(1), found.count(energy=0.9)
        ([4.0, 3.0, 0.0], 2, 0.64, 2)
    """
    wide = check_kernel(kernel)
    dtype = np.asarray(kernel).dtype
    u, s, v = np.linalg.svd(wide.reshape(len(wide), -1), full_matrices=False)
    # The entries are taken as exact: small singular values of a kernel in a coarse type are not rounding errors.
    eps = min(float(jnp.finfo(dtype).eps), float(np.finfo(np.float32).eps))
    above = int(np.sum(s > s[0] * max(len(u), v.shape[1]) * eps))
    rank = max(above, _least(s, 1 - 1e-10)) if s[0] > 0 else 0
    return SingularModes(u, s, v, wide.shape, dtype, rank)


def mode_from_modes(found: SingularModes, modes: int | None = None) -> ModeParams | ModeConvParams:
    """Make the parameters of a mode layer, or of a mode convolution for a kernel with a window.

    Args:
        found: the decomposed kernel.
        modes: the number of modes P kept; None for the rank.

    Returns:
        The parameters of `layers.Mode` in the plain gauge, or of `layers.ModeConv`, balanced as described in the
        docstring of the module.

    Raises:
        InputError: if `modes` is above the rank.

    Example:
        >>> from modejax import layers
        >>> params = mode_from_modes(singular_modes(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)))
        >>> [round(float(w), 3) for w in layers.Mode().kernel(params).ravel()]
        [1.0, 2.0, 3.0, 4.0]
    """
    count = found.count(modes)
    xi_out, xi_in, root = _balanced(found, count, 3)
    xi_in = xi_in.reshape(count, *found.shape[1:])
    kind = ModeParams if len(found.shape) == 2 else ModeConvParams
    named = {"xi_out": xi_out, "sigma": root, "xi_in": xi_in}
    parts: dict[str, Any] = {name: jnp.asarray(value.astype(found.dtype)) for name, value in named.items()}
    if kind is ModeParams:
        parts["scale"] = None
    return kind(**parts, active=jnp.ones(count, bool))


def low_rank_from_modes(found: SingularModes, modes: int | None = None) -> LowRankParams:
    """Make the parameters of a two-factor layer; arguments as in `mode_from_modes`.

    Raises:
        InputError: if `modes` is above the rank, or the kernel belongs to a convolution.
    """
    if len(found.shape) != 2:
        raise InputError(f"a two-factor layer has no window, got a kernel of shape {found.shape}; use the mode layer")
    count = found.count(modes)
    xi_out, xi_in, _ = _balanced(found, count, 2)
    return LowRankParams(
        jnp.asarray(xi_out.astype(found.dtype)), jnp.asarray(xi_in.astype(found.dtype)), jnp.ones(count, bool)
    )


def spectral_from_kernel(
    kernel: Any,
    variant: str = "two_set",
    *,
    lambda_in: float | np.ndarray | None = None,
    lambda_out: float | np.ndarray | None = None,
    bias: Any = None,
) -> SpectralParams:
    """Make the parameters of a spectral layer whose kernel is exactly the given one.

    phi_ij = W_ij / (lambda_in_j - lambda_out_i).

    Args:
        kernel: W, shape (fan_out, fan_in).
        variant: a name of `SPECTRAL_VARIANTS`. The factored variants take phi = r q by a QR decomposition of its
            transpose (r lower triangular, q with orthonormal rows), or phi = u diag(s) v by singular values.
        lambda_in: eigenvalues of the inputs, shape (fan_in,), or one for all; by default 1, and 0 if the variant fixes
            this set.
        lambda_out: eigenvalues of the outputs, shape (fan_out,), or one for all; by default 0, and -1 if lambda_in is
            fixed.
        bias: shape (fan_out,), or None for a layer without biases.

    Returns:
        The parameters of `layers.Spectral(variant, use_bias=...)`.

    Raises:
        InputError: if the variant is unknown, the kernel is not a matrix of finite floats, a set that the variant fixes
            is given, or lambda_in equals lambda_out somewhere.

    Example:
        >>> from modejax import layers
        >>> params = spectral_from_kernel(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), lambda_out=0.5)
        >>> layers.Spectral("two_set", use_bias=False).kernel(params).tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    if variant not in SPECTRAL_VARIANTS:
        raise InputError(f"unknown variant {variant!r} of a spectral layer; allowed: {choices(SPECTRAL_VARIANTS)}")
    wide, dtype = check_kernel(kernel), np.asarray(kernel).dtype
    if wide.ndim != 2:
        raise InputError(f"a spectral layer has no window, got a kernel of shape {wide.shape}; use the convolution")
    kind = SPECTRAL_VARIANTS[variant]
    left = _eigenvalues("in", lambda_in, 1.0, kind.trained, wide.shape[1])
    right = _eigenvalues("out", lambda_out, 0.0 if "in" in kind.trained else -1.0, kind.trained, wide.shape[0])
    phi = _divided(wide, left, right)

    def cast(array: np.ndarray) -> Any:
        return jnp.asarray(array.astype(dtype))

    if kind.factors == "matrix":
        block = cast(phi)
    elif kind.factors == "qr":
        q, r = np.linalg.qr(phi.T)
        block = QRFactors(cast(r.T), cast(q.T))
    else:
        block = SVDFactors(*map(cast, np.linalg.svd(phi, full_matrices=False)))
    shift = jnp.ones((), dtype) if variant == "single_set_unit" else None
    return SpectralParams(cast(left), cast(right), block, None if bias is None else jnp.asarray(bias), shift, None)


def spectral_conv_from_kernel(
    kernel: Any, *, lambda_in: float | np.ndarray = 1.0, lambda_out: float | np.ndarray = 0.0, bias: Any = None
) -> SpectralConvParams:
    """Make the parameters of a spectral convolution whose kernel is exactly the given one.

    Args:
        kernel: shape (channels_out, channels_in, *window).
        lambda_in: eigenvalues of the input channels, shape (channels_in,), or one for all.
        lambda_out: eigenvalues of the output channels, shape (channels_out,), or one for all.
        bias: shape (channels_out,), or None.

    Returns:
        The parameters of `layers.SpectralConv`.

    Raises:
        InputError: if the kernel is not of finite floats, or lambda_in equals lambda_out somewhere.
    """
    wide, dtype = check_kernel(kernel), np.asarray(kernel).dtype
    left = _eigenvalues("in", lambda_in, 1.0, ("in",), wide.shape[1])
    right = _eigenvalues("out", lambda_out, 0.0, ("out",), wide.shape[0])
    left, right, phi = (jnp.asarray(part.astype(dtype)) for part in (left, right, _divided(wide, left, right)))
    return SpectralConvParams(left, right, phi, None if bias is None else jnp.asarray(bias))


def _least(s: np.ndarray, share: float) -> int:
    """Return the least number of leading singular values that hold this share of sum s^2."""
    total = max(float(np.sum(s**2)), np.finfo(float).tiny)
    return min(int(np.searchsorted(np.cumsum(s**2) / total, share)) + 1, len(s))


def _balanced(found: SingularModes, count: int, factors: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return xi_out, xi_in and, for each mode, the common root mean square of their entries."""
    n_out, n_in = len(found.u), found.v.shape[1]
    root = (found.s[:count] / np.sqrt(n_in * n_out)) ** (1 / factors)
    return found.u[:, :count] * root * n_out**0.5, found.v[:count] * root[:, None] * n_in**0.5, root


def _eigenvalues(side: str, given: Any, default: float, trained: tuple[str, ...], size: int) -> np.ndarray:
    if side not in trained:
        if given is not None:
            raise InputError(f"lambda_{side} is fixed in this variant; leave it out")
        return np.zeros(size)
    values = np.asarray(default if given is None else given, np.float64)
    if values.shape not in ((), (size,)) or not np.isfinite(values).all():
        raise InputError(f"lambda_{side} must be one finite number or {size} of them, got shape {values.shape}")
    return np.broadcast_to(values, (size,))


def _divided(kernel: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    difference = left[None, :] - right[:, None]
    if not difference.all():
        raise InputError("lambda_in equals lambda_out for some pair of units, where the weight is 0 for every phi")
    return kernel / difference.reshape(*difference.shape, *(1,) * (kernel.ndim - 2))
