"""Spectral learning of a convolution: eigenvalues of the channels, K_oi = (lambda_in_i - lambda_out_o) phi_oi."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import subkeys
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.convolution import ConvFamily
from modejax.layers.spectral_start import Distribution, draw_matrix, draw_vector, parse_distribution

__all__ = ["SpectralConv", "SpectralConvParams"]


class SpectralConvParams(NamedTuple):
    """Parameters of a spectral convolution."""

    lambda_in: Float[Array, " channels_in"]
    lambda_out: Float[Array, " channels_out"]
    phi: Float[Array, "channels_out channels_in ..."]
    bias: Float[Array, " channels_out"] | None  # None without biases


@dataclasses.dataclass(frozen=True)
class SpectralConv(ConvFamily):
    """The convolution whose kernel is K_oi = (lambda_in_i - lambda_out_o) phi_oi for every window entry.

    Each channel has an eigenvalue: for each window entry the layer is a two-set map between the channels, and all
    window entries share the eigenvalues. The same map could be computed from ordinary convolutions with phi, by
    multiplying the channels by lambda_in before or by lambda_out after them. Here the kernel is built, whose cost is
    negligible beside that of the convolution. "Convolution" means the cross-correlation of deep learning.

    Attributes:
        window: see `layers.ConvFamily`.
        eigenvectors: whether phi is trained in addition to the eigenvalues.
        phi: the distribution of phi, as in `layers.Spectral`; by default normal with the standard deviation
            sqrt(2 / (channels_in size of window)) (He).
        lambda_in: the distribution of lambda_in.
        lambda_out: the distribution of lambda_out.
        use_bias: whether there is a bias for each channel, starting at 0.

    Raises:
        InputError: if the window, an option or a distribution is not allowed.

    References:
        The formula on channels is this project's: the convolution released with SpectralTools multiplies the last axis
        of its output, which is not the channels'.

    Example:
        >>> import jax
        >>> family = SpectralConv((3, 3))
        >>> params = family.init(jax.random.key(0), 3, 8)
        >>> family.apply(params, jnp.ones((28, 28, 3))).shape, family.num_parameters(3, 8)
        ((28, 28, 8), 19)
    """

    _: dataclasses.KW_ONLY
    eigenvectors: Literal["frozen", "trained"] = "frozen"
    phi: str | None = None
    lambda_in: str = "uniform:0.97"
    lambda_out: str = "uniform:0.13"
    use_bias: bool = True

    def __post_init__(self) -> None:
        """Check geometry and options."""
        super().__post_init__()
        if self.eigenvectors not in ("frozen", "trained"):
            raise InputError(
                f"unknown eigenvectors {self.eigenvectors!r} of a spectral convolution; allowed: frozen, trained"
            )
        _, first, last = self._distributions()
        if first == last and first.kind == "constant":
            raise InputError(
                f"lambda_in and lambda_out are both {self.lambda_in}, so that the kernel is 0; change one of them"
            )

    def _distributions(self) -> tuple[Distribution | None, Distribution, Distribution]:
        return (
            None if self.phi is None else parse_distribution(self.phi, what="phi"),
            parse_distribution(self.lambda_in, what="lambda_in"),
            parse_distribution(self.lambda_out, what="lambda_out"),
        )

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> SpectralConvParams:
        """Draw eigenvalues and phi; a number of modes is ignored."""
        del modes
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        block, first, last = self._distributions()
        phi_key, in_key, out_key = subkeys(key, 3)
        drawn = []
        for place_key in subkeys(phi_key, self.places):
            if block is None:
                unit = draw_matrix(place_key, Distribution("normal", 1.0), fan_in, fan_out)
                drawn.append(unit * jnp.sqrt(2 / (self.places * fan_in.size)))
            else:
                drawn.append(draw_matrix(place_key, block, fan_in, fan_out))
        return SpectralConvParams(
            draw_vector(in_key, first, fan_in, fan_out),
            draw_vector(out_key, last, fan_out, fan_in),
            jnp.stack(drawn, axis=-1).reshape(fan_out.capacity, fan_in.capacity, *self.window),
            jnp.zeros(fan_out.capacity) if self.use_bias else None,
        )

    def kernel(self, params: SpectralConvParams) -> Float[Array, "channels_out channels_in ..."]:
        """Return (lambda_in - lambda_out) phi for every window entry."""
        difference = params.lambda_in[None, :] - params.lambda_out[:, None]
        return difference.reshape(*difference.shape, *(1,) * self.space) * params.phi

    def trainable(self, params: SpectralConvParams) -> SpectralConvParams:
        """Mark the eigenvalues, the bias and, with `eigenvectors`, phi."""
        moving = (True, True, self.eigenvectors == "trained", None if params.bias is None else True)
        return SpectralConvParams(*moving)  # pyright: ignore[reportArgumentType]
