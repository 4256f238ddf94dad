"""What the benchmarks share: the machine's own ceilings, timing of chunks, and the JSON file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from modejax import SweepConfig
from modejax._versions import versions
from modejax.data import Dataset, load_dataset
from modejax.errors import InputError
from modejax.sweep.arrays import program_spec
from modejax.sweep.inputs import device_data, make_clock, member_arrays
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.program import Program, make_program, precision_scope

SCHEMA = 1
RESULTS = Path(__file__).parent / "results"


def base_sweep(**changes: Any) -> SweepConfig:
    """Return the sweep that benchmarks vary: networks of width 100 with 30 modes, no baseline, one epoch a chunk."""
    fields = {
        "widths": (100,),
        "modes": (30,),
        "seeds": 1,
        "learning_rates": (0.003,),
        "baseline": "none",
        "epochs": 20,
    }
    return SweepConfig(**{**fields, **changes})


def use_all_cores() -> None:
    """Make every core a device; call it before anything else of JAX."""
    with contextlib.suppress(RuntimeError):  # another benchmark of this process has started them
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def load_images(smoke: bool, name: str = "mnist") -> Dataset:
    """Return a data set, or digits for a smoke run and where the set is not prepared."""
    if not smoke:
        try:
            return load_dataset(name)
        except InputError as error:
            print(f"using digits: {error}")
    return load_dataset("digits")


def repeat(run: Callable[[], Any], times: int) -> list[float]:
    """Return the seconds of each of several runs, all outputs waited for; one run before does not count."""
    jax.block_until_ready(run())
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - began)
    return seconds


def ceilings(times: int = 10, precision: str = "float32") -> dict[str, float]:
    """Measure one device: matrix products (FLOP/s) and copies (bytes/s, read and written), best of several.

    On an accelerator the products are of 8192 x 8192 and the copy of a GiB, since smaller ones wait for their launch;
    on a processor of 2048 x 2048 and 128 MiB, by all cores that JAX gives one device.
    """
    large = jax.default_backend() != "cpu"
    size, count = (8192, 2**28) if large else (2048, 2**25)
    with precision_scope(precision):
        a, b = jax.random.normal(jax.random.key(0), (2, size, size))
        product = jax.jit(jnp.matmul)
        big = jnp.ones(count)
        copy = jax.jit(lambda x: x + 1)
        return {
            "matmul_flops_per_second": 2 * size**3 / min(repeat(lambda: product(a, b), times)),
            "copy_bytes_per_second": 2 * big.nbytes / min(repeat(lambda: copy(big), times)),
        }


class Timed:
    """A plan with its program compiled, ready to run epochs again and again."""

    def __init__(
        self, config: SweepConfig, dataset: Dataset, program: Program | None = None, plan: Plan | None = None
    ) -> None:
        self.plan: Plan = plan or make_plan(config, dataset)
        self.dataset = dataset
        self.scope = config.precision
        with precision_scope(self.scope):
            self.program: Program = program or make_program(program_spec(self.plan, dataset))
            self.members = member_arrays(self.plan, self.program)
            self.data = device_data(self.plan, dataset, self.program)
        self.reset()

    def reset(self) -> None:
        """Draw the initial values again."""
        with precision_scope(self.scope):
            self.states = jax.block_until_ready(self.program.start(self.members))
        self.epoch = 0

    def run(self, epochs: int, *, truncate: bool = False) -> tuple[float, Any]:
        """Run one call of the program; return its seconds and its records."""
        with precision_scope(self.scope):
            clock = make_clock(self.plan, self.program, self.epoch, epochs, truncate=truncate)
            began = time.perf_counter()
            self.states, records = self.program.compiled(self.states, self.members, self.data, clock)
            jax.block_until_ready((self.states, records))
            seconds = time.perf_counter() - began
        self.epoch += epochs
        return seconds, jax.device_get(records)

    @property
    def compile_seconds(self) -> float:
        """Seconds to trace, lower and compile."""
        return self.program.seconds_to_trace + self.program.seconds_to_compile

    @property
    def useful_flops_per_epoch(self) -> float:
        """Operations in matrix products of an epoch's training steps, at the members' own sizes."""
        return self.plan.useful_flops / self.plan.config.epochs


def facts() -> dict[str, Any]:
    """Return what a reader needs to place the numbers."""
    commit = ""
    with contextlib.suppress(OSError):  # a copy of the sources on a machine without git
        git = ["git", "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(git, capture_output=True, text=True, check=False, cwd=Path(__file__).parent).stdout
    processor = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return {
        "schema": SCHEMA,
        "commit": commit.strip(),
        "versions": versions("modejax", "jax", "jaxlib", "numpy"),
        "python": platform.python_version(),
        "platform": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        # Without the folder of this machine in which a compiler finds its tools.
        "xla_flags": re.sub(r"(_data_dir=)\S+", r"\1", os.environ.get("XLA_FLAGS", "")),
    }


def write(
    name: str, smoke: bool, config: Any, measured: dict[str, Any], out: Path | None, *, quiet: bool = False
) -> Path:
    """Write the JSON file of a run and say where; `quiet` for one that will be written again."""
    path = out or RESULTS / f"{name}{'-smoke' if smoke else ''}-{jax.default_backend()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"name": name, "smoke": smoke, **facts(), "config": dataclasses.asdict(config), **measured}
    path.write_text(json.dumps(content, indent=2, default=str) + "\n")
    if not quiet:
        print(f"wrote {path}")
    return path
