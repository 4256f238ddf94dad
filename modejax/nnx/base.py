"""The base of all modules: a family of `modejax.layers` whose arrays are NNX variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn import dtypes
from flax.typing import Dtype, Initializer, PrecisionLike
from jaxtyping import Array, Float

from modejax.errors import InputError, choices
from modejax.extent import Extent, as_extent
from modejax.layers import Family, LayerParams

__all__ = ["Frozen", "LayerModule", "Options"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Frozen(nnx.Variable):
    """An array of a layer that is not trained: an eigenvector, a fixed factor, a mask of padding.

    It is no `nnx.Param`, so `nnx.Optimizer(model, tx, wrt=nnx.Param)` and `nnx.grad` ignore it and keep no state for
    it.
    """


class Options(TypedDict, total=False):
    """Options of every module, with the names that `nnx.Linear` uses.

    Attributes:
        use_bias: whether a bias is added; True by default.
        dtype: the dtype of the computation; by default the promoted dtype of input and parameters.
        param_dtype: the dtype of the parameters; float32 by default.
        precision: the precision of matrix products, a name or `jax.lax.Precision`.
        promote_dtype: the function that promotes input and parameters to one dtype.
        factor_init: initialisers `(key, shape, dtype)` by the name of a factor, such as {"sigma": ones}; all other
            factors are initialised by the family.
        bias_init: the initialiser of the bias; zeros by default.
        factor_metadata: keyword arguments of the variables by the name of a factor, such as {"xi_in": {"out_sharding":
            (None, "data")}}.
        bias_metadata: keyword arguments of the variable of the bias.
    """

    use_bias: bool
    dtype: Dtype | None
    param_dtype: Dtype
    precision: PrecisionLike
    promote_dtype: Callable[..., Any]
    factor_init: Mapping[str, Initializer]
    bias_init: Initializer
    factor_metadata: Mapping[str, Mapping[str, Any]]
    bias_metadata: Mapping[str, Any]


class LayerModule(nnx.Module):
    """A family as an NNX module: each trained array is a `nnx.Param`, each fixed one a `Frozen`, named as the field.

    Attributes:
        family: the family that the module applies, bias included.
        modes: the padded number of modes; None for a family without modes.
        bias: the bias; None without a bias.
        structure: shapes of the functional parameters.
    """

    bias: nnx.Param | None

    def __init__(
        self,
        in_features: int | Extent,
        out_features: int | Extent,
        family: Family,
        modes: int | Extent | None = None,
        *,
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        promote_dtype: Callable[..., Any] = dtypes.promote_dtype,
        factor_init: Mapping[str, Initializer] = _NOTHING,
        bias_init: Initializer = nnx.initializers.zeros_init(),
        factor_metadata: Mapping[str, Mapping[str, Any]] = _NOTHING,
        bias_metadata: Mapping[str, Any] = _NOTHING,
        params: LayerParams | None = None,
        rngs: nnx.Rngs | None,
    ) -> None:
        # With `params` nothing is drawn, not even the bias.
        n_in, n_out = as_extent(in_features), as_extent(out_features)
        self.in_features, self.out_features = n_in.capacity, n_out.capacity
        self.family, self.use_bias = family, use_bias
        self.modes = None if modes is None else as_extent(modes).capacity
        self.dtype, self.param_dtype, self.precision = dtype, param_dtype, precision
        self.promote_dtype = promote_dtype
        _precision_name(precision)
        start = params
        if start is None:
            assert rngs is not None
            start = family.init(rngs.params(), n_in, n_out, modes)
        self.structure = nnx.static(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), start))
        named, trained = dict(_named(start)), dict(_named(family.trainable(start)))
        for what, given in (("factor_init", factor_init), ("factor_metadata", factor_metadata)):
            unknown = [name for name in given if named.get(name) is None or name == "bias"]
            if unknown:
                allowed = choices(name for name, value in named.items() if value is not None and name != "bias")
                raise InputError(f"{what} names {unknown[0]!r}, which this layer has not; allowed: {allowed}")
        if factor_init and any(isinstance(size, Extent) for size in (in_features, out_features)):
            raise InputError("factor_init would fill the padding of an Extent; give integers or leave it out")
        for name, value in named.items():
            if value is None:
                setattr(self, name, nnx.data(None))
                continue
            metadata = factor_metadata.get(name, _NOTHING)
            if name == "bias":
                metadata = bias_metadata
                if rngs is not None:
                    value = jnp.where(n_out.mask, bias_init(rngs.params(), value.shape, param_dtype), 0)
            elif name in factor_init and rngs is not None:
                value = factor_init[name](rngs.params(), value.shape, param_dtype)
            if jnp.issubdtype(value.dtype, jnp.floating):
                value = value.astype(param_dtype)
            setattr(self, name, (nnx.Param if trained[name] else Frozen)(value, **metadata))
        if not use_bias:
            self.bias = nnx.data(None)

    def params(self) -> LayerParams:
        """Return the arrays as the functional parameters of `family`."""

        def read(name: str, shape: Any) -> Array:
            value = getattr(self, name)[...]
            if value.shape != shape.shape:
                raise InputError(
                    f"{name} of this {type(self).__name__} has the shape {value.shape}, but its sizes ask for "
                    f"{shape.shape}; was it restored from a checkpoint of another shape?"
                )
            return value

        return _filled(self.structure, read)

    def set_params(self, params: LayerParams) -> None:
        """Put functional parameters into the module, for example those of a sweep.

        Args:
            params: parameters of `family`, of the module's sizes.

        Raises:
            InputError: if the parameters belong to another layer or have other sizes, or their dtypes are mixed.
        """
        wanted = {name: shape for name, shape in _named(self.structure) if shape is not None}
        given = {name: value for name, value in _named(params) if value is not None}
        if wanted.keys() != given.keys():
            raise InputError(f"this layer has the arrays {choices(wanted)}, got {choices(given)}")
        floating = {str(each.dtype) for each in given.values() if jnp.issubdtype(each.dtype, jnp.floating)}
        if len(floating) > 1:
            raise InputError(f"parameters of mixed types {choices(floating)}; convert them to one")
        for name, value in given.items():
            if value.shape != wanted[name].shape:
                raise InputError(f"{name} must have the shape {wanted[name].shape} here, got {value.shape}")
        for name, value in given.items():
            kind = self.param_dtype if jnp.issubdtype(value.dtype, jnp.floating) else value.dtype
            getattr(self, name).set_value(jnp.asarray(value, kind))

    def num_parameters(self) -> int:
        """Return the number of trained parameters, bias included, padding included."""
        return self.family.num_parameters(self.in_features, self.out_features, self.modes)

    def kernel(self) -> Float[Array, "*window in_features out_features"]:
        """Return the dense kernel that the module represents, in the layout of `nnx.Linear` or `nnx.Conv`."""
        dense = self.family.kernel(self.params())
        return jnp.moveaxis(dense, (0, 1), (-1, -2))

    def _apply(self, inputs: Array) -> Array:
        """Apply the family to inputs with any leading axes, features (or channels) last."""
        space = self.family.space
        if inputs.ndim < 1 + space or inputs.shape[-1] != self.in_features:
            raise InputError(
                f"this {type(self).__name__} takes inputs (..., {'*space, ' * bool(space)}{self.in_features}), "
                f"got shape {inputs.shape}"
            )
        leaves, tree = jax.tree.flatten(self.params())
        floats = [leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else None for leaf in leaves]
        inputs, *cast = self.promote_dtype((inputs, *floats), dtype=self.dtype)
        params = tree.unflatten([old if new is None else new for old, new in zip(leaves, cast, strict=True)])
        with jax.default_matmul_precision(_precision_name(self.precision)):  # pyright: ignore[reportArgumentType]
            return self.family.apply(params, self._prepared(inputs))

    def _prepared(self, inputs: Array) -> Array:
        """Return the input of the family; a convolution adds the padding of Flax's padding modes."""
        return inputs


def _precision_name(precision: PrecisionLike) -> str | None:
    """Return the name of a precision for `jax.default_matmul_precision`."""
    if isinstance(precision, tuple):
        if precision[0] != precision[1]:
            raise InputError(f"precision must be one for both sides of a product here, got {precision!r}")
        precision = precision[0]
    return precision.name.lower() if isinstance(precision, jax.lax.Precision) else precision  # pyright: ignore


def _named(params: LayerParams, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names and arrays; those of factors inside a field `phi` are called `phi_...`."""
    for field, value in zip(params._fields, params, strict=True):
        if isinstance(value, tuple):
            yield from _named(value, prefix if field == "map" else f"{prefix}{field}_")
        else:
            yield prefix + field, value


def _filled(params: LayerParams, read: Callable[[str, Any], Any], prefix: str = "") -> LayerParams:
    """Return the tree with every array replaced by `read(name, array)`."""
    parts = []
    for field, value in zip(params._fields, params, strict=True):
        if isinstance(value, tuple):
            parts.append(_filled(value, read, prefix if field == "map" else f"{prefix}{field}_"))
        else:
            parts.append(None if value is None else read(prefix + field, value))
    return type(params)(*parts)
