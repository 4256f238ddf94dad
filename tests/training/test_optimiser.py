from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from modejax import layers
from modejax.errors import InputError
from modejax.names import OPTIMISERS
from modejax.training import Optimiser, adam, adamax, merge, split
from modejax.training.optimiser import AdamState

STEPS = 50


def tree(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    shapes = {"a": (3, 4), "b": (5,), "c": ()}
    return {name: jnp.asarray(scale * rng.normal(size=shape)) for name, shape in shapes.items()}


def gradient_at(step):
    """Gradients of very different sizes, entries that stay 0 and a sign that turns."""
    values = tree(step, scale=10.0 ** ((step % 7) - 4))
    return {**values, "b": values["b"].at[2].set(0.0)}


def by_hand(params, rate, decay, extra):
    """Theta <- theta - rate (mhat / (sqrt(vhat) + eps) + decay theta + extra(theta)), with NumPy."""
    theta = {k: np.array(v) for k, v in params.items()}
    mean, square = ({k: np.zeros_like(v) for k, v in theta.items()} for _ in range(2))
    for t in range(1, STEPS + 1):
        gradient = gradient_at(t)
        for k in theta:
            g = np.array(gradient[k])
            mean[k] = 0.9 * mean[k] + 0.1 * g
            square[k] = 0.999 * square[k] + 0.001 * g**2
            corrected = mean[k] / (1 - 0.9**t) / (np.sqrt(square[k] / (1 - 0.999**t)) + 1e-8)
            theta[k] = theta[k] - rate * (corrected + decay * theta[k] + extra(theta[k]))
    return theta


def run(optimiser, params) -> tuple[dict[str, jax.Array], Any]:
    gradients = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(gradient_at(t + 1) for t in range(STEPS)))
    gradients = jax.tree.map(lambda g, theta: g.astype(theta.dtype), gradients, params)

    def step(carried, gradient):
        params, state = carried
        updates, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    # optax mixes its integer counter with floating-point numbers.
    with jax.numpy_dtype_promotion("standard"):
        return jax.jit(lambda start: jax.lax.scan(step, start, gradients))((params, optimiser.init(params)))[0]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_fifty_steps_are_those_of_optax_adamw(decay, float64):
    params = tree(100)
    ours, state = run(adam(0.01, decay), params)
    theirs, _ = run(optax.adamw(0.01, b1=0.9, b2=0.999, eps=1e-8, weight_decay=decay), params)
    for name in params:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12)
    assert int(state.count) == STEPS
    # An entry whose gradient is always 0 has only the decay.
    np.testing.assert_allclose(ours["b"][2], params["b"][2] * (1 - 0.01 * decay) ** STEPS, rtol=1e-12)


def test_fifty_steps_are_those_of_optax_adamax(float64):
    params = tree(100)
    ours, state = run(adamax(0.01), params)
    theirs, theirs_state = run(optax.adamax(0.01, b1=0.9, b2=0.999, eps=1e-8), params)
    for name in params:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12)
        np.testing.assert_allclose(state.largest[name], theirs_state[0].nu[name], rtol=1e-12)
    assert int(state.count) == STEPS
    assert not np.allclose(ours["a"], run(adam(0.01), params)[0]["a"], rtol=1e-3)


def test_decay_and_penalty_of_adamax_pass_by_its_moments(float64):
    params = tree(101)
    plain, state = run(adamax(0.01), params)
    decayed, decayed_state = run(adamax(0.01, 0.05, lambda p: jnp.sum(ravel_pytree(p)[0] ** 4) / 4), params)
    for name in params:
        # The gradients do not depend on the parameters, so neither do the moments.
        np.testing.assert_array_equal(state.largest[name], decayed_state.largest[name])
        theta = np.array(params[name])
        steps = np.zeros((STEPS, *theta.shape))
        mean, largest = np.zeros_like(theta), np.zeros_like(theta)
        for t in range(1, STEPS + 1):
            g = np.array(gradient_at(t)[name])
            mean, largest = 0.9 * mean + 0.1 * g, np.maximum(0.999 * largest, abs(g) + 1e-8)
            steps[t - 1] = mean / (1 - 0.9**t) / largest
            theta = theta - 0.01 * (steps[t - 1] + 0.05 * theta + theta**3)
        np.testing.assert_allclose(decayed[name], theta, rtol=1e-11)
        np.testing.assert_allclose(plain[name], np.array(params[name]) - 0.01 * steps.sum(axis=0), rtol=1e-9)


