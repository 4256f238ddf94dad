"""The mode convolution: a sum of filters and channel vectors, by whichever way is cheaper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers import BiasedParams, ModeConvParams, biased, mode_conv

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(("rows", "modes"), [(1, 2), (10_000, 30)])
def test_both_ways_are_the_convolution_with_the_sum_of_modes(rows, modes):
    layer = biased(mode_conv(modes, (3, 2), strides=(2, 1), padding=((1, 0), (0, 1)), rows=rows))
    draw = np.random.default_rng(0).standard_normal
    factors = [jnp.asarray(draw(shape)) for shape in ((5, modes), modes, (modes, 3, 3, 2))]
    p = ModeConvParams(*factors, active=jnp.ones(modes, bool))
    params = BiasedParams(p, jnp.arange(5.0))
    kernel = jnp.einsum("om,m,mihw->oihw", p.xi_out, p.sigma, p.xi_in)
    np.testing.assert_allclose(layer.kernel(params), kernel, rtol=0, atol=1e-12)
    x = jax.random.normal(jax.random.key(1), (3, 8, 7))
    expected = jax.lax.conv_general_dilated(x[None], kernel, (2, 1), ((1, 0), (0, 1)))[0]
    text = str(jax.make_jaxpr(layer.apply)(params, x))
    channels = 5 if rows > 1 else modes  # of the convolution itself
    assert f"f64[1,{channels}," in text
    np.testing.assert_allclose(layer.apply(params, x), expected + params.bias[:, None, None], rtol=0, atol=1e-12)


def test_start_count_modes_and_padding():
    layer = mode_conv(4, (2,))
    params = layer.init(jax.random.key(0), 3, 8)
    assert layer.num_parameters(3, 8) == 4 * (6 + 8 + 1)
    assert layer.trainable(params).active is False
    assert layer.modes is not None
    modes = layer.modes(params)
    matrix = (modes.xi_out * modes.weight[None, :]) @ modes.xi_in
    np.testing.assert_allclose(matrix, layer.kernel(params).reshape(8, 6), rtol=0, atol=1e-12)
    wide = mode_conv(100, (2,)).init(jax.random.key(0), 50, 2).xi_in
    # (N ln N)^(-1/3) with N = 100; the variance of 10,000 normal numbers has the relative error sqrt(2 / 10000).
    scale = (100 * np.log(100)) ** (-1 / 3)
    assert float(wide.var() / scale) == pytest.approx(1, abs=5 * np.sqrt(2 / 10_000))
    init = jax.jit(lambda p, n, m: mode_conv(Extent(6, p), (2,)).init(jax.random.key(0), Extent(4, n), Extent(9, m)))
    padded = init(4, 3, 8)
    np.testing.assert_allclose(padded.xi_in[:4, :3], params.xi_in, rtol=1e-12)
    np.testing.assert_allclose(padded.xi_out[:8, :4], params.xi_out, rtol=1e-12)
    total = sum(float(jnp.abs(leaf).sum()) for leaf in params[:3])
    assert sum(float(jnp.abs(leaf).sum()) for leaf in padded[:3]) == pytest.approx(total)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": 0}, "positive integer"),
        ({"window": ()}, "the window must be integers"),
        ({"strides": (1, 2, 3)}, "strides must be an integer of at least 1, or 2 of them"),
        ({"kernel_dilation": 0}, "kernel_dilation must be"),
        ({"padding": "FULL"}, "unknown padding 'FULL'"),
        ({"padding": [(1, 1)]}, "padding must be SAME, VALID or 2 pairs"),
    ],
)
def test_what_is_not_allowed_is_named(options, message):
    with pytest.raises(InputError, match=message):
        mode_conv(**{"modes": 2, "window": (3, 3), **options})
