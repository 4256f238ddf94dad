"""Scores of nodes, which of them stay, and the accuracy that is left, against a plain evaluation."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import layers, networks
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.pruning import NODE_SCORES, kept_nodes, node_scores, pruning_curve
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


@pytest.mark.parametrize("variant", ["single_set", "two_set"])
def test_the_curve_is_that_of_smaller_networks(variant):
    """Rows and columns of dropped nodes are cut out of the dense matrices, and the rest is evaluated by itself."""
    network, params = network_and_params(variant)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(200, SIZES[0])), rng.integers(0, SIZES[-1], 200)
    counts = np.arange(200) < 190
    scores = node_scores(network, params, "throughput")
    found = jax.jit(
        lambda x, y, counts: pruning_curve(network, cross_entropy, params, scores, x, y, counts, PERCENTILES)
    )(x, y, counts).right
    for percentile, right in zip(PERCENTILES, found, strict=True):
        kept = [np.flatnonzero(each) for each in kept_nodes(scores, network.sizes[1:-1], percentile)]
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
        kept_nodes(scores, network.sizes[1:-1], percentile)
    with pytest.raises(InputError, match="from 0 to below 100"):
        pruning_curve(network, cross_entropy, params, scores, *(None,) * 3, [10, percentile])  # pyright: ignore


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
        kept_nodes([jnp.ones(3)], network.sizes[1:-1], 10)
