"""The base classes of networks: `Network`, a record with `init` and `apply`, and `Chain`, a chain of weight maps."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.errors import InputError, choices
from modejax.extent import Extent, as_extent
from modejax.layers.base import Modes, dense_is_cheaper

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Chain",
    "Network",
    "Params",
    "WeightMap",
    "activate",
    "check_activation",
    "check_sizes",
    "padded",
]

Params = Any
"""The parameters of one network: a pytree of arrays."""

Activation = Callable[[Float[Array, "..."]], Float[Array, "..."]]

ACTIVATIONS: dict[str, Activation] = {
    "elu": jax.nn.elu,
    "erf": lambda z: jax.lax.erf(z * 0.5**0.5),
    "gelu": jax.nn.gelu,
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}
"""Hidden activations by name. erf is erf(z / sqrt 2); the derivative of relu at 0 is 0."""

_ZERO_AT_ZERO = {"elu", "erf", "gelu", "identity", "relu", "tanh"}


class WeightMap(NamedTuple):
    """One weight map of a network."""

    kernel: Float[Array, "fan_out fan_in ..."]
    bias: Float[Array, " fan_out"] | None  # None for a map without a bias
    modes: Modes | None  # None if the kernel is not a sum of modes


class Network(abc.ABC):
    """A network as pure functions over a pytree of parameters.

    A subclass defines `init` and `apply`. It should be a frozen dataclass, so that networks are compared by value. All
    other methods have defaults; `map_names`, `kernels`, `modes` and `cut` together give a network its truncation
    curves.

    Example:
        >>> import dataclasses
        >>> @dataclasses.dataclass(frozen=True)
        ... class Linear(Network):
        ...     features: int
        ...
        ...     def init(self, key):
        ...         return jax.random.normal(key, (self.features,))
        ...
        ...     def apply(self, params, x):
        ...         return (x @ params)[..., None]
        >>> Linear(3).num_parameters()
        3
    """

    @abc.abstractmethod
    def init(self, key: PRNGKeyArray) -> Params:
        """Draw the parameters.

        Args:
            key: a scalar PRNG key.

        Returns:
            A pytree of arrays. Entries that are padding are exactly 0, and all others depend only on the key and on
            their indices, not on the padded size.
        """

    @abc.abstractmethod
    def apply(self, params: Params, x: Float[Array, "*rows features"]) -> Float[Array, "*rows outputs"]:
        """Compute the outputs.

        Args:
            params: the parameters.
            x: inputs of shape (..., features).

        Returns:
            Logits, or real values in a regression, of shape (..., outputs).
        """

    def trainable(self, params: Params) -> Any:
        """Return a tree of bools of the structure of `params`; by default every floating-point leaf is trained."""
        return jax.tree.map(lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating), params)

    def penalty(self, params: Params) -> Float[Array, ""]:
        """Return the penalty, shape (); by default 0."""
        del params
        return jnp.zeros(())

    def num_parameters(self) -> int:
        """Return the number of trained parameters; by default counted from the shapes."""
        shapes = jax.eval_shape(self.init, jax.random.key(0))
        trained = jax.tree.leaves(self.trainable(shapes))
        pairs = zip(jax.tree.leaves(shapes), trained, strict=True)
        return sum(math.prod(leaf.shape) for leaf, moves in pairs if moves)

    @property
    def map_names(self) -> tuple[str, ...]:
        """The names of the weight maps, in the order in which they act; empty for a network without named maps."""
        return ()

    def kernels(self, params: Params) -> tuple[Float[Array, "fan_out fan_in ..."], ...]:
        """Return the dense kernel (fan_out, fan_in, *window) of every named map."""
        del params
        return ()

    def biases(self, params: Params) -> tuple[Float[Array, " fan_out"] | None, ...]:
        """Return the bias of every named map; None for a map without a bias."""
        del params
        return (None,) * len(self.map_names)

    def modes(self, params: Params) -> tuple[Modes | None, ...]:
        """Return the modes of every named map; None for a map that is not a sum of modes."""
        del params
        return (None,) * len(self.map_names)

    def cut(self, params: Params, keep: Sequence[Bool[Array, " modes"] | None]) -> Params:
        """Return parameters with only some of the modes.

        Args:
            params: the parameters.
            keep: for every named map a bool for each of its modes, True to keep it; None keeps the whole map.

        Returns:
            Parameters of the same structure.

        Raises:
            InputError: if the network cannot be cut.
        """
        del params, keep
        raise InputError(f"{type(self).__name__} defines no `cut`, which truncation curves need")

    def maps(self, params: Params) -> dict[str, WeightMap]:
        """Return kernel, bias and modes of every map by its name.

        Args:
            params: the parameters.

        Returns:
            One entry for each map, in the order in which they act.
        """
        parts = zip(self.kernels(params), self.biases(params), self.modes(params), strict=True)
        return {name: WeightMap(*each) for name, each in zip(self.map_names, parts, strict=True)}


class Chain(Network):
    """A network of consecutive stages; each is a weight map followed by further operations.

    Stage i takes h to `finish(params, z, h, i)` with z = W_i h + b_i. Truncation curves of a chain reuse partial
    results, and its hidden nodes can be pruned. The units of a stage are on the last axis of h; the positions of a
    convolution are on the axes before it.
    """

    @property
    @abc.abstractmethod
    def units(self) -> tuple[Extent, ...]:
        """The extents of the units (channels of a convolution) of input, hidden layers and output."""

    @abc.abstractmethod
    def enter(self, x: Float[Array, "*rows features"]) -> Float[Array, "*rows ... units"]:
        """Bring inputs to the shape that the first map takes."""

    @abc.abstractmethod
    def through(self, params: Params, h: Float[Array, "*rows ... units"], index: int) -> Float[Array, "*rows ... out"]:
        """Return z = W h + b for the map with this index, from 0."""

    @abc.abstractmethod
    def finish(
        self, params: Params, z: Float[Array, "*rows ... out"], h: Float[Array, "*rows ... units"], index: int
    ) -> Float[Array, "*rows ... out"]:
        """Return the input of the next stage, from z and the input h of this stage; padded units are 0."""

    def between(
        self, params: Params, h: Float[Array, "*rows ... units"], start: int, stop: int
    ) -> Float[Array, "*rows ... out"]:
        """Apply the stages `start` to `stop - 1`, counted from 0."""
        for index in range(start, stop):
            h = self.finish(params, self.through(params, h, index), h, index)
        return h

    def apply(self, params: Params, x: Float[Array, "*rows features"]) -> Float[Array, "*rows outputs"]:
        """Compute the outputs."""
        return self.between(params, self.enter(x), 0, len(self.map_names))

    def by_kernel(
        self, kernel: Float[Array, "fan_out fan_in ..."], h: Float[Array, "*rows ... units"], index: int
    ) -> Float[Array, "*rows ... out"]:
        """Return W h with a given kernel W in place of that of the map `index`."""
        del index
        return h @ kernel.T

    def mode_inputs(
        self, modes: Modes, h: Float[Array, "rows ... units"], index: int
    ) -> Float[Array, "modes rows ..."]:
        """Return Sigma_mu xi_in_mu . h for each mode of the map `index` and each row of h."""
        del index
        return (modes.weight[:, None] * modes.xi_in) @ h.T

    def by_modes(self, modes: Modes, h: Float[Array, "rows ... units"], index: int) -> Float[Array, "rows ... out"]:
        """Return W h with a given sum of modes W in place of the map `index`."""
        del index
        fan_out, count = modes.xi_out.shape
        if dense_is_cheaper(modes.xi_in.shape[1], fan_out, count, h.shape[0]):
            return h @ ((modes.xi_out * modes.weight[None, :]) @ modes.xi_in).T
        return ((h @ modes.xi_in.T) * modes.weight[None, :]) @ modes.xi_out.T


def padded(size: Extent) -> bool:
    """Return whether a size has, or may have, padding."""
    return not (isinstance(size.active, int) and size.active == size.capacity)


def check_activation(activation: str | Activation) -> None:
    """Refuse an activation that is neither a name of `ACTIVATIONS` nor a function.

    Raises:
        InputError: if it is neither.
    """
    if isinstance(activation, str) and activation not in ACTIVATIONS:
        raise InputError(f"unknown activation {activation!r}; allowed: {choices(ACTIVATIONS)}")
    if not isinstance(activation, str) and not callable(activation):
        raise InputError(f"an activation is a name or a function, got {activation!r}; allowed: {choices(ACTIVATIONS)}")


def activate(activation: str | Activation, z: Float[Array, "*rows units"], size: Extent) -> Float[Array, "*rows units"]:
    """Apply an elementwise function, and keep padded units at 0 also if f(0) is not 0.

    Args:
        activation: a name of `ACTIVATIONS`, or a function.
        z: values of the units, with the units on the last axis.
        size: the extent of the units.

    Returns:
        The activations, of the shape of z.

    Example:
        >>> activate("sigmoid", jnp.zeros(3), Extent(3, 2)).tolist()
        [0.5, 0.5, 0.0]
    """
    function = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    keeps_zero = activation in _ZERO_AT_ZERO if isinstance(activation, str) else False
    if keeps_zero or not padded(size):
        return function(z)
    mask = jnp.broadcast_to(size.mask, z.shape)
    # The function is not evaluated at 0 for padded units, since a custom function may have no derivative there.
    return jnp.where(mask, function(jnp.where(mask, z, 1)), 0)


def check_sizes(sizes: Sequence[int | Extent]) -> tuple[Extent, ...]:
    """Return the sizes of a network's layers of units as extents, at least two of them."""
    if len(sizes) < 2:
        raise InputError(f"a network needs at least an input and an output size, got {sizes!r}")
    return tuple(as_extent(size) for size in sizes)
