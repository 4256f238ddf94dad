"""Measures of modes: closed forms, the gauge, rank correlations and bad input."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from random_params import random_params
from scipy.stats import spearmanr

from modejax import layers, mlp, tied, truncation
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.modes import mode_measures, rank_correlations, ranked_curves
from modejax.networks import Network


class Member(NamedTuple):
    network: Network
    params: Any


def member(layer, modes=None, sizes=(7, 6, 4), seed=0):
    network = mlp(sizes, layer, modes)
    return Member(network=network, params=random_params(network, seed))


def test_scores_are_those_by_which_modes_are_cut():
    one = member(layers.Mode(), 5)
    measures = mode_measures([one])
    for index, modes in enumerate(one.network.modes(one.params)):
        for name, score in (("importance", truncation.importance), ("size", truncation.gauge_free_size)):
            assert modes is not None
            np.testing.assert_allclose(measures[name][0, index], score(modes), rtol=1e-5)


def test_orthonormal_patterns_have_their_sizes_as_singular_values():
    rng = np.random.default_rng(0)
    sigma = np.array([3.0, -2.0, 0.5])
    network = mlp([7, 6], layers.Mode(), 3)
    params = random_params(network)
    out, _ = np.linalg.qr(rng.normal(size=(6, 3)))
    into, _ = np.linalg.qr(rng.normal(size=(7, 3)))
    params = (params[0]._replace(xi_out=jnp.array(2 * out), sigma=jnp.array(sigma), xi_in=jnp.array(0.5 * into.T)),)
    measures = mode_measures([Member(network=network, params=params)])
    np.testing.assert_allclose(measures["size"][0, 0], [3, 2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(measures["singular_value"][0, 0], [3, 2, 0.5], rtol=1e-5)


@settings(max_examples=6)
@given(st.integers(0, 1000), st.floats(0.1, 10.0))
def test_moving_a_scale_between_factors_moves_tau_but_not_the_size(seed, factor):
    one = member(layers.Mode(), 4, seed=seed)
    moved = tuple(p._replace(xi_in=p.xi_in * factor, sigma=p.sigma / factor) for p in one.params)
    before = mode_measures([one])
    after = mode_measures([Member(network=one.network, params=moved)])
    for name in ("size", "singular_value"):
        np.testing.assert_allclose(before[name], after[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after["weight"], before["weight"] / factor, rtol=1e-5)


def test_padding_and_maps_with_fewer_modes_are_left_out():
    padded = mlp([7, Extent(9, 6), 4], layers.Mode(), Extent(8, 5))
    native = mlp([7, 6, 4], layers.Mode(), 5)
    members = [Member(network=n, params=jax.jit(n.init)(jax.random.key(0))) for n in (padded, native)]
    measures = mode_measures(members)
    for name in measures.data_vars:
        np.testing.assert_allclose(measures[name][0], measures[name][1], rtol=1e-5, atol=1e-6)
    assert int(np.isfinite(measures["singular_value"][1, 1]).sum()) == 4


def test_tied_networks_have_measures():
    network = tied([7, 6, 4], 3)
    measures = mode_measures([Member(network=network, params=random_params(network))])
    assert np.isfinite(measures["importance"]).all()


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=12))
def test_rank_correlation_with_ties_is_scipys(pairs):
    values = np.array(pairs, float).T
    if (np.ptp(values, axis=1) == 0).any():
        return
    dims = ("member", "layer", "mode")
    data = xarray.Dataset({"weight": (dims, values[None, None, 0]), "size": (dims, values[None, None, 1])})
    found = rank_correlations(data, ("weight", "size")).sel(first="weight", second="size").item()
    expected: Any = spearmanr(values[0], values[1])
    assert found == pytest.approx(expected.statistic, abs=1e-12)


def test_ranks_put_missing_modes_last():
    np.testing.assert_array_equal(ranked_curves(np.array([np.nan, 1.0, 5.0])), [5.0, 1.0, np.nan])


def test_bad_input_is_told():
    dense = member(layers.Dense())
    with pytest.raises(InputError, match=r"without modes .dense."):
        mode_measures([dense])
    with pytest.raises(InputError, match="no networks to measure"):
        mode_measures([])
    with pytest.raises(InputError, match="networks of one depth together"):
        mode_measures([member(layers.Mode(), 2), member(layers.Mode(), 2, (7, 6, 5, 4))])
    dims = ("member", "layer", "mode")
    same = xarray.Dataset({"weight": (dims, np.ones((1, 1, 3))), "size": (dims, np.arange(3.0)[None, None])})
    with pytest.raises(InputError, match=r"all 3 modes of map 1 of network 0 have the same weight: ties have no ranks"):
        rank_correlations(same, ("weight", "size"))
    with pytest.raises(InputError, match="unknown measure 'tau'"):
        rank_correlations(same, ("tau",))
