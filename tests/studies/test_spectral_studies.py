"""The spectral studies at a tiny size: rows, tables, verdicts and files. The quick studies: `uv run pytest -m slow`."""

import csv
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.studies import (
    STUDIES,
    find_study,
    spectral_perceptron,
    spectral_pruning,
    spectral_sparse,
    spectral_student,
)
from modejax.studies.common import mean_and_sd, percent

OURS = [name for name in STUDIES if name.startswith("spectral-") and name != "spectral-width"]


def written(folder):
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_statistics_leave_out_what_is_not_finite():
    assert mean_and_sd([1.0, 2.0, float("nan")]) == (1.5, pytest.approx(0.5**0.5))
    assert percent([0.5, 0.6, float("inf")]) == "55.0 +- 7.1"
    assert percent([]) == "-"


@pytest.mark.slow
def test_sparse_networks(tmp_path, monkeypatch):
    names = ("S-QR, released", "dense, straight-through", "dense, cut after training", "dense, cut, then two epochs")
    families = tuple(family for family in spectral_sparse.FAMILIES if family.name in names)
    monkeypatch.setattr(spectral_sparse, "FAMILIES", families)
    shared = dataclasses.replace(spectral_sparse.settings(True, 2), widths=(12,), epochs=2, sparsities=(50, 90))
    monkeypatch.setattr(spectral_sparse, "settings", lambda quick, seeds: shared)
    folder = spectral_sparse.run(tmp_path / "new", quick=True, report=lambda text: None)
    assert files(folder) == ["config.json", "figures/error.png", "results.md", "table.csv"]
    rows = written(folder)
    assert len(rows) == 4 * 2 * 2
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


def test_a_student_adds_its_nodes_and_a_teacher_is_a_student():
    layer = spectral_student.student_layer(l2_phi=0.1)
    with jax.enable_x64(True):
        params = layer.init(jax.random.key(0), Extent(5, 3), 1)
        assert layer.kernel(params).tolist() == [[1, 1, 1, 0, 0]]
        assert not any(jax.tree.leaves(layer.trainable(params)))
        assert float(layer.penalty(params)) == 0
        hidden = layer.init(jax.random.key(0), 3, 4)
        assert float(layer.penalty(hidden)) == pytest.approx(0.1 * float(jnp.sum(hidden.phi**2)))  # pyright: ignore
    assert (layer.num_parameters(10, 7), layer.num_parameters(7, 1)) == (77, 0)
    data = spectral_student.teacher_data(3, n_train=50, n_test=20)
    assert (data.y_train >= 0).all()
    assert (data.x_train.shape, data.y_test.dtype) == ((50, 10), np.float32)


@pytest.mark.slow
def test_students_and_the_nodes_they_need(tmp_path, monkeypatch):
    monkeypatch.setattr(spectral_student, "FAMILIES", spectral_student.FAMILIES[:1])
    shared = dataclasses.replace(spectral_student.settings(True, 2), widths=(4, 6), epochs=3)
    rows = spectral_student.measure(shared, report=lambda text: None)
    assert len(rows) == 2 * (4 + 6)
    # With all nodes gone but one a student is worse than whole.
    one = {(row.width, row.seed): row.error for row in rows if row.left == 1}
    whole = {(row.width, row.seed): row.error for row in rows if row.left == row.width}
    assert all(one[key] > whole[key] for key in whole)
    assert all(1 <= spectral_student.needed(rows, "spectral, penalty", width, seed) <= width for width, seed in whole)
    made = [
        spectral_student.Row("a", 5, 0, left, error)
        for left, error in ((5, 1e-3), (4, 1.5e-3), (3, 9e-3), (2, 1e-3), (1, 1.0))
    ]
    assert spectral_student.needed(made, "a", 5, 0) == 4


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
