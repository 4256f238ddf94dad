"""A grid of members from the command line: run, label, save, draw, tell."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import pandas

from modejax._files import replaced
from modejax._versions import versions
from modejax.errors import InputError
from modejax.online import Draw, SweepOptions, grid, labelled, log_times, read_teacher, run_members, sizes_of
from modejax.plots.online_report import write_online_report
from modejax.runs import Output, output
from modejax.studies.common import DPI
from modejax.studies.files import Wrote, check_apart, write_text
from modejax.studies.online_config import OnlineConfig
from modejax.studies.online_figures import draw_figures
from modejax.studies.online_next import next_command
from modejax.studies.online_table import table_lines, table_rows, trouble_lines

if TYPE_CHECKING:
    import xarray

__all__ = ["run_grid"]


def run_grid(config: OnlineConfig) -> Iterator[str]:
    """Run the members and write the folder.

    Args:
        config: the options of `modejax online`.

    Yields:
        Lines to print: the table, what diverged and what was written.

    Raises:
        InputError: options that make no sense, a teacher that is none (see `modejax.online.read_teacher`), or a folder
            that is refused (see `modejax.runs.output`).
    """
    if config.teachers < 1 or config.seeds < 0:
        raise InputError(
            f"teachers={config.teachers}, seeds={config.seeds}; "
            "allowed: teachers 1 or more, seeds 0 (theory alone) or more"
        )
    for name in ("d", "units", "modes", "eta"):
        values = getattr(config, name)
        twice = [each for each in values if values.count(each) > 1]
        if twice:
            raise InputError(f"{name} has the value {twice[0]:g} more than once; allowed: each value once. Drop one")
    start, source = None, {}
    if config.teacher is not None:
        check_apart(config.teacher, config.out)
        start, digest = read_teacher(config.teacher)
        config = _with_sizes(config, start)
        source = {"teacher_file": config.teacher.name, "teacher_hash": digest}  # pyright: ignore
    with output(config.out, "online", overwrite=config.overwrite) as out:
        yield from _run_to(out, config, start, source)


def _with_sizes(config: OnlineConfig, start: Draw) -> OnlineConfig:
    """Return the config with the sizes of a teacher of the user's, which no option may contradict."""
    default, sizes = OnlineConfig(), sizes_of(start)._asdict()
    if config.teachers != 1:
        raise InputError(f"--teachers {config.teachers} draws teachers, but --teacher brings one; drop one of the two")
    for name, size in sizes.items():
        value = getattr(config, name)
        if value not in (getattr(default, name), (size,)):
            asked = " ".join(map(str, value))
            raise InputError(f"--{name} {asked} is not the {name} of {config.teacher}, which is {size}; drop --{name}")
    return dataclasses.replace(config, **{name: (size,) for name, size in sizes.items()})


def _run_to(out: Output, config: OnlineConfig, start: Draw | None, source: dict[str, str]) -> Iterator[str]:
    folder = out.path
    data = _computed(config, start)
    values = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
        if name not in ("out", "overwrite")
    }
    data.attrs |= {"config": json.dumps(values), **source}
    with replaced(folder / "result.nc") as part:
        packed = {name: {"zlib": True} for name, each in data.data_vars.items() if each.dtype.kind == "f"}
        data.to_netcdf(part, engine="h5netcdf", encoding=packed)
    rows = table_rows(data)
    with replaced(folder / "table.csv") as part:
        pandas.DataFrame(rows).to_csv(part, index=False)
    write_text(folder / "config.json", json.dumps(values, indent=2) + "\n")
    last = float(data.time[-1])
    trouble = trouble_lines(rows, last)
    write_online_report(data, rows, folder, draw_figures(data, folder / "figures"), dpi=DPI)
    folder = out.finish()
    yield from table_lines(rows, last)
    yield from trouble
    yield Wrote(folder, "config.json, result.nc, table.csv, report.html, figures/")
    yield f"next: open {folder / 'report.html'}; then try:\n  {next_command(config, rows)}"


def _computed(config: OnlineConfig, start: Draw | None) -> xarray.Dataset:
    """Solve and simulate the members, and say when, on what and in which time."""
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
    began = time.perf_counter()
    data = labelled(run_members(members, times, options, start=start))
    if start is not None:
        data.teacher.attrs["long_name"] = "teacher: that of the file, see the attribute teacher_file"
    device = jax.devices()[0]
    facts: dict[str, Any] = {
        "versions": json.dumps(versions("modejax", "jax", "jaxlib", "diffrax", "numpy")),
        "device": f"{min(jax.local_device_count(), len(members.d))} x {device.device_kind} ({device.platform})",
        "seconds_to_compile_and_run": time.perf_counter() - began,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return data.assign_attrs(facts)
