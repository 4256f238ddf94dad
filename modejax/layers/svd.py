"""SVD training: W = U diag(|s|) V, with orthogonality and sparsity asked for by decoupled penalties."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, subkeys, uniform_vector
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Layer, Modes, dense_is_cheaper, paper_scale

__all__ = ["SVDParams", "svd"]


class SVDParams(NamedTuple):
    """Parameters of an SVD layer: W = u diag(|s|) v."""

    u: Float[Array, "fan_out modes"]  # columns are driven towards an orthonormal set
    s: Float[Array, " modes"]  # enters by its absolute value
    v: Float[Array, "modes fan_in"]  # rows are driven towards an orthonormal set
    active: Bool[Array, " modes"]  # frozen; False on padding


def svd(
    modes: int | Extent | None = None,
    *,
    orthogonality: float = 30.0,
    sparsity: float = 1.0,
    rows: int = 100,
) -> Layer:
    """Make an SVD-trained layer z = u (|s| * (v x)).

    The penalty is orthogonality / r^2 (||u^T u - I||_F^2 + ||v v^T - I||_F^2) + sparsity ||s||_1 / ||s||_2, with r
    the number of modes of the layer.

    Args:
        modes: the number of modes r; None for the full rank min(fan_in, fan_out). More modes than the full rank
            are cut to it, because more than that many orthonormal patterns do not exist.
        orthogonality: the factor lam_o of the first term.
        sparsity: the factor lam_s of the second term.
        rows: the number of examples that go through the layer in one call (see `dense_is_cheaper`).

    Returns:
        The layer.

    Raises:
        InputError: if `modes` is not allowed or a factor is negative.

    References:
        Yang et al., "Learning low-rank deep neural networks via singular vector orthogonality regularization and
        singular value sparsification", arXiv 2004.09031; settings of the reference code of arXiv 2208.09859
        (Fig2/SVD.py), whose gradients 4 lam_o / r^2 u (u^T u - I) follow from the penalty above.

    Example:
        >>> import jax
        >>> layer = svd()
        >>> params = layer.init(jax.random.key(0), 784, 100)
        >>> params.s.shape, layer.num_parameters(784, 100)
        ((100,), 88500)
    """
    wanted = None if modes is None else as_extent(modes)
    if not (orthogonality >= 0 and sparsity >= 0):
        raise InputError(f"orthogonality and sparsity must be 0 or more, got {orthogonality!r} and {sparsity!r}")

    def rank(fan_in: Extent, fan_out: Extent) -> Extent:
        extents = [fan_in, fan_out] if wanted is None else [fan_in, fan_out, wanted]
        actives = [extent.active for extent in extents]
        if all(isinstance(active, int) for active in actives):
            active = min(actives)  # pyright: ignore[reportArgumentType, reportCallIssue]
        else:
            active = jnp.min(jnp.stack([jnp.asarray(active) for active in actives]))
        return Extent(min(extent.capacity for extent in extents), active)

    def init(key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent) -> SVDParams:
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        r = rank(fan_in, fan_out)
        u_key, s_key, v_key = subkeys(key, 3)
        std = paper_scale(fan_in)
        return SVDParams(
            std * normal_matrix(u_key, fan_out, r),
            std * uniform_vector(s_key, r),
            std * normal_matrix(v_key, r, fan_in),
            r.mask,
        )

    def apply(params: SVDParams, x: Float[Array, " fan_in"]) -> Float[Array, " fan_out"]:
        capacity, fan_in = params.v.shape
        if dense_is_cheaper(fan_in, params.u.shape[0], capacity, rows):
            return kernel(params) @ x
        return params.u @ (jnp.abs(params.s) * (params.v @ x))

    def kernel(params: SVDParams) -> Float[Array, "fan_out fan_in"]:
        return (params.u * jnp.abs(params.s)[None, :]) @ params.v

    def trainable(params: SVDParams) -> SVDParams:
        del params
        return SVDParams(True, True, True, False)  # pyright: ignore[reportArgumentType]

    def penalty(params: SVDParams) -> Float[Array, ""]:
        active = params.active.astype(params.s.dtype)
        identity = jnp.diag(active)
        r = active.sum()
        defect = jnp.sum((params.u.T @ params.u - identity) ** 2)
        defect = defect + jnp.sum((params.v @ params.v.T - identity) ** 2)
        # The ratio of norms is 0 / 0 when every s is 0; the double where keeps value and gradient finite.
        square = jnp.sum(params.s**2)
        norm = jnp.sqrt(jnp.where(square > 0, square, 1.0))
        # The derivative of |s| at 0 counts as 1 in JAX; padding has none.
        total = jnp.sum(jnp.where(params.active, jnp.abs(params.s), 0))
        ratio = jnp.where(square > 0, total / norm, 0.0)
        return orthogonality / r**2 * defect + sparsity * ratio

    def num_parameters(fan_in: int | Extent, fan_out: int | Extent) -> int:
        n_in, n_out = (as_extent(n) for n in (fan_in, fan_out))
        r = rank(n_in, n_out).known("num_parameters")
        return r * (n_in.known("num_parameters") + n_out.known("num_parameters") + 1)

    def to_modes(params: SVDParams) -> Modes:
        return Modes(params.u, jnp.abs(params.s), params.v, params.active)

    return Layer(init, apply, kernel, trainable, penalty, num_parameters, to_modes)
