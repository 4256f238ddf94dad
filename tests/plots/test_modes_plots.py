"""Pictures of what modes mean: what is drawn where, and what they refuse."""

import jax
import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from modejax import layers, mlp, plots
from modejax.errors import InputError
from modejax.modes import compare_fits, power_law
from modejax.modes.growth import GrowthFit
from modejax.modes.least import LeastModes


def test_fits_are_drawn_through_their_curve_and_residuals_are_what_they_leave():
    rng = np.random.default_rng(0)
    rank = np.arange(1, 31)
    curves = np.where(rank <= 10, rank**-0.2, 4 * rank**-0.8) * np.exp(0.02 * rng.normal(size=(3, 30)))
    left, right = Figure().subplots(1, 2)
    plots.plot_power_law(curves, {"given": power_law(curves, 10)}, left)
    law = power_law(curves, 10)
    drawn = np.concatenate([np.asarray(line.get_ydata()) for line in left.lines[1:]])
    np.testing.assert_allclose(drawn, law.fit.predicted(30))
    fits = compare_fits(curves.mean(axis=0), 10)
    plots.plot_residuals(curves.mean(axis=0), fits, right)
    errors = [float((np.asarray(line.get_ydata()) ** 2).sum()) for line in right.lines[1:]]
    np.testing.assert_allclose(errors, [fit.squared_error for fit in fits], rtol=1e-6)


def test_removal_counts_from_none_to_all_and_says_what_is_left_to_select():
    values = np.linspace(0.1, 0.9, 3) * np.ones((2, 2, 1, 3))
    dims = ("seed", "removal", "layer", "kept")
    coordinates = {"removal": ["least", "random"], "layer": [1], "kept": [0, 2, 4]}
    curves = xarray.Dataset({"accuracy": (dims, values)}, coordinates)
    (ax,) = plots.plot_removal(curves, 4)
    assert len(ax.lines) == 2
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [100, 50, 0])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [10, 50, 90])
    assert "n = 2" in ax.figure.get_suptitle()
    assert "1 seed, no band" in plots.plot_removal(curves.isel(seed=[0]), 4)[0].figure.get_suptitle()
    with pytest.raises(InputError, match=r"\['width'\] are left; select"):
        plots.plot_removal(curves.expand_dims("width"), 4)


def test_least_modes_out_of_reach_are_arrows_and_open_ends_stop_at_the_most_tried():
    n = np.array([10.0, 20.0, 40.0])
    value = np.array([5.0, 6.0, np.inf])
    found = LeastModes("best", 1.0, n, value, value, n, value - 1, np.array([6.0, np.inf, np.inf]), np.ones((2, 3)), 2)
    fit = GrowthFit("constant", "a", (5.5,), 1.0, 0.9, 3.0, 1.0, 3.5, 1.0, None)
    ax = plots.plot_least_modes(found, [fit], most=30)
    labels = ax.get_legend_handles_labels()[1]
    assert labels[0] == "not reached"
    assert labels[1].startswith("a: weight 1.00")
    assert np.isfinite(ax.get_ylim()).all()
    assert ax.get_ylim()[1] > 30


def test_costs_keep_bars_that_reach_zero_on_the_page():
    one = (np.array([10.0, 1000.0]), np.array([90.0, 99.0]), np.array([np.nan, 5.0]))
    ax = plots.plot_cost({"mode": one, "dense": one})
    low, high = ax.get_ylim()
    assert 0 < low < 1 < 10 < high
    ax = plots.plot_by_layer(["a", "b"], {"x": np.ones((1, 2)), "y": np.ones((3, 2))}, chance=np.ones(2))
    assert len(ax.containers) == 2


def test_the_mixture_needs_two_inputs_and_modes():
    network = mlp([3, 4, 1], layers.Mode(), 2)
    params = network.init(jax.random.key(0))
    with pytest.raises(InputError, match="two inputs and one output"):
        plots.plot_decision(network, params, np.ones((4, 3)), np.arange(4))
    dense = mlp([2, 4, 1], layers.Dense())
    with pytest.raises(InputError, match="no mode space"):
        plots.plot_mode_space(dense, dense.init(jax.random.key(0)), np.ones((4, 2)), np.arange(4))
