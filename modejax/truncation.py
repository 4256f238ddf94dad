"""Cut a network back to some of its modes: scores, orders, and accuracy against modes kept.

Nested cuts share work. For the cut of one map the activations that enter it are computed once and the modes are added
to its output one after another, so that the k-th cut costs one rank-one update and the maps behind it, not a new pass
through the network. The cut of all maps together shares these steps for the first map; behind it the weights of the
modes that are cut are 0.
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
from modejax.layers.base import Modes, dense_is_cheaper
from modejax.networks import Network, Params
from modejax.training.loss import Loss

__all__ = [
    "SCORES",
    "Cut",
    "Order",
    "TruncationCurves",
    "gauge_free_size",
    "importance",
    "kept_curves",
    "mode_scores",
    "ranked",
    "weight_size",
]

Order = Literal["importance", "weight", "size", "random"]
Cut = Literal["keep-leading", "remove-leading"]


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
    if cut not in ("keep-leading", "remove-leading"):
        raise InputError(f"unknown cut {cut!r}; allowed: keep-leading, remove-leading")
    key = -scores if cut == "keep-leading" else scores
    order = jnp.argsort(jnp.where(modes.active, key, jnp.inf), stable=True)
    return Modes(modes.xi_out[:, order], modes.weight[order], modes.xi_in[order], modes.active[order])


class TruncationCurves(NamedTuple):
    """Right answers with k modes kept, for each k asked for."""

    layer: Int[Array, "maps kept"]  # one map cut, the others intact; -1 for a map that has no modes
    together: Int[Array, " kept"]  # all maps that have modes cut to k


def _padded(modes: Modes, capacity: int) -> Modes:
    """Fill up with modes of weight 0, so that all maps count to the same number."""
    more = capacity - modes.weight.shape[0]
    return Modes(
        jnp.pad(modes.xi_out, ((0, 0), (0, more))),
        jnp.pad(modes.weight, (0, more)),
        jnp.pad(modes.xi_in, ((0, more), (0, 0))),
        jnp.pad(modes.active, (0, more)),
    )


def _through(modes: Modes, h: Float[Array, "rows fan_in"]) -> Float[Array, "rows fan_out"]:
    """Apply a map given as modes to rows, by its kernel where that is cheaper."""
    fan_out, count = modes.xi_out.shape
    if dense_is_cheaper(modes.xi_in.shape[1], fan_out, count, h.shape[0]):
        return h @ ((modes.xi_out * modes.weight[None, :]) @ modes.xi_in).T
    return ((h @ modes.xi_in.T) * modes.weight[None, :]) @ modes.xi_out.T


def kept_curves(
    network: Network,
    loss: Loss,
    params: Params,
    order: Sequence[Modes | None],
    x: Float[Array, "rows features"],
    y: Int[Array, " rows"],
    counts: Bool[Array, " rows"],
    kept: Sequence[int] | None = None,
) -> TruncationCurves:
    """Count right answers on a block of examples for every number of modes kept.

    Biases are no modes and stay.

    Args:
        network: the network.
        loss: the loss, which says what a right answer is.
        params: the network's parameters.
        order: for each map its modes in the order in which they are kept (see `ranked`), None where it has none.
        x: the inputs.
        y: the labels.
        counts: False on rows that only fill up the block.
        kept: the numbers of modes to keep, increasing from 0 or more; None for 0 ... largest number of modes. More
            than a map has keeps all of its modes.

    Returns:
        The counts.

    Raises:
        InputError: if no map has modes, or `kept` is not increasing from 0 or more.

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 3, 2], layers.Mode(), 2)
        >>> params = network.init(jax.random.key(0))
        >>> order = [ranked(m, importance(m)) for m in network.modes(params)]
        >>> x, y = jnp.ones((5, 4)), jnp.zeros(5, jnp.int32)
        >>> curves = kept_curves(network, training.cross_entropy, params, order, x, y, jnp.full(5, True))
        >>> curves.layer.shape, curves.together.shape
        ((2, 3), (3,))
    """
    maps = len(order)
    capacity = max((0 if modes is None else modes.weight.shape[0] for modes in order), default=0)
    if capacity == 0:
        raise InputError("truncation needs a network in which at least one map is a sum of modes, got none")
    wanted = tuple(range(capacity + 1)) if kept is None else tuple(kept)
    if not wanted or wanted[0] < 0 or any(b <= a for a, b in itertools.pairwise(wanted)):
        raise InputError(f"kept must be increasing numbers from 0 on, got {wanted}")
    positions = jnp.array([min(k, capacity) for k in wanted])
    is_wanted = jnp.zeros(capacity + 1, dtype=bool).at[positions].set(True)
    every = len(wanted) > capacity
    padded = [None if modes is None else _padded(modes, capacity) for modes in order]
    biases = (None,) * maps if network.biases is None else network.biases(params)

    def between(h: Float[Array, "rows units"], start: int, stop: int) -> Float[Array, "rows units"]:
        return network.between(params, h, start, stop)

    def plus_bias(z: Float[Array, "rows units"], index: int) -> Float[Array, "rows units"]:
        bias = biases[index]
        return z if bias is None else z + bias[None, :]

    def intact_behind(index: int) -> Callable:
        return lambda h, k: between(h, index + 1, maps)

    def cut_behind(h: Float[Array, "rows units"], k: Int[Array, ""]) -> Float[Array, "rows outputs"]:
        for index in range(first + 1, maps):
            modes = padded[index]
            if modes is None:
                h = between(h, index, index + 1)
            else:
                weight = jnp.where(jnp.arange(capacity, dtype=jnp.int32) < k, modes.weight, 0)
                h = network.activate(plus_bias(_through(modes._replace(weight=weight), h), index), index)
        return h

    def curves(index: int, h: Float[Array, "rows fan_in"], rests: Sequence[Callable]) -> Int[Array, "rests kept"]:
        """Add the modes of one map one by one; each `rest(h, k)` is a version of the network behind it."""
        modes = padded[index]
        assert modes is not None

        def right(z: Float[Array, "rows fan_out"], k: Int[Array, ""]) -> Int[Array, " rests"]:
            h = network.activate(z, index)
            correct = [jax.vmap(loss.correct)(rest(h, k), y) & counts for rest in rests]
            return jnp.stack([jnp.sum(each, dtype=jnp.int32) for each in correct])

        def keep_one_more(
            z: Float[Array, "rows fan_out"], mode: tuple[Array, Array, Array]
        ) -> tuple[Float[Array, "rows fan_out"], Int[Array, " rests"]]:
            k, u, xi_out = mode
            z = z + u[:, None] * xi_out[None, :]
            if every:
                return z, right(z, k)
            return z, jax.lax.cond(is_wanted[k], right, lambda z, k: jnp.zeros(len(rests), jnp.int32), z, k)

        # Mode-major copies, so that the scan reads one contiguous row a step; an empty mode comes first, for k = 0.
        u = jnp.pad((modes.weight[:, None] * modes.xi_in) @ h.T, ((1, 0), (0, 0)))
        xi_out = jnp.pad(modes.xi_out.T, ((1, 0), (0, 0)))
        # Made from the empty mode, not from zeros, so that vmap sees at once what depends on the member and traces
        # the scan once.
        empty = plus_bias(u[0][:, None] * xi_out[0][None, :], index)
        _, counted = jax.lax.scan(keep_one_more, empty, (jnp.arange(capacity + 1, dtype=jnp.int32), u, xi_out))
        return counted[positions].T

    first = next(index for index in range(maps) if padded[index] is not None)
    together, layer, h = None, [], x
    for index in range(maps):
        if padded[index] is None:
            layer.append(jnp.full(len(wanted), -1, jnp.int32))
        else:
            # The cut of all maps adds the modes of the first one in the same steps as the cut of that one alone.
            rests = (intact_behind(index), cut_behind) if index == first else (intact_behind(index),)
            found = curves(index, h, rests)
            layer.append(found[0])
            together = found[1] if index == first else together
        if index < maps - 1:
            h = between(h, index, index + 1)
    assert together is not None
    return TruncationCurves(jnp.stack(layer), together)
