"""`modejax show`: the table of a finished run, its figures and report made anew; or several runs side by side."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from modejax.cli.table import bytes_text, count_text, print_table
from modejax.errors import InputError
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from modejax.plots.answer import Answer
    from modejax.runs.run import Run

__all__ = ["ShowCommand", "next_command", "print_run"]

_DATA = ("config.json", "result.nc", "table.csv", "members.json", "networks.safetensors")
_MOST_ANSWERS = 12


@dataclasses.dataclass(frozen=True)
class ShowCommand:
    """Print the table of a run and draw its figures and report again; of several runs, one table side by side."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""
    json: bool = False
    """Print the table and the paths as JSON instead of text."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.runs.run import open_run

        if not self.folders:
            raise InputError(
                "show needs the folder of a run, or several; for example: modejax show runs/digits-mode-001"
            )
        runs = [open_run(folder) for folder in self.folders]
        if len(runs) == 1:
            return print_run(runs[0], as_json=self.json, seconds=None)
        return _print_several(runs, [str(folder) for folder in self.folders], as_json=self.json)


def print_run(run: Run, *, as_json: bool, seconds: float | None) -> int:
    """Write figures and report of a run, and print its table, the paths written and the next command to try.

    Args:
        run: a finished run in a folder.
        as_json: print JSON instead of text.
        seconds: wall time of the command so far; None where it did not run the sweep.

    Returns:
        The exit code, 0.
    """
    from modejax import plots
    from modejax.plots.chance import at_chance
    from modejax.plots.members import diverged_text

    folder, attrs = run.folder, run.result.attrs
    assert folder is not None
    rows, found, chance = plots.table(run), plots.answers(run), at_chance(run)
    figures = plots.save_figures(run, folder)
    report = plots.write_report(run, folder, figures)
    paths = [*(folder / name for name in _DATA if (folder / name).exists()), *figures, report]
    times = {name: float(attrs[f"seconds_to_{name}"]) for name in ("trace", "compile", "run")}
    if as_json:
        few = [answer.record() for answer in found]
        low = {**chance._asdict(), "limit": chance.limit if chance.networks else None}
        facts = {
            "least_modes": few,
            "chance_level": low,
            "table": rows,
            "seconds": times,
            "paths": [str(path) for path in paths],
        }
        print(json.dumps(facts, indent=2))
        return 0
    _print_rows(rows)
    _print_answers(found)
    for arm in run.arms:
        failed = diverged_text(run[arm].status)
        if failed:
            print(f"arm {arm}: {failed}.")
    if chance.text:
        print(f"{chance.text}.")
    print(
        f"trace {times['trace']:.1f} s, compile {times['compile']:.1f} s, run {times['run']:.1f} s"
        + (f", {seconds:.1f} s in all" if seconds is not None else "")
        + f"; {count_text(float(attrs['useful_flops']))}FLOP useful, "
        f"{count_text(float(attrs['padded_flops']))}FLOP with padding; {attrs['device']}"
    )
    print(f"wrote {folder}/: " + ", ".join(str(path.relative_to(folder)) for path in paths))
    print(f"size of result.nc: {bytes_text((folder / 'result.nc').stat().st_size)}")
    print(f"next: open {report}; then try: {next_command(run.config, folder)}")
    return 0


def _print_answers(found: Sequence[Answer]) -> None:
    """Print how few modes each arm needs, and once what the numbers are."""
    columns = shutil.get_terminal_size().columns

    def say(text: str) -> None:
        lines = textwrap.wrap(text, columns, subsequent_indent="  ", break_on_hyphens=False)
        print("\n".join(lines).replace("\0", " "))

    for answer in found[:_MOST_ANSWERS]:
        # The number of a width and its bracket stay on one line.
        cells = [cell.replace(" ", "\0") for cell in answer.cells]
        say(f"{answer.head}: {', '.join(cells) or answer.missing}")
    if len(found) > _MOST_ANSWERS:
        print(f"and {len(found) - _MOST_ANSWERS} more, in the report and with --json")
    for note in dict.fromkeys(note for answer in found for note in answer.notes):
        say(f"  ({note})")


def next_command(config: SweepConfig, folder: Path) -> str:
    """Return a command that goes on from a run: on the same data, with what the run leaves open.

    Args:
        config: what the run was asked.
        folder: its folder.

    Returns:
        The words of the command.

    Example:
        >>> next_command(SweepConfig(), Path("runs/a"))
        'modejax sweep --network tied'
        >>> next_command(SweepConfig(dataset="mnist", learning_rates=(0.01, 0.1)), Path("runs/a"))
        'modejax sweep --learning-rates 0.01 0.1 --dataset mnist --validation 0.1'
    """
    if config.arms or "custom" in (config.network, config.layer, config.optimiser) or config.axes:
        return f"modejax show {shlex.quote(str(folder))} OTHER_RUN"
    changes: dict[str, Any] = {}
    rates = len(config.learning_rates) * len(config.weight_decays)
    rates = max(rates, len(config.baseline_learning_rates) * len(config.baseline_weight_decays))
    if rates > 1 and not config.validation and not config.mask_after:
        changes["validation"] = 0.1
    elif config.seeds == 1:
        changes["seeds"] = 5
    elif config.network == "mlp" and config.layer == "mode" and config.mask == "none" and config.depth > 0:
        changes |= {"network": "tied", "layer_options": (), "prune": ()}
    elif not config.truncate_every and config.takes_modes != "none":
        changes["truncate_every"] = max(1, config.epochs // 8)
    else:
        changes["seeds"] = 2 * config.seeds
    names = [field.name for field in dataclasses.fields(SweepConfig) if field.name not in ("name", "launches")]
    default, words = SweepConfig(), ["modejax", "sweep"]
    for name in names:
        value = changes.get(name, getattr(config, name))
        if value != getattr(default, name) and not (name == "widths" and not config.depth):
            if name == "modes" and config.takes_modes == "none":
                continue
            words += ["--" + name.replace("_", "-"), *_words(value)]
    return shlex.join(words)


def _words(value: Any) -> list[str]:
    values = value if isinstance(value, tuple) else (value,)
    return [f"{each:g}" if isinstance(each, float) else str(each) for each in values]


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the rows of `plots.table`: a table for each arm, a column a number of modes.

    The dense baseline stands in the table of the first arm where it has one value of every further axis.
    """
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    dense = {row["width"]: row for row in rows if row["arm"] == "baseline"}
    beside = dense if sum(row["arm"] == "baseline" for row in rows) == len(dense) else {}
    for arm in arms:
        own = [row for row in rows if row["arm"] == arm]
        if arm != "baseline" or not beside or arms == ["baseline"]:
            _print_arm(arm, own, beside if arm == arms[0] and arm != "baseline" else {})


