"""Pictures of singular value representations."""

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from modejax.errors import InputError
from modejax.plots import (
    plot_bars,
    plot_edges,
    plot_filters,
    plot_near_kernel,
    plot_patterns,
    plot_significant,
    plot_survival,
    plot_svr,
    svr_figure,
    write_svr_html,
)
from modejax.plots.svr_graph import spectral_graph
from modejax.studies.svr_planted import planted_chain
from modejax.svr import svr


@pytest.fixture(scope="module")
def planted():
    return svr(planted_chain(np.random.default_rng(0), 16, 3, 0.95))


@pytest.fixture(scope="module")
def conv():
    rng = np.random.default_rng(1)
    kernels = [rng.standard_normal(s) for s in ((6, 1, 3, 3), (8, 6, 3, 3), (4, 8 * 4))]
    return svr(kernels, layout="torch")


def test_the_strongest_significant_edges_are_drawn(planted):
    every = spectral_graph(planted, level=0.05)
    found = spectral_graph(planted, level=0.05, max_edges=3)
    assert every.hidden == 0
    assert len(found.edges.E) == 2 * 3
    assert found.hidden == len(every.edges.E) - 6
    for k, pair in enumerate(planted.pairs):
        here = found.edges.pair == k
        passed = np.sort(pair.E[pair.log_p <= np.log(0.05)])
        np.testing.assert_array_equal(np.sort(found.edges.E[here]), passed[-3:])
        assert (found.edges.shade[here].min(), found.edges.shade[here].max()) == (0, 1)
        np.testing.assert_array_equal(pair.E[found.edges.reader[here], found.edges.writer[here]], found.edges.E[here])
    # Strong edges lie on top of weak ones.
    assert (np.diff(found.edges.shade) >= 0).all()


def test_one_edge_is_dark_and_none_is_no_error(planted):
    only = spectral_graph(planted, correction="bonferroni", level=0.05, max_edges=1)
    assert only.edges.shade.tolist() == [1, 1]
    assert only.edges.writer.tolist() == only.edges.reader.tolist() == [0, 0]
    ax = plot_svr(planted, max_edges=0)
    assert not len(next(each for each in ax.collections if isinstance(each, LineCollection)).get_segments())
    page: Any = svr_figure(planted, max_edges=0)
    assert "0 edges" in page.layout.title.text


@pytest.mark.parametrize(("scale", "over"), [("raw", lambda S: 1.0), ("median", np.median), ("largest", np.max)])
def test_heights_are_singular_values_over_something_of_their_layer(planted, scale, over):
    for layer, heights in zip(planted.layers, spectral_graph(planted, scale=scale).heights, strict=True):
        np.testing.assert_allclose(heights, layer.S / over(layer.S))