def test_fifty_steps_with_a_penalty_are_those_of_the_formula(float64):
    params = tree(101)
    # d/dtheta of theta^4 / 4; it passes by the moments, as the decay does.
    ours, _ = run(adam(0.01, 0.05, lambda p: jnp.sum(ravel_pytree(p)[0] ** 4) / 4), params)
    expected = by_hand(params, 0.01, 0.05, lambda theta: theta**3)
    for name in params:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-12)


def test_in_float32_the_steps_are_those_of_optax_to_rounding():
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree(102))
    ours, _ = run(adam(0.01, 0.1), params)
    theirs, _ = run(optax.adamw(0.01, weight_decay=0.1), params)
    for name in params:
        assert ours[name].dtype == jnp.float32
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


def test_the_first_step_is_the_rate_in_the_direction_of_the_sign(float64):
    optimiser = adam(0.3)
    gradient = jnp.array([1e-3, -5.0, 1e4])
    updates, _ = optimiser.update(gradient, optimiser.init(gradient), gradient)
    np.testing.assert_allclose(np.asarray(updates), [-0.3, 0.3, -0.3], rtol=2e-5)


@pytest.mark.parametrize("optimiser", [adam(0.1), adamax(0.1)])
def test_the_parameters_are_needed(optimiser):
    with pytest.raises(InputError, match="needs the parameters"):
        optimiser.update(jnp.ones(2), optimiser.init(jnp.ones(2)))


def test_leaves_that_are_not_trained_have_no_state():
    layer = layers.Mode(gauge="scaled")
    params = jax.jit(lambda: layer.init(jax.random.key(0), 5, 4, 3))()
    moving, frozen = split(params, layer.trainable(params))
    state = adam(0.1).init(moving)
    assert isinstance(state, AdamState)
    for moments in (state.mean, state.square):
        assert moments.scale is None
        assert moments.active is None
        assert [leaf.shape for leaf in jax.tree.leaves(moments)] == [(4, 3), (3,), (3, 5)]
        assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(moments))
    assert [leaf is kept for leaf, kept in zip(jax.tree.leaves(frozen), params[3:], strict=True)] == [True, True]


def test_split_and_merge_are_inverse_also_where_leaves_are_none():
    params = (
        layers.DenseParams(jnp.ones((2, 3)), None, None),
        layers.DenseParams(jnp.zeros((2, 2)), jnp.ones(2), jnp.float32(0.5)),
        {"nothing": None, "flag": jnp.array([True, False])},
    )
    train = {"weight": True, "bias": True, "scale": False, "flag": False}

    def choose(path, leaf):
        del leaf
        return train[getattr(path[-1], "name", None) or path[-1].key]

    chosen = jax.tree_util.tree_map_with_path(choose, params)
    moving, frozen = split(params, chosen)
    assert len(jax.tree.leaves(moving)) == 3
    assert len(jax.tree.leaves(frozen)) == 2
    assert moving[1].scale is None
    assert frozen[0].weight is None
    for one, other in ((moving, frozen), (frozen, moving)):
        merged = merge(one, other)
        assert jax.tree.structure(merged) == jax.tree.structure(params)
        for a, b in zip(jax.tree.leaves(merged), jax.tree.leaves(params), strict=True):
            assert a is b


def of_optax(name, rate):
    """Return the optimiser of optax by its name, without decay."""
    build = {"adam": optax.adam, "adamax": optax.adamax}.get(name) or getattr(optax, name)
    options = {"weight_decay": 0.0} if name in ("lion", "lamb", "novograd") else {}
    return build(rate, **options)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_name_without_decay_is_that_of_optax(name, float64):
    params = tree(103)
    ours, _ = run(Optimiser(name).rule(0.01, 0.0), params)
    theirs, _ = run(of_optax(name, 0.01), params)
    for leaf in params:
        np.testing.assert_allclose(ours[leaf], theirs[leaf], rtol=1e-11, atol=1e-13)
        assert not np.allclose(ours[leaf], params[leaf], rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "lion", "nadam"])
