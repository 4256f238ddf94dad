"""The tied network: shared patterns, its start, and that padding changes nothing."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params
from scipy import stats

from modejax import networks
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.networks import ACTIVATIONS, tied


@pytest.mark.parametrize("rows", [1, 40])
def test_the_tied_network_shares_the_patterns_of_each_layer_of_units(rows):
    with jax.enable_x64(True):
        network = tied([6, 5, 4, 3], 4, "tanh")
        params = random_params(network)
        xi, sigma = [np.asarray(a) for a in params.patterns], [np.asarray(a) for a in params.sigma]
        x = np.random.default_rng(1).normal(size=(rows, 6))
        h = x.T
        for index, kernel in enumerate(network.kernels(params)):
            expected = sum(s * np.outer(o, i) for s, o, i in zip(sigma[index], xi[index + 1], xi[index], strict=True))
            np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-12)
            modes = network.modes(params)[index]
            assert modes is not None
            added = np.einsum("om,m,mi->oi", modes.xi_out, modes.weight, modes.xi_in)
            np.testing.assert_allclose(added, expected, rtol=0, atol=1e-12)
            h = expected @ h
            h = np.tanh(h) if index < 2 else h
        np.testing.assert_allclose(network.apply(params, jnp.asarray(x)), h.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, jnp.cos, lambda z: jnp.sin(z + 1)])
def test_padded_units_are_silent_under_every_activation(activation):
    """Outputs and gradients of a padded network are those of the network alone, the padding exactly 0."""
    width, p, more_width, more_p = 6, 3, 3, 2

    def parts(network, params):
        def score(moving):
            full = moving._replace(active=params.active)
            return jnp.sum(network.apply(full, x) ** 2)

        hidden = network.between(params, x, 0, 1)
        return jax.value_and_grad(score)(params._replace(active=None)), hidden

    @jax.jit
    def both(params, padded, width, p):
        wide = tied([7, Extent(6 + more_width, width), 3], Extent(3 + more_p, p), activation)
        return parts(tied([7, 6, 3], 3, activation), params), parts(wide, padded)

    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 7)))
        params = random_params(tied([7, width, 3], p))
        units = [0, more_width, 0]
        padded = networks.TiedParams(
            tuple(jnp.pad(xi, ((0, more_p), (0, more))) for xi, more in zip(params.patterns, units, strict=True)),
            tuple(jnp.pad(sigma, (0, more_p)) for sigma in params.sigma),
            jnp.pad(params.active, (0, more_p)),
        )
        results = both(params, padded, jnp.int32(width), jnp.int32(p))
    ((score, gradient), hidden), ((padded_score, padded_gradient), padded_hidden) = jax.tree.map(np.asarray, results)
    np.testing.assert_allclose(padded_score, score, rtol=1e-12)
    np.testing.assert_allclose(padded_hidden[:, :width], hidden, rtol=1e-11, atol=1e-13)
    assert not padded_hidden[:, width:].any()
    for small, large in zip(jax.tree.leaves(gradient), jax.tree.leaves(padded_gradient), strict=True):
        expected = np.zeros_like(large)
        expected[tuple(slice(n) for n in small.shape)] = small
        np.testing.assert_allclose(large, expected, rtol=0, atol=1e-11 * abs(small).max())
        assert not large[expected == 0].any()


def test_the_tied_start_has_the_variances_of_the_method():
    """Errors in units of the standard error over 3,000 networks; six comparisons, each wrong with probability 1e-6."""
    n, p = [20, 8, 5, 3], 2
    network = tied(n, p)
    kernels = jax.jit(jax.vmap(lambda seed: network.kernels(network.init(jax.random.key(seed)))))(jnp.arange(3000))

    def power(size, exponent):
        return (size * math.log(size)) ** exponent

    expected = [
        p * power(n[0], -2 / 3) * power(n[1], -1 / 3),
        p * power(n[1], -2 / 3) * power(n[2], -1 / 3),
        p / (n[2] * math.log(n[2])),
    ]
    for kernel, variance in zip(kernels, expected, strict=True):
        for samples, value in ((kernel, 0.0), (kernel**2, variance)):
            means = np.asarray(samples, np.float64).reshape(3000, -1).mean(axis=1)
            assert abs(means.mean() - value) < stats.norm.isf(5e-7) * means.std(ddof=1) / 3000**0.5


@pytest.mark.parametrize("modes", [0, -1, 2.5, True])
def test_a_wrong_number_of_tied_modes_is_refused(modes):
    with pytest.raises(InputError, match="positive integer"):
        tied([4, 3, 2], modes)


def test_it_needs_a_number_of_modes():
    with pytest.raises(InputError, match="a tied network needs a number of modes, got none"):
        tied([4, 3, 2], None)


def test_a_cut_leaves_the_patterns_and_takes_the_weights(float64):
    network = tied([6, 5, 4, 3], 4)
    params = random_params(network)
    keep = [jnp.array([True, False, True, False]), None, jnp.full(4, False)]
    cut = network.cut(params, keep)
    for before, after in zip(params.patterns, cut.patterns, strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(cut.sigma[0], np.where(keep[0], params.sigma[0], 0))
    np.testing.assert_array_equal(cut.sigma[1], params.sigma[1])
    assert not np.asarray(cut.sigma[2]).any()
