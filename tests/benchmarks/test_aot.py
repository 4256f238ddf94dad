"""Budgets of the program that is compiled for an H100: no later change shall add kernels or transposes to a step."""

import importlib.util
import json
import subprocess
import sys

import pytest

from benchmarks.aot import Config, chosen

MISSING = any(importlib.util.find_spec(name) is None for name in ("jax_cuda12_plugin", "jax_plugins"))


def _compile(tmp_path, *words):
    """Compile in a process of its own, since flags of the compiler are read when it starts."""
    out = tmp_path / "aot.json"
    words = [*words, "--data", "digits", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "benchmarks.aot", *words], check=True, timeout=900)
    return json.loads(out.read_text())["sweeps"]


@pytest.mark.slow
@pytest.mark.skipif(MISSING, reason="needs the compiler for GPUs: uv sync --group aot-gpu")
def test_a_training_step_keeps_its_budget_of_kernels(tmp_path):
    found = _compile(tmp_path, "--only", "64 networks", "64 of width 16", "64 with one hidden layer")
    for name, row in found.items():
        step = row["step"]
        assert step["kernels"] <= (31 if "one hidden" in name else 41), name
        assert step["kinds"].get("transpose", 0) <= 2, name  # of what all members share: batch and first gradient
        assert step["kinds"].get("scatter", 0) == 0, name
        assert row["collectives"] == 0, name
        # What `modejax plan --device h100` says is what was compiled, within a quarter.
        assert row["plan"]["bytes_each_device"] == pytest.approx(row["peak_bytes"], rel=0.25), name
        assert row["plan"]["step_seconds"] == pytest.approx(step["predicted_seconds"], rel=0.25), name


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the compiler for TPUs: --group aot-tpu")
def test_chips_of_a_tpu_do_not_talk_to_each_other(tmp_path):
    found = _compile(tmp_path, "--device", "v5e", "--devices", "256")
    for name, row in found.items():
        assert row["collectives"] == 0, name
        assert row["peak_bytes"] < 2**30, name


def test_sweeps_that_are_not_there_are_told():
    with pytest.raises(SystemExit, match="unknown sweep 'none'; allowed: 1 network"):
        chosen(Config(only=("none",)))
    assert list(chosen(Config(device="v5e", devices=256))) == ["1024 networks"]