def test_decay_and_penalty_pass_by_the_state_of_every_optimiser(name, float64):
    """Theta <- theta + update - rate (decay theta + theta^3), the update being that of optax without either."""
    rate, decay = 0.01, 0.05
    params = tree(104)
    ours, _ = run(Optimiser(name).rule(rate, decay, lambda p: jnp.sum(ravel_pytree(p)[0] ** 4) / 4), params)
    inner = of_optax(name, rate)
    theta, state = params, inner.init(params)
    with jax.numpy_dtype_promotion("standard"):
        for t in range(1, STEPS + 1):
            updates, state = inner.update(gradient_at(t), state, theta)
            theta = jax.tree.map(lambda p, u: p + u - rate * (decay * p + p**3), theta, updates)
    for leaf in params:
        np.testing.assert_allclose(ours[leaf], theta[leaf], rtol=1e-10, atol=1e-12)


def test_options_reach_optax(float64):
    params = tree(105)
    ours, _ = run(Optimiser("sgd", (("momentum", 0.9), ("nesterov", True))).rule(0.01), params)
    theirs, _ = run(optax.sgd(0.01, momentum=0.9, nesterov=True), params)
    without, _ = run(optax.sgd(0.01), params)
    for leaf in params:
        np.testing.assert_allclose(ours[leaf], theirs[leaf], rtol=1e-12)
        assert not np.allclose(ours[leaf], without[leaf], rtol=1e-3)


def test_a_function_of_the_user_has_its_decay_where_it_takes_one(float64):
    params = tree(106)
    own, _ = run(Optimiser(optax.lion).rule(0.01, 0.2), params)
    theirs, _ = run(optax.lion(0.01, weight_decay=0.2), params)
    chained = Optimiser(lambda learning_rate: optax.chain(optax.clip(0.5), optax.sgd(learning_rate)))
    ours, _ = run(chained.rule(0.01, 0.2), params)
    by_hand = {name: np.array(value) for name, value in params.items()}
    for t in range(1, STEPS + 1):
        for name, gradient in gradient_at(t).items():
            by_hand[name] = by_hand[name] - 0.01 * (np.clip(gradient, -0.5, 0.5) + 0.2 * by_hand[name])
    for name in params:
        np.testing.assert_allclose(own[name], theirs[name], rtol=1e-12)
        np.testing.assert_allclose(ours[name], by_hand[name], rtol=1e-11)


def test_an_error_of_a_function_of_the_user_is_not_hidden():
    def build(learning_rate):
        raise TypeError(f"no number: {learning_rate}")

    with pytest.raises(TypeError, match="no number"):
        Optimiser(build).rule(0.1)


def test_optimisers_are_equal_by_value():
    assert Optimiser("sgd", (("momentum", 0.9),)) == Optimiser("sgd", (("momentum", 0.9),))
    assert hash(Optimiser(optax.lion)) == hash(Optimiser(optax.lion))
    assert Optimiser("sgd") != Optimiser("sgd", (("momentum", 0.9),))
    assert (Optimiser().name, Optimiser(optax.lion).name) == ("adam", "lion")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lbfgs",), "unknown optimiser 'lbfgs'; allowed: adabelief, adagrad, adam, adamax"),
        ((3,), "an optimiser is a name or a function of the learning rate, got 3"),
        (("adam", (("b1", 0.8),)), "unknown option 'b1' of the optimiser adam; allowed: none"),
        (("sgd", (("beta", 0.8),)), "unknown option 'beta' of the optimiser sgd; allowed: accumulator_dtype, momentum"),
        (("lion", (("weight_decay", 0.8),)), "unknown option 'weight_decay' of the optimiser lion"),
        ((optax.lion, (("learning_rate", 0.8),)), "unknown option 'learning_rate' of the optimiser lion"),
    ],
)
def test_what_is_no_optimiser_is_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        Optimiser(*arguments)
    assert message in str(caught.value)
