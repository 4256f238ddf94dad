"""`modejax sweep`: train a grid of networks and write a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import tyro

from modejax.cli.table import bytes_text, count_text, print_table
from modejax.errors import InputError
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    import xarray

__all__ = ["SweepCommand", "print_result"]


@dataclasses.dataclass(frozen=True)
class SweepCommand:
    """Train a grid of networks (widths x modes x seeds x learning rates x decays) as one compiled program.

    Without options: a small grid on the embedded digits, in under a minute. It ends with a table, figures and a report.
    """

    # Without a default of its own: made here it would carry the modes of the default layer to all others.
    config: Annotated[SweepConfig, tyro.conf.arg(name="")]
    out: Path | None = None
    """Run folder; by default a new one in runs/."""
    resume: Path | None = None
    """Run folder to go on with; it brings its own config, so give no other options of the sweep."""
    progress: bool = True
    """Show a bar on stderr."""
    json: bool = False
    """Print the table and the paths as JSON instead of text."""
    coordinator: str | None = None
    """Address and port of the first of several processes that run this sweep together, or auto under SLURM, Open MPI
    and on TPU pods; each process is started with the same options."""
    processes: int | None = None
    """Number of processes, where the coordinator is an address."""
    process: int | None = None
    """Number of this process, from 0; process 0 prints and writes."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        config, folder = self._place()
        from modejax.cli.devices import use_cores

        use_cores(config, processes=self.processes or 1)
        if self.coordinator is None and (self.processes, self.process) != (None, None):
            raise InputError("--processes and --process need --coordinator HOST:PORT, the same in all processes")
        from modejax.sweep.hosts import connect, is_lead
        from modejax.sweep.run import Interrupted, run_sweep

        if self.coordinator is not None:
            connect(self.coordinator, self.processes, self.process)
        began = time.perf_counter()
        shown = self.progress and not self.json and is_lead()
        with _stop_on_signal() as caught, _bar(config, shown=shown) as report:
            try:
                result = run_sweep(
                    config,
                    out=folder,
                    resume=self.resume is not None,
                    report=report,
                    stop=lambda: bool(caught),
                )
            except Interrupted as stopped:
                if is_lead():
                    print(f"{stopped} of {config.epochs}; go on with: modejax sweep --resume {folder}", file=sys.stderr)
                return 128 + (caught[0] if caught else signal.SIGTERM)
            except RuntimeError as error:
                if self.coordinator is None:
                    raise
                _leave(error, folder)
        if not is_lead():
            return 0
        return print_result(result, folder, as_json=self.json, seconds=time.perf_counter() - began)

    def _place(self) -> tuple[SweepConfig, Path]:
        if self.resume is None:
            return self.config, self.out or _new_folder(self.config)
        if self.out is not None and self.out != self.resume:
            raise InputError(f"--resume {self.resume} goes on in its own folder; drop --out {self.out}")
        from modejax.sweep.result import is_run

        if not is_run(self.resume):
            raise InputError(f"{self.resume} is not a run that could be resumed (it has no config.json)")
        stored = SweepConfig.from_json((self.resume / "config.json").read_text())
        given = dataclasses.replace(self.config, launches=self.config.launches or stored.launches)
        if self.config != SweepConfig() and given != stored:
            raise InputError(
                f"--resume {self.resume} brings its own config, which differs from the options given; drop them"
            )
        return stored, self.resume


