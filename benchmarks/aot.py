"""Compile sweeps for accelerators that are not there, and read from the program what a training step costs.

Run with `uv run --group aot-gpu python -m benchmarks.aot` for an H100, or with `uv run --group aot-tpu python -m
benchmarks.aot --device v5e [--devices 256]`. It needs no accelerator and runs nothing: XLA compiles for a description
of the device. For each sweep it counts the kernels of one training step and of one block of the evaluation, the bytes
that they read and write (operands and outputs; of slices and updates in place the part that moves), the operations of
their matrix products, and predicts the time of a step: of each kernel the longer of its arithmetic and its traffic,
plus one launch, at the rates of `modejax.sweep.machines`. Beside it stands what `modejax plan --device` says.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import tyro

from benchmarks.aot_devices import described, flags, libraries

_CONV = {"network": "conv", "network_options": ("norm=layer",), "modes": (8,)}

SWEEPS: dict[str, dict[str, Any]] = {
    "1 network": {"seeds": 1},
    "64 networks": {"seeds": 64},
    "512 networks": {"seeds": 512},
    "1024 networks": {"seeds": 1024},
    "512 networks, tf32": {"seeds": 512, "precision": "tf32"},
    "512 networks, bfloat16": {"seeds": 512, "precision": "bfloat16"},
    "64 of width 16": {"seeds": 64, "widths": (16,)},
    "64 of width 1000": {"seeds": 64, "widths": (1000,)},
    "64 of width 4096": {"seeds": 64, "widths": (4096,)},
    "64 dense networks": {"seeds": 64, "layer": "dense", "modes": None},
    "64 with one hidden layer": {"seeds": 64, "depth": 1},
    "64, curves after every epoch": {"seeds": 64, "truncate_every": 1},
    "widths 16 to 256, 8 of each": {"seeds": 8, "widths": (16, 32, 64, 128, 256)},
    "grand grid": {
        "widths": (50, 100, 200, 400, 800),
        "modes": tuple(range(1, 71)),
        "seeds": 5,
        "learning_rates": (0.001, 0.003, 0.01),
        "epochs": 200,
    },
    "16 convolutional networks": {**_CONV, "seeds": 16, "widths": (16,)},
    "64 convolutional networks": {**_CONV, "seeds": 64, "widths": (16,)},
}
"""What is compiled: networks of width 100 with 30 modes where nothing else is said, all on MNIST."""

_OF_TPU = ("64 networks", "512 networks", "512 networks, bfloat16")


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    device: Literal["h100", "v5e", "v6e"] = "h100"
    """The device to compile for."""
    devices: int = 1
    """How many of them; for TPUs 1, 4, 16, 64 or 256 chips."""
    only: tuple[str, ...] = ()
    """Sweeps by name; by default all for a GPU, three for one TPU chip (minutes each), and as many networks as
    four a chip for several."""
    data: str = "mnist"
    """Data set; digits where it is not prepared."""
    out: Path | None = None
    """JSON file; by default in benchmarks/results."""


def chosen(config: Config) -> dict[str, dict[str, Any]]:
    """Return the sweeps that options choose."""
    if config.devices > 1 and not config.only:
        return {f"{4 * config.devices} networks": {"seeds": 4 * config.devices}}
    unknown = sorted(set(config.only) - set(SWEEPS))
    if unknown:
        raise SystemExit(f"unknown sweep {unknown[0]!r}; allowed: {'; '.join(SWEEPS)}")
    names = config.only or (tuple(SWEEPS) if config.device == "h100" else _OF_TPU)
    return {name: SWEEPS[name] for name in names}


def look(plan: Any, dataset: Any, devices: Any) -> dict[str, Any]:
    """Compile the program of a plan; return what its step and its evaluation cost, and what the plan says of them."""
    from benchmarks.hlo import Loop, parse
    from modejax.backend import made_for
    from modejax.sweep.arrays import program_spec
    from modejax.sweep.program import lower_program, precision_scope

    spec, precision = program_spec(plan, dataset), plan.config.precision
    began = time.perf_counter()
    with made_for(plan.machine.backend):
        lowered = lower_program(spec, devices)
    traced = time.perf_counter()
    with precision_scope(precision):
        compiled = lowered.chunk.compile()
    done = time.perf_counter()
    module, memory = parse(compiled.as_text()), compiled.memory_analysis()
    inner = [loop for loop in module.loops() if loop.depth == 1]

    def cost(turns: int) -> dict[str, Any] | None:
        """Return that of the loop of so many turns; None where the compiler needs no loop."""
        found: list[Loop] = sorted((each for each in inner if each.turns == turns), key=lambda each: len(each.kernels))
        return step_cost(found[-1], plan.machine, precision) if found else None

    arguments, outputs = memory.argument_size_in_bytes, memory.output_size_in_bytes - memory.alias_size_in_bytes
    return {
        "trace_seconds": traced - began,
        "compile_seconds": done - traced,
        "collectives": module.collectives,
        "temporaries_bytes": memory.temp_size_in_bytes,
        "peak_bytes": memory.temp_size_in_bytes + arguments + outputs,
        "step": cost(spec.steps),
        "evaluation_block": cost(spec.test_blocks),
        "optimal_seconds": (compiled.cost_analysis() or {}).get("optimal_seconds"),
        "plan": {
            "members": sum(bucket.capacity for bucket in plan.buckets),
            "bytes_each_device": plan.memory.device / plan.devices,
            "step_seconds": plan.step_seconds,
            "predicted_seconds": plan.predicted_seconds,
        },
    }


def step_cost(loop: Any, machine: Any, precision: str) -> dict[str, Any]:
    """Return what one turn of a loop costs on a device."""
    seconds = arithmetic = 0.0
    launched = [kernel for kernel in loop.kernels if kernel.kind not in _NOT_LAUNCHED[machine.backend]]
    for kernel in loop.kernels:
        own, moving = kernel.flops / machine.rate(precision), kernel.bytes / machine.bytes_per_second
        arithmetic += own
        seconds += max(own, moving)
    seconds += len(launched) * machine.kernel_seconds
    return {
        "kernels": len(launched),
        "kinds": dict(Counter(kernel.kind for kernel in loop.kernels)),
        "bytes": sum(kernel.bytes for kernel in loop.kernels),
        "flops": sum(kernel.flops for kernel in loop.kernels),
        "largest": [kernel._asdict() for kernel in sorted(launched, key=lambda each: -each.bytes)[:8]],
        "predicted_seconds": seconds,
        "share_arithmetic": arithmetic / seconds,
    }


_NOT_LAUNCHED: dict[str, tuple[str, ...]] = {"gpu": (), "tpu": ("prefetch", "scalar")}
"""Kinds that are no kernels of a device: a TPU moves data and computes single numbers beside its kernels."""


def main(config: Config) -> dict[str, Any]:
    """Compile all sweeps, print a line each and write the JSON file as it grows."""
    sweeps = chosen(config)
    devices = described(config.device, config.devices)
    from benchmarks import common
    from modejax.sweep.machines import Target, machine_named
    from modejax.sweep.plan import make_plan

    dataset = common.load_images(False, config.data)
    target = Target(machine_named(config.device), config.devices)
    chips = f"-{config.devices}" if config.devices > 1 else ""
    out = config.out or common.RESULTS / f"aot-{config.device}{chips}.json"
    measured: dict[str, Any] = {
        "device": f"{target.machine.title}, compiled for, not run",
        "machine": dataclasses.asdict(target.machine),
        "compilers": libraries(config.device),
        "compiler_flags": flags(config.device),
        "sweeps": {},
    }
    for name, changes in sweeps.items():
        plan = make_plan(common.base_sweep(**changes), dataset, target=target)
        row = measured["sweeps"][name] = look(plan, dataset, devices)
        print(line(name, row), flush=True)
        common.write("aot", False, config, measured, out, quiet=True)
    print(f"wrote {out}")
    return measured


def line(name: str, row: dict[str, Any]) -> str:
    """Return a row of the results as a sentence."""
    step, block, plan = row["step"], row["evaluation_block"], row["plan"]
    kinds = sorted(step["kinds"].items(), key=lambda each: -each[1])
    return (
        f"{name}: {step['kernels']} kernels a step ({', '.join(f'{count} {kind}' for kind, count in kinds)}), "
        f"{step['bytes'] / 1e6:.0f} MB, {step['flops'] / 1e9:.2f} GFLOP, predicted "
        f"{1e6 * step['predicted_seconds']:.0f} us ({100 * step['share_arithmetic']:.0f} % arithmetic), by the plan "
        f"{1e6 * plan['step_seconds']:.0f} us; evaluation: {block['kernels'] if block else 'not a loop of'} kernels a "
        f"block; peak {row['peak_bytes'] / 2**20:.0f} MiB, by the plan {plan['bytes_each_device'] / 2**20:.0f} MiB; "
        f"{row['collectives']} collectives; compile {row['compile_seconds']:.0f} s"
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
