import numpy as np
import pytest

from modejax.data import from_arrays
from modejax.data.scales import scale_advice


@pytest.fixture
def plain():
    return np.random.default_rng(0).normal(size=(200, 5))


def typed(advice, **names):
    """Run what a piece of advice says to type, and return the arrays it leaves."""
    start = advice.index("mean, sd = " if "mean, sd" in advice else "x_train, x_test = ")
    exec(advice[start:].partition(" (bytes")[0], {}, names)
    return names["x_train"], names["x_test"]


def test_features_of_one_scale_go_without_a_word(plain):
    assert scale_advice(plain) == ""
    assert scale_advice(plain * [1, 2, 3, 4, 9]) == ""
    assert scale_advice(np.ones((4, 2))) == ""


def test_scales_that_differ_are_named_with_what_to_type(plain):
    x = plain * [1, 1, 0.002, 1, 3] + [0, 1, 0, 0, 0]
    advice = scale_advice(x)
    sd = x.std(axis=0)
    assert f"differ {sd[4] / sd[2]:.3g} times: feature 2 has a standard deviation of {sd[2]:.3g}, feature 4" in advice
    train, test = typed(advice, x_train=x.copy(), x_test=x[:3].copy())
    np.testing.assert_allclose(train.std(axis=0), 1)
    np.testing.assert_allclose(test, train[:3])
    assert scale_advice(train) == ""


def test_a_small_spread_far_from_zero_is_found_in_float32(plain):
    x = (plain * [1, 1, 0.01, 1, 1] + [0, 0, 4, 0, 0]).astype(np.float32)
    exact = plain[:, 2].std() * 0.01
    assert f"feature 2 has a standard deviation of {exact:.3g}" in scale_advice(x)


def test_constant_features_and_those_of_two_values_are_of_no_scale(plain):
    rare = np.zeros((200, 1))
    rare[3] = 1.0
    assert scale_advice(np.hstack([plain, rare, np.full((200, 1), 0.5)])) == ""
    assert "differ" in scale_advice(np.hstack([plain, 0.01 * plain[:, :1]]))


def test_pixels_are_of_one_scale_whether_flattened_or_not():
    rng = np.random.default_rng(1)
    images = rng.random((50, 8, 8)) * np.where(np.arange(64).reshape(8, 8) % 9 == 0, 0.01, 1.0)
    images[0] = 0.0
    assert scale_advice(images.reshape(50, 64)) == ""
    assert from_arrays(images, np.arange(50) % 2, images, np.arange(50) % 2).image_shape == (8, 8)
    assert "differ" in scale_advice(images.reshape(50, 64)[:, :40])


def test_images_of_0_to_255_as_floats_are_told_what_to_type():
    x = np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(float)
    with pytest.warns(UserWarning, match="divide images by 255: x_train, x_test = x_train / 255") as caught:
        from_arrays(x, np.arange(20) % 2, x, np.arange(20) % 2)
    assert "mean, sd" not in str(caught[0].message)
    assert "divide images by 16: x_train, x_test = x_train / 16" in scale_advice(x // 16 + 1, images=True)
    train, _ = typed(scale_advice(x, images=True), x_train=x.reshape(20, 64), x_test=x)
    assert scale_advice(train, images=True) == ""
