"""The transfer operator behind a spectral layer as a matrix: for teaching, for tests, and to fix the gauge."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from modejax.layers.spectral import SpectralParams, free_lambda_out, multiplied_out

__all__ = ["TransferOperator", "eigenvalues", "eigenvector_block", "fix_gauge", "transfer_operator"]


class TransferOperator(NamedTuple):
    """A = Phi Lambda Phi^-1 on the nodes of two layers, inputs first; N = fan_in + fan_out."""

    A: Float[Array, "nodes nodes"]  # its lower left block is the kernel
    Phi: Float[Array, "nodes nodes"]  # columns are eigenvectors; its inverse is 2 I - Phi
    Lambda: Float[Array, " nodes"]  # the eigenvalues, lambda_in first


def eigenvalues(params: SpectralParams) -> tuple[Float[Array, " fan_in"], Float[Array, " fan_out"]]:
    """Return both sets of eigenvalues of the transfer operator.

    They differ from the stored values in the convention lambda_in = 1, lambda_out = 1 + d, and in the first released
    layer, whose lambda_out is 1 - u + u t.

    Args:
        params: the parameters of a spectral layer, without padding.

    Returns:
        lambda_in, shape (fan_in,), and lambda_out, shape (fan_out,).

    Example:
        >>> import jax
        >>> from modejax import layers
        >>> layer = layers.Spectral("single_set_unit")
        >>> eigenvalues(layer.init(jax.random.key(0), 3, 2))[0].tolist()
        [1.0, 1.0, 1.0]
    """
    lambda_in, lambda_out = params.lambda_in, free_lambda_out(params)
    if params.shift is None:
        return lambda_in, lambda_out
    return lambda_in + params.shift, lambda_out + params.shift


def eigenvector_block(params: SpectralParams) -> Float[Array, "fan_out fan_in"]:
    """Return phi, the block of the eigenvectors that is not an identity.

    Args:
        params: the parameters of a spectral layer.

    Returns:
        phi, shape (fan_out, fan_in), multiplied out if it is stored as factors.
    """
    return multiplied_out(params.phi)


def transfer_operator(params: SpectralParams) -> TransferOperator:
    """Compute the matrix A = Phi Lambda Phi^-1.

    Phi - I maps inputs to outputs only, so its square is 0 and Phi^-1 = 2 I - Phi exactly.

    Args:
        params: the parameters of a spectral layer, without padding.

    Returns:
        The operator, its eigenvectors and its eigenvalues.

    References:
        Giambagli et al., Nat. Commun. 12, 1330 (2021), arXiv 2005.14436.

    Example:
        >>> import jax
        >>> from modejax import layers
        >>> layer = layers.Spectral("two_set")
        >>> params = layer.init(jax.random.key(0), 3, 2)
        >>> bool(jnp.allclose(transfer_operator(params).A[3:, :3], layer.kernel(params), atol=1e-6))
        True
    """
    block = eigenvector_block(params)
    fan_out, fan_in = block.shape
    Lambda = jnp.concatenate(eigenvalues(params))
    identity = jnp.eye(fan_in + fan_out, dtype=block.dtype)
    Phi = identity.at[fan_in:, :fan_in].set(block)
    return TransferOperator((Phi * Lambda[None, :]) @ (2 * identity - Phi), Phi, Lambda)


def fix_gauge(params: SpectralParams) -> tuple[Float[Array, " fan_in"], Float[Array, " fan_out"]]:
    """Return both sets of eigenvalues, shifted by the number that minimises their sum of squares.

    Their mean is then 0. A shift of both sets does not change the kernel, so eigenvalues of different networks can only
    be compared after such a choice. In the two-set variants the shifted values may replace the stored ones.

    Args:
        params: the parameters of a spectral layer, without padding.

    Returns:
        lambda_in, shape (fan_in,), and lambda_out, shape (fan_out,).

    Example:
        >>> import jax
        >>> from modejax import layers
        >>> lambda_in, lambda_out = fix_gauge(layers.Spectral("two_set").init(jax.random.key(0), 3, 2))
        >>> abs(float(lambda_in.sum() + lambda_out.sum())) < 1e-6
        True
    """
    lambda_in, lambda_out = eigenvalues(params)
    mean = (jnp.sum(lambda_in) + jnp.sum(lambda_out)) / (lambda_in.size + lambda_out.size)
    return lambda_in - mean, lambda_out - mean
