"""The spectral convolution: channels, not places, carry the eigenvalues."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers import SpectralConv

pytestmark = pytest.mark.usefixtures("float64")


def drawn(**options):
    layer = SpectralConv((3, 2), **options)
    params = jax.jit(lambda: layer.init(jax.random.key(0), 3, 5))()
    return layer, params._replace(bias=None if params.bias is None else jnp.arange(5.0))


@pytest.mark.parametrize(
    ("padding", "strides"), [("VALID", 2), *(pytest.param(p, 1, marks=pytest.mark.slow) for p in ("VALID", "SAME"))]
)
def test_it_is_an_ordinary_convolution_between_scaled_channels(padding, strides):
    layer, params = drawn(padding=padding, strides=strides)
    x = jax.random.normal(jax.random.key(1), (8, 7, 3))

    def convolved(x):
        first = jnp.moveaxis(x, -1, 0)[None]
        return jnp.moveaxis(jax.lax.conv_general_dilated(first, params.phi, (strides, strides), padding)[0], 0, -1)

    scaled = convolved(params.lambda_in[None, None] * x) - params.lambda_out[None, None] * convolved(x)
    np.testing.assert_allclose(layer.apply(params, x), scaled + params.bias[None, None], rtol=0, atol=1e-12)  # pyright: ignore


def test_each_place_of_the_window_is_a_two_set_map():
    layer, params = drawn()
    kernel = np.asarray(layer.kernel(params))
    assert kernel.shape == (5, 3, 3, 2)
    expected = np.asarray(params.lambda_in)[None, :, None, None] - np.asarray(params.lambda_out)[:, None, None, None]
    np.testing.assert_array_equal(kernel, expected * np.asarray(params.phi))
    shifted = params._replace(lambda_in=params.lambda_in + 0.7, lambda_out=params.lambda_out + 0.7)
    np.testing.assert_allclose(layer.kernel(shifted), kernel, rtol=0, atol=1e-15)


def test_gradients_are_the_closed_forms():
    layer, params = drawn(use_bias=False)
    g = jax.random.normal(jax.random.key(2), (5, 3, 3, 2))
    found = jax.grad(lambda p: jnp.sum(g * layer.kernel(p)))(params)
    np.testing.assert_allclose(found.lambda_in, jnp.einsum("oihw,oihw->i", g, params.phi), rtol=1e-12)
    np.testing.assert_allclose(found.lambda_out, -jnp.einsum("oihw,oihw->o", g, params.phi), rtol=1e-12)


def test_start_counts_and_frozen_leaves():
    layer, params = drawn()
    assert layer.num_parameters(3, 5) == 3 + 5 + 5
    assert layer.trainable(params).phi is False
    both = SpectralConv((3, 2), eigenvectors="trained", use_bias=False)
    assert both.num_parameters(3, 5) == 3 + 5 + 90
    wide = SpectralConv((3, 3)).init(jax.random.key(0), 40, 50).phi
    # He: variance 2 / (9 * 40); the variance of 18000 normal numbers has the relative error sqrt(2 / 18000), 5 of them.
    assert float(wide.var() * 180) == pytest.approx(1, abs=5 * np.sqrt(2 / 18000))
    other = SpectralConv((3, 3), phi="uniform:0.2").init(jax.random.key(0), 40, 50).phi
    assert 0.19 < float(jnp.abs(other).max()) <= 0.2


def test_padded_channels_change_nothing():
    layer, params = drawn()
    padded = jax.jit(lambda n, m: layer.init(jax.random.key(0), Extent(4, n), Extent(8, m)))(3, 5)
    x = jax.random.normal(jax.random.key(1), (8, 7, 3))
    z = layer.apply(padded, jnp.pad(x, ((0, 0), (0, 0), (0, 1))))
    np.testing.assert_allclose(z[..., :5], layer.apply(params._replace(bias=jnp.zeros(5)), x), rtol=0, atol=1e-12)
    assert not np.asarray(z[..., 5:]).any()


@pytest.mark.parametrize(
    ("window", "options", "message"),
    [
        ((), {}, "the window must be integers of at least 1"),
        ((3, 0), {}, "the window must be integers of at least 1"),
        ((3, 2.0), {}, "the window must be integers of at least 1"),
        ((3,), {"strides": 0}, "strides must be an integer of at least 1, or 1 of them, one a dimension, got 0"),
        ((3,), {"padding": "FULL"}, "unknown padding 'FULL'"),
        ((3,), {"eigenvectors": "fixed"}, "unknown eigenvectors 'fixed'"),
        ((3,), {"lambda_in": "constant:1", "lambda_out": "constant:1"}, "so that the kernel is 0"),
        ((3,), {"phi": "cauchy"}, "cauchy"),
    ],
)
def test_what_is_not_allowed_is_named(window, options, message):
    with pytest.raises(InputError, match=message):
        SpectralConv(window, **options)
