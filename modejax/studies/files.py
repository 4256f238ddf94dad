"""Files of a study: written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modejax._files import replaced
from modejax.errors import InputError

__all__ = ["Wrote", "check_apart", "check_folder", "write_figure", "write_text"]


class Wrote(str):
    """The line of a report that says what was written.

    Attributes:
        folder: the folder of the files.

    Example:
        >>> line = Wrote(Path("runs/a"), "table.csv and figures/*.png")
        >>> print(line)
        wrote runs/a/table.csv and figures/*.png
    """

    folder: Path

    def __new__(cls, folder: Path, files: str) -> Wrote:
        """Make the line of a folder and the names of its files."""
        line = super().__new__(cls, f"wrote {folder}/{files}")
        line.folder = folder
        return line


def check_folder(out: str | os.PathLike[str]) -> Path:
    """Return a folder to write to as a path; it need not exist.

    Args:
        out: the folder.

    Returns:
        The path.

    Raises:
        InputError: `out` is a file.

    Example:
        >>> check_folder("runs/online").name
        'online'
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"out={os.fspath(out)!r} is a file; give a folder (it is made when missing)")
    return folder


def check_apart(source: Path, out: str | os.PathLike[str] | None) -> None:
    """Refuse a folder for the output of a command that holds its input, or lies in it.

    Args:
        source: the file or folder that is read.
        out: the folder to write to; None for a new one.

    Raises:
        InputError: if one of them is the other, or lies in it.

    Example:
        >>> check_apart(Path("net.npz"), "modes")
    """
    if out is None:
        return
    given, target = source.resolve(), Path(out).resolve()
    if given == target or given in target.parents or target in given.parents:
        raise InputError(f"out={os.fspath(out)!r} would write over {source}, or into it; give another folder")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Args:
        path: where.
        text: what.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(Path(folder) / "a.txt", "x")
        ...     print((Path(folder) / "a.txt").read_text())
        x
    """
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")


def write_figure(path: Path, draw: Callable[..., Any], *, size: tuple[float, float] = (6.0, 4.2)) -> None:
    """Draw on fresh axes and save as PNG, whole or not at all.

    Args:
        path: where; the folder is made.
        draw: called with the axes.
        size: inches.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_figure(Path(folder) / "a.png", lambda ax: ax.plot([0, 1], [0, 1]))
        ...     print((Path(folder) / "a.png").exists())
        True
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(figure.subplots())
    with replaced(path) as part:
        figure.savefig(part, dpi=110)
