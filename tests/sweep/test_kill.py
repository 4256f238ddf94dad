"""A sweep killed again and again, at any moment, comes to the bits of one that was left alone."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import numpy as np
import pytest

from modejax import open_run
from modejax.runs import MARKER, read_marker

COMMAND = [sys.executable, "-c", "import sys; from modejax.cli import main; sys.exit(main())", "sweep"]
OPTIONS = ["--widths", "8", "--modes", "3", "--seeds", "4", "--epochs", "120", "--truncate-every", "3"]
OPTIONS += ["--launches", "2", "--baseline", "none"]
KILLS = 24


def finished_folder(folder: Path) -> bool:
    """Say whether a run is finished."""
    return folder.is_dir() and bool(list(folder.iterdir())) and read_marker(folder, "sweep").state == "finished"


def newest(folder: Path) -> float:
    """When the run last did something."""
    latest = 0.0
    with contextlib.suppress(FileNotFoundError):  # what the run removes meanwhile
        for path in folder.rglob("*"):
            latest = max(latest, path.stat().st_mtime)
    return latest


def same(one, other) -> None:
    """Equal bit for bit: everything measured, and all networks."""
    for arm in other.arms:
        for name, values in other[arm].variables.items():
            np.testing.assert_array_equal(values.values, one[arm][name].values, err_msg=str(name))
        chex.assert_trees_all_equal(*([each.params for each in run.networks(arm)] for run in (one, other)))


@pytest.mark.slow
def test_killed_at_random_moments_resumes_to_the_same_bits(tmp_path):
    # Compiled programs are kept, so that a kill costs seconds; the killed runs and the whole one share them.
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    whole = tmp_path / "whole"
    subprocess.run(
        [*COMMAND, *OPTIONS, "--out", str(whole), "--no-progress"], env=environment, check=True, capture_output=True
    )
    expected = open_run(whole)

    draw = random.Random(0)
    kills, finished, places = 0, 0, []

    def check(folder: Path) -> None:
        same(open_run(folder), expected)

    folder = tmp_path / "run-0"
    while kills < KILLS or not finished:
        fresh = not (folder / "config.json").exists()
        words = [*OPTIONS, "--out", str(folder)] if fresh else ["--resume", str(folder)]
        before = newest(folder)
        process = subprocess.Popen(
            [*COMMAND, *words, "--no-progress"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        # From the first sign of life on, any moment: in a chunk, in a checkpoint, in the final save.
        until = time.monotonic() + 120
        while process.poll() is None and newest(folder) <= before and time.monotonic() < until:
            time.sleep(0.001)
        if kills < KILLS:
            time.sleep(draw.uniform(0, 2))
            process.send_signal(signal.SIGKILL)
        _, message = process.communicate(timeout=240)
        if process.returncode == -signal.SIGKILL:
            kills += 1
            places.append(sorted(path.name for path in folder.glob("checkpoint/*/*")))
        else:
            assert process.returncode == 0, message.decode()
        if finished_folder(folder):  # whole, or killed after the final save, in the figures
            check(folder)
            finished += 1
            folder = tmp_path / f"run-{finished}"
    print(f"{kills} kills, {finished} finished runs equal bit for bit; checkpoints left by each kill: {places}")
    assert len({tuple(place) for place in places}) >= KILLS // 3, "the kills hit few different moments"
    assert any(".unfinished" in place for place in places), "no kill fell into a checkpoint"


DIES_IN_THE_FINAL_SAVE = """
import os, signal, sys
import xarray
whole = xarray.DataTree.to_netcdf
def save(self, path, **options):
    whole(self, path, **options)
    os.kill(os.getpid(), signal.SIGKILL)
xarray.DataTree.to_netcdf = save
from modejax.cli import main
sys.exit(main())
"""


@pytest.mark.slow
def test_killed_in_the_final_save_resumes_and_leaves_nothing_behind(tmp_path):
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    options = [*OPTIONS[:6], "--epochs", "4", "--baseline", "none"]
    died = subprocess.run(
        [sys.executable, "-c", DIES_IN_THE_FINAL_SAVE, "sweep", *options, "--out", str(folder), "--no-progress"],
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert list(folder.glob(".result-*"))
    assert not (folder / "result.nc").exists()
    for words in (["--resume", str(folder)], [*options, "--out", str(whole)]):
        subprocess.run([*COMMAND, *words, "--no-progress"], check=True, capture_output=True)
    same(open_run(folder), open_run(whole))
    assert [path.name for path in folder.glob(".*")] == [MARKER]
