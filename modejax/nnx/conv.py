"""Convolutions that replace `nnx.Conv`, by modes or by eigenvalues of the channels.

Examples have their channels last, as in Flax and in the families.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import jax.numpy as jnp
from flax import nnx
from flax.typing import PaddingLike
from jaxtyping import Array, Float

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.nnx.base import Frozen, LayerModule, Options
from modejax.nnx.linear import with_bias

__all__ = ["ModeConv", "SpectralConv"]

Sizes = int | Sequence[int]


class _Conv(LayerModule):
    def _set_geometry(
        self, kernel_size: Sizes, strides: Sizes | None, padding: PaddingLike, input_dilation: Sizes, dilation: Sizes
    ) -> None:
        self.kernel_size = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)
        space = len(self.kernel_size)
        self.strides = _each(1 if strides is None else strides, space)
        self.input_dilation = _each(input_dilation, space)
        self.kernel_dilation = _each(dilation, space)
        self.padding = _pairs(padding, space)

    def _geometry(self) -> dict[str, Any]:
        # Other paddings of Flax are added to the input before a VALID convolution.
        padding = "VALID" if self.padding in _ADDED else self.padding
        return {
            "window": self.kernel_size,
            "strides": self.strides,
            "padding": padding,
            "kernel_dilation": self.kernel_dilation,
            "input_dilation": self.input_dilation,
        }

    def __call__(self, inputs: Float[Array, "*batch in_features"]) -> Float[Array, "*batch out_features"]:
        """Convolve examples (*batch, *space, in_features), the batch with any number of axes, also none.

        Args:
            inputs: channels last.

        Returns:
            Shape (*batch, *space, out_features).

        Raises:
            InputError: if the shape does not fit.
        """
        return self._apply(inputs)

    def _prepared(self, inputs: Float[Array, "*batch in_features"]) -> Float[Array, "*batch in_features"]:
        if self.padding in _ADDED:
            reach = [(n - 1) * d for n, d in zip(self.kernel_size, self.kernel_dilation, strict=True)]
            pads = [(n, 0) if self.padding == "CAUSAL" else (n // 2, (n + 1) // 2) for n in reach]
            batch = ((0, 0),) * (inputs.ndim - 1 - len(pads))
            inputs = jnp.pad(inputs, [*batch, *pads, (0, 0)], mode=_ADDED[self.padding])  # pyright: ignore
        return inputs


class ModeConv(_Conv):
    """A convolution whose kernel is a sum of P modes, each a filter over all input channels and a vector of channels.

    Variables: `xi_out` (out_features, modes), `sigma` (modes,), `xi_in` (modes, in_features, *window), `bias`; frozen
    `active`.

    Args:
        in_features: input channels; an `Extent` for padded numbers under `nnx.vmap`.
        out_features: output channels, likewise.
        kernel_size: the window, an integer for one dimension of space.
        modes: the number of modes P.
        strides: as in `nnx.Conv`.
        padding: as in `nnx.Conv`: SAME, VALID, CIRCULAR, REFLECT, CAUSAL, or numbers.
        input_dilation: as in `nnx.Conv`.
        kernel_dilation: as in `nnx.Conv`.
        rngs: as in `ModeLinear`.
        **options: see `Options`.

    Raises:
        InputError: if a size, the padding or an option is not allowed.

    References:
        See `modejax.layers.ModeConv`.

    Example:
        >>> layer = ModeConv(8, 4, (3,), modes=2, strides=2, rngs=nnx.Rngs(0))
        >>> layer.num_parameters()
        62
    """

    xi_out: nnx.Param
    sigma: nnx.Param
    xi_in: nnx.Param
    active: Frozen

    def __init__(
        self,
        in_features: int | Extent,
        out_features: int | Extent,
        kernel_size: Sizes,
        modes: int | Extent,
        strides: Sizes | None = 1,
        *,
        padding: PaddingLike = "SAME",
        input_dilation: Sizes = 1,
        kernel_dilation: Sizes = 1,
        rngs: nnx.Rngs,
        **options: Unpack[Options],
    ) -> None:
        self._set_geometry(kernel_size, strides, padding, input_dilation, kernel_dilation)
        family = with_bias(layers.ModeConv(**self._geometry()), options.get("use_bias", True))
        super().__init__(in_features, out_features, family, modes, rngs=rngs, **options)


class SpectralConv(_Conv):
    """A convolution whose channels have eigenvalues, K_oi = (lambda_in_i - lambda_out_o) phi_oi.

    Variables: `lambda_in` (in_features,), `lambda_out` (out_features,), `phi` (out_features, in_features, *window),
    `Frozen` unless trained, `bias`.

    Args:
        in_features: input channels; an `Extent` for padded numbers under `nnx.vmap`.
        out_features: output channels, likewise.
        kernel_size: the window, an integer for one dimension of space.
        strides: as in `nnx.Conv`.
        eigenvectors: `trained` to also train phi.
        padding: as in `ModeConv`.
        input_dilation: as in `nnx.Conv`.
        kernel_dilation: as in `nnx.Conv`.
        rngs: as in `ModeLinear`.
        **options: see `Options`.

    Raises:
        InputError: if a size, the padding or an option is not allowed.

    References:
        See `modejax.layers.SpectralConv`.

    Example:
        >>> SpectralConv(8, 4, (3,), rngs=nnx.Rngs(0)).num_parameters()
        16
    """

    lambda_in: nnx.Param
    lambda_out: nnx.Param
    phi: nnx.Variable

    def __init__(
        self,
        in_features: int | Extent,
        out_features: int | Extent,
        kernel_size: Sizes,
        strides: Sizes | None = 1,
        *,
        eigenvectors: Literal["frozen", "trained"] = "frozen",
        padding: PaddingLike = "SAME",
        input_dilation: Sizes = 1,
        kernel_dilation: Sizes = 1,
        rngs: nnx.Rngs,
        **options: Unpack[Options],
    ) -> None:
        self._set_geometry(kernel_size, strides, padding, input_dilation, kernel_dilation)
        use_bias = options.get("use_bias", True)
        family = layers.SpectralConv(eigenvectors=eigenvectors, use_bias=use_bias, **self._geometry())
        super().__init__(in_features, out_features, family, rngs=rngs, **options)


_ADDED = {"CIRCULAR": "wrap", "REFLECT": "reflect", "CAUSAL": "constant"}


def _each(value: Sizes, space: int) -> tuple[int, ...]:
    return (value,) * space if isinstance(value, int) else tuple(value)


def _pairs(padding: PaddingLike, space: int) -> str | tuple[tuple[int, int], ...]:
    """Return the padding of Flax as a name or as pairs of numbers."""
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID", *_ADDED) or (padding == "CAUSAL" and space != 1):
            raise InputError(
                f"padding {padding!r} is not known for {space} dimensions of space; allowed: SAME, VALID, CIRCULAR, "
                "REFLECT, CAUSAL (one dimension), or numbers"
            )
        return padding
    return tuple((p, p) if isinstance(p, int) else tuple(p) for p in _each(padding, space))  # pyright: ignore
