"""All truncation curves of a network against one epoch of its training, and against rebuilding it for every cut.

Run with `uv run python -m benchmarks.truncation [--smoke]`.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks import common
from modejax.data import Dataset
from modejax.sweep.program import precision_scope
from modejax.sweep.trained import trained_networks
from modejax.truncation import importance, ranked


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    smoke: bool = False
    """A small data set and few members."""
    data: str = "mnist"
    """Data set, or the path of an .npz; digits where MNIST is not prepared."""
    members: int = 16
    """Networks of width 100."""
    modes: tuple[int, ...] = (30, 70)
    """Numbers of modes; each is a comparison of its own."""
    repeats: int = 5
    """Timed calls of each side."""
    out: Path | None = None
    """JSON file; by default in benchmarks/results."""


def slow_curves(network: Any, params: Any, x: jax.Array, y: jax.Array) -> tuple[np.ndarray, float]:
    """Rebuild the kernels for each cut; return the curves (maps + 1, kept) and the seconds they took.

    All cuts are one compiled loop, so that the device does not wait for the host between them. Call it inside the
    precision that the networks were trained in: products of another one would decide other examples.
    """
    order = [ranked(modes, importance(modes)) for modes in network.modes(params)]
    full = network.kernels(params)
    count = len(order[0].weight)

    def accuracy(keep: jax.Array) -> jax.Array:
        h = x
        for index, modes in enumerate(order):
            weight = jnp.where(jnp.arange(count) < keep[index], modes.weight, 0)
            kernel = jnp.where(keep[index] > count, full[index], (modes.xi_out * weight[None, :]) @ modes.xi_in)
            z = h @ kernel.T
            h = jax.nn.relu(z) if index < len(order) - 1 else z
        return jnp.mean(jnp.argmax(h, axis=1) == y)

    maps = len(order)
    cuts = [[k if i == index else count + 1 for i in range(maps)] for index in range(maps) for k in range(count + 1)]
    cuts += [[k] * maps for k in range(count + 1)]
    every = jax.jit(lambda cuts: jax.lax.map(accuracy, cuts))
    wanted = jnp.array(cuts)
    every(wanted).block_until_ready()
    began = time.perf_counter()
    values = every(wanted).block_until_ready()
    seconds = time.perf_counter() - began
    return np.asarray(values).reshape(maps + 1, count + 1), seconds


def time_curves(timed: common.Timed, dataset: Dataset, repeats: int) -> dict[str, Any]:
    """Time all curves of a program beside its epochs, and compare the first network's with `slow_curves`.

    Args:
        timed: the program.
        dataset: its data.
        repeats: timed calls of each.

    Returns:
        Seconds of the curves and of epochs, their ratio, seconds to rebuild each cut of one network, and the largest
        difference.

    Raises:
        ValueError: if the curves differ by more than rounding explains.
    """
    timed.run(1)
    cut_seconds, epoch_seconds, records = [], [], None
    for _ in range(repeats):
        epoch_seconds.append(timed.run(1)[0])
        seconds, records = timed.run(0, truncate=True)
        cut_seconds.append(seconds)
    assert records is not None
    states = [
        jax.tree.map(lambda leaf, n=len(b.members): np.asarray(leaf)[:n], state)
        for b, state in zip(timed.plan.buckets, timed.states, strict=True)
    ]
    first = next(iter(trained_networks(timed.plan, states)))
    with precision_scope(timed.scope):
        x = jnp.asarray(dataset.x_test, jnp.float32) * dataset.scale
        slow, slow_seconds = slow_curves(first.network, first.params, x, jnp.asarray(dataset.y_test))
    fast = np.concatenate([records[0].layer_curves[0, 0], records[0].together_curves[0, :1]])
    gap = float(np.abs(fast - slow).max())
    # An example whose two largest logits differ by rounding may be decided otherwise.
    if not gap <= 5 / len(dataset.y_test):
        raise ValueError(f"the curves differ by {100 * gap:.3f} points from the slow evaluation: no times")
    return {
        "members": timed.plan.config.num_members,
        "truncation_seconds": cut_seconds,
        "epoch_seconds": epoch_seconds,
        "epochs": statistics.median(cut_seconds) / statistics.median(epoch_seconds),
        "rebuild_seconds_one_network": slow_seconds,
        "largest_gap": gap,
    }


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return what it measured."""
    common.use_all_cores()
    dataset = common.load_images(config.smoke, config.data)
    if config.smoke:
        config = dataclasses.replace(config, members=2, modes=(10,), repeats=2)
    rows = []
    for modes in config.modes:
        for members in (1, config.members):
            timed = common.Timed(common.base_sweep(modes=(modes,), seeds=members, learning_rates=(0.005,)), dataset)
            try:
                row = {"modes": modes, **time_curves(timed, dataset, config.repeats)}
            except ValueError as error:
                raise SystemExit(str(error)) from None
            cut, epoch = (statistics.median(row[name]) for name in ("truncation_seconds", "epoch_seconds"))
            print(
                f"P = {modes}, {members} network(s): all curves {cut:.3f} s, one epoch {epoch:.3f} s: "
                f"{row['epochs']:.2f} epochs; rebuilding every cut "
                f"{members * row['rebuild_seconds_one_network']:.2f} s; gap {row['largest_gap']:.1e}"
            )
            rows.append(row)
    measured = {"rows": rows}
    common.write("truncation", config.smoke, config, measured, config.out)
    return measured


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
