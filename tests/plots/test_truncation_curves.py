import numpy as np
import pytest
from matplotlib.figure import Figure

from modejax import plots
from modejax.errors import InputError
from modejax.plots.truncation import order_text


def test_a_panel_for_each_map_and_one_for_all(build):
    result = build(widths=(16, 32), modes=(2, 5), seeds=3)
    panels = plots.plot_truncation(result)
    titles = ["map 1 (from the input)", "map 2", "map 3 (to the output)", "all maps"]
    assert [ax.get_title() for ax in panels] == titles
    at = {"width": 1, "learning_rate": 0, "weight_decay": 0, "truncation_epoch": -1}
    for layer in range(3):
        means = 100 * result["mode"].truncation_accuracy.isel(at | {"layer": layer}).mean("seed", skipna=False).values
        for line, mean in zip(panels[layer].lines, means, strict=True):
            np.testing.assert_allclose(line.get_ydata(), mean)
    means = 100 * result["mode"].truncation_accuracy_all.isel(at).mean("seed", skipna=False).values
    for line, mean in zip(panels[3].lines, means, strict=True):
        np.testing.assert_allclose(line.get_ydata(), mean)
        np.testing.assert_array_equal(line.get_xdata(), result["mode"].kept.values)
    assert [line.get_label() for line in panels[3].lines] == ["P = 2", "P = 5"]
    assert {ax.get_xlabel() for ax in panels} == {"modes kept in this map", "modes kept in each map"}
    assert {ax.get_ylabel() for ax in panels} == {"test accuracy (%)"}
    title = panels[0].figure.get_suptitle()
    assert "N = 32 (the largest of 2 widths)" in title
    assert "largest importance τ kept first" in title


def test_curves_can_be_over_widths(build):
    panels = plots.plot_truncation(build(widths=(16, 32), modes=(2, 5), seeds=2), modes=2)
    assert [line.get_label() for line in panels[0].lines] == ["N = 16", "N = 32"]
    assert "P = 2" in panels[0].figure.get_suptitle()


def test_one_width_and_modes_is_one_curve_and_its_kept_modes_end_there(build):
    panels = plots.plot_truncation(build(widths=(16, 32), modes=(2, 5), seeds=2), width=16, modes=2)
    for ax in panels:
        (line,) = ax.lines
        assert np.isfinite(line.get_ydata()).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("order", "cut", "words"),
    [
        ("importance", "keep-leading", "largest importance τ kept first"),
        ("weight", "remove-leading", "largest |Σ| removed first"),
        ("size", "keep-leading", "largest gauge-free size kept first"),
        ("random", "keep-leading", "kept in random order, mean of 4 draws"),
    ],
)
def test_the_order_is_in_the_title_of_own_and_given_axes(build, order, cut, words):
    result = build(widths=(8,), modes=(2,), seeds=1, depth=1, order=order, cut=cut, draws=4)
    assert order_text(result) == words
    assert words in plots.plot_truncation(result)[0].figure.get_suptitle()
    given = Figure().subplots(1, 3)
    assert words in plots.plot_truncation(result, given)[0].get_title()


@pytest.mark.parametrize("draw", [plots.plot_truncation, plots.plot_emergence, plots.plot_importance])
def test_a_layer_without_modes_is_an_error_that_says_what_to_do(build, draw):
    with pytest.raises(InputError, match="sweep a layer with modes"):
        draw(build(widths=(8,), layer="dense", seeds=1))


@pytest.mark.parametrize(
    ("wanted", "words"), [({"width": 7}, "no width 7; it has 8, 16"), ({"modes": 3}, "no modes 3")]
)
def test_an_unknown_width_or_modes_is_an_error(build, wanted, words):
    with pytest.raises(InputError, match=words):
        plots.plot_truncation(build(widths=(8, 16), modes=(2,), seeds=1), **wanted)


def test_a_wrong_number_of_axes_is_an_error(build):
    with pytest.raises(InputError, match="has 4 panels, got 3 axes"):
        plots.plot_truncation(build(widths=(8,), modes=(2,), seeds=1), Figure().subplots(1, 3))


def test_many_modes_get_a_colour_bar_and_no_bands(build):
    panels = plots.plot_truncation(build(widths=(16,), modes=tuple(range(1, 10)), seeds=2))
    assert all(len(ax.lines) == 9 and not ax.collections for ax in panels)
    assert "modes P of each map" in {ax.get_ylabel() for ax in panels[0].figure.axes}
    assert not panels[0].figure.legends


def test_the_last_truncation_epoch_is_taken(build):
    result = build(widths=(8,), modes=(2,), seeds=1, epochs=4, truncate_every=2)
    panels = plots.plot_truncation(result)
    last = 100 * result["mode"].truncation_accuracy_all.values[0, 0, 0, 0, 0, -1]
    np.testing.assert_allclose(panels[-1].lines[0].get_ydata(), last)
    assert "after epoch 4" in panels[0].figure.get_suptitle()


def test_emergence_draws_the_largest_network_at_every_epoch(build):
    result = build(widths=(8, 16), modes=(5, 2), seeds=2, epochs=4, truncate_every=2)
    ax = plots.plot_emergence(result)
    assert [line.get_label() for line in ax.lines] == ["epoch 2", "epoch 4"]
    means = 100 * result["mode"].truncation_accuracy_all.mean("seed").values[1, 0, 0, 0]
    for line, mean in zip(ax.lines, means, strict=True):
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float), mean)
    assert "N = 16, P = 5" in ax.figure.get_suptitle()


def test_emergence_needs_two_epochs(build):
    with pytest.raises(InputError, match="truncate_every"):
        plots.plot_emergence(build(widths=(8,), modes=(2,), seeds=1))
