"""How a finished folder takes its name: by renames, so that a kill at any moment loses no earlier result.

Beside a folder NAME there may be, for as long as a command works or after it was killed,

- `NAME.unfinished`: long work that shall replace a finished NAME and can be resumed,
- `.NAME.new`: short work, or the same for a NAME that is missing,
- `.NAME.old`: the earlier NAME, from the moment when it gave up its name until it is removed,
- `.NAME.lock`: held by the process that works on any of them.

Work carries a marker that says `running`, and that says `finished` only when all of its files are on the disk. So what
is there after a kill tells what to do: `recover` puts finished work in place, or an earlier result back.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from modejax.errors import InputError
from modejax.runs._marker import MARKER, PART, Marker, is_blank, load_marker

__all__ = ["UNFINISHED", "Names", "foreign", "is_mark", "look", "names_of", "put_in_place", "recover", "remove"]

UNFINISHED = ".unfinished"
"""What is added to the name of a folder for long work that shall replace it."""


class Names(NamedTuple):
    """A folder and what may lie beside it."""

    folder: Path
    unfinished: Path
    new: Path
    old: Path
    lock: Path


def names_of(folder: Path) -> Names:
    """Return a folder and the names of what may lie beside it.

    Args:
        folder: the folder; a link to one, `.` and `..` become the folder that is meant.

    Returns:
        The names.

    Raises:
        InputError: if the folder is the root of a file system.
    """
    if "\0" in str(folder):
        raise InputError(f"the output folder {str(folder)!r} holds a null character; name another")
    if os.path.islink(folder) or folder.name in ("", ".."):
        folder = Path(os.path.realpath(folder))
    if not folder.name:
        raise InputError(f"the output folder {folder} is the root of the file system; name a folder in it")
    name, beside = folder.name, folder.parent
    return Names(
        folder,
        beside / f"{name}{UNFINISHED}",
        beside / f".{name}.new",
        beside / f".{name}.old",
        beside / f".{name}.lock",
    )


def look(folder: Path) -> Marker | None:
    """Return what the marker of a folder says; None where the folder is missing or empty.

    Args:
        folder: where a command shall write.

    Returns:
        The marker.

    Raises:
        InputError: if it is a file, a folder of something else, or its marker is malformed.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"the output folder {folder} is a file; name a new folder or an empty one")
    marker = load_marker(folder)
    if marker is None and not is_blank(folder):
        raise foreign(folder)
    return marker


def foreign(folder: Path) -> InputError:
    """Return the refusal of a folder that no command of modejax made."""
    return InputError(
        f"the folder {folder} exists and was not made by modejax (it has no {MARKER}); nothing in it is changed: "
        "name a new folder or an empty one"
    )


def is_mark(name: str) -> bool:
    """Say whether a file is a marker, or one that is being written."""
    return name in (MARKER, PART)


def remove(folder: Path) -> None:
    """Remove a folder of ours, the marker last, so that what a kill leaves is still known to be ours.

    Args:
        folder: the folder; it may be missing.

    Raises:
        InputError: if it is not ours.
        OSError: if something in it cannot be removed.
    """
    look(folder)
    if not os.path.lexists(folder):
        return
    for path in list(folder.iterdir()):
        if is_mark(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name in (PART, MARKER):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def put_in_place(names: Names, ready: Path) -> None:
    """Give finished work its name; an earlier folder of that name goes.

    Args:
        names: of the folder.
        ready: the finished work beside it.

    Raises:
        InputError: if something else has taken a name meanwhile.
        OSError: if it cannot be renamed; the earlier folder is back at its name then.
    """
    if look(names.folder) is None:
        remove(names.folder)
        ready.rename(names.folder)
        return
    remove(names.old)
    names.folder.rename(names.old)
    try:
        ready.rename(names.folder)
    except OSError:
        names.old.rename(names.folder)
        raise
    with contextlib.suppress(OSError):  # The result is in place; what is left of the earlier one goes next time.
        remove(names.old)


def recover(names: Names) -> None:
    """Bring a name to one whole folder after a kill; the caller holds its lock.

    Args:
        names: of the folder.

    Raises:
        InputError: if a folder beside it is not ours, or holds something else than the folder.
        OSError: if something cannot be renamed or removed.
    """
    here, beside = look(names.folder), {path: look(path) for path in (names.unfinished, names.new, names.old)}
    for path, marker in beside.items():
        if here is not None and marker is not None and marker.kind != here.kind:
            raise InputError(
                f"{path} holds the output of another command ({marker.kind}) than {names.folder} ({here.kind}), beside "
                "which it lies; move one of them away"
            )
    done = [path for path in (names.unfinished, names.new) if (found := beside[path]) and found.state == "finished"]
    if done:
        put_in_place(names, done[0])
    elif here is None and beside[names.old] is not None:
        remove(names.folder)
        names.old.rename(names.folder)
    for path in (names.new, names.old):
        remove(path)
