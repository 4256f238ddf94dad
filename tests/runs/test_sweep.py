"""Runs that are written: what they leave behind, how they go on after a stop, and what they refuse."""

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
import optax
import orbax.checkpoint
import pytest
import xarray

from modejax import SweepConfig, open_run, run_sweep
from modejax.errors import InputError
from modejax.runs import MARKER, Keep, output, perform
from modejax.sweep import checkpoint
from modejax.sweep.execute import Interrupted, Watch

SMALL = SweepConfig(
    widths=(5, 9), modes=(2, 3), seeds=2, epochs=6, batch_size=60, truncate_every=2, buckets="one",
    arms=("residual network=residual layer=low_rank optimiser=sgd momentum=0.9 modes=2",),
)  # fmt: skip
LAUNCHES = dataclasses.replace(SMALL, launches=2)


def stopping(*calls):
    """Return a watch that stops when its list of answers says so."""
    answers = iter(calls)
    return Watch(stop=lambda: next(answers, False))


@pytest.fixture(scope="module")
def finished(blobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    told = []
    return folder, perform(SMALL, blobs, keep=Keep(folder), watch=Watch(report=told.append)), told


def same(one, other):
    """Equal bit for bit in all arms, not-a-numbers in the same places; networks, too."""
    assert one.arms == other.arms
    for arm in one.arms:
        assert set(one[arm].variables) == set(other[arm].variables)
        for name, values in one[arm].variables.items():
            np.testing.assert_array_equal(values.values, other[arm][name].values, err_msg=str(name))
        chex.assert_trees_all_equal(*([each.params for each in run.networks(arm)] for run in (one, other)))


def test_progress_is_told_once_a_chunk(finished):
    _, run, told = finished
    assert [progress.done for progress in told] == [0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(told[-1].accuracy, run.first.test_accuracy.isel(epoch=-1).mean(), rtol=1e-6)


def test_what_was_saved_is_what_was_returned(finished):
    folder, run, _ = finished
    same(open_run(folder), run)
    assert json.loads((folder / "config.json").read_text())["widths"] == [5, 9]
    names = {path.name for path in folder.iterdir()}
    assert names == {MARKER, "config.json", "result.nc", "table.csv", "members.json", "networks.safetensors"}


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(blobs, finished, tmp_path):
    folder = tmp_path / "stopped"
    with pytest.raises(Interrupted) as stopped:
        perform(SMALL, blobs, keep=Keep(folder), watch=stopping(False, False, True))
    assert stopped.value.epoch == 3
    with pytest.raises(InputError, match="has no result yet; resume it with: modejax sweep --resume"):
        open_run(folder)
    with pytest.raises(InputError, match="is unfinished; resume it"):
        run_sweep(SMALL, dataset=blobs, out=folder)
    same(run_sweep(SMALL, dataset=blobs, out=folder, existing="resume"), finished[1])


# Orbax drops an exception of a damaged array inside its event loop.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["altered", pytest.param("truncated", marks=pytest.mark.slow)])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(blobs, finished, tmp_path, capsys, damage):
    folder = tmp_path / "damaged"
    with pytest.raises(Interrupted):
        perform(SMALL, blobs, keep=Keep(folder), watch=stopping(False, False, True))
    newest = max((folder / "checkpoint").glob("launch-*/epoch-*"))
    for file in (path for path in newest.rglob("d/*") if path.is_file()):
        content = bytearray(file.read_bytes())
        if damage == "altered":
            content[len(content) // 2] ^= 1
        file.write_bytes(content if damage == "altered" else content[: len(content) // 2])
    same(run_sweep(SMALL, dataset=blobs, out=folder, existing="resume"), finished[1])
    gc.collect()
    assert "damaged" in capsys.readouterr().err


@pytest.mark.slow
def test_two_launches_write_two_files_of_networks_and_read_back_equal(blobs, finished, tmp_path):
    """The batched products of another number of members round differently, and Adam makes that visible."""
    whole = finished[1]
    run = run_sweep(LAUNCHES, dataset=blobs, out=tmp_path / "two")
    files = sorted(path.name for path in (tmp_path / "two").glob("*.safetensors"))
    assert files == ["networks-001.safetensors", "networks-002.safetensors"]
    for arm in whole.arms:
        for name in ("test_loss", "train_loss"):
            np.testing.assert_allclose(run[arm][name], whole[arm][name], rtol=1e-3)
        for one, other in zip(run.networks(arm), whole.networks(arm), strict=True):
            assert dict(one.at) == dict(other.at)
            np.testing.assert_allclose(one.predict(blobs.x_test), other.predict(blobs.x_test), rtol=0.05, atol=0.02)
    # Each network read is the one whose accuracy the result has.
    for trained in open_run(tmp_path / "two").networks():
        cell = run.first.test_accuracy.sel(width=trained.width, modes=trained.modes, seed=trained.seed).isel(epoch=-1)
        right = (trained.classify(blobs.x_test) == blobs.y_test).mean()
        assert float(cell.item()) == pytest.approx(right, abs=1.5 / 70)


@pytest.mark.slow
def test_launches_stopped_and_resumed_equal_uninterrupted_bit_for_bit(blobs, tmp_path):
    whole = run_sweep(LAUNCHES, dataset=blobs)
    folder = tmp_path / "stopped"
    with pytest.raises(Interrupted, match="stopped after epoch 2 of launch 2 of 2"):
        perform(LAUNCHES, blobs, keep=Keep(folder), watch=stopping(*[False] * 7, True))
    # Without a number of launches the folder's own counts.
    same(run_sweep(SMALL, dataset=blobs, out=folder, existing="resume"), whole)


def test_a_run_folder_that_is_being_written_is_refused(blobs, finished, tmp_path):
    folder = tmp_path / "held"
    shutil.copytree(finished[0], folder)
    before = (folder / "result.nc").read_bytes()
    with output(folder, "sweep", overwrite=True), pytest.raises(InputError, match="another process is writing"):
        run_sweep(SMALL, dataset=blobs, out=folder, existing="overwrite")
    assert (folder / "result.nc").read_bytes() == before


def test_a_run_of_another_config_is_not_resumed(blobs, tmp_path):
    folder = tmp_path / "other"
    with pytest.raises(Interrupted):
        perform(SMALL, blobs, keep=Keep(folder), watch=stopping(False, True))
    other = dataclasses.replace(SMALL, learning_rates=(0.1,))
    with pytest.raises(InputError, match="was begun with another config"):
        run_sweep(other, dataset=blobs, out=folder, existing="resume")
    with pytest.raises(InputError, match="was begun with another config"):
        run_sweep(SMALL, dataset=blobs, out=folder, existing="resume", optimiser=optax.lion)


@pytest.mark.slow
def test_a_run_is_resumed_on_other_devices(blobs, tmp_path):
    folder = tmp_path / "other"
    with pytest.raises(Interrupted):
        perform(SMALL, blobs, keep=Keep(folder), watch=stopping(False, True))
    run_sweep(dataclasses.replace(SMALL, memory_limit="100GB", devices=1), dataset=blobs, out=folder, existing="resume")


def test_existing_says_what_becomes_of_a_finished_run(blobs, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    with pytest.raises(InputError, match="is finished; pass --overwrite to replace it"):
        run_sweep(SMALL, dataset=blobs, out=folder)
    with pytest.raises(InputError, match="unknown existing 'replace'; allowed: refuse, resume, overwrite"):
        run_sweep(SMALL, dataset=blobs, out=folder, existing="replace")  # pyright: ignore[reportArgumentType]
    tiny = dataclasses.replace(SMALL, layer="dense", modes=None, depth=1, epochs=1, arms=(), baseline="none")
    replaced = run_sweep(tiny, dataset=blobs, out=folder, existing="overwrite")
    same(open_run(folder), replaced)
    with pytest.raises(InputError, match="a run that is resumed needs its folder"):
        run_sweep(tiny, dataset=blobs, existing="resume")


def test_a_failed_save_leaves_the_old_result_whole(blobs, finished, tmp_path, monkeypatch):
    folder = tmp_path / "full"
    shutil.copytree(finished[0], folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def full(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xarray.DataTree, "to_netcdf", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room and resume"):
        run_sweep(SMALL, dataset=blobs, out=folder, existing="overwrite")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    monkeypatch.undo()
    run_sweep(SMALL, dataset=blobs, out=folder, existing="resume")  # only the save is left to do
    same(open_run(folder), finished[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == [MARKER]


def test_a_full_disk_ends_the_run_with_the_last_checkpoint_whole(blobs, finished, tmp_path, monkeypatch):
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
    same(run_sweep(SMALL, dataset=blobs, out=folder, existing="resume"), finished[1])


def test_a_folder_that_is_not_a_run_is_refused_and_untouched(blobs, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="was not made by modejax"):
        run_sweep(SMALL, dataset=blobs, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="is a file"):
        run_sweep(SMALL, dataset=blobs, out=tmp_path / "thesis.tex")
    with pytest.raises(InputError, match="nothing to resume"):
        run_sweep(SMALL, dataset=blobs, out=tmp_path / "nothing", existing="resume")
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_cannot_be_written_is_refused(blobs):
    with pytest.raises(InputError, match="cannot be written"):
        run_sweep(SMALL, dataset=blobs, out="/proc/modejax/run")


def test_a_given_start_is_part_of_the_run(blobs, tmp_path):
    config = SweepConfig(layer="dense", widths=(4,), depth=1, seeds=1, epochs=2, batch_size=20, baseline="none")
    starts = [
        each.params for each in run_sweep(dataclasses.replace(config, first_seed=7, epochs=1), dataset=blobs).networks()
    ]
    with pytest.raises(Interrupted):
        perform(config, blobs, keep=Keep(tmp_path / "run"), start=starts, watch=stopping(True))
    with pytest.raises(InputError, match="another config, data set, start or version"):
        run_sweep(config, dataset=blobs, out=tmp_path / "run", existing="resume")
    resumed = run_sweep(config, dataset=blobs, out=tmp_path / "run", start=starts, existing="resume")
    same(resumed, run_sweep(config, dataset=blobs, start=starts))
    plain = run_sweep(config, dataset=blobs)
    assert (resumed.first.test_loss.values != plain.first.test_loss.values).all()


@pytest.mark.slow
def test_signs_are_learned_with_squared_error():
    from modejax.data import gaussian_mixture

    mixture = gaussian_mixture(0, n_train=4000, n_test=1000)
    config = SweepConfig(
        widths=(8,), modes=(3,), depth=1, seeds=3, epochs=10, batch_size=20, learning_rates=(0.01,), baseline="none"
    )
    run = run_sweep(config, dataset=mixture)
    # Bayes is 97.5 %; a network that gets stuck stays at 50 or 75 %.
    assert run.first.test_accuracy.isel(epoch=-1).max() > 0.95
    assert run.first.test_loss.attrs["units"] == "1"
    for trained in run.networks():
        right = (trained.classify(mixture.x_test) == mixture.y_test).mean()
        cell = run.first.test_accuracy.sel(seed=trained.seed).isel(epoch=-1).item()
        assert right == pytest.approx(float(cell), abs=1.5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, network):
    options = ["--network", network, "--widths", "8", "--modes", "3", "--seeds", "2", "--epochs", "60"]
    options += ["--truncate-every", "1", "--optimiser", "sgd", "--momentum", "0.9", "--schedule", "cosine"]
    options += ["--network-options", "norm=group"] if network == "conv" else []
    command = [sys.executable, "-c", "import sys; from modejax.cli import main; sys.exit(main())", "sweep"]
    environment = os.environ | {"COLUMNS": "200"}
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, *options, "--out", str(folder), "--no-progress"], env=environment, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 240
    while not list((folder / "checkpoint").glob("launch-*/epoch-*")) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert not (folder / "result.nc").exists(), "the run was over before it was killed; nothing was tested"
    for words in (["--resume", str(folder)], [*options, "--out", str(tmp_path / "whole")]):
        done = subprocess.run([*command, *words, "--json"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    same(open_run(folder), open_run(tmp_path / "whole"))
