"""Print tables from the JSON files of benchmarks.

Run with `uv run python -m benchmarks.compare [FILE ...]`; by default all files in benchmarks/results.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import tyro

from benchmarks.common import RESULTS, SCHEMA


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the comparison."""

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """JSON files; by default all in benchmarks/results."""


def _seconds(repeats: list[float]) -> str:
    return f"{statistics.median(repeats):.3f} ({min(repeats):.3f} to {max(repeats):.3f})"


def sweep_rows(content: dict[str, Any]) -> list[str]:
    """Return the lines of a table for `sweep_vs_sequential`."""
    lines = [
        "| networks | one program, s an epoch | one by one, s an epoch | times | compile, s | theirs, s | GFLOP/s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    config = content["config"]
    names = {
        "same_size": f"{content['same_size']['members']} of width 100",
        "widths": "widths " + ", ".join(map(str, config["widths"])),
    }
    for key, name in names.items():
        row = content[key]
        lines.append(
            f"| {name} | {_seconds(row['sweep_epoch_seconds'])} | {_seconds(row['sequential_epoch_seconds'])} "
            f"| {row['speedup']:.2f} | {row['sweep_compile_seconds']:.1f} | {row['sequential_compile_seconds']:.1f} "
            f"| {row['useful_flops_per_second'] / 1e9:.0f} |"
        )
    peak = content["ceilings"]["matmul_flops_per_second"]
    lines.append("")
    lines.append(
        f"Useful share of the measured matrix peak, {peak / 1e9:.0f} GFLOP/s: "
        f"{100 * content['same_size']['share_of_peak']:.0f} %. "
        f"A NumPy loop that rebuilds W: {content['reference_loop_epoch_seconds']:.2f} s an epoch of one network."
    )
    return lines


def truncation_rows(content: dict[str, Any]) -> list[str]:
    """Return the lines of a table for `truncation`."""
    lines = [
        "| modes | networks | all curves, s | an epoch, s | epochs | rebuilding every cut, s a network |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in content["rows"]:
        lines.append(
            f"| {row['modes']} | {row['members']} | {_seconds(row['truncation_seconds'])} "
            f"| {_seconds(row['epoch_seconds'])} | {row['epochs']:.2f} | {row['rebuild_seconds_one_network']:.2f} |"
        )
    return lines


def main(config: Config) -> None:
    """Print one table a file."""
    tables = {"sweep_vs_sequential": sweep_rows, "truncation": truncation_rows}
    for path in config.files or sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text())
        if content.get("schema") != SCHEMA or content.get("name") not in tables:
            print(f"{path}: not a file of these benchmarks (schema {SCHEMA}); skipped")
            continue
        kind = "smoke run, " if content["smoke"] else ""
        print(
            f"\n{content['name']}: {kind}{content['processor']}, {content['cores']} cores, "
            f"jax {content['versions']['jax']}\n"
        )
        print("\n".join(tables[content["name"]](content)))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
