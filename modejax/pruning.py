"""Drop hidden nodes or weights of a trained network by a score, and measure the accuracy that remains.

A node is dropped by setting its activation to 0, after the activation function. This removes the node in any kind of
layer; in a spectral layer with both sets of eigenvalues trained, setting lambda_out to 0 would leave W = lambda_in phi.
The percentile is taken over the scores of all hidden layers together or, with `by_layer`, over those of each layer
separately; outputs are never dropped, and there is no training afterwards. `drop_nodes` makes parameters from which
training can go on. Weights are cut by their absolute value, in each map separately.

References:
    Buffoni et al., "Spectral pruning of fully connected layers", Sci. Rep. 12, 11201 (2022), arXiv 2108.00940.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from modejax.draws import subkey, uniform_vector
from modejax.errors import InputError, choices
from modejax.extent import Extent
from modejax.layers.dense import DenseParams
from modejax.layers.masked import MaskedParams, keep_largest
from modejax.layers.spectral import SpectralParams
from modejax.layers.spectral_operator import eigenvector_block
from modejax.networks.base import Chain, Params
from modejax.training.loss import Loss, count_right, sum_loss
from modejax.truncation import Block

__all__ = [
    "NODE_SCORES",
    "PruningCurve",
    "drop_nodes",
    "kept_nodes",
    "masked_curve",
    "node_scores",
    "percentile_masks",
    "pruning_curve",
    "weight_curve",
]

ScoreName = Literal["eigenvalue", "eigenvector", "incoming", "throughput", "random"]

NODE_SCORES = ("eigenvalue", "eigenvector", "incoming", "throughput", "random")
"""The scores by name, explained in `node_scores`."""


def node_scores(
    network: Chain, params: Params, score: ScoreName, key: PRNGKeyArray | None = None
) -> tuple[Float[Array, " units"], ...]:
    """Score the nodes of every hidden layer; nodes with larger scores are kept longer.

    Scores of node i with the weights W into it and V out of it:
        `eigenvalue`: |lambda_out_i| as stored, for spectral layers; a size of the weights only where lambda_in = 0.
        `eigenvector`: |lambda_out_i| times the norm of row i of phi, however the two share a scale.
        `incoming`: sum_j |W_ij|. `throughput`: sum_j |W_ij| times sum_k |V_ki|. `random`: uniform numbers.

    Args:
        network: the network.
        params: its parameters.
        score: one of the names above.
        key: a scalar key, needed for `random`.

    Returns:
        One vector for each hidden layer; 0 on padding.

    Raises:
        InputError: if the score is unknown, needs eigenvalues that the network does not have, or is `random` without a
            key; or if the network has no hidden layer.

    References:
        |lambda| and incoming: arXiv 2108.00940; eigenvector: Giambagli et al., arXiv 2310.12612.

    Example:
        >>> from modejax import layers, networks
        >>> network = networks.mlp([4, 3, 2], layers.Spectral("single_set"))
        >>> params = network.init(jax.random.key(0))
        >>> [each.shape for each in node_scores(network, params, "eigenvalue")]
        [(3,)]
    """
    if score not in NODE_SCORES:
        raise InputError(f"unknown score {score!r} of nodes; allowed: {choices(NODE_SCORES)}")
    hidden = range(len(network.units) - 2)
    if not hidden:
        raise InputError("a network without hidden layers has no node that could be dropped")
    if score == "random":
        if key is None:
            raise InputError("a random score needs a key, got None")
        return tuple(uniform_vector(subkey(key, index), network.units[index + 1]) for index in hidden)
    if score in ("eigenvalue", "eigenvector"):
        params = [each.layer if isinstance(each, MaskedParams) else each for each in params]
        if not all(isinstance(each, SpectralParams) for each in params):
            raise InputError(
                f"the score {score} needs spectral layers; allowed for others: incoming, throughput, random"
            )
        norms = [jnp.linalg.norm(eigenvector_block(params[i]), axis=1) if score == "eigenvector" else 1 for i in hidden]
        return tuple(jnp.abs(params[index].lambda_out) * norm for index, norm in zip(hidden, norms, strict=True))
    kernels = network.kernels(params)
    incoming = [jnp.sum(jnp.abs(kernels[index]), axis=tuple(range(1, kernels[index].ndim))) for index in hidden]
    if score == "incoming":
        return tuple(incoming)
    behind = [jnp.sum(jnp.abs(kernels[i + 1]), axis=(0, *range(2, kernels[i + 1].ndim))) for i in hidden]
    return tuple(incoming[index] * behind[index] for index in hidden)


def kept_nodes(
    scores: Sequence[Float[Array, " units"]],
    sizes: Sequence[Extent],
    percentile: float | Float[Array, ""],
    *,
    by_layer: bool = False,
) -> tuple[Bool[Array, " units"], ...]:
    """Return which nodes are kept when those below a percentile of the scores are dropped.

    One percentile over all hidden layers compares scores of different layers. If these have different scales, as sums
    over fan-ins of different sizes have, it may drop a whole layer; a percentile for each layer cannot.

    Args:
        scores: one vector for each hidden layer.
        sizes: the extents of the hidden layers.
        percentile: from 0 to below 100, interpolated between neighbours; nodes with a score equal to it are kept, so
            that at least one node is.
        by_layer: whether to take the percentile over each layer separately instead of over all layers together.

    Returns:
        One mask for each hidden layer, False on padding.

    Raises:
        InputError: if the percentile is a number outside [0, 100), or the layers do not fit.

    Example:
        >>> kept_nodes([jnp.array([3.0, 1.0, 2.0])], [Extent(3, 3)], 50.0)[0].tolist()
        [True, False, True]
        >>> two = [jnp.array([4.0, 3.0]), jnp.array([2.0, 1.0])], [Extent(2, 2), Extent(2, 2)]
        >>> [each.tolist() for each in kept_nodes(*two, 50.0)]
        [[True, True], [False, False]]
        >>> [each.tolist() for each in kept_nodes(*two, 50.0, by_layer=True)]
        [[True, False], [True, False]]
    """
    if len(scores) != len(sizes):
        raise InputError(f"one vector of scores for each hidden layer is needed, got {len(scores)} for {len(sizes)}")
    if not isinstance(percentile, jax.Array) and not 0 <= percentile < 100:
        raise InputError(f"a percentile must be a number from 0 to below 100, got {percentile!r}")
    if by_layer:
        return tuple(
            mask for one, size in zip(scores, sizes, strict=True) for mask in kept_nodes([one], [size], percentile)
        )
    dtype = scores[0].dtype
    everything = jnp.sort(
        jnp.concatenate([jnp.where(n.mask, each, jnp.inf) for n, each in zip(sizes, scores, strict=True)])
    )
    count = sum((jnp.asarray(n.active).astype(jnp.int32) for n in sizes), jnp.int32(0))
    position = jnp.asarray(percentile, dtype) / 100 * (count.astype(dtype) - 1)
    below = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, count - 1)
    above = jnp.minimum(below + 1, count - 1)
    part = position - below.astype(dtype)
    threshold = everything[below] + part * (everything[above] - everything[below])
    return tuple(n.mask & (each >= threshold) for n, each in zip(sizes, scores, strict=True))


class PruningCurve(NamedTuple):
    """Right answers and losses on a block of examples at each percentile."""

    right: Int[Array, " percentiles"]  # right answers
    loss: Float[Array, " percentiles"]  # sum of the losses


def _checked(percentiles: Sequence[float]) -> tuple[float, ...]:
    wanted = tuple(percentiles)
    if not wanted or not all(math.isfinite(each) and 0 <= each < 100 for each in wanted):
        raise InputError(f"percentiles must be numbers from 0 to below 100, at least one, got {wanted}")
    return wanted


def _tally(loss: Loss, outputs: Float[Array, "rows outputs"], block: Block) -> PruningCurve:
    _, y, counts = block
    return PruningCurve(count_right(loss, outputs, y, counts), sum_loss(loss, outputs, y, counts))


def pruning_curve(
    network: Chain,
    loss: Loss,
    params: Params,
    scores: Sequence[Float[Array, " units"]],
    block: Block,
    percentiles: Sequence[float],
    *,
    by_layer: bool = False,
) -> PruningCurve:
    """Measure a block of examples with the nodes below each percentile dropped.

    Args:
        network: the network.
        loss: the loss, which also decides which answers are right.
        params: the network's parameters.
        scores: one vector for each hidden layer, as `node_scores` gives them.
        block: inputs, targets, and a bool for each row, False on rows that only pad the block.
        percentiles: percentages of nodes to drop, each from 0 to below 100.
        by_layer: whether to take percentiles over each hidden layer separately instead of over all of them together.

    Returns:
        Right answers and losses.

    Raises:
        InputError: if a percentile is not allowed or there is none.

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 3, 2], layers.Spectral("single_set"))
        >>> params = network.init(jax.random.key(0))
        >>> block = jnp.ones((5, 4)), jnp.zeros(5, jnp.int32), jnp.full(5, True)
        >>> scores = node_scores(network, params, "eigenvalue")
        >>> pruning_curve(network, training.cross_entropy, params, scores, block, [0, 50]).right.shape
        (2,)
    """
    masks = percentile_masks(scores, network.units[1:-1], percentiles, by_layer=by_layer)
    return masked_curve(network, loss, params, masks, block)


def percentile_masks(
    scores: Sequence[Float[Array, " units"]],
    sizes: Sequence[Extent],
    percentiles: Sequence[float],
    *,
    by_layer: bool = False,
) -> tuple[Bool[Array, "percentiles units"], ...]:
    """Return which nodes are kept at each percentile; see `kept_nodes`.

    Args:
        scores: one vector for each hidden layer.
        sizes: the extents of the hidden layers.
        percentiles: percentages of nodes to drop, each from 0 to below 100.
        by_layer: whether to take percentiles over each hidden layer separately instead of over all of them together.

    Returns:
        One array for each hidden layer, a row for each percentile.

    Raises:
        InputError: if a percentile is not allowed or there is none.

    Example:
        >>> percentile_masks([jnp.array([3.0, 1.0, 2.0])], [Extent(3, 3)], [0, 50])[0].tolist()
        [[True, True, True], [True, False, True]]
    """
    wanted = jnp.asarray(_checked(percentiles), scores[0].dtype)
    return jax.vmap(lambda percentile: kept_nodes(scores, sizes, percentile, by_layer=by_layer))(wanted)


def masked_curve(
    network: Chain,
    loss: Loss,
    params: Params,
    masks: Sequence[Bool[Array, "cases units"]],
    block: Block,
) -> PruningCurve:
    """Measure a block of examples without the hidden nodes that masks leave out, one case after another.

    Args:
        network: the network.
        loss: the loss, which also decides which answers are right.
        params: the network's parameters.
        masks: one array for each hidden layer, a row for each case; False: the node is dropped.
        block: inputs, targets, and a bool for each row, False on rows that only pad the block.

    Returns:
        Right answers and losses of each case.

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 3, 2], layers.Dense())
        >>> params = network.init(jax.random.key(0))
        >>> block = jnp.ones((5, 4)), jnp.zeros(5, jnp.int32), jnp.full(5, True)
        >>> masked_curve(network, training.cross_entropy, params, [jnp.full((4, 3), True)], block).right.shape
        (4,)
    """
    first = network.between(params, network.enter(block[0]), 0, 1)  # the same for every case

    def left(kept: tuple[Bool[Array, " units"], ...]) -> PruningCurve:
        h = first
        for index, mask in enumerate(kept):
            h = jnp.where(mask.reshape((1,) * (h.ndim - 1) + (-1,)), h, 0)
            h = network.between(params, h, index + 1, index + 2)
        return _tally(loss, h, block)

    return jax.lax.map(left, tuple(masks))


def weight_curve(
    network: Chain,
    loss: Loss,
    params: Params,
    block: Block,
    percentiles: Sequence[float],
) -> PruningCurve:
    """Measure a block of examples with the weights of every map up to each percentile of its |W| set to 0.

    This is one-shot magnitude pruning without training afterwards. The map to the outputs is cut like all others.

    Args:
        network: the network; biases that its layers have are kept.
        loss: the loss, which also decides which answers are right.
        params: the network's parameters.
        block: inputs, targets, and a bool for each row, False on rows that only pad the block.
        percentiles: percentages of weights to cut, each from 0 to below 100.

    Returns:
        Right answers and losses.

    Raises:
        InputError: if a percentile is not allowed or there is none.

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 3, 2], layers.Dense())
        >>> params = network.init(jax.random.key(0))
        >>> block = jnp.ones((5, 4)), jnp.zeros(5, jnp.int32), jnp.full(5, True)
        >>> weight_curve(network, training.cross_entropy, params, block, [0, 50]).right.shape
        (2,)
    """
    wanted = _checked(percentiles)
    biases, kernels = network.biases(params), network.kernels(params)
    known = [jnp.asarray(size.active).astype(jnp.int32) for size in network.units]

    def left(percentile: Float[Array, ""]) -> PruningCurve:
        h = network.enter(block[0])
        for index, kernel in enumerate(kernels):
            weights = known[index] * known[index + 1] * math.prod(kernel.shape[2:])
            kept = keep_largest(jnp.abs(kernel), weights, percentile)
            z = network.by_kernel(jnp.where(kept, kernel, 0), h, index)
            bias = biases[index]
            if bias is not None:
                z = z + bias.reshape((1,) * (z.ndim - 1) + (-1,))
            h = network.finish(params, z, h, index)
        return _tally(loss, h, block)

    return jax.lax.map(left, jnp.asarray(wanted, block[0].dtype))


def drop_nodes(network: Chain, params: Params, kept: Sequence[Bool[Array, " units"]]) -> Params:
    """Remove hidden nodes from a network for good: their weights are 0 and get no gradient in later training.

    A node whose incoming and outgoing weights and bias are 0 has the activation f(0) = 0, and neither receives nor
    passes a gradient, like padding. Eigenvalues are kept for scores that need them.

    Args:
        network: the network, with f(0) = 0 and layers that have all weights: dense, or spectral with a matrix phi.
        params: its parameters.
        kept: one mask for each hidden layer, as `kept_nodes` gives them.

    Returns:
        The parameters.

    Raises:
        InputError: if a layer has no weights that can be set one by one, or f(0) is not 0.

    Example:
        >>> from modejax import layers, networks
        >>> network = networks.mlp([4, 3, 2], layers.Dense())
        >>> params = drop_nodes(network, network.init(jax.random.key(0)), [jnp.array([True, False, True])])
        >>> params[0].weight[1].tolist(), params[1].weight[:, 1].tolist()
        ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0])
    """
    if len(kept) != len(network.units) - 2:
        raise InputError(f"one mask for each hidden layer is needed, got {len(kept)} for {len(network.units) - 2}")
    for index in range(len(kept)):
        zeros = jnp.zeros(network.units[index + 1].capacity)
        if float(jnp.max(jnp.abs(network.finish(params, zeros, zeros, index)))):
            raise InputError("the activation of 0 is not 0, so a node without weights still acts; take another one")
    every = [jnp.full(network.units[end].capacity, True) for end in (0, -1)]
    masks = [every[0], *kept, every[1]]
    return tuple(_cut(part, masks[index], masks[index + 1]) for index, part in enumerate(params))


def _cut(part: Any, columns: Bool[Array, " fan_in"], rows: Bool[Array, " fan_out"]) -> Any:
    both = rows[:, None] & columns[None, :]
    bias = getattr(part, "bias", None)
    bias = None if bias is None else jnp.where(rows, bias, 0)
    if isinstance(part, DenseParams):
        return part._replace(weight=jnp.where(both, part.weight, 0), bias=bias)
    if isinstance(part, SpectralParams) and isinstance(part.phi, jax.Array | np.ndarray):
        return part._replace(phi=jnp.where(both, part.phi, 0), bias=bias)
    raise InputError(
        f"nodes are dropped from dense layers and spectral ones whose phi is a matrix, got {type(part).__name__}"
    )
