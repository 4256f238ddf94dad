"""Perceptrons: what they compute, count, and start from, alone and among padding."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params
from scipy import special

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.networks import ACTIVATIONS, mlp, residual, tied

NUMPY_ACTIVATIONS = {
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "erf": lambda z: special.erf(z / np.sqrt(2)),
    # The tanh form of Hendrycks and Gimpel, which jax.nn.gelu has by default.
    "gelu": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": special.expit,
    "tanh": np.tanh,
}

# Width and modes -> the network; both may be extents.
FAMILIES = {
    "dense bias": lambda width, modes, activation="relu": mlp(
        [7, width, 3], layers.Dense(use_bias=True), None, activation
    ),
    "mode scaled": lambda width, modes, activation="relu": mlp(
        [7, width, 3], layers.Mode(gauge="scaled"), modes, activation
    ),
    "low_rank": lambda width, modes, activation="relu": mlp([7, width, 3], layers.LowRank(), modes, activation),
    "svd": lambda width, modes, activation="relu": mlp([7, width, 3], layers.SVD(), None, activation),
    "tied": lambda width, modes, activation="relu": tied([7, width, 3], modes, activation),
    "mixed": lambda width, modes, activation="relu": mlp(
        [7, width, 3], [layers.Dense(start="paper"), layers.SVD()], modes, activation
    ),
}


def assert_native_within(native, padded):
    """Compare bit for bit: the same leading block, and +0 everywhere else."""
    for small, large in zip(jax.tree.leaves(native), jax.tree.leaves(padded), strict=True):
        expected = np.zeros(large.shape, large.dtype)
        expected[tuple(slice(n) for n in small.shape)] = small
        np.testing.assert_array_equal(large, expected)
        assert np.asarray(large).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_network_is_its_kernels_and_the_activation(name):
    layer = [layers.Mode(), layers.Dense(use_bias=True), layers.SVD(), layers.LowRank()]
    with jax.enable_x64(True):
        network = mlp([4, 6, 5, 7, 3], layer, [2, None, 2, 3], name)
        params = random_params(network)
        x = np.random.default_rng(1).normal(size=4)
        h, hidden = x, []
        for index, kernel in enumerate(network.kernels(params)):
            h = np.asarray(kernel) @ h + (np.asarray(params[1].bias) if index == 1 else 0)
            if index < 3:
                h = NUMPY_ACTIVATIONS[name](h)
            hidden.append(h)
        np.testing.assert_allclose(network.apply(params, jnp.asarray(x)), h, rtol=1e-12, atol=1e-12)
        # In parts, too.
        np.testing.assert_allclose(network.between(params, jnp.asarray(x), 0, 2), hidden[1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(network.between(params, jnp.asarray(hidden[1]), 2, 4), h, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(network.between(params, jnp.asarray(x), 2, 2), x)


def test_modes_are_none_where_a_map_is_dense():
    network = mlp([4, 3, 5, 2], [layers.Mode(), layers.Dense(), layers.LowRank()], [2, None, 1])
    modes = network.modes(random_params(network))
    assert [m is None for m in modes] == [False, True, False]


@pytest.mark.parametrize(
    ("width", "make", "expected"),
    [
        (100, lambda n: mlp([784, n, n, 10], layers.Dense()), 89_400),
        (100, lambda n: mlp([784, n, n, 10], layers.Mode(), 10), 11_970),
        (100, lambda n: mlp([784, n, n, 10], layers.Mode(), 30), 35_910),
        (100, lambda n: mlp([784, n, n, 10], layers.Mode(gauge="scaled"), 70), 83_790),
        (100, lambda n: tied([784, n, n, 10], 30), 29_910),
        (100, lambda n: tied([784, n, n, 10], 70), 69_790),
        (400, lambda n: mlp([784, n, n, 10], layers.Dense(start="paper")), 477_600),
        (400, lambda n: mlp([784, n, n, 10], layers.Mode(), 10), 23_970),
        (400, lambda n: mlp([784, n, n, 10], layers.Mode(), 30), 71_910),
        (400, lambda n: mlp([784, n, n, 10], layers.Mode(), 70), 167_790),
        (400, lambda n: tied([784, n, n, 10], 30), 47_910),
        (400, lambda n: tied([784, n, n, 10], 70), 111_790),
        (100, lambda n: mlp([784, n, n, 10], layers.LowRank(), 30), 30 * (884 + 200 + 110)),
        (100, lambda n: mlp([784, n, n, 10], layers.SVD()), 100 * 885 + 100 * 201 + 10 * 111),
        (100, lambda n: mlp([784, n, n, 10], layers.Dense(use_bias=True)), 89_400 + 210),
    ],
)
def test_the_parameter_counts_are_those_of_the_method(width, make, expected):
    assert make(width).num_parameters() == expected
    assert make(Extent(width + 50, width)).num_parameters() == expected


@pytest.mark.parametrize("name", FAMILIES)
def test_the_count_is_that_of_the_trainable_entries(name):
    network = FAMILIES[name](6, 4)
    params = jax.eval_shape(lambda: network.init(jax.random.key(0)))
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(network.trainable(params)), strict=True)
    assert network.num_parameters() == sum(leaf.size for leaf, trainable in pairs if trainable)


@pytest.mark.parametrize("name", [*(pytest.param(n, marks=pytest.mark.slow) for n in ("mode scaled", "tied")), "mixed"])
def test_traced_widths_and_modes_give_the_network_of_plain_sizes(name):
    """One of the members of a program, its neighbours narrower and wider, against the network alone."""
    members = [(6, 3), (4, 2), (8, 5)]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 7)), jnp.float32)

    def make(width, p):
        return FAMILIES[name](Extent(8, width), Extent(5, p))

    def outputs(network, params):
        return network.apply(params, x), network.kernels(params)

    sizes = [jnp.array(column, jnp.int32) for column in zip(*members, strict=True)]
    params = jax.jit(jax.vmap(lambda width, p: make(width, p).init(jax.random.key(1))))(*sizes)
    logits, kernels = jax.jit(jax.vmap(lambda width, p, params: outputs(make(width, p), params)))(*sizes, params)
    network = FAMILIES[name](*members[0])
    native = jax.jit(network.init)(jax.random.key(1))
    assert_native_within(native, jax.tree.map(lambda leaf: leaf[0], params))
    native_logits, native_kernels = jax.jit(lambda params: outputs(network, params))(native)
    np.testing.assert_allclose(logits[0], native_logits, rtol=1e-5, atol=1e-5)
    for padded, kernel in zip(kernels, native_kernels, strict=True):
        np.testing.assert_allclose(padded[0][: kernel.shape[0], : kernel.shape[1]], kernel, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_start_is_the_same_in_every_bucket_and_batch():
    @jax.jit
    def in_a_large_bucket(widths, modes):
        return jax.vmap(lambda n, p: FAMILIES["mode scaled"](Extent(12, n), Extent(9, p)).init(jax.random.key(1)))(
            widths, modes
        )

    @jax.jit
    def alone(width, modes):
        return FAMILIES["mode scaled"](Extent(6, width), Extent(3, modes)).init(jax.random.key(1))

    many = in_a_large_bucket(jnp.array([12, 6, 2], jnp.int32), jnp.array([1, 3, 9], jnp.int32))
    assert_native_within(alone(jnp.int32(6), jnp.int32(3)), jax.tree.map(lambda leaf: leaf[1], many))


@pytest.mark.slow
def test_another_seed_and_another_layer_is_another_start():
    network = mlp([5, 5, 5], layers.Mode(), 5)
    start = jax.jit(network.init)
    one, other = start(jax.random.key(0)), start(jax.random.key(1))
    leaves = [np.asarray(leaf).ravel() for tree in (one, other) for leaf in jax.tree.leaves(tree)]
    drawn = np.concatenate([leaf for leaf in leaves if leaf.dtype == np.float32])
    assert len(np.unique(drawn)) == len(drawn)


def test_an_activation_that_is_singular_at_0_does_not_spoil_a_padded_network():
    """Padded units sit at exactly 0, where real ones never are: a root's derivative is infinite there."""

    def root(z):
        return jnp.sign(z) * jnp.sqrt(jnp.abs(z))

    def gradient(network):
        params = network.init(jax.random.key(0))
        return jax.grad(lambda params: jnp.sum(network.apply(params, jnp.ones(4))))(params)

    one = jax.jit(lambda: gradient(mlp([4, 3, 2], layers.Dense(), None, root)))()
    other = jax.jit(lambda: gradient(mlp([4, Extent(5, 3), 2], layers.Dense(), None, root)))()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(other))
    np.testing.assert_allclose(other[0].weight[:3], one[0].weight, rtol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_a_dense_network_is_that_of_flax(bias):
    from flax import nnx

    sizes = [12, 9, 8, 5]
    rngs = nnx.Rngs(0)
    linears = [nnx.Linear(n, m, use_bias=bias, rngs=rngs) for n, m in itertools.pairwise(sizes)]
    rng = np.random.default_rng(0)
    params = []
    for linear in linears:
        if linear.bias is None:
            params.append(layers.DenseParams(linear.kernel[...].T, None, None))
        else:
            linear.bias.set_value(jnp.asarray(rng.normal(size=linear.out_features), jnp.float32))
            params.append(layers.DenseParams(linear.kernel[...].T, linear.bias[...], None))
    assert all((part.bias is not None) == bias for part in params)
    x = jnp.asarray(rng.normal(size=(20, 12)), jnp.float32)
    h = x
    for linear in linears[:-1]:
        h = nnx.relu(linear(h))
    network = mlp(sizes, layers.Dense(use_bias=bias))
    ours = jax.jit(network.apply)(tuple(params), x)
    np.testing.assert_allclose(ours, linears[-1](h), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda sizes: mlp(sizes, layers.Mode(), 2),
        lambda sizes: tied(sizes, 2),
        lambda sizes: residual(sizes, layers.Mode(), 2),
    ],
)
def test_sizes_that_make_no_network_are_refused(make):
    for sizes in ([], [5]):
        with pytest.raises(InputError, match="at least an input and an output size"):
            make(sizes)
    for wrong in (0, -1, True, 2.0, Extent(3, 4)):
        with pytest.raises(InputError, match=r"positive integer|capacity"):
            make([5, wrong, 2])


