"""`modejax sweep`: train a grid of networks and write a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn

import tyro

from modejax.cli.options import File, SweepOptions, chosen_config, given_options, option_name
from modejax.errors import InputError
from modejax.sweep.config import SweepConfig

__all__ = ["SweepCommand"]

_WHERE = ("devices", "memory_limit", "data_dir", "launches")
"""Options that are allowed with `--resume`, since they do not change what a run measures."""


@dataclasses.dataclass(frozen=True)
class SweepCommand:
    """Train a grid of networks (widths x modes x seeds x learning rates x decays) as one compiled program.

    Without options: a small grid on the embedded digits, in under a minute. The result is a table, figures and a
    report.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "modejax sweep",
        "modejax sweep --dataset mnist --widths 50 100 --seeds 5 --epochs 6",
        "modejax sweep --learning-rates 0.001 0.01 --validation 0.1",
        "modejax sweep --arm 'dense layer=dense bias=true' --baseline none",
        "modejax sweep --layer spectral --layer-options variant=svd",
        "modejax sweep --resume runs/digits-mode-001",
    )

    # Without a default: one made here would pass the modes of the default layer on to all other layers.
    config: Annotated[SweepOptions, tyro.conf.arg(name="")]
    file: File = None
    out: Path | None = None
    """Run folder; by default a new one in runs/."""
    overwrite: bool = False
    """Replace an earlier run in --out, once the new one is whole."""
    resume: Path | None = None
    """Folder of an interrupted run to resume; its config is read from it, so give no other options of the sweep."""
    progress: bool = True
    """Show a progress bar on stderr."""
    json: bool = False
    """Print the table and the paths as JSON instead of text."""
    quiet: bool = False
    """Show no progress bar, and print only the run folder."""
    compile_cache: bool = True
    """Keep compiled programs in the user's cache folder, so that the same sweep starts at once the next time."""
    coordinator: str | None = None
    """Address and port of the first of several processes that run this sweep together, or auto under SLURM, Open MPI
    and on TPU pods; each process is started with the same options."""
    processes: int | None = None
    """Number of processes; needed if the coordinator is an address."""
    process: int | None = None
    """Index of this process, from 0; process 0 prints and writes."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        config = self._config()
        from modejax.cli.devices import use_cores

        use_cores(config, processes=self.processes or 1)
        if self.coordinator is None and (self.processes, self.process) != (None, None):
            raise InputError("--processes and --process need --coordinator HOST:PORT, the same in all processes")
        from modejax.cli.results import print_run
        from modejax.runs.folder import release_folder
        from modejax.runs.progress import progress_bar
        from modejax.runs.sweep import Keep, perform
        from modejax.sweep.execute import Interrupted, Watch
        from modejax.sweep.hosts import connect, is_lead

        if self.coordinator is not None:
            connect(self.coordinator, self.processes, self.process)
        folder = self.resume or self.out or _new_folder(config)
        keep = Keep(folder, resume=self.resume is not None, overwrite=self.overwrite)
        began = time.perf_counter()
        shown = self.progress and not self.json and not self.quiet and is_lead()
        with _stop_on_signal() as caught, progress_bar(config.num_networks, config.epochs, shown=shown) as report:
            watch = Watch(report=report, stop=lambda: bool(caught))
            try:
                run = perform(config, keep=keep, watch=watch, compile_cache=self.compile_cache)
            except Interrupted as stopped:
                if is_lead():
                    print(f"{stopped} of {config.epochs}; go on with: modejax sweep --resume {folder}", file=sys.stderr)
                return 128 + (caught[0] if caught else signal.SIGTERM)
            except RuntimeError as error:
                if self.coordinator is None:
                    raise
                _leave(error, folder)
            except InputError:
                # A refused sweep leaves nothing behind, not even the new folder.
                release_folder(folder)
                raise
        if not is_lead():
            return 0
        seconds = time.perf_counter() - began
        return print_run(run, as_json=self.json, quiet=self.quiet, seconds=seconds)

    def _config(self) -> SweepConfig:
        """Return the config of the options or of the file, or that of the run to resume."""
        if self.resume is None:
            if self.overwrite and self.out is None:
                raise InputError("--overwrite replaces the run in --out, which is missing; name the folder")
            return chosen_config(self.config, self.file)
        beside = [name for name, given in (("--out", self.out), ("the file", self.file)) if given is not None]
        beside += ["--overwrite"] if self.overwrite else []
        if beside:
            raise InputError(f"--resume {self.resume} goes on in its own folder with its own config; drop {beside[0]}")
        from modejax.runs.folder import unfinished
        from modejax.runs.reader import read_json

        stored = SweepConfig.from_fields(read_json(unfinished(self.resume), "config.json"))
        asked = self.config.config
        given = given_options(asked)
        different = [n for n in given if n not in _WHERE and getattr(asked, n) != getattr(stored, n)]
        if different:
            raise InputError(
                f"--resume {self.resume} brings its own config, which differs from the options given "
                f"({', '.join(map(option_name, different))}); drop them"
            )
        return dataclasses.replace(stored, **{n: getattr(asked, n) for n in _WHERE if n in given and n != "launches"})


def _leave(error: RuntimeError, folder: Path) -> NoReturn:
    """End this process after another process of the run was lost, without waiting for it at exit."""
    reason = str(error).splitlines()[0][:200]
    print(
        f"error: another process of this run was lost ({reason}); start all of them again with --resume {folder}",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _new_folder(config: SweepConfig) -> Path:
    """Return a new numbered folder, the same in all processes of a run; only the first of them makes it."""
    import jax
    import numpy as np

    from modejax.runs.folder import new_folder
    from modejax.sweep.hosts import any_process, from_lead, is_lead

    stem = f"{Path(config.dataset).stem}-{config.first_arm.name}"
    if jax.process_count() == 1:
        return new_folder("sweep", stem)
    name, problem = np.zeros(512, np.uint8), None
    if is_lead():
        try:
            text = os.fsencode(new_folder("sweep", stem))
            name[: len(text)] = np.frombuffer(text, np.uint8)
        except InputError as error:
            problem = error
    if any_process(problem is not None):
        raise problem or InputError("the first process of this run cannot make a run folder; see its message")
    return Path(os.fsdecode(from_lead(name).tobytes().rstrip(b"\0")))


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[list[int]]:
    """Record SIGINT and SIGTERM, so that the sweep stops in order; a second signal ends the process at once."""
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
