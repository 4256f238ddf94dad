"""Budgets of the program that is compiled for an H100: no later change shall add kernels or transposes to a step."""

import importlib.util
import json
import subprocess
import sys

import pytest

MISSING = any(importlib.util.find_spec(name) is None for name in ("jax_cuda12_plugin", "jax_plugins"))


@pytest.mark.slow
@pytest.mark.skipif(MISSING, reason="needs the compiler for GPUs: uv sync --group aot-gpu")
def test_a_training_step_keeps_its_budget_of_kernels(tmp_path):
    # A process of its own, since flags of the compiler are read when it starts.
    words = ["--members", "64", "--widths", "16", "--data", "digits", "--out", str(tmp_path / "aot.json")]
    subprocess.run([sys.executable, "-m", "benchmarks.aot", *words], check=True, timeout=900)
    found = json.loads((tmp_path / "aot.json").read_text())["sweeps"]
    for name, row in found.items():
        step = row["step"]
        assert step["kernels"] <= 41, name
        assert step["kinds"].get("transpose", 0) <= 2, name  # of what all members share: batch and first gradient
        assert step["kinds"].get("scatter", 0) == 0, name
        assert row["collectives"] == 0, name
