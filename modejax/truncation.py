"""Cut a network back to some of its modes: scores, orders, and accuracy against modes kept.

Cuts to increasing numbers of modes share work. To cut one map, its input activations are computed once and the modes
are added to its output one after another; so the k-th cut costs one rank-one update and the maps after this one, not a
new pass through the network. To cut all maps together, these steps are shared for the first map; in the later maps the
weights of the modes that are cut are set to 0. A network that is no chain of maps is cut by its method `cut` and
evaluated completely each time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from modejax.draws import uniform_vector
from modejax.errors import InputError, choices
from modejax.extent import Extent
from modejax.layers.base import Modes
from modejax.networks.base import Chain, Network, Params
from modejax.training.loss import Loss, count_right, sum_loss

__all__ = [
    "SCORES",
    "Cut",
    "Order",
    "TruncationCurves",
    "gauge_free_size",
    "importance",
    "kept_curves",
    "mode_scores",
    "places_in_order",
    "ranked",
    "weight_size",
]

Order = Literal["importance", "weight", "size", "random"]
Cut = Literal["keep-leading", "remove-leading"]
Measure = Literal["right", "loss"]


def importance(modes: Modes) -> Float[Array, " modes"]:
    """Return tau_mu = gamma (||xi_out,mu|| + ||xi_in,mu||) + |Sigma_mu|, 0 on padding.

    gamma = mean |Sigma| / mean (||xi_out|| + ||xi_in||), means over the modes of the map, makes the two terms of one
    size. tau depends on how a mode is split between its factors; see `gauge_free_size`.

    Args:
        modes: the modes of one map.

    Returns:
        The importance of each mode, shape (modes,).

    References:
        Li and Huang, arXiv 2208.09859; definition of the reference code (Fig3/fig3.ipynb).

    Example:
        >>> modes = Modes(jnp.eye(2), jnp.array([3.0, 1.0]), jnp.eye(2), jnp.array([True, True]))
        >>> importance(modes).tolist()
        [5.0, 3.0]
    """
    norms = jnp.linalg.norm(modes.xi_out, axis=0) + jnp.linalg.norm(modes.xi_in, axis=1)
    weight = jnp.abs(modes.weight)
    total = jnp.sum(norms)
    # Both means are over the same modes, so gamma is a ratio of sums and padding drops out.
    gamma = jnp.sum(weight) / jnp.where(total > 0, total, 1.0)
    return gamma * norms + weight


def weight_size(modes: Modes) -> Float[Array, " modes"]:
    """Return |Sigma_mu|, shape (modes,)."""
    return jnp.abs(modes.weight)


def gauge_free_size(modes: Modes) -> Float[Array, " modes"]:
    """Return |Sigma_mu| ||xi_in,mu|| ||xi_out,mu||, the Frobenius norm of each mode's own matrix; shape (modes,)."""
    return jnp.abs(modes.weight) * jnp.linalg.norm(modes.xi_out, axis=0) * jnp.linalg.norm(modes.xi_in, axis=1)


SCORES: dict[str, Callable[[Modes], Float[Array, " modes"]]] = {
    "importance": importance,
    "weight": weight_size,
    "size": gauge_free_size,
}
"""The scores by which modes are ordered, by name; `random` needs a key besides."""


def mode_scores(modes: Modes, order: Order, key: PRNGKeyArray | None = None) -> Float[Array, " modes"]:
    """Return the score by which the modes of one map are ordered, larger first.

    Args:
        modes: the modes of one map.
        order: `importance`, `weight`, `size` or `random`.
        key: a scalar PRNG key, needed for `random`.

    Returns:
        Shape (modes,).

    Raises:
        InputError: if the order is unknown, or a random order has no key.

    Example:
        >>> modes = Modes(jnp.eye(2), jnp.array([-3.0, 1.0]), jnp.eye(2), jnp.array([True, True]))
        >>> mode_scores(modes, "weight").tolist()
        [3.0, 1.0]
    """
    if order == "random":
        if key is None:
            raise InputError("a random order needs a key, got None")
        count = modes.weight.shape[0]
        return uniform_vector(key, Extent(count, count))
    if order not in SCORES:
        raise InputError(f"unknown order {order!r}; allowed: {choices([*SCORES, 'random'])}")
    return SCORES[order](modes)


def ranked(modes: Modes, scores: Float[Array, " modes"], cut: Cut = "keep-leading") -> Modes:
    """Sort the modes of one map in the order in which they are kept.

    Args:
        modes: the modes.
        scores: one score a mode.
        cut: `keep-leading` keeps the largest score first; `remove-leading` takes the largest away first, that is,
            keeps the smallest first. Equal scores keep their order; padding comes last.

    Returns:
        The same modes, the first to be kept first.

    Raises:
        InputError: if the cut is unknown.

    Example:
        >>> modes = Modes(jnp.eye(2), jnp.array([1.0, 3.0]), jnp.eye(2), jnp.array([True, True]))
        >>> ranked(modes, jnp.abs(modes.weight)).weight.tolist()
        [3.0, 1.0]
    """
    order = _order(modes, scores, cut)
    return Modes(modes.xi_out[:, order], modes.weight[order], modes.xi_in[order], modes.active[order])


