import numpy as np

from modejax import plots


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
