"""Seconds and memory of the singular value representation of networks of VGG16's shape, on one core.

Run with `uv run python -m benchmarks.svr [--smoke]`. Each case runs in a process of its own that may use one core;
weights are random, float32. Memory is the largest resident set of the process, and beside it that before the weights
were made.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tyro

CONVS = ((64, 3), (64, 64), (128, 64), (128, 128), (256, 128), *((256, 256),) * 2, (512, 256), *((512, 512),) * 5)
HEAD = ((4096, 512 * 49), (4096, 4096), (1000, 4096))

CASES = ("13 convolutions, all neurons", "16 layers, 128 neurons", "edges of a flattened reader")
"""Targets: 5 s and 1 GB; 15 s; 1 GB."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    smoke: bool = False
    """Small layers."""
    repeats: int = 3
    """Processes of each case."""
    case: int | None = None
    """Measure one case in this process and print it as JSON."""
    out: Path | None = None
    """JSON file; by default in benchmarks/results."""


def measure(case: int, smoke: bool) -> dict[str, float]:
    """Run one case in this process and return its seconds and bytes."""
    import numpy as np

    from modejax.svr import edges, svr

    def resident() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    before, shrink = resident(), 16 if smoke else 1
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    if case < 2:
        weights = [draw(max(o // shrink, 4), i if i == 3 else max(i // shrink, 4), 3, 3) for o, i in CONVS]
        if case:
            weights += [draw(max(o // shrink, 4), i // shrink) for o, i in HEAD]
        began = time.perf_counter()
        found = svr(weights, layout="torch", max_neurons=128 if case else None)
        seconds = time.perf_counter() - began
        share = float(np.mean([pair.significant(0.00135).mean() for pair in found.pairs]))
    else:
        n = 1024 // shrink
        U, V = draw(n, 1, n), draw(n, 49, n)
        began = time.perf_counter()
        edges(U, V)
        seconds, share = time.perf_counter() - began, float("nan")
    return {"seconds": seconds, "bytes": resident(), "bytes_before": before, "significant": share}


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return what it measured."""
    if config.case is not None:
        found = measure(config.case, config.smoke)
        print(json.dumps(found))
        return found
    from benchmarks import common

    core = str(min(os.sched_getaffinity(0)))
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    results = {}
    for case, name in enumerate(CASES):
        words = ["taskset", "-c", core, sys.executable, "-m", "benchmarks.svr", "--case", str(case)]
        runs = [
            json.loads(
                subprocess.run(
                    [*words, *(["--smoke"] if config.smoke else [])],
                    env={**os.environ, **one},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout.splitlines()[-1]
            )
            for _ in range(1 if config.smoke else config.repeats)
        ]
        seconds = sorted(run["seconds"] for run in runs)
        results[name] = runs
        print(
            f"{name}: {seconds[len(seconds) // 2]:.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f}), "
            f"{max(run['bytes'] for run in runs) / 2**30:.2f} GiB ({runs[0]['bytes_before'] / 2**30:.2f} before)"
        )
    measured = {"cases": results}
    common.write("svr", config.smoke, config, measured, config.out)
    return measured


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
