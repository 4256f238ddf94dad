"""`mdl-online`: the online-learning figure of mode-decomposition learning, theory and simulation from the same start.

The setting is that of the reference (arXiv 2208.09859; K = 8 erf units, eta = 5, p = ln d modes, every entry
Normal(0, (ln d)^(-1/3))). Figures: error and order parameters (d = 300), stages and specialisation (d = 30), a sweep
over p and eta, the largest stable eta; the full study adds d = 1000 and the speed table.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from modejax.errors import InputError
from modejax.online import SweepOptions, SweepResult, grid, log_times, run_members
from modejax.online.problem import Sizes
from modejax.plots import online as plots
from modejax.plots.colours import ordered_colours
from modejax.studies.files import check_folder, write_figure, write_text
from modejax.studies.online_speed import measure_speed
from modejax.studies.online_stages import Stages, rate_limits, stages_of

__all__ = ["mdl_online"]

_STAGES_SIZES = Sizes(30, 8, 3)
# Both gaps between its rates exceed 100, so that two plateaus stand clear of the drops.
_SHOWN_TEACHER = 26

_ENDED = 1e-8  # an error below it is past the last plateau

Row = tuple[str, str, str, str]


def mdl_online(
    out: str | os.PathLike[str],
    *,
    quick: bool = False,
    seeds: int | None = None,
    report: Callable[[str], Any] = print,
) -> Path:
    """Run the study and write its folder: figures/*.png, table.csv, results.md, config.json.

    Args:
        out: the folder; files of an earlier run are replaced.
        quick: leave out d = 1000, the survey of end rates, the trained modes and the speed table (under two minutes
            on two cores).
        seeds: input seeds of each simulation; default 5.
        report: called with a line after each part.

    Returns:
        The folder.

    Raises:
        InputError: `out` is a file, or fewer than two seeds.
    """
    folder = check_folder(out)
    seeds = 5 if seeds is None else seeds
    if seeds < 2:
        raise InputError(f"seeds={seeds}; allowed: 2 or more, since bands and error bars need them")
    rows: list[Row] = []
    begin = time.perf_counter()

    def done(part: str) -> None:
        report(f"{part}: {time.perf_counter() - begin:.0f} s since the start")

    # The same p and the same teacher seeds at both d, so that only d differs.
    dimensions, teachers = ((300,), 1) if quick else ((300, 1000), 3)
    runs = {d: _theory_and_simulation(d, range(teachers), seeds) for d in dimensions}
    _write_runs(folder, runs, seeds, rows)
    done("theory and simulation")
    _write_stages(folder, rows, survey=range(0 if quick else 16))
    done("stages")
    _write_sweep(folder, rows)
    done("sweep over p and eta")
    _write_limits(folder, rows, range(1) if quick else range(6))
    done("largest learning rate")
    if not quick:
        _write_trained(folder, seeds, rows)
        done("trained modes")
        _write_speed(rows)
        done("speed")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("quantity", "value", "unit", "note"), *rows])
    write_text(folder / "table.csv", text.getvalue())
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    write_text(folder / "results.md", f"| quantity | value | unit | note |\n| --- | --- | --- | --- |\n{table}\n")
    settings = {"study": "mdl-online", "quick": quick, "seeds": seeds, "units": 8, "eta": 5.0, "jax": jax.__version__}
    write_text(folder / "config.json", json.dumps(settings, indent=2) + "\n")
    return folder


def _theory_and_simulation(d: int, teachers: range, seeds: int) -> SweepResult:
    members = grid(d=(d,), modes=(5,), teacher=teachers, noise=range(seeds))
    return run_members(members, log_times(1.0, 250.0, 31), SweepOptions(simulation=True))


def _curves(result: SweepResult, seeds: int, teacher: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, the theory and the runs of one teacher."""
    theory, runs = result.theory, result.simulation
    assert theory is not None
    assert runs is not None
    first = teacher * seeds
    error = np.asarray(runs.error)[first : first + seeds]
    return np.asarray(theory.times[first]), np.asarray(theory.error[first]), error


def _write_runs(folder: Path, runs: dict[int, SweepResult], seeds: int, rows: list[Row]) -> None:
    for d, result in runs.items():
        times, theory, errors = _curves(result, seeds)
        write_figure(
            folder / "figures" / f"error_d{d}.png",
            lambda ax, t=times, e=theory, s=errors, d=d: plots.plot_error(t, e, s, ax, label=f"theory, d = {d}"),
        )
        squares = []
        teachers = range(len(result.members.d) // seeds)
        for teacher in teachers:
            _, theory, errors = _curves(result, seeds, teacher)
            percent = 100 * (errors[:, 1:] / theory[1:] - 1)
            note = f"d = {d}, p = 5, K = 8, eta = 5, teacher seed {teacher}, {seeds} seeds, 31 times in [1, 250]"
            rows += [
                ("largest deviation of one seed from theory", f"{np.abs(percent).max():.2f}", "percent", note),
                ("largest deviation of the seed mean", f"{np.abs(percent.mean(axis=0)).max():.2f}", "percent", note),
                ("root mean square deviation of a seed", f"{np.sqrt((percent**2).mean()):.2f}", "percent", note),
            ]
            squares.append((percent**2).mean())
        note = f"d = {d}, all {len(teachers) * seeds} runs"
        rows.append(("root mean square deviation of a seed", f"{np.sqrt(np.mean(squares)):.2f}", "percent", note))
    shades = ordered_colours(len(runs) + 1)

    def deviations(ax):
        for (d, result), colour in zip(runs.items(), shades, strict=False):
            plots.plot_ratio(*_curves(result, seeds), ax, label=f"d = {d}, mean of {seeds} seeds", colour=colour)
        ax.axhspan(-10, 10, color="black", alpha=0.06, linewidth=0)

    write_figure(folder / "figures" / "deviation.png", deviations)
    theory, seen = runs[300].theory, runs[300].simulation
    assert theory is not None
    assert seen is not None
    points = np.asarray(seen.times[0]), np.asarray(seen.Q[0]), np.asarray(seen.M[0])
    write_figure(
        folder / "figures" / "order_parameters_d300.png",
        lambda ax: plots.plot_order_parameters(
            *(np.asarray(part[0]) for part in (theory.times, theory.Q, theory.M, theory.P)), points=points, ax=ax
        ),
        size=(6.0, 5.0),
    )


def _write_stages(folder: Path, rows: list[Row], survey: range) -> None:
    shown = stages_of(_STAGES_SIZES, _SHOWN_TEACHER, 5.0)
    write_figure(
        folder / "figures" / "stages.png",
        lambda ax: plots.plot_stages(shown.times, shown.error, shown.rates, shown.predicted, shown.found, ax),
    )
    write_figure(
        folder / "figures" / "specialisation.png",
        lambda ax: plots.plot_specialisation(shown.times, shown.cosines, ax),
    )
    note = f"d = 30, p = 3, K = 8, eta = 5, teacher seed {_SHOWN_TEACHER}"
    rows.append(("rates of R", " ".join(f"{rate:.3g}" for rate in shown.rates), "1 / time", note))
    for i, plateau in enumerate(shown.found):
        span = f"detected from t = {plateau.first:.3g} to {plateau.last:.3g}"
        rows.append((f"plateau {i + 1}, detected height", f"{plateau.error:.3g}", "error", f"{note}; {span}"))
    for i, height in enumerate(shown.predicted):
        rows.append((f"plateau {i + 1}, predicted height", f"{height:.3g}", "error", note))
    rows.append(_end_row(_SHOWN_TEACHER, shown))
    if survey:
        _write_ends(folder, rows, survey)


def _end_row(teacher: int, stages: Stages) -> Row:
    note = (
        f"teacher seed {teacher}: measured {stages.end:.3g}, 2 min eig R = {2 * stages.rates[-1]:.3g}, "
        f"2 min inner rate = {2 * stages.inner:.3g} (1 / time); last error {stages.error[-1]:.1e}"
    )
    return "end rate / (2 min eig R)", f"{stages.end / (2 * stages.rates[-1]):.3f}", "1", note


def _write_ends(folder: Path, rows: list[Row], teachers: range) -> None:
    """Survey the end of learning: measured rate against both kinds of predicted rates."""
    all_stages = [stages_of(_STAGES_SIZES, teacher, 5.0, forecast=False) for teacher in teachers]
    rows += [_end_row(teacher, stages) for teacher, stages in zip(teachers, all_stages, strict=True)]
    orthogonal = np.asarray([stages.rates[-1] for stages in all_stages])
    inner, end = (np.asarray([getattr(stages, name) for stages in all_stages]) for name in ("inner", "end"))
    # Some teachers are still on their last plateau after ten relaxation times: theirs is no end rate.
    ended = np.asarray([stages.error[-1] for stages in all_stages]) < _ENDED
    note = f"d = 30, p = 3, K = 8, eta = 5, teacher seeds 0..{len(teachers) - 1}; of those that reached the end"
    either = np.minimum(np.abs(end / (2 * orthogonal) - 1), np.abs(end / (2 * inner) - 1))
    counts = (
        ("smallest inner rate at least min eig R", inner >= orthogonal),
        ("end rate within 10 % of 2 min eig R", np.abs(end / (2 * orthogonal) - 1) < 0.1),
        ("end rate within 10 % of twice the slower kind", np.abs(end / (2 * np.minimum(orthogonal, inner)) - 1) < 0.1),
        ("end rate within 10 % of either", either < 0.1),
    )
    rows.append((f"last error below {_ENDED:g}", f"{ended.sum()} of {len(teachers)}", "teachers", note.split(";")[0]))
    rows += [(name, f"{(hits & ended).sum()} of {ended.sum()}", "teachers", note) for name, hits in counts]
    write_figure(
        folder / "figures" / "end_rate.png",
        lambda ax: plots.plot_end_rates(inner / orthogonal, end / orthogonal / 2, ended, ax),
    )


def _write_sweep(folder: Path, rows: list[Row]) -> None:
    modes, etas, seeds = (2, 3, 4, 5), (1.0, 2.0, 4.0, 8.0), range(4)
    times = log_times(0.1, 1000.0, 40)
    members = grid(modes=modes, eta=etas, teacher=seeds)
    result = run_members(members, times, SweepOptions(rtol=1e-6, atol=1e-9, groups=4))
    assert result.theory is not None
    error = np.asarray(result.theory.error).reshape(len(modes), len(etas), len(seeds), -1)
    good = int((np.asarray(result.theory.status) == 0).sum())
    rows.append(("members of the sweep that reached t = 1000", f"{good} of {len(members.d)}", "1", "d = 300, K = 8"))
    for name, curves, values, label in (
        ("sweep_modes", error[:, 2], modes, "p"),
        ("sweep_eta", error[2], etas, "eta"),
    ):
        write_figure(
            folder / "figures" / f"{name}.png",
            lambda ax, c=curves, v=values, n=label: plots.plot_sweep(times, c, v, n, ax),
        )


def _write_limits(folder: Path, rows: list[Row], teachers: range) -> None:
    etas = np.geomspace(4.0, 128.0, 16)
    pairs = rate_limits(_STAGES_SIZES, teachers, etas)
    swept = [pair[0].largest for pair in pairs]
    linear = [pair[1].largest for pair in pairs]
    note = f"d = 30, p = 3, K = 8, teacher seeds 0..{len(pairs) - 1}; grid of factor {etas[1] / etas[0]:.3f}"
    rows.append(("largest stable eta, by solves", " ".join(f"{v:.3g}" for v in swept), "1", note))
    rows.append(("largest stable eta, by the Jacobian", " ".join(f"{v:.3g}" for v in linear), "1", note))

    def draw(ax):
        for i, ((sweep, _), colour) in enumerate(zip(pairs, ordered_colours(len(pairs)), strict=True)):
            ax.plot(sweep.eta, sweep.growth, "-", color=colour, linewidth=1, label=f"teacher {i}")
            for stable, marker in ((sweep.stable, "o"), (~sweep.stable, "x")):
                ax.plot(sweep.eta[stable], sweep.growth[stable], marker, color=colour, markersize=4)
            ax.axvline(linear[i], color=colour, linestyle=":", linewidth=1)
        ax.axhline(1.0, color="black", linewidth=1)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel(r"learning rate $\eta$ (crosses: unstable; dotted: limit from the Jacobian)")
        ax.set_ylabel("error at t = 60 / error at t = 30")
        ax.legend(frameon=False, fontsize="small", ncols=2)

    write_figure(folder / "figures" / "largest_eta.png", draw)


def _write_trained(folder: Path, seeds: int, rows: list[Row]) -> None:
    members = grid(d=(1000,), modes=(3,), teacher=(0,), noise=range(seeds))
    options = SweepOptions(simulation=True, train_modes=True)
    result = run_members(members, log_times(0.5, 60.0, 14), options)
    times, theory, errors = _curves(result, seeds)
    worst = 100 * np.abs(errors.mean(axis=0)[1:] / theory[1:] - 1).max()
    note = f"xi and sigma trained too, d = 1000, p = 3, {seeds} seeds, 14 times in [0.5, 60]"
    rows.append(("largest deviation of the seed mean", f"{worst:.2f}", "percent", note))
    write_figure(
        folder / "figures" / "trained_modes.png",
        lambda ax: plots.plot_error(times, theory, errors, ax, label="theory, all factors trained"),
    )


def _write_speed(rows: list[Row]) -> None:
    for units in (8, 4):
        speed = measure_speed(units)
        note = f"K = {units}, 64 members, d = 300, t up to 250, least of 5 in turn, compile left out"
        rows.append(("one program", f"{speed.together:.3f}", "s", note))
        rows.append(("one by one, compiled", f"{speed.alone:.3f}", "s", note))
        rows.append(("one by one / one program", f"{speed.alone / speed.together:.2f}", "1", note))
        note = f"K = {units}, p = 5, one right-hand side of one member in a compiled loop"
        rows.append(("alone", f"{1e6 * speed.single:.2f}", "microseconds", note))
        rows.append(("in a batch of 64", f"{1e6 * speed.batched:.2f}", "microseconds", note))
        rows.append(("Python loops / alone", f"{speed.loop / speed.single:.0f}", "1", note))
        rows.append(("Python loops / in a batch of 64", f"{speed.loop / speed.batched:.0f}", "1", note))
