"""Gradients of the loss and of the penalties, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from modejax import layers, networks
from modejax.training import cross_entropy, merge, split, squared_error

# More modes than fan_in fan_out / (fan_in + fan_out), so that the number of rows decides which product is taken.
SIZES, MODES = [6, 5, 4], 3
FEW, MANY = 5, 40

NETWORKS = {
    "dense bias": lambda activation: networks.mlp(SIZES, layers.Dense(use_bias=True), None, activation),
    "dense paper": lambda activation: networks.mlp(SIZES, layers.Dense(start="paper", use_bias=True), None, activation),
    "mode": lambda activation: networks.mlp(SIZES, layers.Mode(), MODES, activation),
    "mode scaled": lambda activation: networks.mlp(SIZES, layers.Mode(gauge="scaled"), MODES, activation),
    "low_rank": lambda activation: networks.mlp(SIZES, layers.LowRank(), MODES, activation),
    "svd cut": lambda activation: networks.mlp(SIZES, layers.SVD(), MODES, activation),
    "tied": lambda activation: networks.tied(SIZES, MODES, activation),
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def random_params(network):
    """Return parameters whose trainable entries are random and of either sign; nothing is padding."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0)))

    def fill(shape, trainable):
        if trainable:
            return jnp.asarray(rng.normal(size=shape.shape))
        return jnp.full(shape.shape, True if shape.dtype == jnp.bool_ else 0.4, shape.dtype)

    return jax.tree.map(fill, shapes, network.trainable(shapes))


@pytest.mark.parametrize(
    ("name", "rows", "activation"),
    [
        *((name, FEW, "tanh") for name in NETWORKS),
        *((name, MANY, "relu") for name in ("mode scaled", "low_rank", "svd cut", "tied")),
    ],
)
def test_every_partial_derivative_is_a_central_difference(name, rows, activation):
    network = NETWORKS[name](activation)
    params = random_params(network)
    moving, frozen = split(params, network.trainable(params))
    start, unravel = ravel_pytree(moving)
    rng = np.random.default_rng(1)
    x, y = jnp.asarray(rng.normal(size=(rows, SIZES[0]))), jnp.asarray(rng.integers(0, SIZES[-1], size=rows))

    def mean_loss(entries):
        logits = network.apply(merge(unravel(entries), frozen), x)
        # A loss whose gradient has no tiny entry hides none: both losses at once.
        errors = jax.vmap(squared_error.value)(logits, y)
        return jnp.mean(jax.vmap(cross_entropy.value)(logits, y) + 0.1 * errors)

    step = 1e-5

    @jax.jit
    def gradients(entries):
        def difference(direction):
            return (mean_loss(entries + step * direction) - mean_loss(entries - step * direction)) / (2 * step)

        return jax.grad(mean_loss)(entries), jax.vmap(difference)(jnp.eye(entries.size))

    gradient, differences = gradients(start)
    assert start.size == network.num_parameters()
    assert np.count_nonzero(gradient) > 0.6 * start.size
    # Leaf by leaf, so that a leaf of small gradients is not hidden behind one of large ones.
    for one, other in zip(jax.tree.leaves(unravel(gradient)), jax.tree.leaves(unravel(differences)), strict=True):
        assert abs(one - other).max() < 1e-6 * abs(one).max()


