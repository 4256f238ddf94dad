import numpy as np
import pytest

from modejax import plots
from modejax.errors import InputError


def test_each_network_is_sorted_before_the_mean(build):
    result = build(widths=(16, 32), modes=(3, 6), seeds=3)
    panels = plots.plot_importance(result)
    assert [ax.get_title() for ax in panels] == ["map 1 (from the input)", "map 2", "map 3 (to the output)"]
    for layer, ax in enumerate(panels):
        for modes, line in zip((3, 6), ax.lines, strict=True):
            at = 0 if modes == 3 else 1
            stored = result["mode"].importance.values[1, at, :, 0, 0, layer, :modes]
            np.testing.assert_allclose(line.get_ydata()[:modes], np.sort(stored, axis=1)[:, ::-1].mean(0))
            assert np.isnan(line.get_ydata()[modes:]).all()
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 7))
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert ax.get_xlabel() == "rank of the mode"
        assert ax.get_ylabel() == "importance τ (no unit)"
        assert len(ax.collections) == 2


def test_the_result_is_left_as_it_was(build):
    result = build(widths=(16,), modes=(3,), seeds=2)
    before = result.copy(deep=True)
    plots.plot_importance(result)
    assert result.identical(before)


def test_a_map_without_modes_says_so(build):
    result = build(widths=(16,), modes=(3,), seeds=2)
    result["mode"].importance.values[..., 2, :] = np.nan
    panels = plots.plot_importance(result)
    assert panels[2].texts[0].get_text() == "no modes"
    assert not panels[0].texts


def test_full_rank_is_named(build):
    panels = plots.plot_importance(build(widths=(16, 32), layer="svd", seeds=2))
    assert "full rank" in panels[0].figure.get_suptitle()
    assert [line.get_label() for line in panels[0].lines] == ["N = 16", "N = 32"]


def test_each_mode_is_followed_back_from_its_place_at_the_end(build):
    result = build(widths=(16, 32), modes=(3, 6), seeds=2, truncate_every=2, epochs=4)
    history = result["mode"].importance_history
    history.values[:] = np.random.default_rng(0).random(history.shape)
    panels = plots.plot_importance_history(result)
    stored = history.sel(width=32, modes=6).isel(learning_rate=0, weight_decay=0).transpose("layer", "seed", ...)
    for layer, ax in enumerate(panels):
        own = np.asarray(stored[layer])
        order = np.argsort(-own[:, -1], axis=-1)
        followed = np.stack([each[:, place] for each, place in zip(own, order, strict=True)])
        for place, line in enumerate(ax.lines):
            np.testing.assert_array_equal(line.get_xdata(), [2, 4])
            np.testing.assert_allclose(line.get_ydata(), followed[:, :, place].mean(axis=0))
        assert [line.get_label() for line in ax.lines] == [f"mode {k}" for k in range(1, 7)]
    assert "n = 2 seeds" in panels[0].figure.get_suptitle()


def test_one_network_is_drawn_without_a_band(build):
    result = build(widths=(16,), modes=(3,), seeds=2, truncate_every=2, epochs=4)
    panels = plots.plot_importance_history(result, seed=1)
    assert not panels[0].collections
    last = result["mode"].importance.isel(width=0, modes=0, learning_rate=0, weight_decay=0, seed=1, layer=0)
    np.testing.assert_allclose([line.get_ydata()[-1] for line in panels[0].lines], np.sort(last.values)[::-1])
    assert "seed 1" in panels[0].figure.get_suptitle()
    with pytest.raises(InputError, match="no seed 7"):
        plots.plot_importance_history(result, seed=7)


def test_one_measurement_is_no_history(build):
    with pytest.raises(InputError, match="run the sweep with truncate_every"):
        plots.plot_importance_history(build(widths=(16,), modes=(3,), seeds=1))
