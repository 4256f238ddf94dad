import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from modejax import plots
from modejax.errors import InputError


def heights(line):
    """Return the vertical values of a line as an array."""
    return np.asarray(line.get_ydata(), float)


def lines(ax, start="N = "):
    """Return the curves that carry data and whose label starts so."""
    return [line for line in ax.lines if len(line.get_xdata()) and str(line.get_label()).startswith(start)]


def dashed(ax):
    """Return the heights of the horizontal lines of the baseline."""
    return [float(heights(line)[0]) for line in ax.lines if np.array_equal(line.get_xdata(), [0, 1])]


def test_curves_are_the_means_in_percent(build):
    result = build(widths=(16, 32), modes=(10, 2, 5), seeds=3)
    ax = plots.plot_accuracy(result)
    drawn = lines(ax)
    assert [line.get_label() for line in drawn] == ["N = 16", "N = 32"]
    means = 100 * result["mode"].test_accuracy.isel(epoch=-1).mean("seed").values[:, :, 0, 0]
    for line, mean in zip(drawn, means, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [2, 5, 10])
        np.testing.assert_allclose(heights(line), mean[[1, 2, 0]])
    assert ax.get_xlabel() == "modes P of each map"
    assert ax.get_ylabel() == "test accuracy (%)"
    assert "n = 3 seeds" in ax.figure.get_suptitle()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "5", "10"]


def test_bands_are_one_sample_deviation(build):
    result = build(widths=(16,), modes=(2, 5), seeds=3, baseline="none")
    ax = plots.plot_accuracy(result)
    (band,) = ax.collections
    values = 100 * result["mode"].test_accuracy.isel(epoch=-1).values[0, :, :, 0, 0]
    low, high = values.mean(1) - values.std(1, ddof=1), values.mean(1) + values.std(1, ddof=1)
    edge = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert edge.min() == pytest.approx(low.min())
    assert edge.max() == pytest.approx(high.max())


def test_the_baseline_has_its_own_lines_and_numbers(build):
    result = build(widths=(16, 32), modes=(2, 5), seeds=3)
    ax = plots.plot_accuracy(result)
    means = 100 * result["baseline"].test_accuracy.isel(epoch=-1).mean("seed").values.ravel()
    deviations = 100 * result["baseline"].test_accuracy.isel(epoch=-1).std("seed", ddof=1).values.ravel()
    np.testing.assert_allclose(dashed(ax), means)
    names = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert names[2] == f"N = 16 dense: {means[0]:.1f} ± {deviations[0]:.1f} %"
    # Dashes take turns, so that both are seen where one lies on the other.
    patterns = [line._dash_pattern for line in ax.lines if np.array_equal(line.get_xdata(), [0, 1])]  # pyright: ignore
    assert patterns[0][0] != patterns[1][0]


def test_one_seed_has_no_band_and_says_so(build):
    ax = plots.plot_accuracy(build(widths=(16, 32), modes=(2, 5), seeds=1))
    assert not ax.collections
    assert "n = 1 seed, no band" in ax.figure.get_suptitle()


def test_one_number_of_modes_is_drawn_against_the_width(build):
    result = build(widths=(32, 16, 64), modes=(5,), seeds=2)
    ax = plots.plot_accuracy(result)
    own, dense = (line for line in ax.lines if np.size(line.get_xdata()) == 3)
    assert (own.get_label(), dense.get_label()) == ("mode, P = 5", "dense baseline")
    np.testing.assert_array_equal(own.get_xdata(), [16, 32, 64])
    means = 100 * result["mode"].test_accuracy.isel(epoch=-1).mean("seed").values[[1, 0, 2], 0, 0, 0]
    np.testing.assert_allclose(heights(own), means)
    means = 100 * result["baseline"].test_accuracy.isel(epoch=-1).mean("seed").values[[1, 0, 2]].ravel()
    np.testing.assert_allclose(heights(dense), means)
    assert ax.get_xlabel() == "width N (units of each hidden layer)"


