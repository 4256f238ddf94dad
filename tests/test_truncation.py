"""Scores and orders of modes, against slow and obvious NumPy."""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.layers import Modes
from modejax.truncation import (
    SCORES,
    Cut,
    Order,
    gauge_free_size,
    importance,
    mode_scores,
    places_in_order,
    ranked,
    weight_size,
)


def random_modes(seed=0, fan_out=4, count=6, fan_in=5, padding=0):
    rng = np.random.default_rng(seed)
    return Modes(
        jnp.asarray(np.pad(rng.normal(size=(fan_out, count)), ((0, 0), (0, padding)))),
        jnp.asarray(np.pad(rng.normal(size=count), (0, padding))),
        jnp.asarray(np.pad(rng.normal(size=(count, fan_in)), ((0, padding), (0, 0)))),
        jnp.arange(count + padding) < count,
    )


# --- scores ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 3])
def test_importance_is_the_formula_of_the_method(padding, float64):
    modes = random_modes(padding=padding)
    xi_out, sigma, xi_in = (np.asarray(a) for a in (modes.xi_out[:, :6], modes.weight[:6], modes.xi_in[:6]))
    n = np.array([np.sqrt((xi_out[:, mu] ** 2).sum()) + np.sqrt((xi_in[mu] ** 2).sum()) for mu in range(6)])
    gamma = np.mean(np.abs(sigma)) / np.mean(n)
    tau = gamma * n + np.abs(sigma)
    np.testing.assert_allclose(importance(modes)[:6], tau, rtol=1e-13)
    np.testing.assert_array_equal(importance(modes)[6:], 0)
    np.testing.assert_array_equal(weight_size(modes)[:6], np.abs(sigma))
    frobenius = [np.linalg.norm(sigma[mu] * np.outer(xi_out[:, mu], xi_in[mu])) for mu in range(6)]
    np.testing.assert_allclose(gauge_free_size(modes)[:6], frobenius, rtol=1e-13)
    np.testing.assert_array_equal(gauge_free_size(modes)[6:], 0)


def test_modes_that_are_all_0_have_importance_0():
    modes = jax.tree.map(jnp.zeros_like, random_modes())
    np.testing.assert_array_equal(importance(modes), 0)


positive = st.lists(st.floats(0.1, 10), min_size=6, max_size=6)


@settings(max_examples=25)
@given(a=positive, b=positive, signs=st.lists(st.sampled_from([-1, 1]), min_size=6, max_size=6))
def test_only_the_size_is_free_of_the_gauge(a, b, signs):
    with jax.enable_x64(True):
        modes = random_modes()
        a, b = jnp.array(a) * jnp.array(signs, dtype=float), jnp.array(b)
        other = Modes(modes.xi_out * b[None, :], modes.weight / (a * b), modes.xi_in * a[:, None], modes.active)
        np.testing.assert_allclose(gauge_free_size(other), gauge_free_size(modes), rtol=1e-12)


def test_importance_and_weight_depend_on_the_gauge(float64):
    modes = random_modes()
    other = modes._replace(weight=modes.weight / 2, xi_in=modes.xi_in * 2)
    for score in (importance, weight_size):
        assert abs(score(other) - score(modes)).max() > 0.1


def test_scores_by_name():
    modes = random_modes()
    for order, score in SCORES.items():
        np.testing.assert_array_equal(mode_scores(modes, cast(Order, order)), score(modes))
    assert set(SCORES) == {"importance", "weight", "size"}
    one, other = (mode_scores(modes, "random", jax.random.key(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(mode_scores(modes, "random", jax.random.key(0)), one)
    assert np.argsort(one).tolist() != np.argsort(other).tolist()


def test_a_random_order_puts_every_mode_at_every_rank_equally_often():
    """4 modes, 4,000 orders: each of the 24 orders comes 167 times, give or take 5 standard deviations of 12.6."""
    modes = random_modes(count=4)
    scores = jax.jit(jax.vmap(lambda seed: mode_scores(modes, "random", jax.random.key(seed))))(jnp.arange(4000))
    orders, counts = np.unique(np.argsort(scores, axis=1), axis=0, return_counts=True)
    assert len(orders) == 24
    assert abs(counts - 4000 / 24).max() < 5 * np.sqrt(4000 / 24 * 23 / 24)


def test_a_wrong_order_is_refused():
    with pytest.raises(InputError, match=r"'tau'.*importance, random, size, weight"):
        mode_scores(random_modes(), "tau")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="needs a key"):
        mode_scores(random_modes(), "random")


# --- orders ---------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    scores=st.lists(st.sampled_from([-1.5, 0.0, 1.0, 2.0, 7.0]), min_size=6, max_size=6),
    active=st.lists(st.booleans(), min_size=6, max_size=6),
    cut=st.sampled_from(["keep-leading", "remove-leading"]),
)
def test_modes_are_sorted_stably_and_padding_comes_last(scores, active, cut):
    modes = random_modes()._replace(active=jnp.array(active))
    result = ranked(modes, jnp.array(scores), cut)
    sign = -1 if cut == "keep-leading" else 1
    # Python's sort is stable: equal scores keep their order.
    expected = sorted((mu for mu in range(6) if active[mu]), key=lambda mu: sign * scores[mu])
    for rank, mu in enumerate(expected):
        np.testing.assert_array_equal(result.weight[rank], modes.weight[mu])
        np.testing.assert_array_equal(result.xi_out[:, rank], modes.xi_out[:, mu])
        np.testing.assert_array_equal(result.xi_in[rank], modes.xi_in[mu])
    assert result.active.tolist() == [rank < sum(active) for rank in range(6)]
    assert sorted(np.asarray(result.weight).tolist()) == sorted(np.asarray(modes.weight).tolist())


@pytest.mark.parametrize("cut", ["keep-leading", "remove-leading"])
def test_many_equal_scores_keep_their_order(cut: Cut):
    """Sorting few numbers may be stable by chance."""
    count = 500
    modes = Modes(
        jnp.ones((1, count)), jnp.arange(count, dtype=jnp.float32), jnp.ones((count, 1)), jnp.arange(count) < count - 50
    )
    scores = jnp.asarray(np.random.default_rng(0).integers(0, 3, count), jnp.float32)
    sign = -1 if cut == "keep-leading" else 1
    expected = np.argsort(np.where(modes.active, sign * np.asarray(scores), np.inf), stable=True)
    np.testing.assert_array_equal(jax.jit(lambda m, s: ranked(m, s, cut))(modes, scores).weight, expected)


@settings(max_examples=30)
@given(
    scores=st.lists(st.sampled_from([-1.5, 0.0, 1.0, 2.0]), min_size=6, max_size=6),
    active=st.lists(st.booleans(), min_size=6, max_size=6),
    cut=st.sampled_from(["keep-leading", "remove-leading"]),
)
def test_places_are_the_inverse_of_the_order(scores, active, cut):
    modes = random_modes()._replace(active=jnp.array(active))
    places = np.asarray(places_in_order(modes, jnp.array(scores), cut))
    assert sorted(places.tolist()) == list(range(6))
    in_order = np.asarray(ranked(modes, jnp.array(scores), cut).weight)
    np.testing.assert_array_equal(in_order[places], modes.weight)


def test_an_unknown_cut_is_refused():
    with pytest.raises(InputError, match=r"'keep'.*keep-leading, remove-leading"):
        ranked(random_modes(), jnp.ones(6), "keep")  # pyright: ignore[reportArgumentType]
