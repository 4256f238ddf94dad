"""The output after a finished run: its table, least numbers of modes, the paths written and a command to try next."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modejax.cli.following import next_command
from modejax.cli.table import bytes_text, count_text, print_table, say

if TYPE_CHECKING:
    from modejax.plots.answer import Answer
    from modejax.runs.run import Run

__all__ = ["mean_cell", "print_run"]

_DATA = ("config.json", "result.nc", "table.csv", "members.json", "networks.safetensors")
_MOST_ANSWERS = 12
_FIXED = ("arm", "network", "width", "modes", "measure", "mean", "sd", "n", "diverged", "num_parameters")


def print_run(
    run: Run,
    *,
    as_json: bool,
    quiet: bool = False,
    seconds: float | None,
    formats: Sequence[str] = (),
    figure_data: bool = False,
) -> int:
    """Write figures and report of a run, and print its table, the paths written and the next command to try.

    Args:
        run: a finished run in a folder.
        as_json: print JSON instead of text.
        quiet: print only the folder of the run.
        seconds: wall time of the command so far; None if the command did not run the sweep.
        formats: file formats of the figures besides PNG, which the report uses.
        figure_data: save the numbers behind each figure beside it.

    Returns:
        The exit code, 0.
    """
    from modejax import plots
    from modejax.plots.chance import at_chance

    folder, attrs = run.folder, run.result.attrs
    assert folder is not None
    rows, few, chance = plots.table(run), plots.answers(run), at_chance(run)
    figures = plots.save_figures(run, folder, formats=("png", *formats), data=figure_data)
    report = plots.write_report(run, folder, [path for path in figures if path.suffix == ".png"])
    paths = [*(folder / name for name in _DATA if (folder / name).exists()), *figures, report]
    if as_json:
        facts = {
            "folder": str(folder),
            "least_modes": [answer.record() for answer in few],
            "chance_level": {**chance._asdict(), "limit": chance.limit if chance.networks else None},
            "table": rows,
            "seconds": {name: float(attrs[f"seconds_to_{name}"]) for name in ("trace", "compile", "run")},
            "paths": [str(path) for path in paths],
            "next": next_command(run.config, folder, few),
        }
        print(json.dumps(facts, indent=2))
        return 0
    if quiet:
        print(folder)
        return 0
    _print_rows(rows)
    _print_answers(few)
    _print_trouble(run, chance.text)
    _print_costs(attrs, seconds)
    say(f"wrote {folder}/: " + ", ".join(str(path.relative_to(folder)) for path in paths))
    print(f"size of result.nc: {bytes_text((folder / 'result.nc').stat().st_size)}")
    print(f"next: open {report}; then try:\n  {next_command(run.config, folder, few)}")
    return 0


def _print_trouble(run: Run, chance: str) -> None:
    """Print how many networks diverged or learnt nothing."""
    from modejax.plots.members import diverged_text

    for arm in run.arms:
        failed = diverged_text(run[arm].status)
        if failed:
            say(f"arm {arm}: {failed}.")
    if chance:
        say(f"{chance}.")


def _print_costs(attrs: Mapping[Any, Any], seconds: float | None) -> None:
    times = [f"{name} {float(attrs[f'seconds_to_{name}']):.1f} s" for name in ("trace", "compile", "run")]
    times += [f"{seconds:.1f} s in all"] if seconds is not None else []
    say(
        f"{', '.join(times)}; {count_text(float(attrs['useful_flops']))}FLOP useful, "
        f"{count_text(float(attrs['padded_flops']))}FLOP with padding; {attrs['device']}"
    )


def _print_answers(found: Sequence[Answer]) -> None:
    """Print the least number of modes that each arm needs, and once what the numbers mean."""
    for answer in found[:_MOST_ANSWERS]:
        # The line is not broken between the number of a width and its bracket.
        cells = [cell.replace(" ", "\0") for cell in answer.cells]
        say(f"{answer.head}: {', '.join(cells) or answer.missing}")
    if len(found) > _MOST_ANSWERS:
        print(f"and {len(found) - _MOST_ANSWERS} more, in the report and with --json")
    for note in dict.fromkeys(note for answer in found for note in answer.notes):
        say(f"  ({note})")


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the rows of `plots.table`: for each arm tables of means and of parameters, a column per number of modes.

    The dense baseline is a part of the first arm's table if both arms have a single value of every further axis.
    """
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    dense = {row["width"]: row for row in rows if row["arm"] == "baseline"}
    alone = all(
        len({(r["width"], r["modes"]) for r in rows if r["arm"] == arm}) == sum(r["arm"] == arm for r in rows)
        for arm in (arms[0], "baseline")
    )
    beside = dense if alone else {}
    for arm in arms:
        own = [row for row in rows if row["arm"] == arm]
        if arm != "baseline" or not beside or arms == ["baseline"]:
            _print_arm(arm, own, beside if arm == arms[0] and arm != "baseline" else {})


