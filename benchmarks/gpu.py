"""Measure an accelerator in twelve minutes: guards first, then what is worth most, each result written at once.

Run with `python -m benchmarks.gpu --out DIR --data FILE.npz` (or a name of a prepared data set); the package need not
be installed (`benchmarks.carry` collects what a machine without a network lacks). All programs are compiled first, in
parallel and with a cache in DIR; then each row is measured, as long as the budget of time lasts, and what does not fit
is named and left out. DIR/accelerator.json is written anew after each row, so that a stop loses nothing, and a run that
finds it goes on behind what is there. At the end the targets stand beside what was measured and what was predicted.
`--smoke` takes small sizes of everything; on a processor give `--backend cpu` to rehearse.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import tyro

from benchmarks import common, guards
from benchmarks.truncation import time_curves
from modejax import SweepConfig
from modejax.data import Dataset, load_dataset
from modejax.sweep.arrays import program_spec
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.program import Program, precision_scope

GRID_EPOCHS = 200
"""Epochs for which the time of the grand grid is stated."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Options."""

    out: Path
    """Folder for accelerator.json and the cache of compiled programs."""
    data: str = "mnist"
    """Data set, or the path of an .npz with x_train, y_train, x_test, y_test."""
    backend: Literal["gpu", "tpu", "cpu"] = "gpu"
    """What JAX must run on; a missing plugin would run the full sizes on the processor."""
    budget: float = 720.0
    """Seconds for everything, compiling included."""
    smoke: bool = False
    """Small sizes on digits."""
    threads: int = 8
    """Programs compiled at the same time."""
    members: int = 512
    """Networks of the rows that fill the device; fewer for a processor."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One program to measure."""

    part: str
    name: str
    sweep: SweepConfig
    epochs: int = 3  # timed, after one that is not
    distinct: int = 1  # networks run one after another, by the same program