def places_in_order(modes: Modes, scores: Float[Array, " modes"], cut: Cut = "keep-leading") -> Int[Array, " modes"]:
    """Return the place of each mode in the order in which modes are kept, from 0; arguments as in `ranked`.

    Example:
        >>> modes = Modes(jnp.eye(2), jnp.array([1.0, 3.0]), jnp.eye(2), jnp.array([True, True]))
        >>> places_in_order(modes, jnp.abs(modes.weight)).tolist()
        [1, 0]
    """
    order = _order(modes, scores, cut)
    places = jnp.arange(len(order), dtype=jnp.int32)
    return jnp.zeros(len(order), jnp.int32).at[order].set(places)


def _order(modes: Modes, scores: Float[Array, " modes"], cut: Cut) -> Int[Array, " modes"]:
    if cut not in ("keep-leading", "remove-leading"):
        raise InputError(f"unknown cut {cut!r}; allowed: keep-leading, remove-leading")
    key = -scores if cut == "keep-leading" else scores
    return jnp.argsort(jnp.where(modes.active, key, jnp.inf), stable=True)


class TruncationCurves(NamedTuple):
    """Right answers, or the sum of the loss, with k modes kept, for each k asked for."""

    layer: Array  # (maps, kept): one map cut, the others intact; -1 for a map that has no modes
    together: Array  # (kept,): all maps that have modes cut to k


def _padded(modes: Modes, capacity: int) -> Modes:
    """Fill up with modes of weight 0, so that all maps count to the same number."""
    more = capacity - modes.weight.shape[0]
    return Modes(
        jnp.pad(modes.xi_out, ((0, 0), (0, more))),
        jnp.pad(modes.weight, (0, more)),
        jnp.pad(modes.xi_in, ((0, more), (0, 0))),
        jnp.pad(modes.active, (0, more)),
    )


Block = tuple[Float[Array, "rows features"], Array, Bool[Array, " rows"]]
"""Inputs, targets, and False on the rows that only fill up the block."""


def kept_curves(
    network: Network,
    loss: Loss,
    params: Params,
    order: Sequence[Modes | None],
    block: Block,
    kept: Sequence[int] | None = None,
    *,
    places: Sequence[Int[Array, " modes"] | None] | None = None,
    measure: Measure = "right",
) -> TruncationCurves:
    """Count right answers, or sum the loss, on a block of examples for every number of modes kept.

    Biases are no modes and stay.

    Args:
        network: the network.
        loss: the loss, which says what a right answer is.
        params: the network's parameters.
        order: for each map its modes in the order in which they are kept (see `ranked`), None where it has none.
        block: see `Block`.
        kept: the numbers of modes to keep, increasing from 0 or more; None for 0 ... largest number of modes. More
            than a map has keeps all of its modes.
        places: for each map the place of each mode in that order (see `places_in_order`), None where it has none; only
            a network that is no chain needs them.
        measure: right, the number of right answers, or loss, the sum of the loss.

    Returns:
        The sums.

    Raises:
        InputError: if no map has modes, or `kept` is not increasing from 0 or more.

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 3, 2], layers.Mode(), 2)
        >>> params = network.init(jax.random.key(0))
        >>> order = [ranked(m, importance(m)) for m in network.modes(params)]
        >>> block = jnp.ones((5, 4)), jnp.zeros(5, jnp.int32), jnp.full(5, True)
        >>> curves = kept_curves(network, training.cross_entropy, params, order, block)
        >>> curves.layer.shape, curves.together.shape
        ((2, 3), (3,))
    """
    capacity = max((0 if modes is None else modes.weight.shape[0] for modes in order), default=0)
    if capacity == 0:
        raise InputError("truncation needs a network in which at least one map is a sum of modes, got none")
    wanted = tuple(range(capacity + 1)) if kept is None else tuple(kept)
    if not wanted or wanted[0] < 0 or any(b <= a for a, b in itertools.pairwise(wanted)):
        raise InputError(f"kept must be increasing numbers from 0 on, got {wanted}")
    x, y, counts = block
    sum_of = count_right if measure == "right" else sum_loss
    score = lambda outputs: sum_of(loss, outputs, y, counts)  # noqa: E731
    if isinstance(network, Chain):
        return _nested_curves(network, score, params, order, x, wanted)
    if places is None:
        raise InputError(f"{type(network).__name__} is no chain of maps, so its curves need the places of the modes")
    return _whole_curves(network, score, params, places, x, wanted)