def _print_arm(arm: str, rows: list[dict[str, Any]], dense: Mapping[int, dict[str, Any]]) -> None:
    from modejax.plots.members import axis_text

    axes = [name for name in rows[0] if name not in _FIXED and rows[0][name] is not None]
    varied = [name for name in axes if len({row[name] for row in rows}) > 1]
    network = rows[0]["network"]
    what = "test accuracy in percent" if rows[0]["measure"] == "test_accuracy" else "test loss"
    name = network if network.replace(" ", "_") == arm else f"{arm} ({network})"
    fixed = ", ".join(axis_text(axis, rows[0][axis]) for axis in axes if axis not in varied)
    title = f"{name}: {what}, mean +- standard deviation over seeds"
    _print_grid("; ".join(filter(None, [title, fixed])), rows, varied, dense, mean_cell)
    counts = {(row["width"], row["modes"], row["num_parameters"]) for row in rows}
    if len(counts) == len({count[:2] for count in counts}):
        varied = []
    _print_grid(f"{name}: trained parameters", rows, varied, dense, _count_cell)


def _print_grid(
    title: str, rows: list[dict[str, Any]], varied: list[str], dense: Mapping[int, Any], text: Callable[[Any], str]
) -> None:
    """Print one line for each width and value of the varied axes, one column for each number of modes."""
    from modejax.plots.members import axis_text

    modes = sorted({row["modes"] for row in rows})
    without = "full rank" if rows[0]["network"] == "svd" else rows[0]["network"]
    cells: dict[tuple, dict[int, dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (*(row[name] for name in varied), row["width"])):
        cells.setdefault((*(row[name] for name in varied), row["width"]), {})[row["modes"]] = row
    heads = [axis_text(name, "").strip() for name in varied]
    columns = [
        *heads,
        "width",
        *(f"{p} mode{'s' * (p > 1)}" if p else without for p in modes),
        *(["dense"] if dense else []),
    ]
    lines = []
    for key, here in cells.items():
        found = [text(here.get(p)) for p in modes] + ([text(dense.get(key[-1]))] if dense else [])
        lines.append([*(f"{value:g}" for value in key[:-1]), str(key[-1]), *found])
    print_table(title, columns, lines, keys=len(varied) + 1)


def mean_cell(row: Mapping[str, Any] | None) -> str:
    """Return the text of a cell: the mean over its networks and how many diverged; a dash if it has no networks.

    Example:
        >>> mean_cell({"mean": 95.12, "sd": 0.26, "measure": "test_accuracy", "diverged": 1}), mean_cell(None)
        ('95.1 +- 0.3 (1 diverged)', '-')
    """
    if row is None or (row["mean"] is None and not row["diverged"]):
        return "-"
    if row["mean"] is None:
        return "diverged"
    failed = f" ({row['diverged']} diverged)" if row["diverged"] else ""
    return _mean_text(row["mean"], row["sd"], row["measure"]) + failed


def _count_cell(row: dict[str, Any] | None) -> str:
    return "-" if row is None or row["num_parameters"] is None else f"{row['num_parameters']:,}"


def _mean_text(mean: float, sd: float | None, measure: str) -> str:
    """Return a mean over seeds and its standard deviation as text.

    Example:
        >>> _mean_text(95.12, 0.26, "test_accuracy"), _mean_text(0.1234, None, "test_loss")
        ('95.1 +- 0.3', '0.123')
    """
    form = (lambda value: f"{value:.1f}") if measure == "test_accuracy" else (lambda value: f"{value:.3g}")
    return form(mean) + ("" if sd is None else f" +- {form(sd)}")
