"""Linear maps over the last axis that replace `nnx.Linear`, by modes, two factors or eigenvalues."""

from __future__ import annotations

from typing import Literal, Unpack

from flax import nnx
from jaxtyping import Array, Float

from modejax import layers
from modejax.extent import Extent
from modejax.layers.spectral import VariantName
from modejax.nnx.base import Frozen, LayerModule, Options

__all__ = ["LowRankLinear", "ModeLinear", "SpectralLinear"]


class _Linear(LayerModule):
    def __call__(self, inputs: Float[Array, "*batch in_features"]) -> Float[Array, "*batch out_features"]:
        """Apply the map over the last axis.

        Args:
            inputs: shape (..., in_features), any number of leading axes.

        Returns:
            The same leading axes.

        Raises:
            InputError: if the last axis has another size.
        """
        return self._apply(inputs)


class ModeLinear(_Linear):
    """The mode layer y = xi_out (sigma * (xi_in x)) + b, computed mode by mode or by its kernel, whichever is cheaper.

    Variables: `xi_out` (out_features, modes), `sigma` (modes,), `xi_in` (modes, in_features), `bias` (out_features,);
    frozen `active` (modes,), False on padding, and `scale` in the gauges `scaled` and `width_free`.

    Args:
        in_features: inputs; an `Extent` for padded widths under `nnx.vmap`.
        out_features: outputs, likewise.
        modes: the number of modes P, likewise.
        gauge: see `layers.Mode`.
        rngs: the stream `params` is used once for the factors, once for each initialiser given, and once for the bias.
        **options: see `Options`.

    Raises:
        InputError: if a size, the gauge or an option is not allowed.

    References:
        See `modejax.layers.Mode`.

    Example:
        >>> layer = ModeLinear(8, 4, modes=2, rngs=nnx.Rngs(0))
        >>> layer.num_parameters(), layer.kernel().shape
        (30, (8, 4))
    """

    xi_out: nnx.Param
    sigma: nnx.Param
    xi_in: nnx.Param
    active: Frozen

    def __init__(
        self,
        in_features: int | Extent,
        out_features: int | Extent,
        modes: int | Extent,
        *,
        gauge: Literal["plain", "scaled", "width_free"] = "plain",
        rngs: nnx.Rngs,
        **options: Unpack[Options],
    ) -> None:
        family = with_bias(layers.Mode(gauge=gauge), options.get("use_bias", True))
        super().__init__(in_features, out_features, family, modes, rngs=rngs, **options)


class LowRankLinear(_Linear):
    """The two-factor layer y = xi_out (xi_in x) + b.

    Variables: `xi_out` (out_features, modes), `xi_in` (modes, in_features), `bias`; frozen `active`.

    Args:
        in_features: inputs; an `Extent` for padded widths under `nnx.vmap`.
        out_features: outputs, likewise.
        modes: the number of modes P, likewise.
        start: see `layers.LowRank`.
        rngs: as in `ModeLinear`.
        **options: see `Options`.

    Raises:
        InputError: if a size, the start or an option is not allowed.

    Example:
        >>> LowRankLinear(8, 4, modes=2, use_bias=False, rngs=nnx.Rngs(0)).num_parameters()
        24
    """

    xi_out: nnx.Param
    xi_in: nnx.Param
    active: Frozen

    def __init__(
        self,
        in_features: int | Extent,
        out_features: int | Extent,
        modes: int | Extent,
        *,
        start: Literal["he", "released"] = "he",
        rngs: nnx.Rngs,
        **options: Unpack[Options],
    ) -> None:
        family = with_bias(layers.LowRank(start=start), options.get("use_bias", True))
        super().__init__(in_features, out_features, family, modes, rngs=rngs, **options)


class SpectralLinear(_Linear):
    """The spectral layer y_i = sum_j (lambda_in_j - lambda_out_i) phi_ij x_j + b_i.

    Variables: `lambda_in`, `lambda_out`, `phi` (out_features, in_features) or its factors `phi_r`, `phi_q` or `phi_u`,
    `phi_s`, `phi_v`, `bias`; which are trained and which are `Frozen` follows from variant and options.

    Args:
        in_features: inputs; an `Extent` for padded widths under `nnx.vmap`.
        out_features: outputs, likewise.
        variant: a name of `layers.SPECTRAL_VARIANTS`.
        eigenvectors: `trained` to also train the matrix phi.
        start: a name of `layers.SPECTRAL_STARTS`; None for the default of the variant.
        rngs: as in `ModeLinear`.
        **options: see `Options`.

    Raises:
        InputError: if a size, a name or an option is not allowed.

    References:
        See `modejax.layers.Spectral`.

    Example:
        >>> layer = SpectralLinear(8, 4, rngs=nnx.Rngs(0))
        >>> layer.num_parameters(), type(layer.phi).__name__
        (16, 'Frozen')
    """

    lambda_in: nnx.Variable
    lambda_out: nnx.Variable

    def __init__(
        self,
        in_features: int | Extent,
        out_features: int | Extent,
        *,
        variant: VariantName = "two_set",
        eigenvectors: Literal["frozen", "trained"] = "frozen",
        start: str | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[Options],
    ) -> None:
        use_bias = options.get("use_bias", True)
        family = layers.Spectral(variant, eigenvectors=eigenvectors, start=start, use_bias=use_bias)
        super().__init__(in_features, out_features, family, rngs=rngs, **options)


def with_bias(family: layers.Family, bias: bool) -> layers.Family:
    """Add a bias to a family without one, if requested."""
    return layers.Biased(family) if bias else family
