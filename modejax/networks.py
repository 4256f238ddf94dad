"""Networks: layers put one behind the other, as pure functions over a tuple of layer parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.draws import normal_matrix, normal_vector, subkeys
from modejax.errors import InputError, choices
from modejax.extent import Extent, as_extent
from modejax.layers.base import Family, Modes, count_rows, dense_is_cheaper, over_rows, paper_scale

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Network",
    "Params",
    "TiedParams",
    "activations",
    "check_sizes",
    "mlp",
    "tied_mode_mlp",
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


class Network(NamedTuple):
    """A feed-forward network as pure functions.

    Attributes:
        init: `key -> params`.
        apply: `(params, x) -> logits` on the last axis of x, with any leading axes.
        between: `(params, h, start, stop) -> h`: maps number `start` to `stop - 1` (0 is the first) applied to the
            activations that enter map `start`, with any leading axes.
        activate: `(z, index) -> h`: the hidden activation after map `index`, 0 on padded units; the identity
            after the last map; any leading axes.
        kernels: `params -> tuple of W`, the dense matrices (fan_out, fan_in), first map first.
        modes: `params -> tuple of Modes or None`, one entry a map, None where a map is not a sum of modes.
        trainable: `params -> tree of bools`.
        penalty: `params -> scalar`, the sum over layers.
        num_parameters: `() -> int`, the number of trainable parameters.
        sizes: the extents of all layers of units, input and output included.
        biases: `params -> tuple of b or None`, one entry a map; None for a network without biases.
    """

    init: Callable[[PRNGKeyArray], Params]
    apply: Callable[[Params, Float[Array, "... features"]], Float[Array, "... outputs"]]
    between: Callable[[Params, Float[Array, "... units"], int, int], Float[Array, "... units"]]
    activate: Callable[[Float[Array, "... units"], int], Float[Array, "... units"]]
    kernels: Callable[[Params], tuple[Float[Array, "fan_out fan_in"], ...]]
    modes: Callable[[Params], tuple[Modes | None, ...]]
    trainable: Callable[[Params], Params]
    penalty: Callable[[Params], Float[Array, ""]]
    num_parameters: Callable[[], int]
    sizes: tuple[Extent, ...]
    biases: Callable[[Params], tuple[Float[Array, " fan_out"] | None, ...]] | None = None


def activations(sizes: Sequence[Extent], activation: str | Activation) -> Callable:
    """Return `(z, index) -> h`, masked where f(0) may not be 0 and there is padding."""
    if isinstance(activation, str) and activation not in ACTIVATIONS:
        raise InputError(f"unknown activation {activation!r}; allowed: {choices(ACTIVATIONS)}")
    function = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    keeps_zero = activation in _ZERO_AT_ZERO if isinstance(activation, str) else False

    def activate(z: Float[Array, "... units"], index: int) -> Float[Array, "... units"]:
        if index == len(sizes) - 2:
            return z
        size = sizes[index + 1]
        padded = not (isinstance(size.active, int) and size.active == size.capacity)
        if keeps_zero or not padded:
            return function(z)
        # Padded units are kept away from 0, where a function of the user's own may have no derivative.
        return over_rows(lambda z: jnp.where(size.mask, function(jnp.where(size.mask, z, 1)), 0), z)

    return activate


def check_sizes(sizes: Sequence[int | Extent]) -> tuple[Extent, ...]:
    """Return the sizes of a network's layers of units as extents, at least two of them."""
    if len(sizes) < 2:
        raise InputError(f"a network needs at least an input and an output size, got {sizes!r}")
    return tuple(as_extent(size) for size in sizes)


def mlp(
    sizes: Sequence[int | Extent],
    layer: Family | Sequence[Family],
    modes: int | Extent | Sequence[int | Extent | None] | None = None,
    activation: str | Activation = "relu",
) -> Network:
    """Make a multi-layer perceptron with logits out.

    Args:
        sizes: units in each layer, input and output included; ints or `Extent`s.
        layer: the family of every map, or one family a map.
        modes: the number of modes of every map, or one number a map; None for maps without. Families that take no
            number of modes ignore it.
        activation: a name of `ACTIVATIONS`, or an elementwise function.

    Returns:
        The network. Its parameters are the tuple of its maps' parameters.

    Raises:
        InputError: if a size, a number of modes or the activation is not allowed, or the number of families or of modes
            does not fit the sizes.

    Example:
        >>> from modejax import layers
        >>> network = mlp([784, 100, 100, 10], layers.Mode(), 30)
        >>> params = network.init(jax.random.key(0))
        >>> network.apply(params, jnp.ones((5, 784))).shape, network.num_parameters()
        ((5, 10), 35910)
    """
    extents = check_sizes(sizes)
    maps = len(extents) - 1
    placed = _placed(layer, modes, maps)
    activate = activations(extents, activation)

    def init(key: PRNGKeyArray) -> Params:
        keys = subkeys(key, maps)
        return tuple(
            family.init(keys[i], extents[i], extents[i + 1], count) for i, (family, count) in enumerate(placed)
        )

    def between(params: Params, h: Float[Array, "... units"], start: int, stop: int) -> Float[Array, "... units"]:
        for i in range(start, stop):
            h = activate(placed[i][0].apply(params[i], h), i)
        return h

    def each(name: str) -> Callable[[Params], tuple]:
        """Return the tuple over maps of what a method of the families says about their parameters."""
        return lambda params: tuple(
            getattr(family, name)(part) for (family, _), part in zip(placed, params, strict=True)
        )

    return Network(
        init=init,
        apply=lambda params, x: between(params, x, 0, maps),
        between=between,
        activate=activate,
        kernels=each("kernel"),
        modes=each("modes"),
        trainable=each("trainable"),
        penalty=lambda params: sum(each("penalty")(params), jnp.zeros(())),
        num_parameters=lambda: sum(
            family.num_parameters(extents[i], extents[i + 1], count) for i, (family, count) in enumerate(placed)
        ),
        sizes=extents,
        biases=each("bias"),
    )


