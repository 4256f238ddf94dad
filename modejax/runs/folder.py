"""The folder that a command writes: locked before anything is computed, put in place atomically when it is finished."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from modejax._files import is_part
from modejax.errors import InputError, choices
from modejax.runs._exchange import UNFINISHED, Names, is_mark, look, names_of, put_in_place, recover, remove
from modejax.runs._lock import held
from modejax.runs._marker import KINDS, MARKER, Marker, is_blank, load_marker, record_of, save_marker, version

__all__ = ["Output", "has_unfinished", "new_folder", "output", "release_folder", "unfinished"]

_LONG = ("sweep", "study")
"""Kinds whose work can be resumed; their folder is kept if the work ends early."""

_REMADE = ("figures", "report.html", "table.csv")
"""Files that may be drawn or written again from a finished result at any later time."""

_reserved: set[Path] = set()
"""Folders that `new_folder` made in this process; those that stay empty are removed."""


class Output:
    """A folder that is being written.

    Attributes:
        folder: the final path of the result.
        path: the folder to write in; the same as `folder` once the output is finished.
        kind: the kind of the output, such as `sweep`.
        resumed: whether it holds earlier work that is to be resumed.
        finished: whether it is finished and in place.
    """

    def __init__(self, names: Names, path: Path, kind: str, *, resumed: bool, stays: bool = False) -> None:
        self.folder = names.folder
        self.path = path
        self.kind = kind
        self.resumed = resumed
        self.finished = False
        self._names = names
        self._stays = stays  # whether the folder existed before, empty

    def finish(self, files: Iterable[str] | None = None) -> Path:
        """Record the checksum of each file of data, mark the folder as finished and put it in place.

        Args:
            files: the files that hold data, by their path below the folder; None for all files, except those in
                `checkpoint`, in folders with a marker of their own, and with names that start with a dot.

        Returns:
            The final path of the folder.

        Raises:
            InputError: if a file is missing, or the folder cannot be put in place; then an earlier result stays
                unchanged.
        """
        try:
            names = _data(self.path) if files is None else sorted(set(files))
            records = {name: record_of(self.path / name) for name in names}
            entries = tuple(sorted(name for name in os.listdir(self.path) if not is_mark(name)))
            save_marker(self.path, Marker(self.kind, "finished", version(), records, entries))
            if self.path != self.folder:
                put_in_place(self._names, self.path)
        except OSError as error:
            raise InputError(
                f"{self.folder} could not be finished ({error.strerror or error}); what was there before is unchanged. "
                "Make room or name another folder"
            ) from None
        self.path, self.finished = self.folder, True
        _reserved.discard(self.folder)
        return self.folder

    def _leave(self) -> None:
        """Remove unfinished work that is not worth keeping: short work, and long work that has not written anything."""
        if self.finished:
            return
        with contextlib.suppress(OSError, InputError):
            if self.kind not in _LONG or all(is_mark(name) for name in os.listdir(self.path)):
                remove(self.path)
                if self._stays:
                    self.path.mkdir()


@contextlib.contextmanager
def output(
    folder: str | Path | None,
    kind: str,
    *,
    overwrite: bool = False,
    resume: bool = False,
    stem: str = "",
) -> Iterator[Output]:
    """Hold a folder for the output of a command, from before it computes anything until it has finished.

    A folder that modejax did not make, or that is of another kind, is never written to. A finished folder is replaced
    only with `overwrite`, and stays complete and readable until its successor is finished. Short work is done in a
    hidden folder beside it, which is removed if the work ends early. Sweeps and studies work in the folder itself, or
    in `FOLDER.unfinished` if `FOLDER` exists, and can be resumed.

    Args:
        folder: path of the result; it may be missing or empty. None for a new numbered folder in `runs`.
        kind: kind of the folder: sweep, decompose, svr, interpolate, online or study.
        overwrite: whether to replace an earlier result, or unfinished work, of the same kind.
        resume: whether to resume unfinished work at this path; only for sweeps and studies.
        stem: stem of the numbered name, as in `new_folder`.

    Yields:
        The output. Call its `finish` when all files are written; otherwise the work counts as unfinished.

    Raises:
        InputError: if the folder is refused, cannot be written, or another process holds it; nothing is left behind.

    Example:
        >>> from modejax.runs import read_json
        >>> with tempfile.TemporaryDirectory() as runs:
        ...     with output(Path(runs) / "a", "svr") as out:
        ...         _ = (out.path / "config.json").write_text('{"level": 3}')
        ...         _ = out.finish(["config.json"])
        ...     print(read_json(Path(runs) / "a", "config.json"))
        {'level': 3}
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of output {kind!r}; allowed: {choices(KINDS)}")
    if overwrite and resume:
        raise InputError("an output is either resumed or overwritten; drop one of the two")
    if resume and kind not in _LONG:
        raise InputError(f"the output of {kind} cannot be resumed; allowed: {choices(_LONG)}")
    if folder is None:
        if overwrite or resume:
            raise InputError(f"name the folder to {'overwrite' if overwrite else 'resume'}; by default it is a new one")
        folder = new_folder(kind, stem)
    names = _names(Path(folder), resume=resume)
    with contextlib.ExitStack() as stack:
        with _refusing(names.folder):
            made = [parent for parent in names.folder.parents if not parent.exists()]
            stack.callback(_remove_empty, made)
            stack.callback(release_folder, names.folder)
            if not resume or names.folder.parent.is_dir():
                names.folder.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(held(names.lock, names.folder))
                recover(names)
            out = _resumed(names, kind) if resume else _begun(names, kind, overwrite=overwrite)
        stack.callback(out._leave)
        yield out


