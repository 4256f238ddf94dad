"""A finished run: its table, its best cells, joined with others, and read from wherever it was moved to."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas
import pytest
import xarray

from modejax import SweepConfig, combine, open_run, run_sweep
from modejax.data import from_arrays
from modejax.errors import InputError
from modejax.runs import MARKER
from modejax.runs.run import Run

CONFIG = SweepConfig(
    widths=(5, 9), modes=(2, 3), seeds=2, epochs=3, batch_size=20, learning_rates=(1e-6, 0.02, 1e9), validation=0.25,
    weight_decays=(0.0, 0.1), baseline_learning_rates=(0.01, 0.02), depth=1, buckets="one",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(blobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return run_sweep(CONFIG, dataset=blobs, out=folder)


def test_a_run_names_its_arms(run):
    assert run.arms == ("mode", "baseline")
    xarray.testing.assert_identical(run.first, run["mode"])
    assert repr(run).startswith(f"Run in {run.folder} of blobs: mode {{'width': 2")
    with pytest.raises(InputError, match="this run has no arm 'dense'; allowed: baseline, mode"):
        run["dense"]


def test_the_table_has_a_row_a_network(run):
    table = run.table()
    assert len(table) == 2 * 2 * 2 * 3 * 2 + 2 * 2 * 2
    grid = ["arm", "width", "modes", "seed", "learning_rate", "weight_decay"]
    assert not table.duplicated(grid).any()
    for _, row in table.iterrows():
        cell = run[row["arm"]].sel({name: row[name] for name in grid[1:]})
        for name in ("test_accuracy", "test_loss", "train_loss"):
            np.testing.assert_array_equal(row[name], cell[name].isel(epoch=-1))
        assert row["num_parameters"] == cell.num_parameters
        assert row["status"] == cell.status
        assert row["best_epoch"] == cell.best_epoch
        if not row["status"]:
            np.testing.assert_array_equal(
                row["validation_accuracy"], cell.validation_accuracy.sel(epoch=row["best_epoch"])
            )
    assert (table["status"] == 1).sum() > 0
    assert (table.loc[table["learning_rate"] == 1e9, "status"] == 1).all()
    stored = pandas.read_csv(run.folder / "table.csv")
    pandas.testing.assert_frame_equal(stored, table, check_dtype=False)


def test_the_best_is_chosen_on_held_out_data_and_never_a_diverged_network(run):
    best = run.best()
    assert "learning_rate" not in best.dims
    data = run.first
    at = data.best_epoch.clip(min=1)
    scores = data.validation_accuracy.sel(epoch=at).where(data.status == 0).mean("seed", skipna=False)
    for width in (5, 9):
        for modes in (2, 3):
            for decay in (0.0, 0.1):
                here = scores.sel(width=width, modes=modes, weight_decay=decay).values
                chosen = best.learning_rate.sel(width=width, modes=modes, weight_decay=decay).item()
                assert chosen == data.learning_rate.values[np.nanargmax(here)]
                assert chosen != 1e9
                cell = best.test_loss.sel(width=width, modes=modes, weight_decay=decay)
                np.testing.assert_array_equal(
                    cell, data.test_loss.sel(width=width, modes=modes, weight_decay=decay, learning_rate=chosen)
                )
    assert best.attrs["chosen_by"] == "validation_accuracy"


def test_the_best_over_several_axes_and_by_a_loss(run):
    best = run.best(over=("learning_rate", "weight_decay"), by="train_loss")
    data = run.first
    mean = data.train_loss.isel(epoch=-1).where(data.status == 0).mean("seed", skipna=False)
    for width in (5, 9):
        here = mean.sel(width=width, modes=3)
        found = best.sel(width=width, modes=3)
        value = here.sel(learning_rate=found.learning_rate.item(), weight_decay=found.weight_decay.item())
        assert float(value) == float(here.min())
    assert best.attrs["chosen_over"] == "learning_rate, weight_decay"
    whole = run.best(over=("width", "modes", "learning_rate", "weight_decay"))
    assert set(whole.status.dims) == {"seed"}
    assert set(run.best(arm="baseline").status.dims) == {"width", "modes", "seed", "weight_decay"}


def test_the_test_set_is_no_judge_unless_allowed(run):
    with pytest.raises(
        InputError, match="the result flatters itself; choose by a validation variable, or say allow_test"
    ):
        run.best(by="test_accuracy")
    best = run.best(by="test_loss", allow_test=True)
    data = run.first
    mean = data.test_loss.isel(epoch=-1).where(data.status == 0).mean("seed", skipna=False)
    np.testing.assert_array_equal(best.test_loss.isel(epoch=-1).mean("seed"), mean.min("learning_rate"))


def test_what_cannot_be_chosen_is_told(run, blobs):
    with pytest.raises(InputError, match="there is no axis 'rate' to choose over; allowed: learning_rate, modes"):
        run.best(over="rate")
    with pytest.raises(InputError, match="there is no axis 'seed'"):
        run.best(over="seed")
    with pytest.raises(InputError, match="the result has no 'accuracy' to choose by; it has test_accuracy"):
        run.best(by="accuracy")
    plain = run_sweep(SweepConfig(layer="dense", widths=(4,), epochs=1, batch_size=20, baseline="none"), dataset=blobs)
    with pytest.raises(InputError, match=r"no 'validation_accuracy' to choose by.*validation=0\.1, for example"):
        plain.best()


def test_a_cell_in_which_all_diverged_keeps_that(run):
    data = run.first.isel(learning_rate=[2])
    lone = Run(run.config, xarray.DataTree(children={"mode": xarray.DataTree(data)}), [])
    best = lone.best()
    assert (best.learning_rate == 1e9).all()
    assert (best.status == 1).all()


# --- folders ---------------------------------------------------------------------------------------------------------


READS = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[2]))
import numpy as np
from modejax import open_run
from modejax.sweep import plan, program
plan.make_plan = program.make_program = None  # nothing is planned or compiled
run = open_run(sys.argv[1])
x = np.load(sys.argv[3])
networks = run.networks(width=9, learning_rate=0.02, weight_decay=0.1) + run.networks("baseline")
print(json.dumps([each.predict(x).tolist() for each in networks]))
"""


