"""Scores of nodes, which of them stay, and the accuracy that is left, against a plain evaluation."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params

from modejax import layers, networks
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.pruning import NODE_SCORES, drop_nodes, kept_nodes, node_scores, pruning_curve, weight_curve
from modejax.training import cross_entropy

SIZES = (6, 9, 7, 4)
PERCENTILES = (0, 10, 37.5, 50, 80, 99)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def network_and_params(variant: Literal["single_set", "two_set"] = "single_set"):
    """Return a network with weights of order 1 and biases that are not 0."""
    network = networks.mlp(SIZES, layers.Spectral(variant, phi="normal:2"), None, "tanh")
    params = jax.jit(network.init)(jax.random.key(0))
    return network, tuple(each._replace(bias=0.1 * jnp.arange(1.0, each.bias.size + 1)) for each in params)


def test_the_scores_are_those_of_the_method():
    network, params = network_and_params()
    kernels = [np.asarray(kernel) for kernel in network.kernels(params)]
    lambdas = [abs(np.asarray(each.lambda_out)) for each in params]
    phis = [np.asarray(each.phi) for each in params]
    expected = {
        "eigenvalue": [lambdas[i] for i in (0, 1)],
        "eigenvector": [lambdas[i] * np.sqrt((phis[i] ** 2).sum(axis=1)) for i in (0, 1)],
        "incoming": [abs(kernels[i]).sum(axis=1) for i in (0, 1)],
        "throughput": [abs(kernels[i]).sum(axis=1) * abs(kernels[i + 1]).sum(axis=0) for i in (0, 1)],
    }
    for name, scores in expected.items():
        for found, score in zip(node_scores(network, params, name), scores, strict=True):  # pyright: ignore[reportArgumentType]
            np.testing.assert_allclose(found, score, rtol=1e-13)
    # Alone among these, with lambda_in = 0 it is the length of the incoming weights.
    for found, kernel in zip(node_scores(network, params, "eigenvector"), kernels[:2], strict=True):
        np.testing.assert_allclose(found, np.sqrt((kernel**2).sum(axis=1)), rtol=1e-13)
    one, other = (node_scores(network, params, "random", jax.random.key(seed)) for seed in (0, 1))
    assert [each.shape for each in one] == [(9,), (7,)]
    assert not (np.asarray(one[0]) == np.asarray(other[0])).any()
    assert not (np.asarray(one[0][:7]) == np.asarray(one[1])).any()


@pytest.mark.parametrize("percentile", PERCENTILES)
def test_the_percentile_is_that_of_numpy_over_all_hidden_layers(percentile):
    rng = np.random.default_rng(1)
    scores = [rng.random(9), rng.random(7)]
    threshold = np.percentile(np.concatenate(scores), percentile)
    padded = [jnp.asarray(np.pad(each, (0, 3))) for each in scores]
    kept = jax.jit(lambda n, m: kept_nodes(padded, [Extent(12, n), Extent(10, m)], percentile))(9, 7)
    for found, score in zip(kept, scores, strict=True):
        np.testing.assert_array_equal(found[: score.size], score >= threshold)
        assert not np.asarray(found[score.size :]).any()
    assert sum(int(each.sum()) for each in kept) == 16 - int((np.concatenate(scores) < threshold).sum())


@pytest.mark.parametrize("percentile", PERCENTILES)
def test_by_layer_the_percentile_is_that_of_numpy_over_each_hidden_layer(percentile):
    rng = np.random.default_rng(1)
    scores = [rng.random(9), 100 + rng.random(7)]
    padded = [jnp.asarray(np.pad(each, (0, 3))) for each in scores]
    kept = jax.jit(lambda n, m: kept_nodes(padded, [Extent(12, n), Extent(10, m)], percentile, by_layer=True))(9, 7)
    for found, score in zip(kept, scores, strict=True):
        np.testing.assert_array_equal(found[: score.size], score >= np.percentile(score, percentile))
        assert not np.asarray(found[score.size :]).any()
    if percentile == 50:  # one percentile over both takes the whole first layer, whose scores are smaller
        assert [int(each.sum()) for each in kept] == [5, 4]
        assert not kept_nodes([*map(jnp.asarray, scores)], [Extent(9, 9), Extent(7, 7)], 60.0)[0].any()


@pytest.mark.parametrize("variant", ["single_set", pytest.param("two_set", marks=pytest.mark.slow)])
def test_the_curve_is_that_of_smaller_networks(variant):
    """Rows and columns of dropped nodes are cut out of the dense matrices, and the rest is evaluated by itself."""
    network, params = network_and_params(variant)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(200, SIZES[0])), rng.integers(0, SIZES[-1], 200)
    counts = np.arange(200) < 190
    scores = node_scores(network, params, "throughput")
    found, by_layer = jax.jit(
        lambda x, y, counts: [
            pruning_curve(network, cross_entropy, params, scores, (x, y, counts), PERCENTILES, by_layer=each).right
            for each in (False, True)
        ]
    )(x, y, counts)
    cases = [*zip(PERCENTILES, [False] * 6, found, strict=True), *zip(PERCENTILES, [True] * 6, by_layer, strict=True)]
    for percentile, each_layer, right in cases:
        masks = kept_nodes(scores, network.units[1:-1], percentile, by_layer=each_layer)
        kept = [np.flatnonzero(each) for each in masks]
        kept = [np.arange(SIZES[0]), *kept, np.arange(SIZES[-1])]
        h = x
        for index, kernel in enumerate(network.kernels(params)):
            small = np.asarray(kernel)[np.ix_(kept[index + 1], kept[index])]
            h = h @ small.T + np.asarray(params[index].bias)[kept[index + 1]]
            h = np.tanh(h) if index < 2 else h
        assert int(right) == int(((h.argmax(axis=1) == y) & counts).sum())
    assert len(set(np.asarray(found).tolist())) > 2


def test_a_zero_eigenvalue_alone_does_not_drop_a_node_of_two_sets():
    network, params = network_and_params("two_set")
    silenced = params[0]._replace(lambda_out=params[0].lambda_out.at[0].set(0.0))
    assert abs(np.asarray(network.kernels((silenced, *params[1:]))[0])[0]).max() > 0


@pytest.mark.parametrize("percentile", [-1, 100, float("nan"), 1000])
def test_a_percentile_outside_its_range_is_refused(percentile):
    network, params = network_and_params()
    scores = node_scores(network, params, "incoming")
    with pytest.raises(InputError, match="from 0 to below 100"):
        kept_nodes(scores, network.units[1:-1], percentile)
    with pytest.raises(InputError, match="from 0 to below 100"):
        pruning_curve(network, cross_entropy, params, scores, (None,) * 3, [10, percentile])  # pyright: ignore


def test_what_cannot_be_scored_is_refused():
    network, params = network_and_params()
    with pytest.raises(InputError, match=r"unknown score 'size' of nodes; allowed: eigenvalue"):
        node_scores(network, params, "size")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="needs a key"):
        node_scores(network, params, "random")
    dense = networks.mlp(SIZES, layers.Dense())
    with pytest.raises(InputError, match="needs spectral layers; allowed for others: incoming"):
        node_scores(dense, jax.eval_shape(dense.init, jax.random.key(0)), "eigenvalue")
    linear = networks.mlp((6, 4), layers.Dense())
    for name in NODE_SCORES:
        with pytest.raises(InputError, match="without hidden layers"):
            node_scores(linear, None, name, jax.random.key(0))
    with pytest.raises(InputError, match="one vector of scores for each hidden layer"):
        kept_nodes([jnp.ones(3)], network.units[1:-1], 10)


CHAINS = {
    "conv": lambda: networks.conv(
        (5, 4, 1), (4, 5), 3, layers.Biased(layers.ModeConv((3, 3))), layers.Mode(), 3, "tanh", norm="layer"
    ),
    "residual": lambda: networks.residual([20, 6, 6, 3], layers.Dense(use_bias=True), None, "tanh"),
    "tied": lambda: networks.tied([20, 6, 5, 3], 3, "tanh"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_pruned_channels_are_set_to_0_behind_the_activation(name):
    """Stage by stage, with the activations of dropped nodes set to 0 by NumPy."""
    network = CHAINS[name]()
    params = random_params(network)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(100, 20)), rng.integers(0, 3, 100)
    counts = np.arange(100) < 95
    kernels = [np.asarray(kernel) for kernel in jax.jit(network.kernels)(params)]
    scores = node_scores(network, params, "incoming")
    for found, kernel in zip(scores, kernels, strict=False):
        np.testing.assert_allclose(found, abs(kernel).reshape(len(kernel), -1).sum(axis=1), rtol=1e-12)
    both = node_scores(network, params, "throughput")
    for index, found in enumerate(both):
        out = abs(np.moveaxis(kernels[index + 1], 1, 0)).reshape(kernels[index + 1].shape[1], -1).sum(axis=1)
        np.testing.assert_allclose(found, np.asarray(scores[index]) * out, rtol=1e-12)
    block = jnp.asarray(x), jnp.asarray(y, jnp.int32), jnp.asarray(counts)
    curve = jax.jit(lambda p: pruning_curve(network, cross_entropy, p, scores, block, PERCENTILES))(params)
    threshold = np.percentile(np.concatenate([np.asarray(each) for each in scores]), PERCENTILES)
    for percentile, right, total in zip(threshold, curve.right, curve.loss, strict=True):
        h = network.enter(jnp.asarray(x))
        for index in range(len(kernels)):
            h = network.between(params, h, index, index + 1)
            if index < len(scores):
                h = jnp.asarray(np.asarray(h) * (np.asarray(scores[index]) >= percentile))
        h = np.asarray(h)
        assert int(right) == int(((h.argmax(axis=1) == y) & counts).sum())
        logs = h[np.arange(100), y] - np.log(np.exp(h).sum(axis=1))
        np.testing.assert_allclose(total, -logs[counts].sum(), rtol=1e-10)
    assert len(set(np.asarray(curve.loss).round(6).tolist())) > 3


@pytest.mark.parametrize("name", CHAINS)
def test_weights_are_cut_in_every_map_by_itself(name):
    network = CHAINS[name]()
    params = random_params(network)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(50, 20)), rng.integers(0, 3, 50)
    block = jnp.asarray(x), jnp.asarray(y, jnp.int32), jnp.full(50, True)
    curve = jax.jit(lambda p: weight_curve(network, cross_entropy, p, block, (0, 40, 90)))(params)
    for percentile, right in zip((0, 40, 90), curve.right, strict=True):
        h = network.enter(jnp.asarray(x))
        for index, kernel in enumerate(map(np.asarray, network.kernels(params))):
            if percentile:
                kernel = np.where(abs(kernel) > np.percentile(abs(kernel), percentile), kernel, 0)
            z = network.by_kernel(jnp.asarray(kernel), h, index)
            bias = network.biases(params)[index]
            z = z if bias is None else z + bias.reshape((1,) * (z.ndim - 1) + (-1,))
            h = network.finish(params, z, h, index)
        assert int(right) == int((np.asarray(h).argmax(axis=1) == y).sum())
    assert len(set(np.asarray(curve.loss).round(6).tolist())) == 3


def test_a_node_that_was_dropped_has_no_gradient():
    network = networks.mlp(SIZES, layers.Dense(use_bias=True), None, "tanh")
    params = random_params(network)
    masks = [jnp.arange(9) < 4, jnp.arange(7) % 2 == 0]
    cut = drop_nodes(network, params, masks)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)))
    expected = pruning_curve(
        network,
        cross_entropy,
        params,
        [m.astype(float) for m in masks],
        (x, jnp.zeros(5, jnp.int32), jnp.full(5, True)),
        (60,),
    )
    outputs = network.apply(cut, x)
    assert int(expected.right[0]) == int((outputs.argmax(axis=1) == 0).sum())
    gradient = jax.grad(lambda p: jnp.sum(network.apply(p, x) ** 2))(cut)
    assert not np.asarray(gradient[0].weight)[4:].any()
    assert not np.asarray(gradient[1].weight)[1::2].any()
    assert not np.asarray(gradient[1].weight)[:, 4:].any()
    assert np.asarray(gradient[1].weight)[::2, :4].all()
    sigmoid = networks.mlp(SIZES, layers.Dense(), None, "sigmoid")
    with pytest.raises(InputError, match="the activation of 0 is not 0"):
        drop_nodes(sigmoid, random_params(sigmoid), masks)
    with pytest.raises(InputError, match="one mask for each hidden layer is needed, got 1 for 2"):
        drop_nodes(network, params, masks[:1])
    modes = networks.mlp(SIZES, layers.Mode(), 3, "tanh")
    with pytest.raises(InputError, match="got ModeParams"):
        drop_nodes(modes, random_params(modes), masks)


@pytest.mark.parametrize("inner", [layers.Dense(use_bias=True), layers.Biased(layers.Dense())])
def test_biases_under_a_mask_stay(inner):
    network = networks.mlp((6, 5, 4), layers.Masked(inner, "static", 50.0), None, "tanh")
    params = network.init(jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 1 if leaf.ndim == 1 else leaf, params)  # the biases, which start at 0
    biases = network.biases(params)
    assert [None if each is None else each.tolist() for each in biases] == [[1.0] * 5, [1.0] * 4]
    assert [each.bias is not None for each in network.maps(params).values()] == [True, True]
    x = np.random.default_rng(0).normal(size=(40, 6))
    kernels = [np.asarray(kernel) for kernel in network.kernels(params)]
    assert [int((kernel == 0).sum()) for kernel in kernels] == [15, 10]
    y = np.arange(40) % 4
    block = jnp.asarray(x), jnp.asarray(y, jnp.int32), jnp.full(40, True)
    curve = jax.jit(lambda p: weight_curve(network, cross_entropy, p, block, (0, 80)))(params)
    for percentile, total in zip((0, 80), curve.loss, strict=True):
        h = x
        for index, kernel in enumerate(kernels):
            kernel = np.where(abs(kernel) > np.percentile(abs(kernel), percentile), kernel, 0) if percentile else kernel
            h = h @ kernel.T + 1
            h = np.tanh(h) if index == 0 else h
        expected = (np.log(np.exp(h).sum(axis=1)) - h[np.arange(40), y]).sum()
        np.testing.assert_allclose(total, expected, rtol=1e-10)
    outputs = np.tanh(x @ kernels[0].T + 1) @ kernels[1].T + 1
    np.testing.assert_allclose(network.apply(params, jnp.asarray(x)), outputs, rtol=0, atol=1e-12)
