"""Networks that compute in bfloat16: parameters stay as they are, and a chain stays a chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params

from modejax import layers, networks
from modejax.networks import Chain, in_bfloat16

NETWORKS = {
    "mlp": lambda: networks.mlp([6, 5, 3], layers.Biased(layers.Mode()), 2),
    "residual": lambda: networks.residual([6, 5, 5, 3], layers.Mode(), 2),
    "sparcs": lambda: networks.sparcs([6, 5, 3], eigenvalue="normal:1"),
    "masked": lambda: networks.mlp([6, 5, 3], layers.Masked(layers.Dense(), "static", 50.0)),
    "conv": lambda: networks.conv((3, 2, 1), (4,), 3, layers.ModeConv((2, 2)), layers.Mode(), 2, norm="layer"),
}


@pytest.mark.parametrize("name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS if n != "mlp")])
def test_outputs_are_those_of_float32_to_the_rounding_of_bfloat16(name):
    inner = NETWORKS[name]()
    network = in_bfloat16(inner)
    params = jax.jit(network.init)(jax.random.key(0))
    for one, other in zip(
        jax.tree.leaves(params), jax.tree.leaves(jax.jit(inner.init)(jax.random.key(0))), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        assert one.dtype != jnp.bfloat16
    x = jnp.asarray(np.random.default_rng(0).normal(size=(9, 6)), jnp.float32)
    low, high = jax.jit(network.apply)(params, x), jax.jit(inner.apply)(params, x)
    assert low.dtype == jnp.float32
    size = float(jnp.abs(high).max())
    # Eight bits and a few operations; not the same numbers.
    np.testing.assert_allclose(low, high, rtol=0, atol=0.1 * size)
    assert (np.asarray(low) != np.asarray(high)).any()
    assert network.num_parameters() == inner.num_parameters()
    assert jax.tree.leaves(network.trainable(params)) == jax.tree.leaves(inner.trainable(params))
    assert isinstance(network, Chain) == isinstance(inner, Chain)
    assert network.map_names == inner.map_names


@pytest.mark.parametrize("name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in ("residual", "conv"))])
def test_a_chain_in_parts_is_the_whole(name):
    network = in_bfloat16(NETWORKS[name]())
    assert isinstance(network, Chain)
    assert network == in_bfloat16(NETWORKS[name]())
    params = random_params(network)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(9, 6)), jnp.float32)
    maps = len(network.map_names)
    h = network.between(params, network.enter(x), 0, 1)
    assert h.dtype == jnp.float32
    parts = network.between(params, h, 1, maps)
    whole = network.apply(params, x)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=0.05 * float(jnp.abs(whole).max()))
