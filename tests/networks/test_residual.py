"""Perceptrons with skips, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.networks import mlp, residual


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_hidden_layers_from_the_second_on_add_to_what_they_were_given(hidden, float64):
    layer = layers.Biased(layers.Mode())
    network = residual([4, *(6,) * hidden, 3], layer, 2, "tanh")
    params = random_params(network)
    x = np.random.default_rng(1).normal(size=(5, 4))
    h = x
    for index, (kernel, bias) in enumerate(zip(jax.jit(network.kernels)(params), network.biases(params), strict=True)):
        z = h @ np.asarray(kernel).T + np.asarray(bias)
        h = z if index == hidden else np.tanh(z) + (h if index else 0)
    apply = jax.jit(network.apply)
    np.testing.assert_allclose(apply(params, x), h, rtol=0, atol=1e-12)
    if hidden == 1:
        plain = mlp([4, 6, 3], layer, 2, "tanh")
        np.testing.assert_array_equal(apply(params, x), jax.jit(plain.apply)(params, x))


@pytest.mark.parametrize("activation", [pytest.param("relu", marks=pytest.mark.slow), "sigmoid"])
def test_padding_changes_nothing(activation, float64):
    native = residual([4, 5, 5, 3], layers.Mode(), 2, activation)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(7, 4)))

    @jax.jit
    def padded(width, modes):
        wide = residual([4, *(Extent(8, width),) * 2, 3], layers.Mode(), Extent(4, modes), activation)
        params = wide.init(jax.random.key(0))
        return params, wide.apply(params, x), wide.between(params, x, 0, 2)

    params, outputs, hidden = padded(5, 2)
    alone = jax.jit(native.init)(jax.random.key(0))
    np.testing.assert_allclose(outputs, jax.jit(native.apply)(alone, x), rtol=0, atol=1e-12)
    between = jax.jit(lambda params: native.between(params, x, 0, 2))(alone)
    np.testing.assert_allclose(hidden[:, :5], between, rtol=0, atol=1e-12)
    assert not np.asarray(hidden[:, 5:]).any()
    for small, large in zip(jax.tree.leaves(alone), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(large[tuple(slice(n) for n in small.shape)], small)


@pytest.mark.slow
def test_it_has_the_start_and_the_count_of_a_perceptron():
    sizes = [6, 5, 5, 3]
    one, other = residual(sizes, layers.LowRank(), 2), mlp(sizes, layers.LowRank(), 2)
    assert one.num_parameters() == other.num_parameters()
    starts = [jax.jit(each.init)(jax.random.key(3)) for each in (one, other)]
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), *starts)))


def test_hidden_sizes_that_differ_are_refused():
    for sizes in ([4, 5, 6, 2], [4, Extent(6, 5), 6, 2], [4, Extent(7, 5), Extent(6, 5), 2]):
        with pytest.raises(InputError, match="hidden layers of a residual network have one size"):
            residual(sizes, layers.Dense())
    residual([4, Extent(6, 5), Extent(6, 5), 2], layers.Dense())
