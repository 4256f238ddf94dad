import numpy as np
import pytest
from matplotlib.figure import Figure

from modejax import plots
from modejax.errors import InputError

FIELDS = {"widths": (8, 16), "modes": (2, 4), "seeds": 3, "learning_rates": (0.1, 0.4, 0.2)}


def stars(ax):
    """Return where the stars of the lines are."""
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in _starred(ax)]


def _starred(ax):
    return [line for line in ax.lines if line.get_marker() == "*" and len(line.get_xdata())]


def test_lines_are_means_against_the_rate_and_stars_stand_at_the_rate_chosen_on_held_out_data(build):
    result = build(**FIELDS, validation=0.2)
    data = result["mode"]
    data.validation_accuracy.values[...] = 0.5
    best = {(0, 0): 2, (0, 1): 0, (1, 0): 1, (1, 1): 1}
    for (width, modes), rate in best.items():
        data.validation_accuracy.values[width, modes, :, rate] = 0.8
    ax = plots.plot_accuracy_vs_rate(result)
    lines = [line for line in ax.lines if str(line.get_label()).startswith("N = ")]
    assert [line.get_label() for line in lines] == ["N = 8, P = 2", "N = 8, P = 4", "N = 16, P = 2", "N = 16, P = 4"]
    means = 100 * data.test_accuracy.values[..., 0, -1].mean(2)
    for line, mean in zip(lines, means.reshape(4, 3), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [0.1, 0.2, 0.4])
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float), mean[[0, 2, 1]])
    expected = [(FIELDS["learning_rates"][rate], means[cell][rate]) for cell, rate in best.items()]
    np.testing.assert_allclose(stars(ax), expected)
    assert "chosen: best on held-out data" in [text.get_text() for text in ax.figure.legends[0].get_texts()]


def test_without_held_out_data_the_training_loss_chooses_and_is_named(build):
    result = build(**FIELDS)
    result["mode"].train_loss.values[...] = 1.0
    result["mode"].train_loss.values[:, :, :, 2] = 0.5
    ax = plots.plot_accuracy_vs_rate(result, modes=4)
    assert [place for place, _ in stars(ax)] == [0.2, 0.2]
    assert "chosen: lowest training loss" in [text.get_text() for text in ax.figure.legends[0].get_texts()]


def test_one_width_stands_beside_its_dense_baseline_and_its_own_rates(build):
    result = build(**FIELDS, baseline_learning_rates=(0.05, 0.8))
    result["baseline"].train_loss.values[:, :, :, 1] = 0.01
    ax = plots.plot_accuracy_vs_rate(result, width=16)
    (dense,) = (line for line in ax.lines if line.get_label() == "dense baseline")
    np.testing.assert_array_equal(dense.get_xdata(), [0.05, 0.8])
    means = 100 * result["baseline"].test_accuracy.values[1, 0, :, :, 0, -1].mean(0)
    np.testing.assert_allclose(np.asarray(dense.get_ydata(), float), means)
    assert stars(ax)[-1][0] == 0.8
    low, high = ax.get_xlim()
    assert low < 0.05 < 0.8 < high


def test_the_first_pair_stands_beside_the_best_one(build):
    result = build(**FIELDS, baseline="none")
    result["mode"].train_loss.values[:, :, :, 1] = 0.01
    first, best = plots.plot_first_and_best(result)
    assert first.get_title().startswith("first: learning rate 0.1, weight decay 0.001")
    assert best.get_title().startswith("best: learning rate 0.4, weight decay 0.001\n(the best of 3 pairs by training")
    for ax, rate in ((first, 0), (best, 1)):
        means = 100 * result["mode"].test_accuracy.values[..., rate, 0, -1].mean(2)
        drawn = [line.get_ydata() for line in ax.lines if str(line.get_label()).startswith("N = ")]
        np.testing.assert_allclose(np.asarray(drawn, float), means)
    mine = Figure().subplots(1, 2)
    assert list(plots.plot_first_and_best(result, mine)) == list(mine)


def test_what_has_no_rates_is_refused(build):
    result = build(widths=(8,), modes=(2,), seeds=1)["mode"].to_dataset().isel(learning_rate=0)
    with pytest.raises(InputError, match="the result has no axis learning_rate"):
        plots.plot_accuracy_vs_rate(result)


def test_bands_of_accuracies_end_at_the_values_that_there_are(build):
    result = build(widths=(16,), modes=(2, 5), seeds=2, baseline="none")
    result["mode"].test_accuracy.values[0, :, 0] = 1.0
    result["mode"].test_accuracy.values[0, :, 1] = 0.9
    result["mode"].test_accuracy.values[0, 0] -= 0.9
    for ax in (plots.plot_accuracy(result), plots.plot_learning(result)[2]):
        edges = np.concatenate([np.asarray(band.get_paths()[0].vertices)[:, 1] for band in ax.collections])
        assert edges.min() == 0.0
        assert edges.max() == 100.0
    ax = plots.plot_arms(result)
    ends = np.concatenate([np.asarray([p.vertices for p in bar.get_paths()])[..., 1].ravel() for bar in ax.collections])
    assert (ends.min(), ends.max()) == (0.0, 100.0)