@pytest.mark.parametrize(("layer", "label"), [("dense", "dense"), ("svd", "svd, full rank")])
def test_layers_without_a_number_of_modes(build, layer, label):
    ax = plots.plot_accuracy(build(widths=(16, 32), seeds=2, layer=layer, baseline="none"))
    assert [line.get_label() for line in ax.lines] == [label]


def test_diverged_members_are_left_out_and_counted(build):
    # Members run through the seeds first: 0 to 2 are all of width 16 with 2 modes, 3 is one of 5 modes.
    result = build(widths=(16,), modes=(2, 5, 10), seeds=3, diverged=(0, 1, 2, 3))
    ax = plots.plot_accuracy(result)
    (line,) = lines(ax)
    assert np.isnan(heights(line)[0])
    kept = 100 * result["mode"].test_accuracy.isel(epoch=-1).values[0, 1, 1:, 0, 0].mean()
    assert heights(line)[1] == pytest.approx(kept)
    assert "4 of 9 networks diverged" in ax.figure.get_suptitle()
    assert "n = 2 to 3 seeds" in ax.figure.get_suptitle()


def test_nothing_finite_is_said_in_words(build):
    ax = plots.plot_accuracy(build(widths=(16,), modes=(2, 5), seeds=1, diverged=(0, 1), diverged_dense=(0,)))
    assert [text.get_text() for text in ax.texts] == ["every network diverged"]


def test_many_widths_get_a_colour_bar_instead_of_a_legend(build):
    widths = tuple(range(8, 8 + 9))
    ax = plots.plot_accuracy(build(widths=widths, modes=(2, 5), seeds=2))
    assert len(lines(ax, "_N = ")) == len(widths)
    assert not ax.collections
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert bar.get_ylabel() == "width N (units of each hidden layer)"
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == ["dense baseline, same width and colour"]


def test_a_pair_can_be_chosen(build):
    result = build(widths=(16,), modes=(2, 5), seeds=2, learning_rates=(0.01, 0.02))
    ax = plots.plot_accuracy(result, learning_rate=0.02)
    means = 100 * result["mode"].test_accuracy.isel(epoch=-1, learning_rate=1).mean("seed").values[0, :, 0]
    np.testing.assert_allclose(heights(lines(ax)[0]), means)
    assert "learning rate 0.02" in ax.figure.get_suptitle()


def test_given_axes_are_used_and_carry_their_own_title_and_legend(build):
    mine = Figure().subplots()
    ax = plots.plot_accuracy(build(widths=(16,), modes=(2, 5), seeds=2), mine)
    assert ax is mine
    assert "learning rate" in ax.get_title()
    assert ax.get_legend() is not None
    assert not ax.figure.legends


def test_rates_have_a_panel_each_up_to_nine(build):
    result = build(
        widths=(8,), modes=(2, 3), seeds=1, learning_rates=(0.1, 0.2, 0.3, 0.4, 0.5), weight_decays=(0.0, 0.1)
    )
    panels = plots.plot_rates(result)
    assert len(panels) == 9
    assert "the first 9 of 10 pairs" in panels[0].figure.get_suptitle()
    means = 100 * result["mode"].test_accuracy.isel(epoch=-1, learning_rate=1, weight_decay=1, seed=0).values[0]
    np.testing.assert_allclose(heights(lines(panels[3])[0]), means)
    assert panels[3].get_title() == "learning rate 0.2, weight decay 0.1"


def test_a_wrong_number_of_axes_is_an_error(build):
    with pytest.raises(InputError, match="has 1 panels, got 2 axes"):
        plots.plot_rates(build(widths=(8,), modes=(2,), seeds=1), Figure().subplots(1, 2))


def test_no_figure_is_left_with_pyplot(build):
    import matplotlib.pyplot as plt

    before, style = plt.get_fignums(), dict(matplotlib.rcParams)
    plots.plot_accuracy(build(widths=(8,), modes=(2,), seeds=1))
    assert plt.get_fignums() == before
    assert dict(matplotlib.rcParams) == style
