"""SVD training: W = U diag(|s|) V, with decoupled penalties for orthogonality and sparsity."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, subkeys, uniform_vector
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Family, Modes, TakesModes, paper_scale, through_modes

__all__ = ["SVD", "SVDParams"]


class SVDParams(NamedTuple):
    """Parameters of an SVD layer: W = u diag(|s|) v."""

    u: Float[Array, "fan_out modes"]  # columns are driven towards an orthonormal set
    s: Float[Array, " modes"]  # its absolute value is used
    v: Float[Array, "modes fan_in"]  # rows are driven towards an orthonormal set
    active: Bool[Array, " modes"]  # frozen; False on padding


@dataclasses.dataclass(frozen=True, kw_only=True)
class SVD(Family):
    """The SVD-trained layer z = u (|s| * (v x)).

    The penalty is orthogonality / r^2 (||u^T u - I||_F^2 + ||v v^T - I||_F^2) + sparsity ||s||_1 / ||s||_2, with r the
    number of modes of the layer. Without a number of modes, r is the full rank min(fan_in, fan_out); a larger number of
    modes is reduced to the full rank, because there are no more orthonormal patterns.

    Attributes:
        orthogonality: the factor lam_o of the first term.
        sparsity: the factor lam_s of the second term.

    Raises:
        InputError: if a factor is negative.

    References:
        Yang et al., "Learning low-rank deep neural networks via singular vector orthogonality regularization and
        singular value sparsification", arXiv 2004.09031; settings of the reference code of arXiv 2208.09859
        (Fig2/SVD.py), whose gradients 4 lam_o / r^2 u (u^T u - I) follow from the penalty above.

    Example:
        >>> import jax
        >>> family = SVD()
        >>> params = family.init(jax.random.key(0), 784, 100)
        >>> params.s.shape, family.num_parameters(784, 100)
        ((100,), 88500)
    """

    takes_modes: ClassVar[TakesModes] = "optional"
    orthogonality: float = 30.0
    sparsity: float = 1.0

    def __post_init__(self) -> None:
        """Check the options."""
        if not (self.orthogonality >= 0 and self.sparsity >= 0):
            raise InputError(
                f"orthogonality and sparsity must be 0 or more, got {self.orthogonality!r} and {self.sparsity!r}"
            )

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> SVDParams:
        """Draw the factors; `modes=None` means the full rank."""
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        r = _rank(fan_in, fan_out, modes)
        u_key, s_key, v_key = subkeys(key, 3)
        std = paper_scale(fan_in)
        return SVDParams(
            std * normal_matrix(u_key, fan_out, r),
            std * uniform_vector(s_key, r),
            std * normal_matrix(v_key, r, fan_in),
            r.mask,
        )

    def kernel(self, params: SVDParams) -> Float[Array, "fan_out fan_in"]:
        """Return u diag(|s|) v."""
        return (params.u * jnp.abs(params.s)[None, :]) @ params.v

    def apply(self, params: SVDParams, x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
        """Multiply by the factors, or by the kernel if `dense_is_cheaper` for the number of rows of x."""
        return through_modes(params.u, jnp.abs(params.s), params.v, x)

    def penalty(self, params: SVDParams) -> Float[Array, ""]:
        """Return the penalty given in the docstring of the class."""
        active = params.active.astype(params.s.dtype)
        identity = jnp.diag(active)
        r = active.sum()
        defect = jnp.sum((params.u.T @ params.u - identity) ** 2)
        defect = defect + jnp.sum((params.v @ params.v.T - identity) ** 2)
        # The ratio of norms is 0 / 0 if every s is 0; the two calls of `where` keep value and gradient finite.
        square = jnp.sum(params.s**2)
        norm = jnp.sqrt(jnp.where(square > 0, square, 1.0))
        # The derivative of |s| at 0 counts as 1 in JAX; padding has none.
        total = jnp.sum(jnp.where(params.active, jnp.abs(params.s), 0))
        ratio = jnp.where(square > 0, total / norm, 0.0)
        return self.orthogonality / r**2 * defect + self.sparsity * ratio

    def num_parameters(self, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None) -> int:
        """Count the trained entries by a formula, which is faster than from the shapes."""
        n_in, n_out = as_extent(fan_in), as_extent(fan_out)
        r = _rank(n_in, n_out, modes).known("num_parameters")
        return r * (n_in.known("num_parameters") + n_out.known("num_parameters") + 1)

    def modes(self, params: SVDParams) -> Modes:
        """Return the factors, with weights |s|."""
        return Modes(params.u, jnp.abs(params.s), params.v, params.active)

    def cut(self, params: SVDParams, keep: Bool[Array, " modes"]) -> SVDParams:
        """Keep the modes marked; the others become padding."""
        return SVDParams(
            jnp.where(keep[None, :], params.u, 0),
            jnp.where(keep, params.s, 0),
            jnp.where(keep[:, None], params.v, 0),
            params.active & keep,
        )


def _rank(fan_in: Extent, fan_out: Extent, modes: int | Extent | None) -> Extent:
    """Return the minimum of both sizes and of the number of modes, if given."""
    extents = [fan_in, fan_out] if modes is None else [fan_in, fan_out, as_extent(modes)]
    actives = [extent.active for extent in extents]
    if all(isinstance(active, int) for active in actives):
        active = min(actives)  # pyright: ignore[reportArgumentType, reportCallIssue]
    else:
        active = jnp.min(jnp.stack([jnp.asarray(active) for active in actives]))
    return Extent(min(extent.capacity for extent in extents), active)