def _leave(error: RuntimeError, folder: Path) -> NoReturn:
    """End a process whose run has lost another one, without waiting for that one at the exit."""
    reason = str(error).splitlines()[0][:200]
    print(
        f"error: another process of this run was lost ({reason}); start all of them again with --resume {folder}",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _new_folder(config: SweepConfig) -> Path:
    name = f"{Path(config.dataset).stem}-{config.layer}"
    number = 1
    while (folder := Path("runs") / f"{name}-{number:03d}").exists():
        number += 1
    return folder


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM; a second one ends the process at once, as it would without this."""
    caught: list[int] = []

    def handle(number: int, frame: Any) -> None:
        del frame
        caught.append(number)
        print("stopping after this chunk of epochs (again: at once)", file=sys.stderr)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _bar(config: SweepConfig, *, shown: bool) -> Iterator[Any]:
    """Yield a report that moves a bar of epochs on stderr."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task(f"compiling {config.num_members} networks", total=config.epochs)

    def report(at: Any) -> None:
        progress.start()
        if at.done:
            text = f"mean test accuracy {100 * at.accuracy:.1f} %"
            progress.update(task, completed=at.done, total=at.total, description=text)

    try:
        yield report
    finally:
        progress.stop()


def print_result(result: xarray.Dataset, folder: Path, *, as_json: bool, seconds: float | None) -> int:
    """Write figures and report of a run, and print its table, the paths written and the next command to try.

    Args:
        result: the result.
        folder: its run folder.
        as_json: print JSON instead of text.
        seconds: wall time of the command so far; None where it did not run the sweep.

    Returns:
        The exit code, 0.
    """
    from modejax import plots

    rows = plots.table(result)
    figures = plots.save_figures(result, folder)
    report = plots.write_report(result, folder, figures)
    paths = [folder / "config.json", folder / "result.nc", *figures, report]
    times = {name: float(result.attrs[f"seconds_to_{name}"]) for name in ("trace", "compile", "run")}
    if as_json:
        print(json.dumps({"table": rows, "seconds": times, "paths": [str(path) for path in paths]}, indent=2))
        return 0
    _print_rows(rows)
    failed = int(result.status.sum())
    if failed:
        print(f"{failed} of {result.status.size} networks diverged (a loss was not finite); they count as missing.")
    print(
        f"trace {times['trace']:.1f} s, compile {times['compile']:.1f} s, run {times['run']:.1f} s"
        + (f", {seconds:.1f} s in all" if seconds is not None else "")
        + f"; {count_text(float(result.attrs['useful_flops']))}FLOP useful, "
        f"{count_text(float(result.attrs['padded_flops']))}FLOP with padding; {result.attrs['device']}"
    )
    print(f"wrote {folder}/: " + ", ".join(str(path.relative_to(folder)) for path in paths))
    print(f"size of result.nc: {bytes_text((folder / 'result.nc').stat().st_size)}")
    print(f"next: open {report}; then try: modejax sweep --layer tied_mode --widths 32 64 128 --seeds 5")
    return 0


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the rows of `plots.table`: a line a width, a column a number of modes, one table a rate and decay."""
    own = [row for row in rows if row["network"] != "dense baseline"]
    dense = {row["width"]: row for row in rows if row["network"] == "dense baseline"}
    modes = sorted({row["modes"] for row in own})
    without = "full rank" if own[0]["network"] == "svd" else own[0]["network"]
    tables = [(row["learning_rate"], row["weight_decay"], row.get("sparsity", 0.0)) for row in own]
    for key in sorted(set(tables)):
        rate, decay, sparsity = key
        here = {(row["width"], row["modes"]): row for row, of in zip(own, tables, strict=True) if of == key}
        columns = ["width", *(f"{p} modes" if p else without for p in modes), *(["dense"] if dense else [])]
        table = [
            [str(width), *(_cell(here[width, p]) for p in modes), *([_cell(dense[width])] if dense else [])]
            for width in sorted({width for width, _ in here})
        ]
        print_table(
            f"{own[0]['network']}: test accuracy in percent, mean +- standard deviation over seeds, (parameters); "
            f"learning rate {rate:g}, decay {decay:g}" + (f", sparsity {sparsity:g} %" if "sparsity" in own[0] else ""),
            columns,
            table,
        )


def _cell(row: dict[str, Any]) -> str:
    if row["mean"] is None:
        return f"diverged ({count_text(row['num_parameters'])})"
    spread = "" if row["sd"] is None else f" +- {row['sd']:.1f}"
    failed = f", {row['diverged']} diverged" if row["diverged"] else ""
    return f"{row['mean']:.1f}{spread} ({count_text(row['num_parameters'])}{failed})"