def _placed(
    layer: Family | Sequence[Family], modes: int | Extent | Sequence[int | Extent | None] | None, maps: int
) -> tuple[tuple[Family, Extent | None], ...]:
    """Return the family of each map with its number of modes."""
    families = (layer,) * maps if isinstance(layer, Family) else tuple(layer)
    if len(families) != maps:
        raise InputError(f"{maps + 1} sizes have {maps} maps between them, got {len(families)} layers")
    for family in families:
        if not isinstance(family, Family):
            raise InputError(f"a layer must be a family such as layers.Mode(), got {family!r}")
    counts = tuple(modes) if isinstance(modes, Sequence) else (modes,) * maps
    if len(counts) != maps:
        raise InputError(f"{maps + 1} sizes have {maps} maps between them, got {len(counts)} numbers of modes")
    found = []
    for family, count in zip(families, counts, strict=True):
        if count is None and family.takes_modes == "required":
            raise InputError(f"{type(family).__name__} needs a number of modes, got None; give modes")
        ignored = count is None or family.takes_modes == "none"
        found.append((family, None if ignored else as_extent(count)))
    return tuple(found)


class TiedParams(NamedTuple):
    """Parameters of a tied network: one pattern set for each layer of units."""

    patterns: tuple[Float[Array, "modes units"], ...]  # input, hidden ..., output
    sigma: tuple[Float[Array, " modes"], ...]  # one a map
    active: Bool[Array, " modes"]  # frozen; False on padding


def tied_mode_mlp(
    sizes: Sequence[int | Extent],
    modes: int | Extent,
    activation: str | Activation = "relu",
) -> Network:
    """Make the tied (1L1P) mode network: neighbouring maps share the patterns of the layer between them.

    W^l = patterns[l]^T diag(sigma[l-1]) patterns[l-1], l = 1 ... L. Initial values ~ Normal(0, s^2) with
    s = (N ln N)^(-1/6): N is the layer's own size for its pattern set (the output's set takes the size of the last
    hidden layer) and the fan-in for the Sigmas.

    Args:
        sizes: units in each layer, input and output included; ints or `Extent`s.
        modes: the number of modes P, the same in all maps.
        activation: a name of `ACTIVATIONS`, or an elementwise function.

    Returns:
        The network.

    Raises:
        InputError: if a size, the number of modes or the activation is not allowed.

    References:
        Li and Huang, arXiv 2208.09859; initial values of its reference code (Fig2/MDL-1L1P.py).

    Example:
        >>> tied_mode_mlp([784, 100, 100, 10], 30).num_parameters()
        29910
    """
    extents = check_sizes(sizes)
    p = as_extent(modes)
    maps = len(extents) - 1
    activate = activations(extents, activation)

    def init(key: PRNGKeyArray) -> TiedParams:
        patterns, sigma = [], []
        for i, (size, size_key) in enumerate(zip(extents, subkeys(key, len(extents)), strict=True)):
            pattern_key, sigma_key = subkeys(size_key, 2)
            std = paper_scale(extents[min(i, maps - 1)])
            patterns.append(std * normal_matrix(pattern_key, p, size))
            if i < maps:
                sigma.append(std * normal_vector(sigma_key, p))
        return TiedParams(tuple(patterns), tuple(sigma), p.mask)

    def kernel(params: TiedParams, i: int) -> Float[Array, "fan_out fan_in"]:
        return (params.patterns[i + 1].T * params.sigma[i][None, :]) @ params.patterns[i]

    def one(params: TiedParams, h: Float[Array, " units"], i: int, rows: int) -> Float[Array, " units"]:
        if dense_is_cheaper(extents[i].capacity, extents[i + 1].capacity, p.capacity, rows):
            return kernel(params, i) @ h
        return params.patterns[i + 1].T @ (params.sigma[i] * (params.patterns[i] @ h))

    def between(params: TiedParams, h: Float[Array, "... units"], start: int, stop: int) -> Float[Array, "... units"]:
        rows = count_rows(h)
        for i in range(start, stop):
            h = activate(over_rows(lambda row, i=i: one(params, row, i, rows), h), i)
        return h

    def to_modes(params: TiedParams) -> tuple[Modes | None, ...]:
        return tuple(
            Modes(params.patterns[i + 1].T, params.sigma[i], params.patterns[i], params.active) for i in range(maps)
        )

    def trainable(params: TiedParams) -> TiedParams:
        del params
        return TiedParams((True,) * (maps + 1), (True,) * maps, False)  # pyright: ignore[reportArgumentType]

    return Network(
        init=init,
        apply=lambda params, x: between(params, x, 0, maps),
        between=between,
        activate=activate,
        kernels=lambda params: tuple(kernel(params, i) for i in range(maps)),
        modes=to_modes,
        trainable=trainable,
        penalty=lambda params: jnp.zeros(()),
        num_parameters=lambda: p.known("num_parameters") * (sum(n.known("num_parameters") for n in extents) + maps),
        sizes=extents,
    )