def _whole_curves(
    network: Network,
    score: Callable[[Array], Array],
    params: Params,
    places: Sequence[Int[Array, " modes"] | None],
    x: Float[Array, "rows features"],
    wanted: tuple[int, ...],
) -> TruncationCurves:
    """Evaluate the whole network for each cut: one map after the other, then all maps together."""
    with_modes = [index for index, place in enumerate(places) if place is not None]

    def one(wish: tuple[Int[Array, ""], Bool[Array, " maps"]]) -> Array:
        k, chosen = wish
        keep: list[Array | None] = [None] * len(places)
        for number, index in enumerate(with_modes):
            place = places[index]
            assert place is not None
            keep[index] = (place < k) | ~chosen[number]
        return score(network.apply(network.cut(params, keep), x))

    chosen = jnp.concatenate([jnp.eye(len(with_modes), dtype=bool), jnp.full((1, len(with_modes)), True)])
    numbers = jnp.asarray(wanted, jnp.int32)
    every = jax.lax.map(lambda which: jax.lax.map(lambda k: one((k, which)), numbers), chosen)
    layer = [jnp.full(len(wanted), -1, every.dtype)] * len(places)
    for number, index in enumerate(with_modes):
        layer[index] = every[number]
    return TruncationCurves(jnp.stack(layer), every[-1])


def _nested_curves(
    network: Chain,
    score: Callable[[Array], Array],
    params: Params,
    order: Sequence[Modes | None],
    x: Float[Array, "rows features"],
    wanted: tuple[int, ...],
) -> TruncationCurves:
    """Add the modes of a map one after another, and share what lies before it."""
    maps = len(order)
    capacity = max(0 if modes is None else modes.weight.shape[0] for modes in order)
    every = len(wanted) > capacity
    padded = [None if modes is None else _padded(modes, capacity) for modes in order]
    biases = network.biases(params)

    def plus_bias(z: Float[Array, "rows ... units"], index: int) -> Float[Array, "rows ... units"]:
        bias = biases[index]
        return z if bias is None else z + bias.reshape((1,) * (z.ndim - 1) + (-1,))

    def intact_behind(index: int) -> Callable:
        return lambda h, k: network.between(params, h, index + 1, maps)

    def cut_behind(h: Float[Array, "rows ... units"], k: Int[Array, ""]) -> Float[Array, "rows outputs"]:
        for index in range(first + 1, maps):
            modes = padded[index]
            if modes is None:
                h = network.between(params, h, index, index + 1)
            else:
                weight = jnp.where(jnp.arange(capacity, dtype=jnp.int32) < k, modes.weight, 0)
                z = plus_bias(network.by_modes(modes._replace(weight=weight), h, index), index)
                h = network.finish(params, z, h, index)
        return h

    def curves(index: int, h: Float[Array, "rows ... fan_in"], rests: Sequence[Callable]) -> Array:
        """Add the modes of one map one by one; each `rest(h, k)` is a version of the network behind it."""
        modes = padded[index]
        assert modes is not None

        def scores(z: Float[Array, "rows ... fan_out"], k: Int[Array, ""]) -> Array:
            after = network.finish(params, z, h, index)
            return jnp.stack([score(rest(after, k)) for rest in rests])

        # Mode-major copies, so that the scan reads one contiguous row a step; an empty mode comes first, for k = 0.
        u = network.mode_inputs(modes, h, index)
        u = jnp.pad(u, ((1, 0), *((0, 0),) * (u.ndim - 1)))
        xi_out = jnp.pad(modes.xi_out.T, ((1, 0), (0, 0)))
        outer = lambda u, xi: u[..., None] * xi.reshape((1,) * u.ndim + (-1,))  # noqa: E731
        # Made from the empty mode, not from zeros, so that vmap sees at once what depends on the member and traces
        # the scan once.
        empty = plus_bias(outer(u[0], xi_out[0]), index)
        shape = jax.eval_shape(scores, empty, jnp.int32(0))

        def keep_one_more(z: Array, mode: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            k, u, xi_out = mode
            z = z + outer(u, xi_out)
            if every:
                return z, scores(z, k)
            return z, jax.lax.cond(is_wanted[k], scores, lambda z, k: jnp.zeros(shape.shape, shape.dtype), z, k)

        _, found = jax.lax.scan(keep_one_more, empty, (jnp.arange(capacity + 1, dtype=jnp.int32), u, xi_out))
        return found[positions].T

    positions = jnp.array([min(k, capacity) for k in wanted])
    is_wanted = jnp.zeros(capacity + 1, dtype=bool).at[positions].set(True)
    first = next(index for index in range(maps) if padded[index] is not None)
    together, layer, h = None, {}, network.enter(x)
    for index in range(maps):
        if padded[index] is not None:
            # The cut of all maps adds the modes of the first one in the same steps as the cut of that one alone.
            rests = (intact_behind(index), cut_behind) if index == first else (intact_behind(index),)
            found = curves(index, h, rests)
            layer[index] = found[0]
            together = found[1] if index == first else together
        if index < maps - 1:
            h = network.between(params, h, index, index + 1)
    assert together is not None
    none = jnp.full(len(wanted), -1, together.dtype)
    return TruncationCurves(jnp.stack([layer.get(index, none) for index in range(maps)]), together)
