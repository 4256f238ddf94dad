"""Convolutions of modes: a sum of filters and channel vectors, by whichever way is cheaper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers import Biased, BiasedParams, LowRankConv, LowRankConvParams, ModeConv, ModeConvParams

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(
    ("kind", "rows", "modes"),
    [
        (ModeConv, 1, 2),
        (ModeConv, 30, 30),
        *(pytest.param(LowRankConv, *case, marks=pytest.mark.slow) for case in ((1, 2), (30, 30))),
    ],
)
def test_both_ways_are_the_convolution_with_the_sum_of_modes(kind, rows, modes):
    family = Biased(kind((3, 2), strides=(2, 1), padding=((1, 0), (0, 1))))
    draw = np.random.default_rng(0).standard_normal
    xi_out, sigma, xi_in = (jnp.asarray(draw(shape)) for shape in ((5, modes), modes, (modes, 3, 3, 2)))
    active = jnp.ones(modes, bool)
    inner = ModeConvParams(xi_out, sigma, xi_in, active)
    if kind is LowRankConv:
        inner, sigma = LowRankConvParams(xi_out, xi_in, active), jnp.ones(modes)
    params = BiasedParams(inner, jnp.arange(5.0))
    kernel = jnp.einsum("om,m,mihw->oihw", xi_out, sigma, xi_in)
    np.testing.assert_allclose(family.kernel(params), kernel, rtol=0, atol=1e-11)
    x = jax.random.normal(jax.random.key(1), (rows, 8, 7, 3))
    first = jax.lax.conv_general_dilated(jnp.moveaxis(x, -1, 1), kernel, (2, 1), ((1, 0), (0, 1)))
    expected = jnp.moveaxis(first, 1, -1) + params.bias[None, None, None]
    text = str(jax.make_jaxpr(family.apply)(params, x))
    places = rows * 4 * 7
    assert (f"f64[{places},{modes}]" in text) == (rows == 1)  # what the filters see
    np.testing.assert_allclose(family.apply(params, x), expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(family.apply(params, x[0]), expected[0], rtol=0, atol=1e-11)
    modes_ = family.modes(params)
    assert modes_ is not None
    keep = jnp.arange(modes) % 2 == 0
    cut = jnp.einsum("om,m,mihw->oihw", xi_out, jnp.where(keep, sigma, 0), xi_in)
    np.testing.assert_allclose(family.kernel(family.cut(params, keep)), cut, rtol=0, atol=1e-11)


def test_start_count_modes_and_padding():
    layer = ModeConv((2,))
    params = jax.jit(lambda: layer.init(jax.random.key(0), 3, 8, 4))()
    assert layer.num_parameters(3, 8, 4) == 4 * (6 + 8 + 1)
    assert layer.trainable(params).active is False
    modes = layer.modes(params)
    matrix = (modes.xi_out * modes.weight[None, :]) @ modes.xi_in
    np.testing.assert_allclose(matrix, layer.kernel(params).reshape(8, 6), rtol=0, atol=1e-12)
    wide = jax.jit(lambda: layer.init(jax.random.key(0), 50, 2, 100).xi_in)()
    # (N ln N)^(-1/3) with N = 100; the variance of 10,000 normal numbers has the relative error sqrt(2 / 10000).
    scale = (100 * np.log(100)) ** (-1 / 3)
    assert float(wide.var() / scale) == pytest.approx(1, abs=5 * np.sqrt(2 / 10_000))
    init = jax.jit(lambda p, n, m: layer.init(jax.random.key(0), Extent(4, n), Extent(9, m), Extent(6, p)))
    padded = init(4, 3, 8)
    np.testing.assert_allclose(padded.xi_in[:4, :3], params.xi_in, rtol=1e-12)
    np.testing.assert_allclose(padded.xi_out[:8, :4], params.xi_out, rtol=1e-12)
    total = sum(float(jnp.abs(leaf).sum()) for leaf in params[:3])
    assert sum(float(jnp.abs(leaf).sum()) for leaf in padded[:3]) == pytest.approx(total)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": ()}, "the window must be integers"),
        ({"window": 3}, "the window must be integers"),
        ({"strides": (1, 2, 3)}, "strides must be an integer of at least 1, or 2 of them"),
        ({"kernel_dilation": 0}, "kernel_dilation must be"),
        ({"padding": "FULL"}, "unknown padding 'FULL'"),
        ({"padding": [(1, 1)]}, "padding must be SAME, VALID or 2 pairs"),
    ],
)
def test_what_is_not_allowed_is_named(options, message):
    with pytest.raises(InputError, match=message):
        ModeConv(**{"window": (3, 3), **options})