def rows_of(smoke: bool, members: int = 512) -> list[Row]:
    """Return all rows in the order of their worth; `members` networks in those that fill the device."""
    many = 8 if smoke else members
    some = -(-many // 8)

    def row(part: str, name: str, timed: int = 3, distinct: int = 1, **changes: Any) -> Row:
        return Row(part, name, common.base_sweep(devices=1, **changes), timed, distinct)

    rows = [
        row("sequential", f"{many} networks", seeds=many),
        row("sequential", "one by one", distinct=4, seeds=1),
        row("members", f"{some} networks", seeds=some),
        row("precision", f"{many} networks, tf32", seeds=many, precision="tf32"),
        row("precision", f"{many} networks, bfloat16", seeds=many, precision="bfloat16"),
        row("truncation", "all curves", seeds=some, learning_rates=(0.005,)),
    ]
    grid: dict[str, Any] = {
        "widths": (5, 10) if smoke else (50, 100, 200, 400, 800),
        "modes": (1, 2, 3) if smoke else tuple(range(1, 71)),
        "seeds": 5,
        "learning_rates": (0.001, 0.003, 0.01),
        "epochs": GRID_EPOCHS,
    }
    rows += [
        row("grid", "grand grid, tf32", 1, precision="tf32", **grid),
        row("grid", "grand grid, float32", 1, **grid),
        row("members", f"{many // 2} networks", seeds=many // 2),
        row("width", f"{some} wide networks", seeds=some, widths=(40,) if smoke else (1000,)),
    ]
    return rows


class Ready(NamedTuple):
    """A row that can be measured."""

    plan: Plan
    program: Program

    def timed(self, row: Row, dataset: Dataset, seed: int = 0) -> common.Timed:
        """Return the program with the networks of a first seed at their start; the plan of seed 0 is there already."""
        if seed == 0:
            return common.Timed(row.sweep, dataset, self.program, self.plan)
        return common.Timed(dataclasses.replace(row.sweep, first_seed=seed), dataset, self.program)


class Results:
    """The JSON file, written anew with each result."""

    def __init__(self, config: Config) -> None:
        self.path, self.config, self.began = config.out / "accelerator.json", config, time.perf_counter()
        self.content: dict[str, Any] = {"rows": {}, "left_out": {}}
        if self.path.exists():
            old = json.loads(self.path.read_text())
            facts = common.facts()
            if all(old.get(name) == facts[name] for name in ("devices", "versions", "commit")):
                self.content |= {name: old[name] for name in ("rows", "guards", "ceilings", "compile") if name in old}
                print(f"going on behind {len(self.content['rows'])} rows of {self.path}")

    @property
    def left(self) -> float:
        """Seconds that are left of the budget."""
        return self.config.budget - (time.perf_counter() - self.began)

    def put(self, name: str, value: Any) -> None:
        """Note something and write the file."""
        self.content[name] = value
        self.save()

    def row(self, row: Row, value: dict[str, Any]) -> None:
        """Note a row and write the file."""
        self.content["rows"][row.name] = {"part": row.part, **value}
        self.content["left_out"].pop(row.name, None)
        self.save()

    def leave_out(self, row: Row, why: str) -> None:
        """Note that a row is not measured."""
        print(f"left out: {row.name} ({why})", flush=True)
        self.content["left_out"][row.name] = why
        self.save()

    def save(self) -> None:
        """Write the file."""
        self.content["seconds"] = time.perf_counter() - self.began
        common.write("accelerator", self.config.smoke, self.config, self.content, self.path, quiet=True)


def compile_all(
    rows: list[Row], dataset: Dataset, results: Results, meanwhile: Callable[[], Any]
) -> dict[str, Future[Ready]]:
    """Compile the programs of all rows at once, do something meanwhile, and wait a third of the budget at most."""
    pool = ThreadPoolExecutor(results.config.threads)

    def one(row: Row) -> Ready:
        with precision_scope(row.sweep.precision):
            plan = make_plan(row.sweep, dataset)
            return Ready(plan, Program(program_spec(plan, dataset)))

    began = time.perf_counter()
    futures = {row.name: pool.submit(one, row) for row in rows}
    meanwhile()
    until = began + results.config.budget / 3
    while time.perf_counter() < until and not all(future.done() for future in futures.values()):
        time.sleep(0.2)
    pool.shutdown(wait=False, cancel_futures=True)
    ready = {name: future.result() for name, future in futures.items() if not _problem(future)}
    took = results.content.get("compile", {}).get("trace_and_compile", {})
    took |= {name: [each.program.seconds_to_trace, each.program.seconds_to_compile] for name, each in ready.items()}
    whole = time.perf_counter() - began
    print(f"{len(ready)} of {len(rows)} programs compiled in {whole:.0f} s", flush=True)
    results.put("compile", {"seconds": whole, "threads": results.config.threads, "trace_and_compile": took})
    return futures


def _problem(future: Future[Ready]) -> str:
    """Say why a program is not there; nothing where it is."""
    if not future.done() or future.cancelled():
        return "not compiled in time"
    error = future.exception()
    return "" if error is None else f"not compiled: {type(error).__name__}: {error}"[:400]


def measure(row: Row, ready: Ready, dataset: Dataset, limits: dict[str, float]) -> dict[str, Any]:
    """Time the epochs of a program; several networks by one program count as one run after another."""
    seconds, first = [], np.zeros(0)
    timed: Any = None
    for seed in range(row.distinct):
        timed = ready.timed(row, dataset, seed)
        _, records = timed.run(1)
        first = records[0].test_accuracy[0] if seed == 0 else first
        seconds += [timed.run(1)[0] for _ in range(row.epochs)]
    plan, epoch = ready.plan, statistics.median(seconds)
    flops = timed.useful_flops_per_epoch / plan.launches
    moved = plan.steps_per_epoch * 2 * plan.memory.state
    bound = max(flops / limits["matmul_flops_per_second"], moved / limits["copy_bytes_per_second"])
    predicted = plan.steps_per_epoch * plan.step_seconds + plan.evaluation_seconds
    return {
        "members": row.sweep.num_members,
        "launches": plan.launches,
        "buckets": [[bucket.width, bucket.modes, len(bucket.members)] for bucket in plan.buckets],
        "precision": row.sweep.precision,
        "epoch_seconds": seconds,
        "predicted_epoch_seconds": predicted,
        "predicted_for": plan.machine.title,
        "network_epochs_per_second": row.sweep.num_members / plan.launches / epoch,
        "useful_flops_per_second": flops / epoch,
        "padded_over_useful": plan.padded_flops / plan.useful_flops,
        "share_of_peak": flops / epoch / limits["matmul_flops_per_second"],
        "roofline_share": bound / epoch,
        "predicted_device_bytes": plan.memory.device,
        "test_accuracy_after_one_epoch": float(np.nanmean(first)),
        "first_members_accuracy": float(first[0]),
    }


def attempt(row: Row, future: Future[Ready], dataset: Dataset, results: Results) -> None:
    """Measure a row if it is compiled and the time suffices; a failure is noted and ends nothing else."""
    if _problem(future):
        return results.leave_out(row, _problem(future))
    ready = future.result()
    epoch = ready.plan.steps_per_epoch * ready.plan.step_seconds + ready.plan.evaluation_seconds
    needed = 1.5 * row.distinct * (row.epochs + 1) * epoch + 3
    if needed > results.left:
        return results.leave_out(row, f"needs about {needed:.0f} s, {results.left:.0f} s are left")
    limits = results.content["ceilings"][row.sweep.precision]
    try:
        if row.part == "truncation":
            found = time_curves(ready.timed(row, dataset), dataset, row.epochs)
        else:
            found = measure(row, ready, dataset, limits)
    except (RuntimeError, ValueError) as error:  # memory of the device among them
        return results.leave_out(row, f"{type(error).__name__}: {error}"[:400])
    results.row(row, found)
    print(_sentence(row, found), flush=True)
    return None


def _sentence(row: Row, found: dict[str, Any]) -> str:
    if row.part == "truncation":
        return (
            f"{row.name} of {found['members']} networks: {found['epochs']:.2f} epochs, gap {found['largest_gap']:.1e}"
        )
    return (
        f"{row.name}: epoch {statistics.median(found['epoch_seconds']):.4f} s, predicted "
        f"{found['predicted_epoch_seconds']:.4f} s for {found['predicted_for']}; "
        f"{found['network_epochs_per_second']:.1f} network-epochs/s, "
        f"{found['useful_flops_per_second'] / 1e12:.3f} TFLOP/s useful ({100 * found['share_of_peak']:.0f} % of the "
        f"peak, roofline share {100 * found['roofline_share']:.0f} %), accuracy after one epoch "
        f"{100 * found['test_accuracy_after_one_epoch']:.2f} %"
    )


def targets(content: dict[str, Any]) -> list[str]:
    """Return the targets beside what was measured, a sentence each."""
    rows = content["rows"]
    lines = []
    alone = rows.get("one by one")
    together = next((row for name, row in rows.items() if row["part"] == "sequential" and name != "one by one"), None)
    if alone and together:
        ratio = together["network_epochs_per_second"] / alone["network_epochs_per_second"]
        lines.append(f"{together['members']} networks at {ratio:.1f} times the sequential rate (target 100)")
    shares = [row["roofline_share"] for row in rows.values() if "roofline_share" in row]
    if shares:
        lines.append(f"roofline share of the step, best: {100 * max(shares):.0f} % (target 50)")
    for name, row in rows.items():
        if row["part"] == "grid":
            total = row["launches"] * GRID_EPOCHS * statistics.median(row["epoch_seconds"])
            compiling = sum(content["compile"]["trace_and_compile"].get(name, [0.0]))
            lines.append(
                f"{name}: {row['members']} networks x {GRID_EPOCHS} epochs in {total:.0f} s from the epochs measured, "
                f"{compiling:.0f} s of compiling (target 300)"
            )
    return lines


def main(config: Config) -> dict[str, Any]:
    """Run everything that the budget allows."""
    if jax.default_backend() != config.backend:
        raise SystemExit(
            f"JAX runs on {jax.default_backend()}, not on {config.backend}; install its plugin, or give --backend "
            f"{jax.default_backend()}"
        )
    config.out.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str((config.out / "compiled").resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    dataset = load_dataset("digits" if config.smoke else config.data)
    results = Results(config)
    shapes = [len(dataset.y_train), dataset.num_features, len(dataset.y_test)]
    results.put("dataset", {"name": dataset.name, "train_features_test": shapes})
    print(f"{jax.devices()[0].device_kind}, {dataset.name} {shapes}, budget {config.budget:.0f} s", flush=True)
    rows = [row for row in rows_of(config.smoke, config.members) if row.name not in results.content["rows"]]

    def once(name: str, of: Callable[[], Any]) -> None:
        if name not in results.content:
            results.put(name, of())
            print(f"{name}: {results.content[name]}", flush=True)

    # The guards compile programs of their own and are no matter of time; the ceilings want the machine for themselves.
    futures = compile_all(rows, dataset, results, lambda: once("guards", guards.check))
    once("ceilings", lambda: {name: common.ceilings(5, name) for name in ("float32", "tf32", "bfloat16")})
    for row in rows:
        attempt(row, futures[row.name], dataset, results)
    results.put("targets", targets(results.content))
    print("\n".join(results.content["targets"]))
    print(f"wrote {results.path}")
    return results.content


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
    sys.stdout.flush()
    os._exit(0)  # a program that is still being compiled would hold the process; all results are written
