"""The benchmark of an accelerator: what it refuses, what it leaves out, and that a second call goes on."""

import json

import jax
import pytest

from benchmarks import common, gpu, guards


@pytest.fixture
def quick(monkeypatch):
    """Let the guards and the ceilings take no time, and put the compile cache of JAX back afterwards."""
    monkeypatch.setattr(guards, "check", lambda: {"alone": 0.0})
    monkeypatch.setattr(common, "ceilings", lambda *_: {"matmul_flops_per_second": 1e9, "copy_bytes_per_second": 1e9})
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_another_backend_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="JAX runs on cpu, not on gpu"):
        gpu.main(gpu.Config(tmp_path, smoke=True))
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_the_budget_is_left_out_by_name(tmp_path, quick):
    gpu.main(gpu.Config(tmp_path, backend="cpu", smoke=True, budget=0.0, threads=1))
    found = json.loads((tmp_path / "accelerator.json").read_text())
    assert set(found["left_out"]) == {row.name for row in gpu.rows_of(True)}
    assert found["rows"] == {}
    assert found["dataset"]["name"] == "digits"


def test_a_second_call_goes_on_behind_what_is_there(tmp_path, quick, monkeypatch):
    config = gpu.Config(tmp_path, backend="cpu", smoke=True, budget=60.0)
    results = gpu.Results(config)
    first, *rest = gpu.rows_of(True)
    for row in rest:
        results.row(row, {"epoch_seconds": [1.0], "launches": 1, "members": 2, "roofline_share": 0.1})
    asked = []

    def compile_all(rows, dataset, results, meanwhile):
        asked.extend(row.name for row in rows)
        results.put("compile", {"trace_and_compile": {}})
        return {row.name: None for row in rows}

    monkeypatch.setattr(gpu, "compile_all", compile_all)
    monkeypatch.setattr(gpu, "_problem", lambda future: "not compiled in time")
    found = gpu.main(config)
    assert asked == [first.name]
    assert len(found["rows"]) == len(rest)
    assert found["left_out"] == {first.name: "not compiled in time"}


def test_targets_stand_beside_what_was_measured():
    row = {"epoch_seconds": [0.5, 0.7, 0.6], "launches": 2, "members": 512, "roofline_share": 0.4}
    content = {
        "rows": {
            "512 networks": {**row, "part": "sequential", "network_epochs_per_second": 90.0},
            "one by one": {**row, "part": "sequential", "network_epochs_per_second": 1.5},
            "grand grid, tf32": {**row, "part": "grid", "network_epochs_per_second": 1.0},
        },
        "compile": {"trace_and_compile": {"grand grid, tf32": [10.0, 20.0]}},
    }
    assert gpu.targets(content) == [
        "512 networks at 60.0 times the sequential rate (target 100)",
        "roofline share of the step, best: 40 % (target 50)",
        "grand grid, tf32: 512 networks x 200 epochs in 240 s from the epochs measured, 30 s of compiling (target 300)",
    ]


@pytest.mark.slow
def test_the_guards_hold_on_this_machine():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # as in a script
        found = guards.check()
    assert found["alone"] < 1e-12
    assert found["against_cpu"] == 0
