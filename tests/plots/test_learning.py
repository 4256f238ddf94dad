import numpy as np
import pytest

from modejax import plots


def test_three_panels_with_units_and_the_means(build):
    result = build(widths=(16, 32), modes=(2, 5), seeds=3)
    panels = plots.plot_learning(result)
    assert [ax.get_ylabel() for ax in panels] == ["train loss (nat)", "test loss (nat)", "test accuracy (%)"]
    assert {ax.get_xlabel() for ax in panels} == {"epoch"}
    names = ["N = 16, P = 2", "N = 16, P = 5", "N = 32, P = 2", "N = 32, P = 5"]
    for ax, name, scale in zip(panels, ("train_loss", "test_loss", "test_accuracy"), (1, 1, 100), strict=True):
        assert [line.get_label() for line in ax.lines] == names
        means = scale * result["mode"][name].mean("seed").values.reshape(4, -1)
        for line, mean in zip(ax.lines, means, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), result["mode"].epoch.values)
            np.testing.assert_allclose(line.get_ydata(), mean)


def test_too_many_pairs_leave_the_largest_width_beside_its_baseline(build):
    result = build(widths=(16, 64, 32), modes=(2, 5, 10), seeds=2)
    panels = plots.plot_learning(result)
    assert [line.get_label() for line in panels[2].lines] == ["P = 2", "P = 5", "P = 10", "dense baseline"]
    dense = 100 * result["baseline"].test_accuracy.mean("seed").values[1].ravel()
    np.testing.assert_allclose(panels[2].lines[-1].get_ydata(), dense)
    assert "N = 64 (the largest of 3 widths)" in panels[0].figure.get_suptitle()


def test_diverged_members_are_left_out_at_every_epoch_and_said_in_words(build):
    result = build(widths=(16,), modes=(2,), seeds=3, diverged=(1,), baseline="none")
    panels = plots.plot_learning(result)
    mean = result["mode"].train_loss.values[0, 0, [0, 2], 0, 0].mean(0)
    np.testing.assert_allclose(panels[0].lines[0].get_ydata(), mean)
    assert "1 of 3 networks diverged (a loss not finite or beyond 1e8)" in panels[0].figure.get_suptitle()
    assert "n = 2 seeds" in panels[0].figure.get_suptitle()


def test_nothing_finite_is_said_in_words(build):
    panels = plots.plot_learning(build(widths=(16,), modes=(2,), seeds=1, diverged=(0,), baseline="none"))
    assert [ax.texts[0].get_text() for ax in panels] == ["every network diverged"] * 3


def test_a_single_epoch_is_seen(build):
    panels = plots.plot_learning(build(widths=(16,), modes=(2,), seeds=1, epochs=1, baseline="none"))
    assert all(ax.lines[0].get_marker() == "o" for ax in panels)
    assert panels[0].get_xticks().tolist() == [1]


def test_a_loss_without_unit_says_so(build):
    result = build(widths=(16,), modes=(2,), seeds=1)
    result["mode"].train_loss.attrs["units"] = "1"
    assert plots.plot_learning(result)[0].get_ylabel() == "train loss (no unit)"


@pytest.mark.parametrize("low", [1e-4, 0.0])
def test_losses_over_decades_are_logarithmic_and_bands_keep_the_limits(build, low):
    result = build(widths=(16,), modes=(2,), seeds=2, baseline="none")
    loss = np.array([[1.0, 0.1, 0.01, 0.001, low], [1.0, 0.1, 0.01, 0.001, 5 * low]])
    result["mode"].train_loss.values[0, 0, :, 0, 0] = loss
    ax = plots.plot_learning(result)[0]
    assert ax.get_yscale() == "log"
    means = loss.mean(0)
    assert ax.get_ylim() == pytest.approx((means[means > 0].min() / 1.4, 1.4))