@pytest.mark.slow
def test_a_moved_run_is_read_in_another_process_with_other_devices(run, blobs, tmp_path):
    folder = tmp_path / "deep" / "moved"
    shutil.copytree(run.folder, folder)
    assert not (folder / "checkpoint").exists()
    np.save(tmp_path / "x.npy", blobs.x_test)
    done = subprocess.run(
        [sys.executable, "-c", READS, str(folder), "3", str(tmp_path / "x.npy")],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    here = run.networks(width=9, learning_rate=0.02, weight_decay=0.1) + run.networks("baseline")
    assert len(found) == len(here) == 4 + 8
    for outputs, trained in zip(found, here, strict=True):
        np.testing.assert_allclose(outputs, trained.predict(blobs.x_test), rtol=1e-6, atol=1e-6)


def test_an_opened_run_is_the_run(run):
    again = open_run(str(run.folder))
    assert again.config == run.config
    assert again.folder == run.folder
    for arm in run.arms:
        xarray.testing.assert_equal(again[arm], run[arm])


@pytest.mark.parametrize("name", ["result.nc", "members.json", "config.json"])
@pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
def test_a_damaged_file_is_refused(run, tmp_path, name, damage):
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    data = bytearray((folder / name).read_bytes())
    if damage == "gone":
        (folder / name).unlink()
    else:
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data if damage == "altered" else data[: len(data) // 2])
    with pytest.raises(InputError, match=rf"{name} (is damaged|cannot be read)"):
        open_run(folder)


def test_a_result_of_another_config_is_refused(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    text = (folder / "config.json").read_text().replace('"epochs": 3', '"epochs": 4')
    (folder / "config.json").write_text(text)
    marker = json.loads((folder / MARKER).read_text())
    import hashlib

    def seal(record):
        if isinstance(record, dict):
            return {k: hashlib.sha256(text.encode()).hexdigest() if k == "sha256" else v for k, v in record.items()}
        return record

    marker["files"]["config.json"] = seal(marker["files"]["config.json"])
    (folder / MARKER).write_text(json.dumps(marker))
    with pytest.raises(InputError):
        open_run(folder)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist or is a file"):
        open_run(tmp_path / "nothing")
    with pytest.raises(InputError, match="was not made by modejax"):
        open_run(tmp_path)


# --- combine ---------------------------------------------------------------------------------------------------------

SMALL = SweepConfig(layer="dense", widths=(4,), seeds=2, epochs=2, batch_size=20, baseline="none")


@pytest.fixture(scope="module")
def parts(blobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts") / "second"
    first = run_sweep(SMALL, dataset=blobs)
    return first, run_sweep(dataclasses.replace(SMALL, first_seed=2), dataset=blobs, out=folder)


def test_runs_that_extend_one_another_are_one(parts, blobs):
    both = combine(parts)
    assert both.first.seed.values.tolist() == [0, 1, 2, 3]
    whole = run_sweep(dataclasses.replace(SMALL, seeds=4), dataset=blobs)
    np.testing.assert_allclose(both.first.test_loss, whole.first.test_loss, rtol=1e-4)
    assert [each.seed for each in both.networks()] == [0, 1, 2, 3]
    assert [each.seed for each in both.networks(seed=[1, 2])] == [1, 2]
    assert len(both.table()) == 4


def test_cells_that_no_run_has_are_missing(parts, blobs):
    other = run_sweep(dataclasses.replace(SMALL, widths=(6,), first_seed=7, seeds=1), dataset=blobs)
    both = combine([*parts, other])
    assert both.first.status.sizes["width"] == 2
    assert np.isnan(both.first.test_accuracy.sel(width=6, seed=0)).all()
    assert np.isnan(both.first.test_accuracy.sel(width=4, seed=7)).all()
    assert not np.isnan(both.first.test_accuracy.sel(width=6, seed=7)).any()
    # The table has the networks that there are.
    table = both.table()
    assert len(table) == 5
    assert sorted(zip(table["width"], table["seed"], strict=True)) == [(4, 0), (4, 1), (4, 2), (4, 3), (6, 7)]
    assert (table["status"] == 0).all()  # pyright: ignore


def test_runs_that_do_not_extend_one_another_are_refused(parts, blobs):
    first = parts[0]
    with pytest.raises(InputError, match="combine takes two runs or more, got 1"):
        combine([first])
    with pytest.raises(InputError, match="have networks of the arm 'dense' in common"):
        combine([first, first])
    with pytest.raises(InputError, match="the runs have other arms"):
        combine([first, run_sweep(dataclasses.replace(SMALL, name="other", first_seed=2), dataset=blobs)])


@pytest.mark.slow
def test_runs_of_other_settings_axes_or_data_do_not_extend_one_another(parts, blobs):
    first = parts[0]
    with pytest.raises(InputError, match="the runs differ in epochs, not only in the values of their axes"):
        combine([first, run_sweep(dataclasses.replace(SMALL, epochs=1, first_seed=2), dataset=blobs)])
    shares = dataclasses.replace(SMALL, train_examples=(50,), first_seed=2)
    with pytest.raises(InputError, match="the runs have other axes in the arm 'dense'"):
        combine([first, run_sweep(shares, dataset=blobs)])
    more = from_arrays(blobs.x_train, blobs.y_train, blobs.x_test[1:], blobs.y_test[1:], name="blobs")
    with pytest.raises(InputError, match="the runs were made on other data"):
        combine([first, run_sweep(dataclasses.replace(SMALL, first_seed=2), dataset=more)])