def test_an_unknown_activation_is_refused():
    for make in (lambda a: mlp([4, 3, 2], layers.Dense(), None, a), lambda a: tied([4, 3, 2], 2, a)):
        with pytest.raises(InputError, match=r"'swish'.*erf, gelu, identity, relu, sigmoid, tanh"):
            make("swish")


def test_a_wrong_number_of_layers_is_refused():
    for count in (0, 1, 3):
        with pytest.raises(
            InputError, match=f"the network has 2 maps, got {count} families; give one for all, or one a map"
        ):
            mlp([4, 3, 2], [layers.Dense()] * count)


def test_a_network_knows_its_units():
    network = mlp([4, Extent(6, 3), 2], layers.Dense())
    assert network.units == (Extent(4, 4), Extent(6, 3), Extent(2, 2))
    assert network.map_names == ("map1", "map2")


def test_networks_are_equal_by_value():
    one, same = (mlp([4, Extent(6, 3), 2], layers.Mode(), 2, "tanh") for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    others = [
        mlp([4, 6, 2], layers.Mode(), 2, "tanh"),
        mlp([4, Extent(6, 3), 2], layers.Mode(), 3, "tanh"),
        mlp([4, Extent(6, 3), 2], layers.Mode(gauge="scaled"), 2, "tanh"),
        mlp([4, Extent(6, 3), 2], layers.Mode(), 2),
        residual([4, Extent(6, 3), 2], layers.Mode(), 2, "tanh"),
    ]
    assert all(one != other for other in others)


@pytest.mark.parametrize("make", [mlp, residual])
def test_any_leading_axes_are_rows(make):
    network = make([4, 6, 6, 2], layers.Mode(), 2)
    params = random_params(network)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
    flat = network.apply(params, x.reshape(6, 4))
    np.testing.assert_allclose(network.apply(params, x), flat.reshape(2, 3, 2), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(network.apply(params, x[1, 2]), flat[5], rtol=1e-6, atol=1e-6)


def test_what_is_no_layer_is_refused():
    for wrong, message in (
        (layers.Dense, "got the class Dense; write it with"),
        (lambda width, modes: layers.Dense(), "a layer is a family such as layers.Mode"),
        ([layers.Dense(), layers.Dense], "got the class Dense"),
        ([layers.Dense(), None], "a layer is a family such as layers.Mode"),
    ):
        with pytest.raises(InputError, match=message):
            mlp([4, 3, 2], wrong)  # pyright: ignore
    with pytest.raises(InputError, match="needs a number of modes, got none"):
        mlp([4, 3, 2], layers.Mode())
    with pytest.raises(InputError, match="has 2 maps, got 3 numbers of modes"):
        mlp([4, 3, 2], layers.Mode(), [1, 2, 3])
