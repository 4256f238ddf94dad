"""The convolution: both ways are that of XLA, patches are shared by members, and geometries are checked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from modejax.errors import InputError
from modejax.layers import ConvFamily, DenseConv, Masked, ModeConv, convolve
from modejax.layers.convolution import by_lax, by_patches, by_places, geometry, places

CASES = [
    ((3, 2), {}, (6, 7)),
    ((3, 2), {"padding": "VALID"}, (6, 7)),
    ((3, 3), {"strides": 2}, (7, 8)),
    ((3, 2), {"strides": (2, 3), "padding": ((1, 0), (0, 2))}, (7, 8)),
    ((2, 3), {"kernel_dilation": (3, 2)}, (7, 8)),
    ((2, 3), {"input_dilation": 2, "padding": ((1, 2), (0, 1))}, (4, 5)),
    ((2, 3), {"input_dilation": (1, 3), "strides": 2}, (4, 5)),
    ((4,), {"strides": 3, "kernel_dilation": 2, "input_dilation": 2}, (9,)),
    ((3,), {"padding": ((-1, -1),)}, (9,)),
    ((1, 1), {"strides": 2, "padding": "VALID"}, (5, 4)),
    ((2, 2, 2), {"strides": (1, 2, 1)}, (3, 4, 3)),
]


@pytest.mark.parametrize(
    ("window", "options", "space"),
    [case if case in (CASES[3], CASES[7]) else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
def test_all_ways_are_the_convolution_of_xla(window, options, space, float64):
    where = geometry(window, **options)
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=(2, *space, 3))), jnp.asarray(rng.normal(size=(5, 3, *window)))
    # XLA has no padding by name for an input with zeros between its entries, so these are written out.
    between = [(0, 0, 0), (0, 0, 0), *((0, 0, step - 1) for step in where.input_dilation)]
    wide = lax.pad(jnp.moveaxis(x, -1, 1), jnp.zeros(()), between)
    expected = lax.conv_general_dilated(wide, kernel, where.strides, where.padding, rhs_dilation=where.kernel_dilation)
    expected = jnp.moveaxis(expected, 1, -1)
    assert expected.shape[1:-1] == places(where, space)
    for way in (by_patches, by_places, by_lax):
        np.testing.assert_allclose(way(where, kernel, x), expected, rtol=0, atol=1e-12)
    # Any leading axes.
    np.testing.assert_allclose(convolve(where, kernel, x[0]), expected[0], rtol=0, atol=1e-12)
    many = convolve(where, kernel, x.reshape(1, 2, 1, *space, 3))
    np.testing.assert_allclose(many[0, :, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("window", "options", "space"), [CASES[3], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[4:6])]
)
def test_all_ways_have_one_gradient(window, options, space, float64):
    where = geometry(window, **options)
    rng = np.random.default_rng(1)
    x, kernel = jnp.asarray(rng.normal(size=(2, *space, 3))), jnp.asarray(rng.normal(size=(5, 3, *window)))

    def slopes(way):
        return jax.grad(lambda kernel, x: jnp.sum(jnp.sin(way(where, kernel, x))), argnums=(0, 1))(kernel, x)

    for way in (by_patches, by_places):
        for one, other in zip(slopes(way), slopes(by_lax), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_members_that_share_their_inputs_share_the_patches():
    family = DenseConv((3, 3))
    members = jax.vmap(lambda seed: family.init(jax.random.key(seed), 2, 4))(jnp.arange(7))
    x = jnp.ones((5, 6, 6, 2))
    program = jax.make_jaxpr(jax.vmap(family.apply, in_axes=(0, None)))(members, x)
    made = [equation for equation in program.jaxpr.eqns if equation.primitive.name == "concatenate"]
    assert [equation.outvars[0].aval.shape for equation in made] == [(5, 6, 6, 18)]  # pyright: ignore
    assert "conv_general_dilated" not in str(program)


def test_a_window_that_does_not_fit_is_named():
    with pytest.raises(InputError, match=r"the window \(5, 5\) does not fit into inputs of the size \(4, 6\)"):
        DenseConv((5, 5), padding="VALID").apply(DenseConv((5, 5)).init(jax.random.key(0), 1, 1), jnp.ones((4, 6, 1)))


def test_a_family_of_ones_own_needs_init_and_kernel_alone():
    class Doubled(DenseConv):
        def kernel(self, params):
            return 2 * params.weight

    family = Doubled((3,), strides=2)
    assert isinstance(family, ConvFamily)
    params = family.init(jax.random.key(0), 2, 3)
    x = jnp.ones((4, 9, 2))
    np.testing.assert_allclose(family.apply(params, x), 2 * DenseConv((3,), strides=2).apply(params, x), rtol=1e-6)


def test_the_dense_start_is_that_of_he_and_does_not_see_the_padding():
    family = DenseConv((3, 3), use_bias=True)
    weight = family.init(jax.random.key(0), 40, 50).weight
    # The variance of 18,000 normal numbers has the relative error sqrt(2 / 18000), 5 of them.
    assert float(weight.var() * 180) == pytest.approx(1, abs=5 * np.sqrt(2 / 18_000))
    assert family.num_parameters(3, 8) == 8 * 27 + 8
    masked = Masked(ModeConv((3, 3)), "static", 40.0)
    assert masked.space == 2
    assert masked.num_parameters(3, 8, 2) == 2 * (27 + 8 + 1)
