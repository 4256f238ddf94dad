"""The spectral studies at a tiny size: rows, tables, verdicts and files. The quick studies: `uv run pytest -m slow`."""

import csv
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.studies import (
    STUDIES,
    find_study,
    spectral_perceptron,
    spectral_perceptron_seeds,
    spectral_pruning,
    spectral_sparse,
    spectral_sparse_width,
    spectral_student,
    spectral_student_report,
)
from modejax.studies.common import ends, mean_and_sd, over_seeds, percent, pm
from modejax.studies.spread import draw_bars, draw_curves

OURS = [name for name in STUDIES if name.startswith("spectral-") and name != "spectral-width"]


def written(folder):
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_statistics_leave_out_what_is_not_finite():
    assert mean_and_sd([1.0, 2.0, float("nan")]) == (1.5, pytest.approx(0.5**0.5))
    assert percent([0.5, 0.6, float("inf")]) == "55.0 (50.0 to 60.0)"
    assert percent([]) == "-"


@pytest.mark.parametrize(
    ("count", "text", "words"),
    [
        (1, "1.00", "one seed"),
        (2, "1.50 (1.00 to 2.00)", "mean and range over 2 seeds"),
        (4, "2.50 (1.00 to 4.00)", "mean and range over 4 seeds"),
        (5, "3.00 +- 1.58", "mean +- standard deviation over 5 seeds"),
    ],
)
def test_few_seeds_have_a_range_and_no_standard_deviation(count, text, words):
    values = np.arange(1.0, count + 1)
    assert pm(values, 2) == pm([*values, np.nan], 2) == text
    assert over_seeds(count) == words
    mean, low, high = ends(values)
    assert (mean, low, high) == pytest.approx(
        (values.mean(), 1, count) if count < 5 else (3, 3 - 2.5**0.5, 3 + 2.5**0.5)
    )
    assert np.isnan(ends([np.nan])).all()


def test_bars_and_bands_of_figures_end_where_the_text_does():
    few, many = np.array([[1.0, 2.0, 6.0, np.nan, np.nan]]), np.arange(1.0, 6.0)[None]
    ax = Figure().subplots()
    draw_bars(["a"], {"few": few, "many": many}, ax, log=True)
    lines = [each.get_segments() for each in ax.collections if isinstance(each, LineCollection)]
    drawn = [each[0][:, 1] for each in lines if each and len(each[0]) == 2 and np.isfinite(each[0]).all()]
    np.testing.assert_allclose(drawn, [[1, 6], [3 - 2.5**0.5, 3 + 2.5**0.5]])
    ax = Figure().subplots()
    draw_curves([0, 1], {"few": np.tile(few, (2, 1)), "many": np.tile(many, (2, 1))}, ax, percent=False)
    bands = [np.asarray(each.get_paths()[0].vertices)[:, 1] for each in ax.collections if each.get_paths()]
    np.testing.assert_allclose([(each.min(), each.max()) for each in bands][-2:], drawn)


@pytest.mark.slow
def test_sparse_networks(tmp_path, monkeypatch):
    names = ("S-QR, released", "dense, straight-through", "dense, cut after training", "dense, cut, then two epochs")
    families = tuple(family for family in spectral_sparse.FAMILIES if family.name in names)
    monkeypatch.setattr(spectral_sparse, "FAMILIES", families)
    shared = dataclasses.replace(spectral_sparse.settings(True, 2), widths=(12,), epochs=2, sparsities=(50, 90))
    monkeypatch.setattr(spectral_sparse, "settings", lambda quick, seeds: shared)
    measured = [
        spectral_sparse_width.EpochRow(family.name, width, sparsity, epoch, seed, 0.9)
        for family in spectral_sparse_width.COMPARED
        for width in (200, 500)
        for sparsity in (95.0, 98.0)
        for epoch in (1, 2)
        for seed in (0, 1)
    ]
    monkeypatch.setattr(spectral_sparse_width, "measure_epochs", lambda *given: measured)
    folder = spectral_sparse.run(tmp_path / "new", quick=True, report=lambda text: None)
    assert files(folder) == ["config.json", "figures/epochs.png", "figures/error.png", "results.md", "table.csv"]
    rows = written(folder)
    assert len(rows) == 4 * 2 * 2 + len(measured)
    rows = [row for row in rows if row["width"] == "12"]
    ours = [float(row["accuracy"]) for row in rows if row["family"] == names[0] and float(row["sparsity"]) == 90]
    cut = [float(row["accuracy"]) for row in rows if row["family"] == names[2] and float(row["sparsity"]) == 90]
    page = (folder / "results.md").read_text()
    assert f"| {percent(ours)} |" in page
    assert f"| {100 * (np.mean(ours) - np.mean(cut)):+.1f} (" in page
    assert json.loads((folder / "config.json").read_text())["versions"]["jax"] == jax.__version__


