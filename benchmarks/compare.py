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
    figure: Path | None = None
    """PNG of the scaling benchmarks."""


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
    loops = content["reference_loop_epoch_seconds"]
    peak = content["ceilings"]["matmul_flops_per_second"]
    lines.append("")
    lines.append(
        f"Useful share of the measured matrix peak, {peak / 1e9:.0f} GFLOP/s: "
        f"{100 * content['same_size']['share_of_peak']:.0f} %. "
        f"A NumPy loop that rebuilds W once a step in float32: {loops['lean']:.2f} s an epoch of one network; "
        f"in float64 wherever it is used, as the reference scripts do: {loops['script']:.2f} s."
    )
    return lines


def spectral_rows(content: dict[str, Any]) -> list[str]:
    """Return the lines of a table for `spectral`."""
    lines = [
        "| layers | networks | one program, s an epoch | one by one, s an epoch | times | compile, s | theirs, s "
        "| rate over dense | GFLOP/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in content["families"].items():
        lines.append(
            f"| {name} | {row['members']} | {_seconds(row['sweep_epoch_seconds'])} "
            f"| {_seconds(row['sequential_epoch_seconds'])} | {row['speedup']:.2f} "
            f"| {row['sweep_compile_seconds']:.1f} | {row['sequential_compile_seconds']:.1f} "
            f"| {row['rate_over_dense']:.2f} "
            f"| {row['useful_flops_per_second'] / 1e9:.0f} |"
        )
    return lines


def svr_rows(content: dict[str, Any]) -> list[str]:
    """Return the lines of a table for `svr`."""
    lines = ["| case, one core | seconds | largest resident set, GiB | before, GiB |", "| --- | --- | --- | --- |"]
    for name, runs in content["cases"].items():
        sizes = (max(run[key] for run in runs) / 2**30 for key in ("bytes", "bytes_before"))
        cells = [name, _seconds([run["seconds"] for run in runs]), *(f"{size:.2f}" for size in sizes)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def nnx_rows(content: dict[str, Any]) -> list[str]:
    """Return the lines of a table for `nnx_linear`."""
    modes = list(dict.fromkeys(p for row in content["rows"] for p in row["ratios"]))
    lines = [
        f"| width | dense, steps/s | {' | '.join(f'P = {p}' for p in modes)} | equal at P = | by multiplications |",
        "| --- " * (len(modes) + 4) + "|",
    ]
    for row in content["rows"]:
        rates = {name: 1 / statistics.median(repeats) for name, repeats in row["seconds"].items()}
        cells = [f"{rates[p]:.0f} ({1 / row['ratios'][p]:.2f})" if p in rates else "-" for p in modes]
        least, most = modes[0], modes[-1]
        equal = f"{row['crossover']:.0f}" if row["crossover"] else ""
        if not equal:
            equal = f"above {most}" if row["ratios"][max(row["ratios"], key=int)] < 1 else f"below {least}"
        lines.append(
            f"| {row['width']} | {rates['dense']:.0f} | {' | '.join(cells)} | {equal} | {row['predicted']:.0f} |"
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


def scaling_rows(content: dict[str, Any]) -> list[str]:
    """Return the lines of a table for `scaling`."""
    lines = [
        "| axis | value | networks | trace, s | compile, s | an epoch, s | network-epochs/s | GFLOP/s useful | of peak "
        "| of roofline | accuracy after one epoch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for axis, rows in content["axes"].items():
        for label, row in rows.items():
            lines.append(
                f"| {axis} | {label} | {row['members']} | {row['trace_seconds']:.1f} | {row['compile_seconds']:.1f} "
                f"| {_seconds(row['epoch_seconds'])} | {row['network_epochs_per_second']:.2f} "
                f"| {row['useful_flops_per_second'] / 1e9:.1f} | {100 * row['share_of_peak']:.0f} % "
                f"| {100 * row['roofline_share']:.0f} % | {100 * row['test_accuracy']:.2f} % |"
            )
    return lines


def aot_rows(content: dict[str, Any]) -> list[str]:
    """Return the lines of a table for `aot`."""
    lines = [
        f"{content['device']}; {content['config']['devices']} device(s).",
        "",
        "| sweep | kernels a step | products | transposes | MB | GFLOP | predicted, us | arithmetic | by the plan, us "
        "| peak, MiB | by the plan, MiB | collectives | compile, s |",
        "| --- " * 13 + "|",
    ]
    for name, row in content["sweeps"].items():
        step, plan = row["step"], row["plan"]
        kinds = step["kinds"]
        cells = [
            name,
            f"{step['kernels']}",
            f"{kinds.get('product', 0) + kinds.get('convolution', 0)}",
            f"{kinds.get('transpose', 0)}",
            f"{step['bytes'] / 1e6:.0f}",
            f"{step['flops'] / 1e9:.2f}",
            f"{1e6 * step['predicted_seconds']:.0f}",
            f"{100 * step['share_arithmetic']:.0f} %",
            f"{1e6 * plan['step_seconds']:.0f}",
            f"{row['peak_bytes'] / 2**20:.0f}",
            f"{plan['bytes_each_device'] / 2**20:.0f}",
            f"{row['collectives']}",
            f"{row['compile_seconds']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def accelerator_rows(content: dict[str, Any]) -> list[str]:
    """Return the lines of a table for `gpu`."""
    lines = [
        "| row | networks | an epoch, s | predicted, s | network-epochs/s | TFLOP/s useful | of peak | of roofline "
        "| accuracy after one epoch |",
        "| --- " * 9 + "|",
    ]
    for name, row in content["rows"].items():
        if row["part"] == "truncation":
            continue
        lines.append(
            f"| {name} | {row['members']} | {_seconds(row['epoch_seconds'])} | {row['predicted_epoch_seconds']:.3f} "
            f"| {row['network_epochs_per_second']:.1f} | {row['useful_flops_per_second'] / 1e12:.3f} "
            f"| {100 * row['share_of_peak']:.0f} % | {100 * row['roofline_share']:.0f} % "
            f"| {100 * row['test_accuracy_after_one_epoch']:.2f} % |"
        )
    return [*lines, "", *content.get("targets", []), *(f"left out: {n} ({w})" for n, w in content["left_out"].items())]


def draw(scalings: list[dict[str, Any]], path: Path) -> None:
    """Draw rate against members, width and modes, one line a machine, with the share of the matrix peak."""
    from matplotlib.figure import Figure

    axes = {"members": "networks (width 100, 30 modes)", "width": "width (8 networks, 30 modes)"}
    axes["modes"] = "modes (8 networks of width 100)"
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for place, (axis, label) in zip(figure.subplots(1, 3), axes.items(), strict=True):
        for content in scalings:
            rows = content["axes"].get(axis, {})
            shares = [100 * row["share_of_peak"] for row in rows.values()]
            name = f"{content['processor'] if content['platform'] == 'cpu' else content['devices'][0]}"
            place.plot([float(value) for value in rows], shares, "o-", label=name)
        place.set(xscale="log", xlabel=label, ylim=(0, None))
        place.set_xticks([float(value) for value in rows], list(rows), minor=False)
        place.minorticks_off()
        place.grid(alpha=0.3)
    figure.axes[0].set_ylabel("useful operations, percent\nof the measured matrix peak")
    figure.axes[0].legend(loc="lower right")
    figure.savefig(path, dpi=150)


def main(config: Config) -> None:
    """Print one table a file."""
    tables = {
        "accelerator": accelerator_rows,
        "aot": aot_rows,
        "nnx_linear": nnx_rows,
        "svr": svr_rows,
        "scaling": scaling_rows,
        "spectral": spectral_rows,
        "sweep_vs_sequential": sweep_rows,
        "truncation": truncation_rows,
    }
    scalings = []
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
        if content["name"] == "scaling":
            scalings.append(content)
    if config.figure is not None and scalings:
        draw(scalings, config.figure)
        print(f"\nwrote {config.figure}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
