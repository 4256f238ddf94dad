"""Putting a finished folder in place, by renames, so that a kill at any moment loses no earlier result.

While a command works, or after it was killed, there may be beside a folder NAME:

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
"""Suffix of the folder for long work that will replace a finished folder."""


class Names(NamedTuple):
    """The path of a folder and the paths of the temporary folders and the lock beside it."""

    folder: Path
    unfinished: Path
    new: Path
    old: Path
    lock: Path


def names_of(folder: Path) -> Names:
    """Return the path of a folder and the paths of the temporary folders and the lock beside it.

    Args:
        folder: the folder; links, `.` and `..` are resolved.

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
    """Return the marker of a folder; None if the folder is missing or empty.

    Args:
        folder: the folder in which a command will write.

    Returns:
        The marker.

    Raises:
        InputError: if it is a file or a folder that modejax did not make, or its marker is malformed.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"the output folder {folder} is a file; name a new folder or an empty one")
    marker = load_marker(folder)
    if marker is None and not is_blank(folder):
        raise foreign(folder)
    return marker


def foreign(folder: Path) -> InputError:
    """Return the error for a folder that no command of modejax made."""
    return InputError(
        f"the folder {folder} exists and was not made by modejax (it has no {MARKER}); nothing in it is changed: "
        "name a new folder or an empty one"
    )


def is_mark(name: str) -> bool:
    """Return whether a file is a marker, or a marker that is being written."""
    return name in (MARKER, PART)


def remove(folder: Path) -> None:
    """Remove a folder of modejax; the marker is removed last, so that after a kill the rest can still be recognised.

    Args:
        folder: the folder; it may be missing.

    Raises:
        InputError: if modejax did not make it.
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
    """Rename finished work to its final name; an earlier folder of that name is removed.

    Args:
        names: the names of the folder, see `names_of`.
        ready: the folder of finished work beside it.

    Raises:
        InputError: if one of the names has been taken by something else meanwhile.
        OSError: if it cannot be renamed; then the earlier folder has its name again.
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
    with contextlib.suppress(OSError):  # The result is in place; the rest of the earlier one is removed next time.
        remove(names.old)


def recover(names: Names) -> None:
    """Restore one complete folder at a name after a kill; the caller must hold the lock.

    Args:
        names: the names of the folder, see `names_of`.

    Raises:
        InputError: if modejax did not make a folder beside it, or that folder is of another kind.
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
