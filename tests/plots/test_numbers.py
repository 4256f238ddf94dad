"""The numbers behind a figure are those that were drawn."""

import numpy as np
import pandas
import pytest

from modejax import plots
from modejax.errors import InputError


def test_a_mean_over_seeds_comes_with_its_deviation_and_number(build):
    result = build(widths=(16, 32), modes=(2, 5), seeds=3)
    table = plots.figure_data(plots.plot_accuracy(result))
    values = 100 * result["mode"].test_accuracy.sel(width=16).values[..., 0, 0, -1]
    own = table[table.curve == "N = 16"]
    np.testing.assert_array_equal(own.x, [2, 5])
    np.testing.assert_allclose(own.y, values.mean(axis=1))
    np.testing.assert_allclose(own.high - own.y, values.std(axis=1, ddof=1))
    assert own.n.tolist() == [3, 3]
    assert set(own.y_label) == {"test accuracy (%)"}
    dense = table[table.curve == "dense, N = 16"]
    assert dense.x.isna().all()
    assert len(dense) == 1


def test_panels_are_numbered_and_titled(build):
    table = plots.figure_data(plots.plot_truncation(build(widths=(16,), modes=(2, 5), seeds=2)))
    assert sorted(set(table.panel)) == [1, 2, 3, 4]
    assert set(table.title[table.panel == 1]) == {"map 1 (from the input)"}


def test_bars_images_and_histograms_have_rows():
    cost = (np.array([10.0, 20.0]), np.array([90.0, 95.0]), np.array([1.0, np.nan]))
    table = plots.figure_data(plots.plot_cost({"mode": cost}))
    np.testing.assert_allclose(table.y, [10.0, 5.0])
    np.testing.assert_allclose(table[["low", "high"]], [[9.0, 11.0], [5.0, 5.0]])
    table = plots.figure_data(plots.plot_bars(["a", "b"], {"one": np.array([[1.0, 3.0], [4.0, 4.0]])}))
    assert {1.0 * 2, 4.0} <= set(table.y)
    table = plots.figure_data(plots.plot_patterns(np.eye(2)))
    assert table.y.tolist() == [1.0, 0.0, 0.0, 1.0]
    assert table.curve.tolist() == ["row 0", "row 0", "row 1", "row 1"]


def test_figures_are_saved_in_several_formats_with_their_numbers(build, tmp_path):
    result = build(widths=(8,), modes=(2, 3), seeds=2, truncate_every=2)
    paths = plots.save_figures(result, tmp_path, formats=("png", "pdf", "svg"), data=True)
    assert [path.name for path in paths[:4]] == ["accuracy.png", "accuracy.pdf", "accuracy.svg", "accuracy.csv"]
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml", ".csv": b"panel,"}
    for path in paths:
        assert path.read_bytes().startswith(starts[path.suffix])
    table = pandas.read_csv(tmp_path / "figures" / "learning.csv")
    final = result["mode"].train_loss.sel(modes=2).isel(width=0, learning_rate=0, weight_decay=0, epoch=-1)
    drawn = table[(table.panel == 1) & (table.curve == "P = 2")]
    assert float(drawn.y.iloc[-1]) == pytest.approx(float(final.mean()))


def test_the_same_figure_is_the_same_file_of_vectors(build, tmp_path):
    result = build(widths=(8,), modes=(2,), seeds=1, baseline="none")
    first = [path.read_bytes() for path in plots.save_figures(result, tmp_path, formats=("pdf",))]
    assert first == [path.read_bytes() for path in plots.save_figures(result, tmp_path, formats=("pdf",))]


def test_files_of_another_result_go_in_every_format_and_those_of_this_one_stay(build, tmp_path):
    plots.save_figures(build(widths=(8,), modes=(2,), seeds=1), tmp_path, formats=("png", "svg"), data=True)
    plots.save_figures(build(widths=(8,), layer="dense", seeds=1), tmp_path)
    left = {path.name for path in (tmp_path / "figures").iterdir()}
    assert left == {f"{name}.{kind}" for name in ("accuracy", "learning") for kind in ("png", "svg", "csv")}


def test_an_unknown_format_is_refused(build, tmp_path):
    with pytest.raises(InputError, match="cannot be saved as 'gif'; allowed: pdf, png, svg"):
        plots.save_figures(build(widths=(8,), modes=(2,), seeds=1), tmp_path, formats=("gif",))