@pytest.mark.parametrize("modes", [None, 2], ids=["full rank", "cut"])
@pytest.mark.parametrize("padded", [False, True])
def test_the_svd_penalty_has_the_gradients_of_the_method(modes, padded):
    fan_in, fan_out, r = 6, 4, 4 if modes is None else modes
    lam_o, lam_s = 30.0, 0.7
    layer = layers.SVD(orthogonality=lam_o, sparsity=lam_s)
    rng = np.random.default_rng(3)
    u, s, v = rng.normal(size=(fan_out, r)), rng.normal(size=r), rng.normal(size=(r, fan_in))
    assert (s < 0).any()
    assert (s > 0).any()
    more = 3 if padded else 0
    params = layers.SVDParams(
        jnp.pad(u, ((0, 2 * more), (0, more))),
        jnp.pad(s, (0, more)),
        jnp.pad(v, ((0, more), (0, 2 * more))),
        jnp.arange(r + more) < r,
    )
    moving, frozen = split(params, layer.trainable(params))
    gradient = jax.jit(jax.grad(lambda moving: layer.penalty(merge(moving, frozen))))(moving)

    eye, one, two = np.eye(r), abs(s).sum(), np.sqrt((s**2).sum())
    expected_u = lam_o * 4 / r**2 * u @ (u.T @ u - eye)
    expected_v = lam_o * 4 / r**2 * (v @ v.T - eye) @ v
    expected_s = lam_s * (np.sign(s) * two - s * one / two) / two**2
    np.testing.assert_allclose(gradient.u[:fan_out, :r], expected_u, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradient.v[:r, :fan_in], expected_v, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradient.s[:r], expected_s, rtol=1e-12, atol=1e-13)
    for leaf in (gradient.u[fan_out:], gradient.u[:, r:], gradient.s[r:], gradient.v[r:], gradient.v[:, fan_in:]):
        assert not np.asarray(leaf).any()

    value = lam_o / r**2 * (((u.T @ u - eye) ** 2).sum() + ((v @ v.T - eye) ** 2).sum()) + lam_s * one / two
    np.testing.assert_allclose(layer.penalty(params), value, rtol=1e-13)


def test_the_svd_penalty_is_finite_where_every_singular_value_is_0():
    layer = layers.SVD(orthogonality=0.0)
    params = layers.SVDParams(jnp.ones((3, 2)), jnp.zeros(2), jnp.ones((2, 4)), jnp.full(2, True))
    value, gradient = jax.value_and_grad(lambda s: layer.penalty(params._replace(s=s)))(params.s)
    assert float(value) == 0
    assert np.isfinite(gradient).all()


def test_only_svd_has_a_penalty():
    for name, make in NETWORKS.items():
        if not name.startswith("svd"):
            assert float(make("relu").penalty(((),) * (len(SIZES) - 1))) == 0


def test_the_penalty_of_a_network_is_the_sum_over_its_layers():
    layer = layers.SVD()
    network = networks.mlp([4, 3, 5, 2], [layer, layers.Dense(), layers.SVD(sparsity=3.0)], [2, None, None])
    params = random_params(network)
    expected = float(layer.penalty(params[0])) + float(layers.SVD(sparsity=3.0).penalty(params[2]))
    np.testing.assert_allclose(network.penalty(params), expected, rtol=1e-13)


def test_the_svd_penalty_of_an_orthonormal_set_is_that_of_its_singular_values():
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    params = layers.SVDParams(
        jnp.asarray(basis[:, :3]), jnp.array([1.0, -1.0, 1.0]), jnp.asarray(basis[:3]), jnp.full(3, True)
    )
    np.testing.assert_allclose(layers.SVD(sparsity=2.0).penalty(params), 2 * 3**0.5, rtol=1e-12)


def test_the_derivative_of_relu_at_0_is_0():
    derivative = jax.grad(networks.ACTIVATIONS["relu"])
    assert float(derivative(0.0)) == 0
    assert float(derivative(1e-300)) == 1


def test_a_traced_number_of_modes_has_the_penalty_of_its_true_rank():
    def penalty(active):
        r = active.astype(jnp.float64)
        params = layers.SVDParams(jnp.zeros((5, 4)), jnp.zeros(4), jnp.zeros((4, 5)), jnp.arange(4) < active)
        # Nothing but the identity is left: lam_o / r^2 (r + r).
        return layers.SVD().penalty(params) * r / 60

    np.testing.assert_allclose(jax.vmap(penalty)(jnp.arange(1, 5)), 1, rtol=1e-13)
