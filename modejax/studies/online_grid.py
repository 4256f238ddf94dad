"""A grid of members from the command line: run, save, draw."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modejax._files import replaced
from modejax.errors import InputError
from modejax.online import SweepOptions, SweepResult, grid, log_times, run_members, specialisation
from modejax.plots import online as plots
from modejax.runs import Output, output
from modejax.studies.files import Wrote, write_figure, write_text
from modejax.studies.online_config import OnlineConfig

__all__ = ["run_grid"]


def run_grid(config: OnlineConfig) -> Iterator[str]:
    """Run the members and write the folder.

    Args:
        config: the options of `modejax online`.

    Yields:
        Lines to print: what ran and what was written.

    Raises:
        InputError: options that make no sense, or a folder that is refused (see `modejax.runs.output`).
    """
    if config.teachers < 1 or config.seeds < 0:
        raise InputError(
            f"teachers={config.teachers}, seeds={config.seeds}; "
            "allowed: teachers 1 or more, seeds 0 (theory alone) or more"
        )
    with output(config.out, "online", overwrite=config.overwrite) as out:
        yield from _run_to(out, config)


def _run_to(out: Output, config: OnlineConfig) -> Iterator[str]:
    folder = out.path
    members = grid(
        d=config.d,
        units=config.units,
        modes=config.modes,
        eta=config.eta,
        teacher=range(config.teachers),
        noise=range(max(config.seeds, 1)),
    )
    options = SweepOptions(
        unit=config.unit,
        simulation=config.seeds > 0,
        train_modes=config.train_modes,
        test_samples=config.test_samples,
        solver=config.solver,
        rtol=config.rtol,
        atol=config.atol,
        max_steps=config.max_steps,
    )
    times = log_times(config.first_time, config.last_time, config.points)
    result = run_members(members, times, options)
    _save(folder / "result.npz", result)
    values = {key: str(v) if isinstance(v, Path) else v for key, v in dataclasses.asdict(config).items()}
    write_text(folder / "config.json", json.dumps(values, indent=2) + "\n")
    _draw(folder / "figures", result, max(config.seeds, 1))
    folder = out.finish()
    theory = result.theory
    assert theory is not None
    bad = np.flatnonzero(np.asarray(theory.status) != 0)
    reached = f"{len(bad)} solutions did not reach" if len(bad) else "all solutions reached"
    yield f"{len(members.d)} runs in one program; {reached} t = {times[-1]:g}"
    for i in bad[:5]:
        yield (
            f"  run {i} (d={members.d[i]}, K={members.units[i]}, p={members.modes[i]}, eta={members.eta[i]:g}): "
            f"status {int(theory.status[i])}, last good time {float(theory.last_good_time[i]):g}"
        )
    if result.simulation is not None and not len(bad):
        ratio = np.asarray(result.simulation.error) / np.asarray(theory.error) - 1
        size = 100 * np.nanmax(np.abs(ratio))
        yield f"largest deviation of a simulation from its theory: {size:.1f} percent"
    yield Wrote(folder, "result.npz, config.json and figures/*.png")
    yield f"next: open {folder}/figures/error.png, or numpy.load('{folder}/result.npz')"


def _save(path: Path, result: SweepResult) -> None:
    arrays = {f"member_{name}": np.asarray(value) for name, value in result.members._asdict().items()}
    arrays["rates"] = np.asarray(result.rates)
    for prefix, part in (("theory", result.theory), ("simulation", result.simulation)):
        if part is not None:
            for name, value in part._asdict().items():
                if name != "state":
                    arrays[f"{prefix}_{name}"] = np.asarray(value)
    with replaced(path) as part, part.open("wb") as file:
        # Each array is an entry of its own name; the stub of savez knows only its own option.
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def _draw(folder: Path, result: SweepResult, seeds: int) -> None:
    """Draw the errors of up to eight settings (seeds together), and the first setting's order parameters."""
    theory, runs, members = result.theory, result.simulation, result.members
    assert theory is not None
    settings = list(range(0, len(members.d), seeds))[:8]

    def errors(ax):
        for i, colour in zip(settings, plots.colours(len(settings)), strict=True):
            label = f"d={members.d[i]} K={members.units[i]} p={members.modes[i]} eta={members.eta[i]:g}"
            some = None if runs is None else np.asarray(runs.error[i : i + seeds])
            times = np.asarray(theory.times[i])
            plots.plot_error(ax, times, np.asarray(theory.error[i]), some, label=label, colour=colour)
        if len(settings) > 2:
            handles, labels = ax.get_legend_handles_labels()
            keep = [(h, t) for h, t in zip(handles, labels, strict=True) if not t.startswith("simulation")]
            ax.legend(*zip(*keep, strict=True), frameon=False, fontsize="small")

    write_figure(folder / "error.png", errors)
    times, Q, M, P = (np.asarray(part[0]) for part in (theory.times, theory.Q, theory.M, theory.P))
    count = int(members.units[0])
    cosines = np.asarray(specialisation(Q, M, P))[:, :count]
    write_figure(folder / "specialisation.png", lambda ax: plots.plot_specialisation(ax, times, cosines))
    points = None
    if runs is not None:
        points = np.asarray(runs.times[0]), np.asarray(runs.Q[0]), np.asarray(runs.M[0])
    write_figure(
        folder / "order_parameters.png",
        lambda ax: plots.plot_order_parameters(ax, times, Q, M, P, points, tuple(range(min(3, count)))),
        size=(6.0, 5.0),
    )