def test_the_lead_is_a_difference_of_means_with_its_error():
    own = [spectral_sparse.Row("S-QR, released", 50.0, s, a) for s, a in enumerate((0.90, 0.92))]
    other = [spectral_sparse.Row("x", 50.0, s, a) for s, a in enumerate((0.95, 0.97))]
    points, error = spectral_sparse.lead([*own, *other], "x", 50.0)
    # Standard deviation of both: sqrt(2) points; the error of a difference of two means of two: sqrt(2).
    assert (points, error) == (pytest.approx(-5), pytest.approx(2**0.5))


def test_the_gap_at_two_widths_and_after_every_epoch():
    made = spectral_sparse_width.EpochRow
    accuracies = {"S-QR, released": (0.90, 0.92), "dense, released baseline (no bias)": (0.80, 0.91)}
    accuracies["dense, straight-through"] = (0.95, 0.97)
    rows = [
        made(family, width, 98.0, epoch, seed, value + epoch / 1000)
        for family, values in accuracies.items()
        for width in (200, 500)
        for epoch in (1, 2, 3, 4)
        for seed, value in enumerate(values)
    ]
    gap = spectral_sparse_width.gap_text(rows, "dense, straight-through", width=200, epochs=1, sparsity=98.0)
    assert gap == "-5.0 fails"
    gap = spectral_sparse_width.gap_text(rows, "dense, released baseline (no bias)", width=200, epochs=1)
    assert gap == "+5.5 not shown"
    page = "\n".join(spectral_sparse_width.width_lines(rows, "mnist"))
    assert "| family | 200 nodes, 2 epochs | 200 nodes, 4 epochs | 500 nodes, 2 epochs | 500 nodes, 4 epochs |" in page
    assert "| S-QR, released | 91.2 (90.2 to 92.2) | 91.4 (90.4 to 92.4) |" in page
    figure = spectral_sparse_width.draw_epochs(rows, "title")
    assert [ax.get_title() for ax in figure.axes] == [f"{n} nodes, 98 % of the weights 0" for n in (200, 500)]


@pytest.mark.slow
def test_accuracies_after_every_epoch_are_those_of_the_runs(tmp_path, monkeypatch):
    sweeps = spectral_sparse_width.width_sweeps(True, 2)
    assert {config.epochs for config in sweeps.values()} == {20}
    tiny = {
        (12, family): dataclasses.replace(config, widths=(12,), epochs=2)
        for (width, family), config in sweeps.items()
        if width == 30 and family.layer == "spectral"
    }
    monkeypatch.setattr(spectral_sparse_width, "width_sweeps", lambda *given: tiny)
    rows = spectral_sparse_width.measure_epochs(tmp_path, True, 2, lambda text: None)
    assert len(rows) == 2 * 2 * 2
    said = []
    assert spectral_sparse_width.measure_epochs(tmp_path, True, 2, said.append) == rows
    assert "taken from" in said[0]


def test_nodes_dropped_before_training(monkeypatch):
    shared = dataclasses.replace(spectral_pruning.settings(True, 2), widths=(20,), epochs=2)
    monkeypatch.setattr(spectral_pruning, "_BEFORE", (50.0, 80.0))
    rows = spectral_pruning.measure_before(shared, "elu")
    assert {row.score for row in rows} == {"eigenvalue", "random", "drawn anew"}
    assert len(rows) == 3 * 2 * 2
    assert all(0 < row.accuracy < 1 for row in rows)


@pytest.mark.slow
def test_nodes_dropped_after_training():
    shared = dataclasses.replace(spectral_pruning.settings(True, 2), widths=(12,), epochs=2, draws=3)
    rows, trained = spectral_pruning.measure_after(shared, "relu", 1, every=1)
    assert trained.first.sizes["truncation_epoch"] == 2
    assert {(row.network, row.score) for row in rows if row.network == "dense"} == {
        ("dense", score) for score in ("incoming", "throughput", "random")
    }
    whole = {(row.network, row.seed): row.accuracy for row in rows if row.percentile == 0}
    here = [row.accuracy for row in rows if (row.network, row.seed, row.percentile) == ("dense", 0, 0)]
    np.testing.assert_allclose(here, here[0], rtol=1e-6)
    assert whole["spectral", 0] == float(trained.first.test_accuracy.sel(seed=0).isel(epoch=-1).squeeze())
    figure = spectral_pruning._draw_after(rows, "title")
    assert [ax.get_title() for ax in figure.axes] == ["ReLU, 1 hidden layer"]
    page = "\n".join(spectral_pruning._page(rows, shared))
    assert "## After training: ReLU, 1 hidden layer" in page