def new_folder(kind: str, stem: str = "") -> Path:
    """Make an empty numbered folder in `runs`, with a name that no other process gets.

    It is removed at the end of the process if nothing was written to it. If several processes run a sweep together,
    only the first may call this.

    Args:
        kind: kind of the folder, as in `output`.
        stem: its name without the number; for all kinds but sweep and study the kind is put before it.

    Returns:
        The folder, such as `runs/digits-mode-001` or `runs/svr-net-001`.

    Raises:
        InputError: if it cannot be made.

    Example:
        >>> new_folder("online")  # doctest: +SKIP
        PosixPath('runs/online-001')
    """
    plain = re.sub(r"[^\w.=+-]+", "-", stem).strip("-.")[:100]
    name = plain if plain and kind in _LONG else "-".join(filter(None, (kind, plain)))
    runs, number = Path("runs"), 1
    while True:
        names = names_of(runs / f"{name}-{number:03d}")
        taken = any(os.path.lexists(path) for path in (names.folder, names.unfinished, names.new, names.old))
        try:
            if not taken:
                runs.mkdir(exist_ok=True)
                names.folder.mkdir()
                break
        except (FileExistsError, FileNotFoundError):  # another process took this name at the same time
            if runs.is_dir() or not os.path.lexists(runs):
                continue
            raise InputError(f"the output folder {runs} is a file; name another with --out") from None
        except OSError as error:
            raise InputError(f"{names.folder} cannot be made ({error.strerror}); name another with --out") from None
        number += 1
    # The working folder may have changed by then.
    folder = names.folder.absolute()
    _reserved.add(folder)
    atexit.register(release_folder, folder)
    return names.folder


def has_unfinished(folder: str | Path, kind: str = "sweep") -> bool:
    """Return whether there is unfinished work at a path that `output(..., resume=True)` would resume.

    Args:
        folder: the path of the result.
        kind: the kind that it must have.

    Returns:
        Whether there is such work.

    Example:
        >>> has_unfinished("runs/none")
        False
    """
    try:
        unfinished(folder, kind)
    except InputError:
        return False
    return True


def unfinished(folder: str | Path, kind: str = "sweep") -> Path:
    """Return the folder with the unfinished work of a result, to read its config before it is resumed.

    Args:
        folder: the path of the result.
        kind: the kind that it must have.

    Returns:
        `folder` itself or `FOLDER.unfinished`.

    Raises:
        InputError: if there is no unfinished work of this kind.
    """
    names = _names(Path(folder), resume=True)
    for path in (names.unfinished, names.folder):
        marker = load_marker(path)
        if marker is not None and marker.kind != kind:
            raise _other_kind(path, marker, kind)
        if marker is not None and marker.state == "running":
            return path
    state = "is finished" if load_marker(names.folder) is not None else f"is not a {kind} of modejax"
    raise InputError(f"{folder} {state}, so there is nothing to resume; allowed: a {kind} that was stopped")


