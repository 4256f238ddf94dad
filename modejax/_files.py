"""Files that are written atomically."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["is_part", "replaced"]

_PART = re.compile(r"\..+-[a-z0-9_]{8}(\.[^.]*)?")


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`, which replaces it if the block succeeds and is removed if it fails.

    Args:
        path: the final path of the file; its folder is made.

    Yields:
        The file to write, `.STEM-...` with the same suffix.

    Raises:
        OSError: if it cannot be written; an existing file stays unchanged.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replaced(Path(folder) / "a.txt") as part:
        ...         _ = part.write_text("x")
        ...     print([path.name for path in Path(folder).iterdir()])
        ['a.txt']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)  # a temporary file is private
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def is_part(path: Path) -> bool:
    """Return whether a file is a temporary one of `replaced`, left by a process that was killed.

    Args:
        path: the file.

    Returns:
        Whether it is a file with such a name.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replaced(Path(folder) / "a.txt") as part:
        ...         print(is_part(part), is_part(Path(folder) / "a.txt"))
        True False
    """
    return _PART.fullmatch(path.name) is not None and path.is_file()
