"""Steps of `modejax.nnx.ModeLinear` against `nnx.Linear`: forward and backward, by width and number of modes.

Run with `uv run python -m benchmarks.nnx_linear [--smoke]`. A step is the loss of one square map (width -> width, with
bias) and its gradient with respect to parameters and input, one compiled call in one process. The repeats of the layers
of a width take turns, so that what else the machine does falls on all of them. The crossover is the number of modes at
which both take the same time, between measured numbers on a logarithmic scale; multiplications alone put it at
n_in n_out / (n_in + n_out), half the width here.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from flax import nnx

from benchmarks import common
from modejax.nnx import ModeLinear


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    smoke: bool = False
    """Small widths and few repeats."""
    widths: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    """Inputs and outputs of the map."""
    modes: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024, 2048)
    """Numbers of modes, up to the width; those beyond 256 are for the crossover of wide maps."""
    batch: int = 128
    """Examples a step."""
    repeats: int = 9
    """Turns of each layer; the median counts."""
    seconds: float = 0.05
    """Least time of a turn."""
    out: Path | None = None
    """JSON file; by default in benchmarks/results."""


def make_step(module: nnx.Module, x: jax.Array) -> Callable[[], Any]:
    """Return a compiled step of forward and backward passes."""
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    @jax.jit
    def step(params: Any, rest: Any, x: jax.Array) -> Any:
        def loss(params: Any, x: jax.Array) -> jax.Array:
            return jnp.mean(jnp.square(nnx.merge(graph, params, rest)(x)))  # pyright: ignore[reportCallIssue]

        return jax.value_and_grad(loss, argnums=(0, 1))(params, x)

    return lambda: step(params, rest, x)


def take_turns(steps: dict[str, Callable[[], Any]], repeats: int, least: float) -> dict[str, list[float]]:
    """Return the seconds a step of each layer, one number a turn."""
    calls = {}
    for name, step in steps.items():
        jax.block_until_ready(step())
        began = time.perf_counter()
        jax.block_until_ready(step())
        calls[name] = max(1, math.ceil(least / (time.perf_counter() - began)))
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            began = time.perf_counter()
            for _ in range(calls[name]):
                result = step()
            jax.block_until_ready(result)
            found[name].append((time.perf_counter() - began) / calls[name])
    return found


def crossover(modes: list[int], ratios: list[float]) -> float | None:
    """Return the number of modes at which the ratio of times is 1; None where all are faster, or all slower.

    Example:
        >>> crossover([16, 64], [0.5, 2.0])
        32.0
    """
    for (a, low), (b, high) in itertools.pairwise(zip(modes, ratios, strict=True)):
        if low < 1 <= high:
            share = -math.log(low) / (math.log(high) - math.log(low))
            return round(a * (b / a) ** share, 6)
    return None


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return what it measured."""
    if config.smoke:
        config = dataclasses.replace(config, widths=(64, 128), modes=(4, 16), repeats=3, seconds=0.005)
    limits = common.ceilings()
    rows = []
    for width in config.widths:
        modes = [p for p in config.modes if p <= width]
        x = jax.random.normal(jax.random.key(0), (config.batch, width))
        steps = {"dense": make_step(nnx.Linear(width, width, rngs=nnx.Rngs(0)), x)}
        steps |= {str(p): make_step(ModeLinear(width, width, p, rngs=nnx.Rngs(0)), x) for p in modes}
        seconds = take_turns(steps, config.repeats, config.seconds)
        # Of each turn the layers' ratio, so that slow minutes of the machine drop out.
        ratios = {
            str(p): statistics.median(m / d for m, d in zip(seconds[str(p)], seconds["dense"], strict=True))
            for p in modes
        }
        cross = crossover(modes, [ratios[str(p)] for p in modes])
        rows.append({"width": width, "seconds": seconds, "ratios": ratios, "crossover": cross, "predicted": width / 2})
        rates = ", ".join(
            f"P = {p}: {1 / statistics.median(seconds[str(p)]):.0f} ({ratios[str(p)]:.2f})" for p in modes
        )
        print(
            f"width {width}: dense {1 / statistics.median(seconds['dense']):.0f} steps/s; {rates} (time over dense); "
            f"crossover {'outside' if cross is None else f'{cross:.0f}'}, predicted {width / 2:.0f}"
        )
    measured = {"ceilings": limits, "rows": rows}
    common.write("nnx_linear", config.smoke, config, measured, config.out)
    return measured


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