def test_as_many_weights_are_trained_as_there_are_eigenvalues():
    share = spectral_perceptron._frozen_share(784, 0, 10, deep=False)
    assert round((1 - share / 100) * 7840) == 794
    share = spectral_perceptron._frozen_share(784, 100, 10, deep=True)
    assert round((1 - share / 100) * (78400 + 1000)) == 784 + 2 * 100 + 10


@pytest.mark.slow
def test_eigenvalues_and_random_weights_are_paired_by_seed():
    rng = np.random.default_rng(0)
    shared_part = rng.normal(0.8, 0.05, 12)
    gap = spectral_perceptron_seeds.difference(shared_part + rng.normal(0.03, 0.002, 12), shared_part)
    assert gap.low < 3 < gap.high
    assert gap.high - gap.low < 0.5  # what the seeds have in common does not count
    share = spectral_perceptron._frozen_share(64, 0, 10, deep=False)
    config = dataclasses.replace(spectral_perceptron.settings(True, 2), epochs=2)
    found = spectral_perceptron_seeds.against_random(config, share, 3)
    assert list(found) == [0.015, 0.03]
    for eigen, weights in found.values():
        assert eigen.shape == weights.shape == (3,)
        assert len(set(eigen)) > 1
        assert (np.r_[eigen, weights] > 0.05).all()
    assert "3 seeds, each with its own" in "\n".join(spectral_perceptron_seeds.lines(found))
    assert len(spectral_perceptron_seeds.paired_rows(found)) == 2 * 2 * 3


def test_a_student_adds_its_outputs_and_a_teacher_is_a_student():
    layer = spectral_student.Adds()
    params = layer.init(jax.random.key(0), Extent(5, 3), 1)
    assert layer.kernel(params).tolist() == [[1, 1, 1, 0, 0]]
    assert not any(jax.tree.leaves(layer.trainable(params)))
    released, direct, frozen = (spectral_student.student(spectral_student.KINDS[n])(7) for n in (0, 2, 4))
    assert released.num_parameters() == 7 + 10 * 7 + 7 * 20
    assert direct.num_parameters() == 10 * 7 + 7 * 20
    assert frozen.num_parameters() == 7 + 10 * 7
    with jax.enable_x64(True):
        params = released.init(jax.random.key(0))
        assert float(released.penalty(params)) == pytest.approx(2.5e-4 * 7 + 0.005 * float(jnp.sum(params[0].phi ** 2)))
    data = spectral_student.teacher_data(3, n_train=50, n_test=20)
    assert (data.y_train >= 0).all()
    assert (data.x_train.shape, data.y_test.dtype) == ((50, 10), np.float32)


def test_dropped_nodes_leave_the_network_without_them():
    rng = np.random.default_rng(0)
    kernels = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((4, 3), (5, 4), (1, 5))]
    x, y = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((6, 3), (6,)))
    found = spectral_student.dropped_errors(kernels, jnp.array([3.0, 1.0, 4.0, 2.0]), x, y)
    for gone, here in enumerate([[0, 1, 2, 3], [0, 2, 3], [0, 2], [2]]):
        h = np.maximum(np.maximum(x @ kernels[0][here, :].T, 0) @ kernels[1][:, here].T, 0) @ kernels[2].T
        np.testing.assert_allclose(found[gone], np.mean((h[:, 0] - y) ** 2), rtol=1e-5)


@pytest.mark.slow
def test_students_and_the_nodes_they_need():
    shared = dataclasses.replace(spectral_student.settings(True, 2), widths=(4, 6), epochs=3)
    rows = spectral_student.measure(spectral_student.KINDS[0], shared)
    assert len(rows) == 2 * (4 + 6)
    # With all nodes gone but one a student is worse than whole.
    one = {(row.width, row.seed): row.error for row in rows if row.left == 1}
    whole = {(row.width, row.seed): row.error for row in rows if row.left == row.width}
    assert all(one[key] > whole[key] for key in whole)


def test_the_nodes_that_are_needed_are_counted_from_the_whole_student_down():
    errors = {5: 1e-3, 4: 1.5e-3, 3: 9e-3, 2: 1e-3, 1: 1.0}
    assert spectral_student_report.needed(errors, 2e-3) == 4
    assert spectral_student_report.needed(errors, 1e-4) == 5


@pytest.mark.parametrize("name", OURS)
def test_what_cannot_be_run_is_refused(name, tmp_path):
    study = find_study(name)
    with pytest.raises(InputError, match="seeds must be integers of at least 1, got 0"):
        study(tmp_path / "out", quick=True, seeds=0)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        study(tmp_path / "file", quick=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_the_quick_study_runs(name, tmp_path):
    folder = find_study(name)(tmp_path / "out", quick=True, seeds=2)
    assert {"config.json", "results.md", "table.csv"} < set(files(folder))
    assert len(written(folder)) > 50
