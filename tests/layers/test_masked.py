"""Masks over kernels: which weights go, what gradient they get, and that padding changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers.masked import MASKS, keep_largest, order_statistic
from modejax.training import adam

SIZES = (7, 9)  # fan_in, fan_out


@settings(max_examples=60)
@given(
    # Few lengths, because each of them is compiled.
    values=st.sampled_from((1, 2, 7, 40)).flatmap(
        lambda n: st.lists(st.floats(0, 2.0**90, width=32), min_size=n, max_size=n)
    ),
    place=st.floats(0, 1),
    double=st.booleans(),
)
def test_order_statistic_is_an_entry_of_the_sorted_array(values, place, double):
    with jax.enable_x64(double):
        array = np.array(values, np.float64 if double else np.float32)
        position = int(place * (array.size - 1))
        found = order_statistic(jnp.asarray(array), jnp.int32(position))
        assert np.asarray(found) == np.sort(array)[position]


@pytest.mark.parametrize("sparsity", [0, 10, 50, 77.7, 90, 98, 99.9])
def test_what_is_kept_lies_above_the_percentile_of_numpy(sparsity):
    sizes = np.random.default_rng(0).random((13, 11))
    expected = sizes > np.percentile(sizes, sparsity) if sparsity else np.full(sizes.shape, True)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(keep_largest(jnp.asarray(sizes), sizes.size, sparsity), expected)
        padded = np.pad(sizes, ((0, 4), (0, 3)))
        kept = jax.jit(keep_largest)(padded, jnp.int32(sizes.size), jnp.float64(sparsity))
    np.testing.assert_array_equal(kept[:13, :11], expected)


def start(mask, sparsity=60.0, layer=None):
    layer = layers.Masked(layers.Dense(use_bias=True) if layer is None else layer, mask, sparsity)
    return layer, jax.jit(lambda: layer.init(jax.random.key(3), *SIZES))()


def gradient_of(layer, params, towards):
    """Return the gradient of sum(towards * kernel) for the parameters of the layer inside."""
    return jax.grad(lambda inner: jnp.sum(towards * layer.kernel(params._replace(layer=inner))))(params.layer)


def test_a_weight_that_is_masked_has_no_gradient_unless_it_goes_straight_through(float64):
    towards = jax.random.normal(jax.random.key(0), SIZES[::-1])
    layer, params = start("dynamic")
    kept = np.asarray(layer.kernel(params) != 0)
    assert kept.sum() == 63 - (int(0.6 * 62) + 1)
    np.testing.assert_array_equal(gradient_of(layer, params, towards).weight, np.where(kept, towards, 0))
    through, params = start("straight_through")
    np.testing.assert_array_equal(through.kernel(params), layer.kernel(params))
    np.testing.assert_array_equal(gradient_of(through, params, towards).weight, towards)


def test_masked_weights_of_shared_factors_move_on(float64):
    """The weights of S-QR share r and the eigenvalues; a step for the kept ones moves the masked ones, too."""
    layer, params = start("dynamic", layer=layers.Spectral("qr_full"))
    inner = layers.Spectral("qr_full")
    before, masked_before = inner.kernel(params.layer), np.asarray(layer.kernel(params) == 0)
    gradient = gradient_of(layer, params, jnp.ones(SIZES[::-1]))
    moved = jax.tree.map(lambda p, g: p - 0.01 * g, params.layer, gradient)
    after = inner.kernel(moved)
    assert (np.asarray(after != before)[masked_before]).mean() > 0.9


@pytest.mark.parametrize("mask", ["static", "random", "frozen"])
def test_masks_of_the_start_stay(mask, float64):
    layer, params = start(mask)
    before = np.asarray(layer.kernel(params))
    kept = np.asarray(params.kept)
    assert kept.sum() == 63 - (int(0.6 * 62) + 1)
    if mask == "static":
        weights = np.abs(np.asarray(params.layer.weight))
        assert weights[kept].min() > weights[~kept].max()
    moving = params.layer
    rule = adam(0.1, 0.01)
    state = rule.init(moving)
    for _ in range(3):
        gradient = gradient_of(layer, params._replace(layer=moving), jnp.ones(SIZES[::-1]))
        updates, state = rule.update(gradient, state, moving)
        moving = jax.tree.map(jnp.add, moving, updates)
    after = np.asarray(layer.kernel(params._replace(layer=moving)))
    np.testing.assert_array_equal(after[~kept], before[~kept] if mask == "frozen" else 0)
    assert (after[kept] != before[kept]).all()


def test_random_masks_are_drawn_anew_for_each_seed_and_apart_from_the_weights():
    layer, params = start("random")
    other = layer.init(jax.random.key(4), *SIZES)
    assert (np.asarray(params.kept) != np.asarray(other.kept)).any()
    # A mask that were drawn with the weights' own numbers would keep large or small ones.
    wide = layers.Masked(layers.Dense(), "random", 50.0).init(jax.random.key(0), 100, 100)
    kept, size = np.asarray(wide.kept), np.abs(np.asarray(wide.layer.weight))
    # Means of two halves of 5000 sizes of spread 0.6 sd: 5 standard errors.
    assert abs(size[kept].mean() - size[~kept].mean()) < 5 * size.std() * np.sqrt(2 / 5000)


@pytest.mark.parametrize(
    ("inner", "mask"),
    [
        *(("dense", mask) for mask in MASKS),
        *(pytest.param("qr_full", mask, marks=[] if mask == "dynamic" else pytest.mark.slow) for mask in MASKS),
    ],
)
def test_padding_changes_nothing(mask, inner, float64):
    family = layers.Dense(use_bias=True) if inner == "dense" else layers.Spectral("qr_full")
    x = jax.random.normal(jax.random.key(1), (SIZES[0],))

    @jax.jit
    def padded(fan_in, fan_out, sparsity):
        layer = layers.Masked(family, mask, sparsity)
        params = layer.init(jax.random.key(3), Extent(12, fan_in), Extent(11, fan_out))
        return layer.kernel(params), layer.apply(params, jnp.pad(x, (0, 5)))

    kernel, z = padded(*map(jnp.int32, SIZES), jnp.float64(60))
    layer, params = start(mask, layer=family)
    np.testing.assert_allclose(kernel[: SIZES[1], : SIZES[0]], layer.kernel(params), rtol=0, atol=1e-12)
    np.testing.assert_allclose(z[: SIZES[1]], layer.apply(params, x), rtol=0, atol=1e-12)
    assert not np.asarray(kernel[SIZES[1] :]).any()
    assert not np.asarray(kernel[:, SIZES[0] :]).any()


def test_counts_and_frozen_leaves():
    layer, params = start("frozen", 60.0)
    assert layer.num_parameters(*SIZES) == int(np.asarray(params.kept).sum()) + SIZES[1]
    chosen = layer.trainable(params)
    assert (chosen.layer.weight, chosen.weights, chosen.kept, chosen.first) == (True, False, False, False)
    eigenvalues = layers.Spectral()
    assert layers.Masked(eigenvalues, "frozen", 60.0).num_parameters(*SIZES) == eigenvalues.num_parameters(*SIZES)
    assert layers.Masked(layers.Dense(), "random", 60.0).num_parameters(*SIZES) == 63
    assert (
        float(
            layers.Masked(layers.Spectral(l2_out=1.0), sparsity=60.0).penalty(
                start("dynamic", layer=layers.Spectral())[1]
            )
        )
        > 0
    )


@pytest.mark.parametrize("sparsity", [-1, 100, float("nan"), True, "half"])
def test_a_sparsity_outside_its_range_is_refused(sparsity):
    with pytest.raises(InputError, match="a sparsity must be a percentage from 0 to below 100, got"):
        layers.Masked(layers.Dense(), sparsity=sparsity)


def test_an_unknown_mask_is_refused():
    with pytest.raises(InputError, match=r"unknown mask 'all'; allowed: dynamic, frozen, random, static"):
        layers.Masked(layers.Dense(), "all", 50)  # pyright: ignore[reportArgumentType]


def test_the_bias_is_that_of_the_family_inside():
    layer, params = start("dynamic")
    biased = params._replace(layer=params.layer._replace(bias=jnp.arange(9.0)))
    np.testing.assert_array_equal(layer.bias(biased), np.arange(9))
    both = layers.Masked(layers.Biased(layers.Mode()), sparsity=30.0)
    drawn = both.init(jax.random.key(0), *SIZES, 2)
    assert both.bias(drawn) is drawn.layer.bias
    assert both.modes(drawn) is None
    assert (
        layers.Masked(layers.Spectral(use_bias=False)).bias(params._replace(layer=params.layer._replace(bias=None)))
        is None
    )


@pytest.mark.parametrize("mask", [m if m == "frozen" else pytest.param(m, marks=pytest.mark.slow) for m in MASKS])
def test_each_entry_of_a_convolutions_kernel_is_a_weight(mask, float64):
    family = layers.Masked(layers.DenseConv((3, 2), use_bias=True), mask, 60.0)
    params = jax.jit(lambda: family.init(jax.random.key(0), 3, 4))()
    kernel = np.asarray(family.kernel(params))
    masked = kernel == (0 if params.first is None else np.asarray(params.first))
    assert masked.sum() == (72 if mask == "frozen" else int(0.6 * 71) + 1)
    x = jax.random.normal(jax.random.key(1), (2, 5, 6, 3))
    expected = family.family.apply(params.layer._replace(weight=jnp.asarray(kernel)), x)
    np.testing.assert_allclose(family.apply(params, x), expected, rtol=0, atol=1e-12)
    assert family.num_parameters(3, 4) == 76 - (mask == "frozen") * (int(0.6 * 71) + 1)
    padded = jax.jit(lambda n, m: family.init(jax.random.key(0), Extent(4, n), Extent(6, m)))(3, 4)
    wide = np.asarray(family.kernel(padded))
    np.testing.assert_allclose(wide[:4, :3], kernel, rtol=0, atol=1e-12)
    assert not wide[4:].any()
    assert not wide[:, 3:].any()
