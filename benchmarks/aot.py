"""Compile sweeps for an H100 that is not there, and read from the program what a training step costs.

Run with `uv run --group aot-gpu python -m benchmarks.aot`. It needs no GPU and runs nothing: XLA compiles for a
description of the device. For each sweep it counts the kernels of one training step and of one block of the evaluation,
the bytes that they read and write (operands and outputs; of slices and updates in place the part that moves), the
operations of their matrix products, and predicts the time of a step: of each kernel the longer of its arithmetic and
its traffic, plus one launch, at the rates below.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import tyro

# Kernels are chosen without timing them, and the compiler finds its tools in the package nvidia-cuda-nvcc-cu12.
_FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false --xla_gpu_cuda_data_dir="

H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535
  block_dim_limit_z: 65535 memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84942979072 shared_memory_per_block_optin: 232448 cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 1 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
"""The device as XLA describes it; numbers of NVIDIA's data sheet (SXM)."""

RATES = {"bytes": 0.85 * 3.35e12, "float32": 0.7 * 67e12, "tf32": 0.4 * 494e12, "launch": 2.5e-6}
"""What the prediction rests on: 85 % of the bandwidth, 70 % of the float32 rate, 40 % of the dense tf32 rate of the
data sheet, 2.5 microseconds between the starts of two kernels."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    members: tuple[int, ...] = (1, 64, 512)
    """Numbers of networks of width 100 with 30 modes."""
    widths: tuple[int, ...] = (16, 1000)
    """Widths of further sweeps, 64 networks of 30 modes each."""
    data: str = "mnist"
    """Data set; digits where it is not prepared."""
    precision: str = "float32"
    """float32 or tf32, as in a sweep."""
    out: Path | None = None
    """JSON file; by default in benchmarks/results."""


def _look(spec: Any, devices: Any, precision: str) -> dict[str, Any]:
    """Compile one program and measure its step and its evaluation."""
    from benchmarks.hlo import Loop, parse
    from modejax.backend import made_for
    from modejax.sweep.program import lower_program, precision_scope

    began = time.perf_counter()
    with made_for("gpu"):
        lowered = lower_program(spec, devices)
    traced = time.perf_counter()
    with precision_scope(precision):
        compiled = lowered.chunk.compile()
    done = time.perf_counter()
    module, memory = parse(compiled.as_text()), compiled.memory_analysis()
    loops = [loop for loop in module.loops() if loop.depth == 1]

    def cost(turns: int) -> dict[str, Any] | None:
        """Return that of the loop of so many turns; None where the compiler needs no loop."""
        found: list[Loop] = sorted((each for each in loops if each.turns == turns), key=lambda each: len(each.kernels))
        return _cost(found[-1], precision) if found else None

    return {
        "trace_seconds": traced - began,
        "compile_seconds": done - traced,
        "collectives": module.collectives,
        "temporaries_bytes": memory.temp_size_in_bytes,
        "peak_bytes": memory.temp_size_in_bytes
        + memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes,
        "step": cost(spec.steps),
        "evaluation_block": cost(spec.test_blocks),
    }


def _cost(loop: Any, precision: str) -> dict[str, Any]:
    """Return what one turn of a loop costs."""
    seconds = arithmetic = 0.0
    for kernel in loop.kernels:
        own = kernel.flops / RATES[precision]
        arithmetic += own
        seconds += max(own, kernel.bytes / RATES["bytes"]) + RATES["launch"]
    return {
        "kernels": len(loop.kernels),
        "kinds": dict(Counter(kernel.kind for kernel in loop.kernels)),
        "bytes": sum(kernel.bytes for kernel in loop.kernels),
        "flops": sum(kernel.flops for kernel in loop.kernels),
        "largest": [kernel._asdict() for kernel in sorted(loop.kernels, key=lambda each: -each.bytes)[:8]],
        "predicted_seconds": seconds,
        "share_arithmetic": arithmetic / seconds,
    }


def main(config: Config) -> dict[str, Any]:
    """Compile all sweeps, print a line each and write the JSON file."""
    found = importlib.util.find_spec("nvidia.cuda_nvcc")
    if found is None or importlib.util.find_spec("jax_cuda12_plugin") is None:
        raise SystemExit("the compiler for GPUs is missing; run with `uv run --group aot-gpu python -m benchmarks.aot`")
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = _FLAGS + next(iter(found.submodule_search_locations or ()))
    from jax.experimental import topologies

    from benchmarks import common
    from modejax.sweep.arrays import program_spec
    from modejax.sweep.plan import make_plan

    devices = topologies.get_topology_desc(
        platform="cuda", topology_name="1x1x1", topology="1x1x1", target_config=H100
    ).devices
    dataset = common.load_images(False, config.data)
    sweeps = {f"{count} members": {"seeds": count} for count in config.members}
    sweeps |= {f"width {width}": {"seeds": 64, "widths": (width,)} for width in config.widths}
    sweeps["truncation curves due"] = {"seeds": 64, "truncate_every": 1}
    rows = {}
    for name, changes in sweeps.items():
        plan = make_plan(common.base_sweep(epochs=20, devices=1, precision=config.precision, **changes), dataset)
        row = rows[name] = _look(program_spec(plan, dataset), devices, config.precision)
        step, block = row["step"], row["evaluation_block"]
        print(
            f"{name}: {step['kernels']} kernels a step ({_kinds(step['kinds'])}), {step['bytes'] / 1e6:.0f} MB, "
            f"{step['flops'] / 1e9:.2f} GFLOP, predicted {1e6 * step['predicted_seconds']:.0f} us "
            f"({100 * step['share_arithmetic']:.0f} % arithmetic); evaluation: "
            f"{block['kernels'] if block else 'not a loop of'} kernels a block; "
            f"temporaries {row['temporaries_bytes'] / 2**20:.0f} MiB; "
            f"{row['collectives']} collectives; compile {row['compile_seconds']:.0f} s",
            flush=True,
        )
    os.environ["XLA_FLAGS"] = _FLAGS  # without the folder of this machine
    measured = {"device": "NVIDIA H100 SXM, compiled for, not run", "rates": RATES, "sweeps": rows}
    common.write("aot-h100", False, config, measured, config.out or common.RESULTS / "aot-h100.json")
    return measured


def _kinds(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(kinds.items(), key=lambda each: -each[1]))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
