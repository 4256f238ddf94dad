"""Convolutional networks against loops of NumPy, with and without padding."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.networks import conv

pytestmark = pytest.mark.usefixtures("float64")

CASES = {
    "mode layer max": (layers.ModeConv((3, 3)), layers.Mode(), 2, {"norm": "layer"}),
    "dense strided mean": (
        layers.DenseConv((2, 3), strides=(1, 2)),
        layers.Dense(use_bias=True),
        None,
        {"pool": "mean"},
    ),
    "low rank group": (layers.LowRankConv((3, 3)), layers.LowRank(), 2, {"norm": "group", "groups": 2, "pool": "none"}),
    "biased valid": (layers.Biased(layers.ModeConv((2, 2), padding="VALID")), layers.Mode(), 3, {"pool": "max"}),
}
SHAPE = (6, 5, 2)


def make(case, channels=(4, 4), activation="tanh", modes=None, shape=SHAPE):
    family, head, count, options = CASES[case]
    return conv(shape, channels, 3, family, head, modes or count, activation, **options)


def convolved(kernel, image, strides, same):
    """Correlate one image (rows, columns, channels) with a kernel (out, in, rows, columns), place by place."""
    window = kernel.shape[2:]
    if same:
        total = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in zip(image.shape, window, strides, strict=False)]
        image = np.pad(image, [*((t // 2, t - t // 2) for t in total), (0, 0)])
    size = [(n - w) // s + 1 for n, w, s in zip(image.shape, window, strides, strict=False)]
    out = np.zeros((*size, len(kernel)))
    for i, j in itertools.product(*map(range, size)):
        patch = image[i * strides[0] : i * strides[0] + window[0], j * strides[1] : j * strides[1] + window[1]]
        out[i, j] = np.einsum("oiab,abi->o", kernel, patch)
    return out


def normalised(z, norm, groups):
    if norm == "layer":
        return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    parts = np.split(z, groups, axis=-1)
    return np.concatenate([(p - p.mean()) / np.sqrt(p.var() + 1e-5) for p in parts], axis=-1)


def pooled(z, pool):
    if pool == "none":
        return z
    rows, columns = (max(n // 2, 1) for n in z.shape[:2])
    out = np.empty((rows, columns, z.shape[-1]))
    for i, j in itertools.product(range(rows), range(columns)):
        block = z[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        out[i, j] = block.max((0, 1)) if pool == "max" else block.mean((0, 1))
    return out


@pytest.mark.parametrize("case", CASES)
def test_it_is_convolutions_norms_activations_pooling_and_a_head(case):
    network = make(case)
    family, _, _, options = CASES[case]
    inner = getattr(family, "family", family)
    params = random_params(network)
    images = np.random.default_rng(1).normal(size=(2, *SHAPE))
    kernels = [np.asarray(kernel) for kernel in jax.jit(network.kernels)(params)]
    biases = [0 if bias is None else np.asarray(bias) for bias in network.biases(params)]
    expected = []
    for image in images:
        h = image
        for index in range(2):
            h = convolved(kernels[index], h, inner.strides, inner.padding == "SAME") + biases[index]
            if norm := options.get("norm"):
                gain, shift = (np.asarray(leaf) for leaf in params.norms[index])
                h = normalised(h, norm, options.get("groups", 1)) * gain + shift
            h = np.tanh(h)
            h = pooled(h, options.get("pool", "max")) if index == 0 else h
        expected.append(kernels[2] @ h.mean((0, 1)) + biases[2])
    found = jax.jit(network.apply)(params, images.reshape(2, -1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    assert network.map_names == ("conv1", "conv2", "head")


@pytest.mark.parametrize(
    ("case", "activation"),
    [
        ("dense strided mean", "sigmoid"),
        *(pytest.param(case, "relu", marks=pytest.mark.slow) for case in CASES),
        *(pytest.param(case, "sigmoid", marks=pytest.mark.slow) for case in CASES if case != "dense strided mean"),
    ],
)
def test_padding_changes_nothing(case, activation):
    modes = CASES[case][2]
    native = make(case, activation=activation)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 60)))

    @jax.jit
    def padded(width, count):
        wide = make(case, (Extent(7, width),) * 2, activation, None if modes is None else Extent(modes + 2, count))
        params = wide.init(jax.random.key(0))
        return params, wide.apply(params, x)

    params, outputs = padded(4, modes or 0)
    alone = jax.jit(native.init)(jax.random.key(0))
    np.testing.assert_allclose(outputs, jax.jit(native.apply)(alone, x), rtol=0, atol=1e-12)
    for small, large in zip(jax.tree.leaves(alone), jax.tree.leaves(params), strict=True):
        rest = np.array(large)
        inside = tuple(slice(n) for n in small.shape)
        np.testing.assert_array_equal(rest[inside], small)
        rest[inside] = 0
        assert not rest.tobytes().strip(b"\0")


@pytest.mark.parametrize("case", CASES)
def test_the_count_is_that_of_the_trainable_entries(case):
    network = make(case)
    params = jax.eval_shape(network.init, jax.random.key(0))
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(network.trainable(params)), strict=True)
    expected = sum(leaf.size for leaf, moves in pairs if moves)
    assert network.num_parameters() == expected
    modes = CASES[case][2]
    wide = make(case, (Extent(8, 4),) * 2, modes=None if modes is None else Extent(9, modes))
    assert wide.num_parameters() == expected


def test_images_of_one_row_are_pooled_along_the_other():
    network = make("dense strided mean", shape=(1, 5, 2))
    x = jnp.ones((2, 10))
    assert jax.eval_shape(network.apply, random_params(network), x).shape == (2, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_shape": (6,)}, r"needs images \(\*space, channels\)"),
        ({"channels": ()}, "and one convolution or more"),
        ({"norm": "batch"}, "unknown norm 'batch' of a convolutional network; allowed: group, layer, none"),
        ({"pool": "min"}, "unknown pool 'min'"),
        ({"groups": 0}, "groups must be an integer of at least 1, got 0"),
        ({"groups": 3, "norm": "group"}, "4 channels are no multiple of 3 groups"),
        ({"convolutions": layers.Mode()}, r"need convolutions over 2 axes, such as layers.ModeConv\(\(3, 3\)\)"),
        ({"convolutions": layers.ModeConv((3,))}, "need convolutions over 2 axes"),
        ({"convolutions": [layers.ModeConv((3, 3))] * 3}, "2 layers of channels need as many convolutions, got 3"),
        ({"head": layers.ModeConv((3, 3))}, "the map to the outputs is a family of matrices"),
        ({"activation": "step"}, "unknown activation 'step'"),
        ({"modes": None}, "needs a number of modes"),
    ],
)
def test_what_is_not_allowed_is_named(changes, message):
    arguments = {
        "image_shape": SHAPE,
        "channels": (4, 4),
        "outputs": 3,
        "convolutions": layers.ModeConv((3, 3)),
        "head": layers.Mode(),
        "modes": 2,
    }
    with pytest.raises(InputError, match=message):
        conv(**(arguments | changes))
