"""Runs: what they return, what they leave behind, and how they go on after a stop."""

import dataclasses
import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import chex
import numpy as np
import orbax.checkpoint
import pytest
import xarray

import modejax
from modejax import SweepConfig, layers, load_networks, load_result, run_sweep
from modejax.errors import InputError
from modejax.runs import MARKER, output, read_netcdf
from modejax.sweep import checkpoint
from modejax.sweep.plan import make_plan
from modejax.sweep.run import Interrupted, execute
from modejax.sweep.trained import trained_networks

SMALL = SweepConfig(widths=(5, 9), modes=(2, 3), seeds=2, epochs=6, batch_size=60, truncate_every=2)


@pytest.fixture(scope="module")
def finished(blobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    told = []
    result = run_sweep(SMALL, dataset=blobs, out=folder, report=told.append)
    return folder, result, told


def same(one: xarray.Dataset, other: xarray.Dataset) -> None:
    """Equal bit for bit, not-a-numbers in the same places."""
    assert set(one.variables) == set(other.variables)
    for name, values in one.variables.items():
        np.testing.assert_array_equal(values.values, other[name].values, err_msg=str(name))


def test_dimensions_and_labels(finished):
    _, result, told = finished
    grid = {"width": 2, "modes": 2, "seed": 2, "learning_rate": 1, "weight_decay": 1}
    assert dict(result.test_accuracy.sizes) == {**grid, "epoch": 6}
    assert dict(result.truncation_accuracy.sizes) == {**grid, "truncation_epoch": 3, "layer": 3, "kept": 4}
    assert dict(result.importance.sizes) == {**grid, "layer": 3, "mode": 3}
    assert result.truncation_epoch.values.tolist() == [2, 4, 6]
    assert result.num_parameters.sel(width=9, modes=3) == 3 * (6 + 9 + 1 + 9 + 9 + 1 + 9 + 3 + 1)
    assert result.baseline_num_parameters.sel(width=5) == 5 * (6 + 5 + 3)
    assert not result.status.any()
    assert [progress.done for progress in told] == [0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(told[-1].accuracy, result.test_accuracy.isel(epoch=-1).mean(), rtol=1e-6)
    for values in result.data_vars.values():
        assert values.attrs["units"]
        assert values.attrs["long_name"]
    assert SweepConfig.from_json(result.attrs["config"]) == SMALL
    assert {"versions", "device", "seconds_to_compile", "seconds_to_run", "data_hash"} <= set(result.attrs)


def test_entries_beyond_a_members_modes_are_missing_and_only_those(finished):
    _, result, _ = finished
    curves = result.truncation_accuracy_all
    assert np.isnan(curves.sel(modes=2, kept=3)).all()
    assert not np.isnan(curves.sel(modes=2, kept=[0, 1, 2])).any()
    assert not np.isnan(curves.sel(modes=3)).any()
    assert np.isnan(result.mode_weight.sel(modes=2, mode=3)).all()
    assert not np.isnan(result.mode_weight.sel(modes=2, mode=2)).any()


def test_saved_result_is_the_returned_one(finished):
    folder, result, _ = finished
    same(load_result(folder), result)
    assert json.loads((folder / "config.json").read_text())["widths"] == [5, 9]


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(blobs, finished, tmp_path):
    _, whole, _ = finished
    folder = tmp_path / "stopped"
    calls = iter([False, False, True])
    with pytest.raises(Interrupted) as stopped:
        run_sweep(SMALL, dataset=blobs, out=folder, stop=lambda: next(calls))
    assert stopped.value.epoch == 3
    with pytest.raises(InputError, match="has no result yet"):
        load_result(folder)
    same(run_sweep(SMALL, dataset=blobs, out=folder, resume=True), whole)


# Orbax drops an exception of a damaged array inside its event loop.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_damaged_checkpoint_falls_back_to_the_one_before(blobs, finished, tmp_path, capsys, damage):
    _, whole, _ = finished
    folder = tmp_path / "damaged"
    calls = iter([False, False, True])
    with pytest.raises(Interrupted):
        run_sweep(SMALL, dataset=blobs, out=folder, stop=lambda: next(calls))
    newest = max((folder / "checkpoint").glob("launch-*/epoch-*"))
    for file in (path for path in newest.rglob("d/*") if path.is_file()):
        content = bytearray(file.read_bytes())
        if damage == "altered":
            content[len(content) // 2] ^= 1
        file.write_bytes(content if damage == "altered" else content[: len(content) // 2])
    same(run_sweep(SMALL, dataset=blobs, out=folder, resume=True), whole)
    gc.collect()
    assert "damaged" in capsys.readouterr().err


LAUNCHES = dataclasses.replace(SMALL, launches=2)


def test_launches_give_the_numbers_of_one_launch(blobs, finished, tmp_path):
    """The batched products of another number of members round differently, and Adam makes that visible."""
    _, whole, _ = finished
    told = []
    result = run_sweep(LAUNCHES, dataset=blobs, out=tmp_path / "two", report=told.append)
    assert [progress.done for progress in told] == list(range(13))
    assert {progress.total for progress in told} == {12}
    for name in ("test_loss", "train_loss", "baseline_test_loss"):
        np.testing.assert_allclose(result[name], whole[name], rtol=1e-3)
    folders = sorted(path.parent.name + "/" + path.name for path in (tmp_path / "two").glob("checkpoint/*/epoch-*"))
    assert folders == ["launch-0000/epoch-0000006", "launch-0001/epoch-0000006"]


def test_launches_stopped_and_resumed_equal_uninterrupted_bit_for_bit(blobs, tmp_path):
    whole = run_sweep(LAUNCHES, dataset=blobs, out=tmp_path / "whole")
    folder = tmp_path / "stopped"
    calls = iter([False] * 7 + [True])
    with pytest.raises(Interrupted, match="stopped after epoch 2 of launch 2 of 2"):
        run_sweep(LAUNCHES, dataset=blobs, out=folder, stop=lambda: next(calls))
    # Without a number of launches the folder's own counts.
    same(run_sweep(SMALL, dataset=blobs, out=folder, resume=True), whole)


@pytest.mark.slow
def test_states_of_all_launches_come_back_in_order(blobs):
    plans = [make_plan(dataclasses.replace(SMALL, launches=n, precision="float64"), blobs) for n in (1, 3)]
    both = [
        [each.params for group in (0, 1) for each in trained_networks(plan, execute(plan, blobs).states, group)]
        for plan in plans
    ]
    chex.assert_trees_all_close(*both, rtol=0, atol=1e-10)


def test_a_run_folder_that_is_being_written_is_refused(blobs, finished, tmp_path):
    folder = tmp_path / "held"
    shutil.copytree(finished[0], folder)
    before = (folder / "result.nc").read_bytes()
    with output(folder, "sweep", overwrite=True), pytest.raises(InputError, match="another process is writing"):
        run_sweep(SMALL, dataset=blobs, out=folder, overwrite=True)
    assert (folder / "result.nc").read_bytes() == before


def test_checkpoint_of_another_config_is_refused(blobs, tmp_path):
    folder = tmp_path / "other"
    calls = iter([False, True])
    with pytest.raises(Interrupted):
        run_sweep(SMALL, dataset=blobs, out=folder, stop=lambda: next(calls))
    other = SweepConfig(**{**SMALL.__dict__, "learning_rates": (0.1,)})
    with pytest.raises(InputError, match="belongs to another config"):
        run_sweep(other, dataset=blobs, out=folder, resume=True)


def test_failed_save_leaves_the_old_result_whole(blobs, finished, tmp_path, monkeypatch):
    folder = tmp_path / "full"
    shutil.copytree(finished[0], folder)
    before = (folder / "result.nc").read_bytes()

    def full(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xarray.Dataset, "to_netcdf", full)
    with pytest.raises(InputError, match="is finished; pass --overwrite"):
        run_sweep(SMALL, dataset=blobs, out=folder)
    with pytest.raises(InputError, match="No space left on device"):
        run_sweep(SMALL, dataset=blobs, out=folder, overwrite=True)
    assert (folder / "result.nc").read_bytes() == before
    read_netcdf(folder)
    monkeypatch.undo()
    run_sweep(SMALL, dataset=blobs, out=folder, resume=True)  # only the save is left to do
    same(load_result(folder), finished[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == [MARKER]


def test_a_full_disk_ends_the_run_with_the_last_checkpoint_whole(blobs, finished, tmp_path, monkeypatch):
    _, whole, _ = finished
    folder, save = tmp_path / "full", checkpoint.save

    def full(*arguments, **options):
        def write(self, path, *rest):
            (path.parent / "half").write_bytes(b"half")
            raise ValueError("RESOURCE_EXHAUSTED: Failed to write 823192 bytes: No space left")

        if arguments[1] == 3:
            monkeypatch.setattr(orbax.checkpoint.StandardCheckpointer, "save", write)
        return save(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", full)
        with pytest.raises(InputError, match=r"no space left on the device.*make room and resume"):
            run_sweep(SMALL, dataset=blobs, out=folder)
    monkeypatch.undo()
    launch = folder / "checkpoint" / "launch-0000"
    assert sorted(path.name for path in launch.iterdir()) == ["epoch-0000001", "epoch-0000002"]
    same(run_sweep(SMALL, dataset=blobs, out=folder, resume=True), whole)


def test_folder_that_is_not_a_run_is_refused_and_untouched(blobs, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="was not made by modejax"):
        run_sweep(SMALL, dataset=blobs, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="is a file"):
        run_sweep(SMALL, dataset=blobs, out=tmp_path / "thesis.tex")
    with pytest.raises(InputError, match="nothing to resume"):
        run_sweep(SMALL, dataset=blobs, out=tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


def test_folder_that_cannot_be_written_is_refused(blobs):
    with pytest.raises(InputError, match="cannot be written"):
        run_sweep(SMALL, dataset=blobs, out="/proc/modejax/run")


def test_random_order_reports_mean_and_spread_over_draws(blobs):
    config = SweepConfig(widths=(9,), modes=(4,), seeds=2, epochs=5, order="random", draws=6, baseline="none")
    result = run_sweep(config, dataset=blobs)
    spread = result.truncation_spread_all.squeeze()
    assert (spread.sel(kept=[0, 4]) == 0).all()
    assert (spread.sel(kept=[1, 2, 3]).max("kept") > 0).all()
    full = result.truncation_accuracy_all.isel(truncation_epoch=-1).sel(kept=4)
    np.testing.assert_allclose(full, result.test_accuracy.isel(epoch=-1), atol=1e-6)


def test_signs_are_learned_with_squared_error():
    from modejax.data import gaussian_mixture

    mixture = gaussian_mixture(0, n_train=4000, n_test=1000)
    config = SweepConfig(
        widths=(8,), modes=(3,), depth=1, seeds=3, epochs=10, batch_size=20, learning_rates=(0.01,), baseline="none"
    )
    result = run_sweep(config, dataset=mixture)
    # Bayes is 97.5 %; a network that gets stuck stays at 50 or 75 %.
    assert result.test_accuracy.isel(epoch=-1).max() > 0.95
    assert result.test_loss.attrs["units"] == "1"


def test_a_layer_of_ones_own(blobs):
    @dataclasses.dataclass(frozen=True)
    class Doubled(layers.Mode):
        def apply(self, params, x):
            return 2 * super().apply(params, x)

        def kernel(self, params):
            return 2 * super().kernel(params)

        def modes(self, params):
            return super().modes(params)._replace(weight=2 * params.sigma)

    config = SweepConfig(widths=(5, 9), modes=(3,), seeds=1, epochs=3, baseline="none")
    result = run_sweep(config, dataset=blobs, layer=Doubled())
    full = result.truncation_accuracy_all.isel(truncation_epoch=-1).sel(kept=3)
    np.testing.assert_allclose(full, result.test_accuracy.isel(epoch=-1), atol=1e-6)


def test_trained_networks_come_back_at_their_own_size(tmp_path):
    config = SweepConfig(widths=(5, 9), modes=(3,), seeds=1, epochs=2, baseline="none")
    result = run_sweep(config, out=tmp_path / "run")
    digits = modejax.load_dataset("digits")
    networks = load_networks(tmp_path / "run")
    assert [trained.width for trained in networks] == [5, 9]
    for trained in networks:
        kernels = [np.asarray(kernel) for kernel in trained.network.kernels(trained.params)]
        assert [kernel.shape for kernel in kernels] == [(trained.width, 64), (trained.width,) * 2, (10, trained.width)]
        h = digits.x_test.astype(np.float32) * np.float32(digits.scale)
        for index, kernel in enumerate(kernels):
            h = h @ kernel.T
            h = np.maximum(h, 0) if index < 2 else h
        accuracy = np.mean(np.argmax(h, axis=1) == digits.y_test)
        expected = float(result.test_accuracy.sel(width=trained.width).isel(epoch=-1).squeeze())
        assert abs(accuracy - expected) <= 1.5 / len(digits.y_test)


def test_killed_run_resumes_to_the_same_bits(tmp_path):
    options = ["--widths", "8", "--modes", "3", "--seeds", "2", "--epochs", "60", "--truncate-every", "1"]
    command = [sys.executable, "-c", "import sys; from modejax.cli import main; sys.exit(main())", "sweep"]
    environment = os.environ | {"COLUMNS": "200"}
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, *options, "--out", str(folder), "--no-progress"], env=environment, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while not list((folder / "checkpoint").glob("launch-*/epoch-*")) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert not (folder / "result.nc").exists(), "the run was over before it was killed; nothing was tested"
    done = subprocess.run(
        [*command, "--resume", str(folder), "--json"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    whole = subprocess.run(
        [*command, *options, "--out", str(tmp_path / "whole"), "--json"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert whole.returncode == 0, whole.stderr
    same(load_result(folder), load_result(tmp_path / "whole"))
    states = [[trained.params for trained in load_networks(run)] for run in (folder, tmp_path / "whole")]
    chex.assert_trees_all_equal(*states)
