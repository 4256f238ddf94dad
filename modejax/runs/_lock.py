"""A lock on the name of an output folder, so that one process at a time writes under it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from modejax.errors import InputError

__all__ = ["held"]


@contextlib.contextmanager
def held(path: Path, folder: Path) -> Iterator[None]:
    """Hold a lock file against other processes on this machine; the system releases it when the process ends.

    The folder itself cannot carry the lock, because it changes its name while a result is put in place.

    Args:
        path: the lock file beside the folder; it is made, and removed at the end.
        folder: the folder, for the error message.

    Yields:
        Nothing.

    Raises:
        InputError: if another process holds it.
        OSError: if the file cannot be made.
    """
    handle = _take(path, folder)
    try:
        yield
    finally:
        # Removed while it is held: a process that opened it before and locks it now sees this and makes a new file.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


def _take(path: Path, folder: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle, folder)
        except BaseException:
            os.close(handle)
            raise
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no such lock.
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another process is writing {folder}; wait for it, or name another folder") from None
    except OSError:  # Some file systems on clusters have no locks; the work goes on without one.
        return
