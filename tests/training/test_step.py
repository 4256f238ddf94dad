"""One step of training: what it computes, that it leaves padding alone, and that it stops what is not finite."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from modejax import layers
from modejax.extent import Extent
from modejax.networks import conv, mlp, residual, sparcs, tied
from modejax.training import (
    LARGEST_LOSS,
    Loss,
    TrainState,
    adam,
    cross_entropy,
    evaluate,
    init_state,
    merge,
    split,
    squared_error,
    train_step,
)

STEPS, BATCH = 20, 8
FEATURES, CLASSES = 7, 3

FAMILIES = {
    "dense bias": lambda n, p: mlp([FEATURES, n, CLASSES], layers.Dense(use_bias=True), None, "sigmoid"),
    "dense paper": lambda n, p: mlp([FEATURES, n, CLASSES], layers.Dense(start="paper")),
    "mode": lambda n, p: mlp([FEATURES, n, CLASSES], layers.Mode(), p),
    "mode scaled": lambda n, p: mlp([FEATURES, n, CLASSES], layers.Mode(gauge="scaled"), p, "sigmoid"),
    "mode free": lambda n, p: mlp([FEATURES, n, n, CLASSES], layers.Mode(gauge="width_free"), p),
    "dense free": lambda n, p: mlp([FEATURES, n, n, CLASSES], layers.Dense(gauge="width_free")),
    "low_rank": lambda n, p: mlp([FEATURES, n, CLASSES], layers.LowRank(), p, "tanh"),
    "svd": lambda n, p: mlp([FEATURES, n, CLASSES], layers.SVD(), None, "sigmoid"),
    "svd cut": lambda n, p: mlp([FEATURES, n, CLASSES], layers.SVD(), p),
    "tied": lambda n, p: tied([FEATURES, n, CLASSES], p, "sigmoid"),
    "biased": lambda n, p: mlp([FEATURES, n, CLASSES], layers.Biased(layers.Mode()), p, "sigmoid"),
    "residual": lambda n, p: residual([FEATURES, n, n, CLASSES], layers.Mode(), p, "sigmoid"),
    "sparcs": lambda n, p: sparcs([FEATURES, n, n, CLASSES], "tanh", eigenvalue="normal:1"),
    "masked": lambda n, p: mlp([FEATURES, n, CLASSES], layers.Masked(layers.Dense(use_bias=True), "dynamic", 40.0)),
    "conv layer": lambda n, p: conv((7, 1), (n, n), CLASSES, layers.ModeConv((3,)), layers.Mode(), p, norm="layer"),
    "conv group": lambda n, p: conv(
        (7, 1), (n, n), CLASSES, layers.LowRankConv((3,)), layers.LowRank(), p, "sigmoid", norm="group", groups=3
    ),
}
# A start of these is drawn: their frozen leaves are not all of one value.
DRAWN = ("conv layer", "conv group", "masked", "sparcs")


def batches(steps=STEPS):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(steps, BATCH, FEATURES)), jnp.result_type(float))
    return x, jnp.asarray(rng.integers(0, CLASSES, size=(steps, BATCH)), jnp.int32)


def number(value):
    return jnp.asarray(value, jnp.result_type(float))


def trained(network, state, x, y, rate, decay):
    """Go through all batches; return the state and the losses."""

    def step(state, batch):
        return train_step(network, cross_entropy, state, batch, rate, decay)

    return jax.lax.scan(step, state, (x, y))


def random_state(network):
    """Return a state whose parameters are random; mostly no start is drawn, which would take longer to compile."""
    rng = np.random.default_rng(0)
    if any(network == FAMILIES[name](*size) for name in DRAWN for size in ((6, 3), (9, 5))):
        return jax.jit(lambda: init_state(network, jax.random.key(0)))()
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0)))

    def fill(shape, trainable):
        if trainable:
            return jnp.asarray(0.7 * rng.normal(size=shape.shape), shape.dtype)
        return jnp.full(shape.shape, True if shape.dtype == jnp.bool_ else 0.4, shape.dtype)

    return state_of(network, jax.tree.map(fill, shapes, network.trainable(shapes)))


def state_of(network, params):
    moving, _ = split(params, network.trainable(params))
    return TrainState(params, adam(0.0).init(moving), jnp.array(True))


def native_and_padded(name):
    """Train the same network alone, and as one of two members of a padded program of traced sizes."""
    make = FAMILIES[name]
    x, y = batches()
    rate, decay = number(0.01), number(0.05)
    network, full = make(6, 3), make(9, 5)
    start, neighbour = random_state(network), random_state(full)

    def embedded(large, small):
        return jnp.zeros_like(large).at[tuple(slice(n) for n in small.shape)].set(small)

    padded = state_of(full, jax.tree.map(embedded, neighbour.params, start.params))

    def member(n, p, state):
        return trained(make(Extent(9, n), Extent(5, p)), state, x, y, rate, decay)

    one, losses = jax.jit(lambda s: trained(network, s, x, y, rate, decay))(start)
    sizes = jnp.array([9, 6], jnp.int32), jnp.array([5, 3], jnp.int32)
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), neighbour, padded)
    many, many_losses = jax.jit(jax.vmap(member))(*sizes, both)
    return one, losses, jax.tree.map(lambda leaf: leaf[1], many), many_losses[1]


def assert_same_but_for_padding(native, padded, tolerance):
    for small, large in zip(jax.tree.leaves(native), jax.tree.leaves(padded), strict=True):
        small, large = np.asarray(small), np.array(large)
        block = tuple(slice(n) for n in small.shape)
        np.testing.assert_allclose(large[block], small, rtol=0, atol=tolerance)
        # What is left without the block must be +0, bit for bit.
        large[block] = 0
        assert not large.tobytes().strip(b"\0"), "padding is not exactly +0"


def families(*default):
    """Every family, the others than these among the slow tests."""
    return [pytest.param(name, marks=[] if name in default else pytest.mark.slow) for name in FAMILIES]


@pytest.mark.parametrize("name", families("dense bias", "tied", "masked"))
def test_padding_leaves_the_training_alone_in_float64(name, float64):
    one, losses, other, other_losses = native_and_padded(name)
    assert losses.dtype == jnp.float64
    assert abs(losses[-1] - losses[0]) > 1e-3
    assert_same_but_for_padding(one.params, other.params, 1e-10)
    assert_same_but_for_padding(one.moments, other.moments, 1e-10)
    np.testing.assert_allclose(other_losses, losses, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", families("dense paper", "mode scaled"))
def test_padding_leaves_the_training_alone_in_float32(name):
    one, losses, other, other_losses = native_and_padded(name)
    assert_same_but_for_padding(one.params, other.params, 1e-5)
    np.testing.assert_allclose(other_losses, losses, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["mode scaled", "svd cut"])
def test_the_steps_are_those_of_optax_on_the_mean_loss(name, float64):
    network = FAMILIES[name](5, 3)
    x, y = batches(10)
    rate, decay = 0.01, 0.1
    start = random_state(network)
    state, losses = jax.jit(lambda s: trained(network, s, x, y, number(rate), number(decay)))(start)

    def mean_loss(moving, frozen, x, y):
        logits = network.apply(merge(moving, frozen), x)
        return jnp.mean(-jax.nn.log_softmax(logits)[jnp.arange(BATCH), y])

    optimiser = optax.adamw(rate, weight_decay=decay)

    @jax.jit
    def step(moving, frozen, moments, x, y):
        value, gradient = jax.value_and_grad(mean_loss)(moving, frozen, x, y)
        # optax mixes its integer counter with floating-point numbers.
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = optimiser.update(gradient, moments, moving)
        # The penalty is decoupled: the rate times its gradient, beside the step.
        penalty = jax.grad(lambda moving: network.penalty(merge(moving, frozen)))(moving)
        moved = jax.tree.map(lambda theta, u, g: theta + u - rate * g, moving, updates, penalty)
        return moved, moments, value

    moving, frozen = split(start.params, network.trainable(start.params))
    moments, expected = optimiser.init(moving), []
    for i in range(10):
        moving, moments, value = step(moving, frozen, moments, x[i], y[i])
        expected.append(value)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(merge(moving, frozen)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


def test_frozen_leaves_keep_their_bits_and_trained_ones_move():
    network = FAMILIES["mode scaled"](5, 3)
    x, y = batches(3)
    start = random_state(network)
    state, _ = jax.jit(lambda s: trained(network, s, x, y, number(0.01), number(0.1)))(start)
    trainable = jax.tree.leaves(network.trainable(start.params))
    assert trainable == [True, True, True, False, False] * 2
    leaves = zip(jax.tree.leaves(start.params), jax.tree.leaves(state.params), trainable, strict=True)
    for before, after, moves in leaves:
        assert before.dtype == after.dtype
        assert (np.asarray(before).tobytes() != np.asarray(after).tobytes()) == moves
    assert len(jax.tree.leaves((state.moments.mean, state.moments.square))) == 2 * sum(trainable)


def bits(state):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state.params)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_stops_the_network_for_good(bad):
    network = mlp([FEATURES, 5, CLASSES], layers.Mode(gauge="scaled"), 3)
    x, y = batches(3)
    step = jax.jit(lambda s, x, y: train_step(network, cross_entropy, s, (x, y), number(0.01), number(0.1)))
    before, _ = step(random_state(network), x[0], y[0])
    assert bool(before.healthy)
    stopped, value = step(before, x[1].at[2, 3].set(bad), y[1])
    assert not np.isfinite(value)
    assert not bool(stopped.healthy)
    assert bits(stopped) == bits(before)
    # A healthy batch afterwards has a finite loss again, and changes nothing.
    still, value = step(stopped, x[2], y[2])
    assert np.isfinite(value)
    assert not bool(still.healthy)
    assert bits(still) == bits(before)


@pytest.mark.parametrize(
    ("value", "healthy"), [(np.nan, False), (np.inf, False), (-np.inf, False), (1e9, False), (1e7, True), (0.0, True)]
)
def test_only_a_loss_that_is_finite_and_not_huge_is_healthy(value, healthy):
    network = mlp([FEATURES, CLASSES], layers.Dense())
    x, y = batches(1)
    loss = Loss(lambda logits, label: jnp.sum(logits) * 0.5 + jnp.float32(value), cross_entropy.correct)
    before = random_state(network)
    after, _ = jax.jit(lambda s: train_step(network, loss, s, (x[0], y[0]), number(0.01), number(0.0)))(before)
    assert bool(after.healthy) == healthy
    assert (bits(after) != bits(before)) == healthy


def test_a_member_that_diverges_leaves_the_bits_of_the_others_alone():
    x, y = batches(6)
    network = mlp([FEATURES, 6, CLASSES], layers.Mode(), 3)
    state = random_state(network)
    # Three different members.
    start = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf, leaf]), state)
    start = start._replace(
        params=jax.tree.map(lambda leaf: leaf.at[2].multiply(0.5) if leaf.dtype != bool else leaf, start.params)
    )

    @jax.jit
    def run(start, rates):
        return jax.vmap(lambda s, rate: trained(network, s, x, y, rate, number(0.0)))(start, rates)

    def member(tree, index):
        return jax.tree.map(lambda leaf: leaf[index], tree)

    healthy, _ = run(start, jnp.array([0.01, 0.02, 0.01]))
    mixed, losses = run(start, jnp.array([0.01, 1e30, 0.01]))
    assert healthy.healthy.tolist() == [True, True, True]
    assert mixed.healthy.tolist() == [True, False, True]
    for index in (0, 2):
        assert bits(member(mixed, index)) == bits(member(healthy, index))
    bad = np.flatnonzero(~(np.asarray(losses[1]) < LARGEST_LOSS))
    assert len(bad) > 0
    # It stands where it was before the first bad loss, not where that loss's gradient would have sent it.
    until = jax.jit(lambda s: trained(network, s, x[: bad[0]], y[: bad[0]], jnp.float32(1e30), number(0.0)))
    expected, _ = until(member(start, 1))
    for ours, theirs in zip(jax.tree.leaves(member(mixed, 1).params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_one_trace_for_all_rates_decays_widths_and_modes():
    chex.clear_trace_counter()
    x, y = batches(1)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(state, width, modes, rate, decay):
        # The sigmoid is masked by the width.
        network = FAMILIES["mode scaled"](Extent(9, width), Extent(5, modes))
        return train_step(network, cross_entropy, state, (x[0], y[0]), rate, decay)

    state = random_state(FAMILIES["mode scaled"](9, 5))
    seen = set()
    for width, modes, rate, decay in [(6, 3, 0.01, 0.0), (9, 5, 0.02, 0.1), (4, 2, 1e-3, 1.0)]:
        sizes = jnp.int32(width), jnp.int32(modes)
        moved, value = step(state, *sizes, jnp.float32(rate), jnp.float32(decay))
        # Fed back, it is the same program, too.
        _, again = step(moved, *sizes, jnp.float32(rate), jnp.float32(decay))
        seen |= {float(value), float(again)}
    assert len(seen) == 6


@pytest.mark.parametrize("loss", [cross_entropy, squared_error], ids=["classes", "signs"])
def test_evaluation_sums_over_the_rows_that_count(loss):
    rng = np.random.default_rng(0)
    network = mlp([4, 1 if loss is squared_error else 3], layers.Dense())
    weight = rng.normal(size=(network.units[-1].capacity, 4)).astype(np.float32)
    params = (layers.DenseParams(jnp.asarray(weight), None, None),)
    x = rng.normal(size=(30, 4)).astype(np.float32)
    y = rng.choice([-1, 1], 30) if loss is squared_error else rng.integers(0, 3, 30)
    counts = np.arange(30) % 3 != 1
    z = x.astype(np.float64) @ weight.T
    if loss is squared_error:
        losses, right = 0.5 * (z[:, 0] - y) ** 2, np.sign(z[:, 0]) == y
    else:
        losses, right = np.log(np.exp(z).sum(axis=1)) - z[np.arange(30), y], z.argmax(axis=1) == y
    # Rows that only fill up may hold anything.
    x[~counts] = np.nan
    arguments = jnp.asarray(x), jnp.asarray(y, jnp.int32), jnp.asarray(counts)
    total, correct = jax.jit(lambda *a: evaluate(network, loss, params, *a))(*arguments)
    np.testing.assert_allclose(total, losses[counts].sum(), rtol=1e-5)
    assert int(correct) == right[counts].sum()
    assert correct.dtype == jnp.int32


def test_training_fits_a_few_examples():
    rng = np.random.default_rng(0)
    x = jnp.asarray(np.repeat(rng.normal(size=(1, 30, FEATURES)), 150, axis=0), jnp.float32)
    y = jnp.asarray(np.repeat(rng.integers(0, CLASSES, size=(1, 30)), 150, axis=0), jnp.int32)
    network = FAMILIES["mode"](12, 8)
    start = jax.jit(lambda: init_state(network, jax.random.key(0)))()
    _, losses = jax.jit(lambda s: trained(network, s, x, y, number(0.02), number(0.0)))(start)
    assert float(losses[-1]) < 0.3 * float(losses[0])


def test_a_fresh_state_has_no_history():
    state = jax.jit(lambda: init_state(mlp([4, 3, 2], layers.Mode(), 2), jax.random.key(0)))()
    assert bool(state.healthy)
    assert int(state.moments.count) == 0
    moving, _ = split(state.params, mlp([4, 3, 2], layers.Mode(), 2).trainable(state.params))
    assert jax.tree.structure(adam(0.0).init(moving)) == jax.tree.structure(state.moments)
