"""The studies of modes at tiny size: files, tables, figures, reuse of runs, one seed.

Those of many sweeps are slow: `uv run pytest -m slow tests/studies/test_mdl.py`.
"""

import csv
import dataclasses
import json

import numpy as np
import pytest
import xarray

from modejax.data.mixture import gaussian_mixture
from modejax.errors import InputError
from modejax.runs import open_run, read_marker
from modejax.runs._marker import record_of, save_marker
from modejax.studies import find_study, mdl_least_runs, mdl_runs
from modejax.studies.common import pm
from modejax.studies.mdl_least_modes import verdict
from modejax.studies.mdl_mixture import covered
from modejax.studies.mdl_removal import verdicts
from modejax.sweep.config import SweepConfig

TINY = {"dataset": "digits", "widths": (12,), "epochs": 4, "halve_every": 2, "batch_size": 50}
NAMES = ("mdl-least-modes", "mdl-mixture", "mdl-modes", "mdl-powerlaw", "mdl-removal", "mdl-subspaces")


@pytest.fixture
def tiny(monkeypatch):
    """Make every sweep of the studies small."""
    monkeypatch.setattr(mdl_runs, "_QUICK", TINY)
    long = mdl_runs.long_training

    def fewer_modes(quick, seeds, **options):
        config = long(quick, seeds, **options)
        assert config.modes is not None
        return dataclasses.replace(config, modes=(min(config.modes[0], 16),), truncate_every=2)

    small = SweepConfig(epochs=2, baseline="none", seeds=1, kept=(0,), learning_rates=(0.005, 0.01))
    cells = {
        ("mode", 3): dataclasses.replace(small, widths=(8,), modes=(3,)),
        ("dense", 8): dataclasses.replace(small, widths=(8,), layer="dense", modes=None, kept=()),
    }
    monkeypatch.setattr(mdl_least_runs, "_QUICK", TINY | {"widths": (8, 12, 16), "epochs": 8, "batch_size": 20})
    monkeypatch.setattr(mdl_least_runs, "_MODES_QUICK", (2, 8, 16))
    monkeypatch.setattr(mdl_least_runs, "_SEARCHED_QUICK", (8,))
    for study in NAMES:
        module = find_study(study).__globals__
        for name, value in (
            ("long_training", fewer_modes),
            ("frontier", lambda quick, seeds: {k: dataclasses.replace(c, seeds=seeds) for k, c in cells.items()}),
        ):
            if name in module:
                monkeypatch.setitem(module, name, value)


def check_folder(folder):
    assert {"results.md", "table.csv", "config.json", "figures", "runs"} == {file.name for file in folder.iterdir()}
    figures = list((folder / "figures").iterdir())
    assert figures
    assert all(figure.suffix == ".png" and figure.stat().st_size > 10_000 for figure in figures)
    config = json.loads((folder / "config.json").read_text())
    assert {"jax", "modejax", "python"} <= set(config["versions"])
    assert all(run["data_dir"] is None for run in config["runs"].values())
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    page = (folder / "results.md").read_text()
    assert "nan" not in page.lower().split()
    return page, rows, config


@pytest.mark.slow
def test_removal_and_subspaces_share_their_runs(tiny, tmp_path):
    said = []
    folder = find_study("mdl-removal")(tmp_path / "mdl-removal", quick=True, seeds=2, report=said.append)
    page, rows, _ = check_folder(folder)
    assert {row["removal"] for row in rows} == {"least", "most", "random"}
    whole = {float(row["accuracy"]) for row in rows if row["removed_percent"] == "0" and row["seed"] == "1"}
    result = open_run(folder / "runs" / "plain-digits-2").first
    last = 100 * result.test_accuracy.isel(epoch=-1).sel(seed=1, learning_rate=0.003)
    assert any(abs(last.item() - each) < 1e-3 for each in whole)
    assert "## Against the paper's figure (P = 16)" in page

    said.clear()
    folder = find_study("mdl-subspaces")(tmp_path / "mdl-subspaces", quick=True, seeds=2, report=said.append)
    page, rows, config = check_folder(folder)
    assert [line for line in said if line.startswith("plain-digits-2: taken from")]
    assert config["runs"]["dense-mode-start"]["layer_options"] == ["start=mode", "start_modes=16"]
    assert config["runs"]["dense-mode-start"]["widths"] == [12]
    dense = [row for row in rows if row["network"].startswith("dense, mode start")]
    assert {row["measure"] for row in dense} >= {"class overlap", "activity dimension", "kernel overlap"}
    assert not any(row["measure"].startswith("alignment") for row in dense)
    assert all(np.isfinite(float(row["value"])) for row in rows)


