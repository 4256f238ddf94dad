"""Several devices and several processes: the same numbers, one result, and no hanging when a process is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import chex
import numpy as np
import pytest

from modejax import open_run

COMMAND = [sys.executable, "-c", "import sys; from modejax.cli import main; sys.exit(main())", "sweep"]
SMALL = ["--widths", "6", "8", "--modes", "2", "--seeds", "3", "--precision", "float64"]
ENVIRONMENT = os.environ | {"COLUMNS": "200", "JAX_PLATFORMS": "cpu"}
BOUND = 240  # seconds in which a process must end, on a busy machine

EIGHT = """
import jax
import numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from modejax import SweepConfig, load_dataset, make_plan
from modejax.sweep.execute import execute
from modejax.sweep.arrays import program_spec
from modejax.sweep.program import make_program
from modejax.sweep.trained import trained_networks
digits = load_dataset("digits")
arms = ("conv network=conv depth=1 network_options=norm=group widths=2,3",
        "residual network=residual optimiser=sgd momentum=0.5", "sparcs network=sparcs",
        "tied network=tied train_examples=50,500")
for precision, epochs in (("float64", 1), ("float32", 2)):
    found = []
    for devices in (1, 2, 8):
        config = SweepConfig(widths=(6, 9), modes=(2, 5), seeds=3, epochs=epochs, precision=precision, devices=devices,
                             batches="per_seed", arms=arms)
        plan = make_plan(config, digits)
        assert all(bucket.capacity % devices == 0 for bucket in plan.buckets)
        outcome = execute(plan, digits)
        leaves = [each.params for arm in range(len(plan.arms)) for each in trained_networks(plan, outcome.states, arm)]
        found.append((jax.tree.leaves(leaves), outcome.records))
    text = make_program(program_spec(plan, digits)).compiled.as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in text, collective
    for other in found[1:]:
        gap = max(np.abs(np.asarray(a, float) - np.asarray(b, float)).max() for a, b in zip(found[0][0], other[0]))
        score = max(np.abs(a.test_accuracy - b.test_accuracy).max() for a, b in zip(found[0][1], other[1]))
        print(precision, gap, score)
"""


@pytest.mark.slow
def test_one_two_and_eight_devices_give_the_same_numbers():
    done = subprocess.run(
        [sys.executable, "-c", EIGHT], env=ENVIRONMENT, capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["float64", "float64", "float32", "float32"]
    for precision, gap, score in lines:
        assert float(score) <= (0 if precision == "float64" else 0.005)
        assert precision == "float32" or float(gap) <= 1e-10


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def start_two(options: list[str], folder: Path) -> list[subprocess.Popen]:
    """Start two processes of one run on loopback."""
    together = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--no-progress"]
    started = []
    for process in range(2):
        with (folder / f"out-{process}").open("w") as out, (folder / f"err-{process}").open("w") as err:
            words = [*COMMAND, *options, *together, "--process", str(process)]
            started.append(subprocess.Popen(words, env=ENVIRONMENT, stdout=out, stderr=err))
    return started


def ends(processes: list[subprocess.Popen], folder: Path) -> list[int]:
    try:
        return [process.wait(timeout=BOUND) for process in processes]
    except subprocess.TimeoutExpired:
        logs = "\n".join(path.read_text() for path in sorted(folder.glob("err-*")))
        pytest.fail(f"a process did not end in {BOUND} s; their messages:\n{logs}")
    finally:
        for process in processes:
            process.kill()


def wait_for_checkpoint(folder: Path) -> None:
    until = time.monotonic() + BOUND
    while not list(folder.glob("checkpoint/launch-*/epoch-*")) and time.monotonic() < until:
        time.sleep(0.02)


@pytest.mark.slow
def test_two_processes_stop_together_and_resume_to_the_result_of_one(tmp_path):
    options = [*SMALL, "--epochs", "40", "--truncate-every", "1"]
    both, one = tmp_path / "both", tmp_path / "one"
    processes = start_two([*options, "--out", str(both)], tmp_path)
    wait_for_checkpoint(both)
    processes[1].send_signal(signal.SIGTERM)
    codes = ends(processes, tmp_path)
    assert codes == [143, 143], (tmp_path / "err-0").read_text()
    assert "go on with: modejax sweep --resume" in (tmp_path / "err-0").read_text()
    assert not (both / "result.nc").exists()
    assert ends(start_two(["--resume", str(both)], tmp_path), tmp_path) == [0, 0], (tmp_path / "err-0").read_text()
    assert "wrote" not in (tmp_path / "out-1").read_text()
    alone = subprocess.run(
        [*COMMAND, *options, "--out", str(one), "--no-progress"], env=ENVIRONMENT, capture_output=True, check=False
    )
    assert alone.returncode == 0
    results = [open_run(folder).first for folder in (both, one)]
    np.testing.assert_allclose(results[0].test_loss, results[1].test_loss, rtol=1e-6)
    np.testing.assert_array_equal(results[0].test_accuracy.isel(epoch=0), results[1].test_accuracy.isel(epoch=0))


@pytest.mark.slow
def test_two_processes_train_the_same_parameters_as_one(tmp_path):
    options = [*SMALL, "--epochs", "1"]
    folders = [tmp_path / "both", tmp_path / "one"]
    assert ends(start_two([*options, "--out", str(folders[0])], tmp_path), tmp_path) == [0, 0]
    alone = subprocess.run(
        [*COMMAND, *options, "--out", str(folders[1]), "--no-progress"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    assert alone.returncode == 0
    runs = [open_run(folder) for folder in folders]
    params = [[each.params for arm in run.arms for each in run.networks(arm)] for run in runs]
    chex.assert_trees_all_close(*params, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_with_a_message(tmp_path):
    processes = start_two([*SMALL, "--epochs", "4000", "--out", str(tmp_path / "run")], tmp_path)
    wait_for_checkpoint(tmp_path / "run")
    processes[1].kill()
    codes = ends(processes, tmp_path)
    assert codes == [1, -signal.SIGKILL]
    assert "another process of this run was lost" in (tmp_path / "err-0").read_text()
    assert not (tmp_path / "run" / "result.nc").exists()


def test_a_process_without_coordinator_is_refused(tmp_path):
    done = subprocess.run(
        [*COMMAND, "--process", "1", "--out", str(tmp_path / "run")], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "need --coordinator" in done.stderr
    assert not (tmp_path / "run").exists()