def _names(folder: Path, *, resume: bool) -> Names:
    if folder.name.endswith(UNFINISHED):
        if not resume:
            raise InputError(
                f"the output folder {folder} ends in {UNFINISHED}, which marks unfinished work; name another"
            )
        folder = folder.with_name(folder.name.removesuffix(UNFINISHED))
    return names_of(folder)


def _resumed(names: Names, kind: str) -> Output:
    path = unfinished(names.folder, kind)
    _try(path)
    for each in path.iterdir():
        if is_part(each):  # left by a process that was killed while it wrote
            each.unlink()
    return Output(names, path, kind, resumed=True)


def _begun(names: Names, kind: str, *, overwrite: bool) -> Output:
    """Refuse what is not allowed, then make the folder in which to work."""
    folder, here, work = names.folder, look(names.folder), look(names.unfinished)
    for path, marker in ((folder, here), (names.unfinished, work)):
        if marker is None:
            continue
        if marker.kind != kind:
            raise _other_kind(path, marker, kind)
        if not overwrite and marker.state == "finished":
            raise InputError(f"{path} is finished; pass --overwrite to replace it, or name another folder")
        if not overwrite:
            how = f"resume it with --resume {folder}, " if kind in _LONG else ""
            raise InputError(f"{path} is unfinished; {how}pass --overwrite to begin anew, or name another folder")
    if here is not None:
        _check_entries(folder, here)
        _try(folder)
    in_place = kind in _LONG and here is None
    if not in_place and os.path.lexists(folder):
        _check_exchange(folder)
    path = folder if in_place else names.unfinished if kind in _LONG else names.new
    stays = in_place and path.is_dir() and folder.absolute() not in _reserved
    if not in_place:
        remove(path)
    path.mkdir(exist_ok=True)
    out = Output(names, path, kind, resumed=False, stays=stays)
    try:
        save_marker(path, Marker(kind, "running", version(), {}, ()))
    except OSError:
        out._leave()
        raise
    return out


def _check_entries(folder: Path, marker: Marker) -> None:
    """Refuse to replace a finished folder to which other files were added, since these would be lost."""
    if marker.state != "finished":
        return
    known = {*marker.entries, *_REMADE, ".DS_Store"}
    added = [p.name for p in folder.iterdir() if p.name not in known and not is_mark(p.name) and not is_part(p)]
    if added:
        raise InputError(
            f"{folder} also holds {', '.join(sorted(added)[:5])}, which came later and would be lost; move it away, or "
            "name another folder"
        )


def _check_exchange(folder: Path) -> None:
    """Refuse a folder that cannot be replaced by a rename."""
    if folder.is_mount() or Path.cwd().is_relative_to(folder.resolve()):
        what = "a mount point" if folder.is_mount() else "the current folder, or holds it"
        raise InputError(f"the output folder {folder} is {what}, and cannot be exchanged; name a folder in it")


def _other_kind(path: Path, marker: Marker, kind: str) -> InputError:
    return InputError(
        f"{path} holds the output of another command ({marker.kind}), which {kind} does not replace; name another"
    )


def _try(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


def _data(folder: Path) -> list[str]:
    """Return the files of data in a folder, as paths relative to it."""
    found = []
    for top, folders, files in os.walk(folder):
        here = Path(top)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name != "checkpoint" and not (here / name / MARKER).exists()
        ]
        found += [(here / name).relative_to(folder).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


@contextlib.contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the output folder {folder} cannot be written ({error.strerror or error}); name another"
        ) from None


def release_folder(folder: Path) -> None:
    """Remove a folder that `new_folder` made if nothing was written to it; any other folder is left unchanged.

    Args:
        folder: the folder.

    Example:
        >>> release_folder(Path("not-made-by-new-folder"))
    """
    folder = folder.absolute()
    if folder in _reserved and is_blank(folder):
        _reserved.discard(folder)
        _remove_empty([folder, folder.parent])


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