@pytest.mark.slow
def test_power_law_with_one_seed_says_so(tiny, tmp_path):
    folder = find_study("mdl-powerlaw")(tmp_path / "mdl-powerlaw", quick=True, seeds=1, report=lambda _: None)
    page, rows, _ = check_folder(folder)
    assert "(1 seed: no interval)" in page
    assert {(row["gauge"], row["map"]) for row in rows} == {(g, m) for g in ("plain", "scaled") for m in "12"}


@pytest.mark.slow
def test_overview(tiny, tmp_path):
    folder = find_study("mdl-modes")(tmp_path / "mdl-modes", quick=True, seeds=1, report=lambda _: None)
    _, rows, _ = check_folder(folder)
    costs = {row["name"]: row for row in rows if row["kind"] == "cost"}
    assert int(costs["dense"]["parameters"]) == 64 * 8 + 8 * 8 + 8 * 10
    assert int(costs["mode"]["parameters"]) == 3 * (64 + 4 * 8 + 10 + 3)
    assert int(costs["mode"]["optimiser_bytes"]) == 8 * int(costs["mode"]["parameters"])


@pytest.mark.slow
def test_least_modes(tiny, tmp_path):
    folder = find_study("mdl-least-modes")(tmp_path / "study", quick=True, seeds=2, report=lambda _: None)
    page, rows, config = check_folder(folder)
    assert {row["definition"] for row in rows} == {"dense", "fixed", "best"}
    assert len(rows) == 6 * 3
    assert "## Growth with the width" in page
    # Rates come from other networks than those measured, on held-out data; each width has its own.
    search, grid = config["runs"]["least-modes-rates"], config["runs"]["least-modes"]
    assert search["first_seed"] >= grid["first_seed"] + grid["seeds"]
    assert search["validation"] > 0
    assert grid["batches"] == "per_seed"
    assert len(grid["arms"]) == 2 * 3 - 1


def test_mixture(tiny, tmp_path, monkeypatch):
    module = find_study("mdl-mixture").__globals__
    small = dataclasses.replace(
        mdl_runs.mixture(True, 2), batch_size=500, learning_rates=(0.02,), baseline_learning_rates=(0.02,)
    )
    monkeypatch.setitem(module, "mixture", lambda quick, seeds: small)
    page, rows, _ = check_folder(
        find_study("mdl-mixture")(tmp_path / "study", quick=True, seeds=2, report=lambda _: None)
    )
    assert {(row["layer"], row["hidden_units"]) for row in rows} == {
        (layer, units) for layer in ("modes", "dense") for units in "348"
    }
    assert "97.50 %" in page


def test_a_network_that_covers_all_clusters_solves_the_task_and_no_other_does():
    four = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    signs = np.array([1.0, 1.0, -1.0, -1.0])
    data = gaussian_mixture(0)

    def accuracy(hidden, output):
        right = np.sign(np.maximum(data.x_test @ hidden.T, 0) @ output) == np.sign(np.ravel(data.y_test))
        return right.mean()

    assert covered(four, signs) == 4
    assert accuracy(four, signs) > 0.97
    for units, output, count in (
        (four, np.array([1.0, 1.0, -1.0, 1.0]), 3),
        (four[:3], signs[:3], 3),
        (four, -signs, 0),
    ):
        assert covered(units, output) == count
        assert accuracy(units, output) < 0.76


