"""From `nnx.Linear` and `nnx.Conv` to modes or eigenvalues, and back."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Float

from modejax.errors import InputError
from modejax.layers import (
    BiasedParams,
    LayerParams,
    SingularModes,
    low_rank_from_modes,
    mode_from_modes,
    singular_modes,
    spectral_conv_from_kernel,
    spectral_from_kernel,
)
from modejax.layers.spectral import VariantName
from modejax.nnx.base import LayerModule
from modejax.nnx.conv import ModeConv, SpectralConv
from modejax.nnx.linear import LowRankLinear, ModeLinear, SpectralLinear

__all__ = ["FAMILIES", "canonical_kernel", "from_dense", "to_dense"]

Family = Literal["mode", "low_rank", "spectral"]

FAMILIES = ("mode", "low_rank", "spectral")
"""The families that a dense layer can be turned into."""


def canonical_kernel(module: nnx.Linear | nnx.Conv) -> Float[np.ndarray, "out_features in_features ..."]:
    """Return the kernel of a dense module as (out_features, in_features, *window), on the host.

    Raises:
        InputError: if the module is another one, has a custom product, groups or a mask, its kernel has another shape
            than its sizes say (as in a stack of layers made by `nnx.vmap`), or kernel and bias differ in type.
    """
    if type(module) not in (nnx.Linear, nnx.Conv):  # a subclass may compute more than its kernel, as LoRALinear does
        raise InputError(f"only nnx.Linear and nnx.Conv can be turned into modes, got {type(module).__name__}")
    product = module.conv_general_dilated if isinstance(module, nnx.Conv) else module.dot_general
    if product not in (lax.dot_general, lax.conv_general_dilated) or module.preferred_element_type is not None:
        raise InputError(
            f"this {type(module).__name__} has a product of its own, which modes would lose; leave it dense"
        )
    window = ()
    if isinstance(module, nnx.Conv):
        if module.feature_group_count != 1:
            raise InputError(
                f"a convolution in {module.feature_group_count} groups has one kernel a group and no common modes; "
                "leave it dense"
            )
        if module.mask is not None:
            raise InputError("a masked convolution would lose its mask in modes; leave it dense")
        window = tuple(module.kernel_size)  # pyright: ignore[reportArgumentType]
    kernel = np.asarray(module.kernel[...])
    expected = (*window, module.in_features, module.out_features)
    if kernel.shape != expected:
        raise InputError(
            f"the kernel of this {type(module).__name__} has the shape {kernel.shape} instead of {expected}; "
            "take a stack of layers apart first"
        )
    if module.bias is not None and module.bias[...].dtype != kernel.dtype:
        raise InputError(
            f"kernel and bias have the types {kernel.dtype} and {module.bias[...].dtype}; convert them to one"
        )
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def from_dense(
    module: nnx.Linear | nnx.Conv,
    family: Family = "mode",
    *,
    modes: int | None = None,
    energy: float | None = None,
    variant: VariantName = "two_set",
    eigenvectors: Literal["frozen", "trained"] = "frozen",
    lambda_in: float | np.ndarray | None = None,
    lambda_out: float | np.ndarray | None = None,
    found: SingularModes | None = None,
) -> LayerModule:
    """Turn a trained dense module into one of modes or of eigenvalues.

    `mode` and `low_rank` keep the P leading singular values of the kernel, the best matrix of rank P, in the balanced
    gauge of `modejax.layers.from_kernel`; at full rank the function is that of the dense module up to rounding.
    `spectral` represents the kernel exactly, with phi = W / (lambda_in - lambda_out).

    Args:
        module: the dense module; it is not changed.
        family: `mode`, `low_rank` (no convolutions) or `spectral`.
        modes: the number of modes P; None for `energy`, or for the rank.
        energy: keep the least number of modes with this share of sum s^2, above 0 and up to 1.
        variant: variant of the spectral layer.
        eigenvectors: `trained` to also train phi.
        lambda_in: see `layers.spectral_from_kernel`.
        lambda_out: see `layers.spectral_from_kernel`.
        found: the decomposition of the kernel, if it is already known.

    Returns:
        `ModeLinear`, `ModeConv`, `LowRankLinear`, `SpectralLinear` or `SpectralConv`, with the bias, the types, the
        precision and the geometry of the dense module. Sharding metadata of the kernel is not carried over.

    Raises:
        InputError: if the family is unknown, `modes` is above the rank, an option belongs to another family, or the
            module cannot be converted (see `canonical_kernel`).

    Example:
        >>> dense = nnx.Linear(8, 4, rngs=nnx.Rngs(0))
        >>> x = jnp.ones((2, 8))
        >>> bool(jnp.allclose(from_dense(dense)(x), dense(x), atol=1e-5))
        True
    """
    if family not in FAMILIES:
        raise InputError(f"unknown family {family!r}; allowed: {', '.join(FAMILIES)}")
    kernel = canonical_kernel(module)
    bias = None if module.bias is None else jnp.copy(module.bias[...])  # a copy, in case buffers are donated
    common: dict[str, Any] = {
        "use_bias": bias is not None,
        "dtype": module.dtype,
        "param_dtype": kernel.dtype,
        "precision": module.precision,
        "promote_dtype": module.promote_dtype,
    }
    n_out, n_in = kernel.shape[:2]
    convolution = isinstance(module, nnx.Conv)
    if convolution:
        common |= {
            "kernel_size": module.kernel_size,
            "strides": module.strides,
            "padding": module.padding,
            "input_dilation": 1 if module.input_dilation is None else module.input_dilation,
            "kernel_dilation": 1 if module.kernel_dilation is None else module.kernel_dilation,
        }
    if family == "spectral":
        if modes is not None or energy is not None:
            raise InputError("modes and energy belong to the families mode and low_rank; a spectral layer has no modes")
        sets = {"lambda_in": lambda_in, "lambda_out": lambda_out}
        if convolution:
            given = {name: value for name, value in sets.items() if value is not None}
            params = spectral_conv_from_kernel(kernel, bias=bias, **given)
            return _made(SpectralConv, params, n_in, n_out, eigenvectors=eigenvectors, **common)
        params = spectral_from_kernel(kernel, variant, bias=bias, **sets)
        return _made(SpectralLinear, params, n_in, n_out, variant=variant, eigenvectors=eigenvectors, **common)
    if lambda_in is not None or lambda_out is not None:
        raise InputError(f"lambda_in and lambda_out belong to the family spectral, got family={family!r}")
    found = singular_modes(kernel) if found is None else found
    count = found.count(modes, energy)
    if family == "mode":
        params, kind = mode_from_modes(found, count), ModeConv if convolution else ModeLinear
    else:
        params, kind = low_rank_from_modes(found, count), LowRankLinear
    return _made(kind, params if bias is None else BiasedParams(params, bias), n_in, n_out, modes=count, **common)


def to_dense(module: LayerModule) -> nnx.Linear | nnx.Conv:
    """Turn a module of modes or eigenvalues into the dense module that it represents.

    Args:
        module: a module of `modejax.nnx`; it is not changed.

    Returns:
        `nnx.Linear` or `nnx.Conv` with the same bias, types, precision and geometry.

    Raises:
        InputError: if the module is another one.

    Example:
        >>> layer = ModeLinear(8, 4, modes=2, rngs=nnx.Rngs(0))
        >>> x = jnp.ones((2, 8))
        >>> bool(jnp.allclose(to_dense(layer)(x), layer(x), atol=1e-5))
        True
    """
    if not isinstance(module, LayerModule):
        raise InputError(f"to_dense takes a module of modejax.nnx, got {type(module).__name__}")
    common: dict[str, Any] = {
        name: getattr(module, name) for name in ("use_bias", "dtype", "param_dtype", "precision", "promote_dtype")
    }
    if isinstance(module, ModeConv | SpectralConv):
        padding = module.padding if isinstance(module.padding, str) else list(module.padding)
        dense = nnx.eval_shape(
            lambda: nnx.Conv(
                module.in_features,
                module.out_features,
                module.kernel_size,
                module.strides,
                padding=padding,
                input_dilation=module.input_dilation,
                kernel_dilation=module.kernel_dilation,
                rngs=nnx.Rngs(0),
                **common,
            )
        )
    else:
        dense = nnx.eval_shape(lambda: nnx.Linear(module.in_features, module.out_features, rngs=nnx.Rngs(0), **common))
    dense.kernel.set_value(module.kernel().astype(module.param_dtype))
    if dense.bias is not None:
        assert module.bias is not None
        dense.bias.set_value(jnp.copy(module.bias[...]))
    return dense


def _made(kind: type[LayerModule], params: LayerParams, n_in: int, n_out: int, **options: Any) -> Any:
    """Make a module with known parameters, without drawing initial values."""
    return kind(n_in, n_out, params=params, rngs=None, **options)