def test_a_marker_a_neuron_and_all_lines_at_once(conv):
    figure = Figure()
    ax = plot_svr(conv, figure.subplots(), level=0.5)
    lines = [each for each in ax.collections if isinstance(each, LineCollection)]
    markers: list[Any] = [each for each in ax.collections if not isinstance(each, LineCollection)]
    assert len(lines) == 1
    assert len(lines[0].get_segments()) == len(spectral_graph(conv, level=0.5).edges.E)
    for place, (layer, each) in enumerate(zip(conv.layers, markers, strict=True)):
        np.testing.assert_allclose(each.get_offsets(), np.column_stack([np.full(len(layer.S), place), layer.S]))
    # No later layer takes inputs from the last one: its markers are white.
    assert markers[-1].get_facecolor().tolist() == [[1, 1, 1, 1]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2"]


def test_frames_side_by_side_hold_all_neurons(planted, conv):
    for pair in ((planted, conv), (conv, planted)):
        axes = Figure().subplots(1, 2, sharey=True)
        for each, ax in zip(pair, axes, strict=True):
            plot_svr(each, ax, colour_bar=False)
        assert axes[0].get_ylim()[1] > max(layer.S.max() for each in pair for layer in each.layers)


def test_the_page_has_few_traces_and_tells_its_numbers(conv, tmp_path):
    figure: Any = svr_figure(conv, level=0.5, scale="largest")
    edges = spectral_graph(conv, level=0.5, scale="largest").edges
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(figure.data) <= 8 + 2
    assert sum(x is None for trace in lines for x in trace.x) == len(edges.E)
    assert sum(x is not None for trace in lines for x in trace.x) == 2 * len(edges.E)
    neurons, middles = (next(t for t in figure.data if t.name == name) for name in ("neurons", "edges"))
    assert len(neurons.text) == sum(len(layer.S) for layer in conv.layers)
    assert f"singular value {conv.layers[0].S[0]:.4g}" in neurons.text[0]
    assert f"E = {edges.E[-1]:.4g}" in middles.text[-1]
    small = write_svr_html(conv, tmp_path / "small.html", include_plotlyjs="cdn").stat().st_size
    whole = write_svr_html(conv, tmp_path / "whole.html").stat().st_size
    assert small < 200_000 < 3_000_000 < whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "log"}, "unknown scale 'log'; allowed: raw, median, largest"),
        ({"correction": "holm"}, "unknown correction 'holm'; allowed: none, bonferroni, bh"),
        ({"level": 0}, "level=0; allowed: a probability"),
        ({"max_edges": -1}, "max_edges must be an integer of at least 0, got -1"),
        ({"max_edges": None}, "max_edges must be an integer of at least 0, got None"),
    ],
)
def test_options_that_are_refused(planted, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        plot_svr(planted, **options)
    with pytest.raises(InputError, match=message):
        write_svr_html(planted, tmp_path / "graph.html", **options)
    assert not list(tmp_path.iterdir())


def test_survival_counts_edges():
    E = np.array([0.1, 0.2, 0.3, 0.4])
    ax = plot_survival(E, 5, 2, label="mine")
    curve: Any = next(line for line in ax.lines if line.get_label() == "mine")
    np.testing.assert_allclose(curve.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_allclose(curve.get_ydata(), [1, 0.75, 0.5, 0.25])
    laws: dict[Any, Any] = {line.get_label(): line for line in ax.lines}
    for name in ("Beta (exact)", "chi-square (limit)"):
        assert laws[name].get_ydata()[0] == 1
    assert laws["Beta (exact)"].get_ydata()[-1] < laws["chi-square (limit)"].get_ydata()[-1]
    with pytest.raises(InputError, match="no edges"):
        plot_survival(np.zeros((0, 3)), 5)


def test_images_show_what_they_are_given():
    H = np.eye(6)[::-1]
    ax: Any = plot_near_kernel(-H, tail=2)
    np.testing.assert_array_equal(ax.images[0].get_array(), H)
    assert ax.patches[0].get_bbox().extents.tolist() == [3.5, 3.5, 5.5, 5.5]
    edges: Any = plot_edges(np.full((2, 3), 0.5), 4)
    np.testing.assert_allclose(edges.images[0].get_array(), 2)
    patterns: Any = plot_patterns(-np.ones((3, 1, 2)))
    np.testing.assert_array_equal(patterns.images[0].get_array(), np.ones((3, 2)))
    for tail in (0, 7):
        with pytest.raises(InputError, match=f"tail must be 1..6, got {tail}"):
            plot_near_kernel(H, tail=tail)
    for draw in (plot_near_kernel, plot_patterns, lambda each: plot_edges(each, 3)):
        with pytest.raises(InputError, match="allowed: a matrix"):
            draw(np.ones((2, 2, 2)))


def test_mosaics_keep_filters_apart(conv):
    pair = conv.pairs[0]
    filters = pair.filters(slice(2), slice(3)).reshape(2, 3, 3, 3)
    np.testing.assert_allclose((filters**2).sum((1, 2)), pair.E[:2, :3])
    ax: Any = plot_filters(filters)
    mosaic = np.ma.getdata(ax.images[0].get_array())
    assert mosaic.shape == (9, 13)
    for row in range(2):
        for column in range(3):
            tile = mosaic[1 + 4 * row : 4 + 4 * row, 1 + 4 * column : 4 + 4 * column]
            np.testing.assert_array_equal(tile, filters[row, :, :, column])
    assert np.isnan(mosaic[[0, 4, 8]]).all()
    with pytest.raises(InputError, match=r"\(neurons, height, width, neurons\)"):
        plot_filters(filters[0])


def test_curves_and_bars_are_means_over_seeds():
    values = np.array([[0.1, 0.3], [0.2, 0.2]])
    ax: Any = plot_significant([0, 5], {"pair": values}, chance=0.01)
    assert ax.lines[0].get_ydata().tolist() == [20, 20]
    assert ax.lines[1].get_ydata()[0] == 1
    ragged: Any = plot_significant([0, 5], {"pair": np.array([[0.1, np.nan], [0.2, 0.4]])})
    np.testing.assert_allclose(ragged.lines[0].get_ydata(), [10, 30])
    ax = plot_bars(["a", "b"], {"one": values, "two": np.array([[0.1, np.nan], [0.0, 0.0]])}, log=True)
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, [0.2, 0.2, 0.1, np.nan])
    for draw in (lambda: plot_significant([0], {"pair": values}), lambda: plot_bars(["a"], {"pair": values})):
        with pytest.raises(InputError, match=r"pair has shape \(2, 2\); allowed: \(1, seeds\)"):
            draw()