@pytest.mark.slow
def test_runs_are_found_resumed_and_not_mixed_up(tmp_path):
    config = SweepConfig(widths=(6,), modes=(2,), seeds=1, epochs=2, baseline="none", kept=(0,))
    said = []
    first = mdl_runs.trained_run(tmp_path / "a", "small", config, said.append)
    again = mdl_runs.trained_run(tmp_path / "b", "small", config, said.append)
    folder = first.folder
    assert folder == again.folder == tmp_path / "a" / "runs" / "small-digits-1"
    assert again.first.identical(first.first)
    for one, other in zip(again.networks(), first.networks(), strict=True):
        np.testing.assert_array_equal(one.params[0].sigma, other.params[0].sigma)
    assert not (tmp_path / "b").exists()
    marker = read_marker(folder)  # pyright: ignore
    (folder / "result.nc").unlink()  # as if it had been stopped at the end  # pyright: ignore
    save_marker(folder, marker._replace(state="running", files={}, entries=()))  # pyright: ignore
    third = mdl_runs.trained_run(tmp_path / "a", "small", config, said.append)
    np.testing.assert_array_equal(third.first.test_accuracy, first.first.test_accuracy)
    other = dataclasses.replace(config, epochs=1)
    assert not mdl_runs.finished(folder, other)  # pyright: ignore
    assert mdl_runs.finished(folder, dataclasses.replace(config, data_dir="/somewhere"))  # pyright: ignore
    assert [line.split(":")[1][:6] for line in said] == [" train", " taken", " train"]
    # The config of a new run beside the result of an earlier one, with fitting checksums.
    (folder / "config.json").write_text(other.to_json())  # pyright: ignore
    files = {name: record_of(folder / name) for name in marker.files}  # pyright: ignore
    save_marker(folder, marker._replace(files=files))  # pyright: ignore
    assert not mdl_runs.finished(folder, other)  # pyright: ignore
    assert not mdl_runs.finished(folder, config)  # pyright: ignore
    fourth = mdl_runs.trained_run(tmp_path / "a", "small", other, said.append)
    assert fourth.first.sizes["epoch"] == 1
    assert mdl_runs.finished(folder, other)  # pyright: ignore
    (folder / "result.nc").write_bytes((folder / "result.nc").read_bytes()[:-1])  # pyright: ignore
    assert not mdl_runs.finished(folder, other)  # pyright: ignore


def test_the_studies_refuse_bad_seeds_and_files(tmp_path):
    (tmp_path / "file").write_text("")
    for name in NAMES:
        with pytest.raises(InputError, match="seeds must be integers of at least 1, got -1"):
            find_study(name)(tmp_path / "new", quick=True, seeds=-1)
        with pytest.raises(InputError, match="is a file"):
            find_study(name)(tmp_path / "file", quick=True)
    assert not (tmp_path / "new").exists()


def test_verdicts_compare_the_mean_loss_with_the_target():
    kept = np.arange(11)
    accuracy = np.full((2, 3, 2, 11), 0.98)
    accuracy[:, 2, 1, kept <= 3] = 0.80  # random, map 2, 70 % removed: 18 points lost
    accuracy[:, 0, 0, kept <= 3] = 0.90  # least, map 1: 8 points lost
    curves = xarray.Dataset(
        {"accuracy": (("seed", "removal", "layer", "kept"), accuracy)},
        coords={"removal": ["least", "most", "random"], "layer": [1, 2], "kept": kept},
    )
    found = verdicts(curves, 10)
    assert [holds for _, _, holds in found] == [True, True, True, False]
    assert found[2][1] == "18.00 (18.00 to 18.00)"
    assert verdict([]) == "too few widths for a slope"
    assert pm([np.nan]) == "-"
