"""A sweep that shall replace an earlier run, killed at random moments, loses none of what was finished."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modejax.runs import check_config, has_unfinished, read_json, read_marker, read_netcdf

KILLS = 20

SWEEPS = """
import sys
from modejax import SweepConfig, run_sweep
seed, folder, how = int(sys.argv[1]), sys.argv[2], sys.argv[3]
config = SweepConfig(widths=(4,), modes=(2,), seeds=1, first_seed=seed, epochs=20, baseline="none", truncate_every=1)
run_sweep(config, out=folder, existing=how)
"""


def start(folder: Path, seed: int, how: str, cache: Path) -> subprocess.Popen:
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    words = [sys.executable, "-c", SWEEPS, str(seed), str(folder), how]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def whole(folder: Path) -> int:
    """Return the seed of a run, all of its files checked against the marker and the result against the config."""
    marker = read_marker(folder, "sweep")
    assert marker.state == "finished"
    config = read_json(folder, marker=marker)
    result = read_netcdf(folder, marker=marker)
    check_config(result.attrs["config"], config, folder, ignore=["launches"])
    assert result["mode"]["seed"].item() == config["first_seed"]
    return config["first_seed"]


def wait_for_life(process: subprocess.Popen, runs: Path) -> None:
    before, until = sorted(runs.rglob("*")), time.monotonic() + 200
    while process.poll() is None and sorted(runs.rglob("*")) == before and time.monotonic() < until:
        time.sleep(0.005)


def finish(process: subprocess.Popen) -> None:
    _, message = process.communicate(timeout=300)
    assert process.returncode == 0, message.decode()


@pytest.mark.slow
def test_kills_over_a_finished_run_lose_nothing(tmp_path):
    folder, cache, draw = tmp_path / "runs" / "a", tmp_path / "cache", random.Random(1)
    finish(start(folder, 0, "overwrite", cache))
    process = start(folder, 1, "overwrite", cache)
    wait_for_life(process, folder.parent)
    began = time.monotonic()
    finish(process)
    seconds = time.monotonic() - began  # of a run on this machine, as busy as it is
    seed, kills, at_work = whole(folder), 0, 0
    assert seed == 1
    while kills < KILLS or has_unfinished(folder):
        # A kill before the config was written leaves nothing to go on with.
        begun = has_unfinished(folder) and (tmp_path / "runs" / "a.unfinished" / "config.json").exists()
        how = "resume" if begun else "overwrite"
        wanted = read_json(tmp_path / "runs" / "a.unfinished")["first_seed"] if how == "resume" else seed + 1
        process = start(folder, wanted, how, cache)
        if kills == KILLS:
            finish(process)
            seed = whole(folder)
            assert seed == wanted
            continue
        wait_for_life(process, folder.parent)
        time.sleep(draw.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        _, message = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), message.decode()
        kills += process.returncode != 0
        found = whole(folder)
        assert found in (seed, wanted)
        seed = found
        at_work += has_unfinished(folder)
    assert at_work >= KILLS // 4, "few kills came while a run was being replaced"