def _print_arm(arm: str, rows: list[dict[str, Any]], dense: Mapping[int, dict[str, Any]]) -> None:
    from modejax.plots.members import axis_text

    fixed = ("arm", "network", "width", "modes", "measure", "mean", "sd", "n", "diverged", "num_parameters")
    axes = [name for name in rows[0] if name not in fixed and rows[0][name] is not None]
    varied = [name for name in axes if len({row[name] for row in rows}) > 1]
    modes = sorted({row["modes"] for row in rows})
    network = rows[0]["network"]
    without = "full rank" if network == "svd" else network
    what = "test accuracy in percent" if rows[0]["measure"] == "test_accuracy" else "test loss"
    cells: dict[tuple, dict[int, dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (*(row[name] for name in varied), row["width"])):
        cells.setdefault((*(row[name] for name in varied), row["width"]), {})[row["modes"]] = row
    heads = [axis_text(name, "").strip() for name in varied]
    columns = [*heads, "width", *(f"{p} modes" if p else without for p in modes), *(["dense"] if dense else [])]
    lines = [
        [
            *(f"{value:g}" for value in key[:-1]),
            str(key[-1]),
            *(_cell(here.get(p)) for p in modes),
            *([_cell(dense.get(key[-1]))] if dense else []),
        ]
        for key, here in cells.items()
    ]
    name = network if network.replace(" ", "_") == arm else f"{arm} ({network})"
    fixed_text = [axis_text(axis, rows[0][axis]) for axis in axes if axis not in varied]
    about = f"{what}, mean +- standard deviation over seeds, (parameters)"
    print_table(f"{name}: " + "; ".join(filter(None, [about, ", ".join(fixed_text)])), columns, lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or (row["mean"] is None and not row["diverged"]):
        return "-"
    number = count_text(row["num_parameters"])
    if row["mean"] is None:
        return f"diverged ({number})"
    failed = f", {row['diverged']} diverged" if row["diverged"] else ""
    return f"{_mean(row['mean'], row['sd'], row['measure'])} ({number}{failed})"


def _mean(mean: float, sd: float | None, measure: str) -> str:
    form = (lambda value: f"{value:.1f}") if measure == "test_accuracy" else (lambda value: f"{value:.3g}")
    return form(mean) + ("" if sd is None else f" +- {form(sd)}")


def _print_several(runs: Sequence[Run], names: Sequence[str], *, as_json: bool) -> int:
    """Print one table with a column a run and a line for each arm and cell that one of them has."""
    from modejax.plots.members import axis_text

    tables = [_aggregated(run) for run in runs]
    axes = _telling_axes(tables)
    cells: dict[tuple, dict[int, dict[str, Any]]] = {}
    for index, table in enumerate(tables):
        for row in table:
            key = (row["arm"], *(row["at"].get(name) for name in axes))
            cells.setdefault(key, {})[index] = row
    different = _different_settings([run.config for run in runs])
    if as_json:
        lines = [
            {
                "arm": key[0],
                **dict(zip(axes, key[1:], strict=True)),
                "runs": [_plain(each.get(i)) for i in range(len(runs))],
            }
            for key, each in cells.items()
        ]
        print(json.dumps({"runs": list(names), "table": lines, "settings": different}, indent=2))
        return 0
    rows = [
        [
            key[0],
            *("-" if value is None else f"{value:g}" for value in key[1:]),
            *(_side(each.get(i)) for i in range(len(runs))),
        ]
        for key, each in cells.items()
    ]
    measures = {row["measure"] for table in tables for row in table}
    what = " or ".join("test accuracy in percent" if m == "test_accuracy" else "test loss" for m in sorted(measures))
    heads = [axis_text(name, "").strip() for name in axes]
    print_table(f"{what}, mean +- standard deviation over seeds", ["arm", *heads, *names], rows)
    for name, values in different.items():
        print(f"{name}: " + "; ".join(f"{run} {value}" for run, value in zip(names, values, strict=True)))
    if not different:
        print("the runs have the same settings")
    return 0


def _aggregated(run: Run) -> list[dict[str, Any]]:
    """Return the rows of a run's table, each with its place in the grid of its arm."""
    from modejax import plots
    from modejax.plots.rows import row_axes

    names = ("width", "modes", *row_axes(run))
    return [row | {"at": {n: row[n] for n in names if row[n] is not None}} for row in plots.table(run)]


def _telling_axes(tables: Sequence[Sequence[dict[str, Any]]]) -> list[str]:
    """Return width, modes and the axes of which an arm of a run has several values."""
    found = {"width": True, "modes": True}
    for table in tables:
        for arm in {row["arm"] for row in table}:
            rows = [row["at"] for row in table if row["arm"] == arm]
            found |= {name: True for name in rows[0] if len({at[name] for at in rows}) > 1}
    return list(found)


def _different_settings(configs: Sequence[SweepConfig]) -> dict[str, list[str]]:
    left_out = ("launches", "devices", "memory_limit", "data_dir", "buckets")
    found = {}
    for field in dataclasses.fields(SweepConfig):
        values = [getattr(config, field.name) for config in configs]
        if field.name not in left_out and any(value != values[0] for value in values):
            found[field.name] = [" ".join(_words(value)) or "none" for value in values]
    return found


def _side(row: dict[str, Any] | None) -> str:
    if row is None or (row["mean"] is None and not row["diverged"]):
        return "-"
    if row["mean"] is None:
        return "diverged"
    failed = f" ({row['diverged']} diverged)" if row["diverged"] else ""
    return _mean(row["mean"], row["sd"], row["measure"]) + failed


def _plain(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in ("measure", "mean", "sd", "diverged")}
