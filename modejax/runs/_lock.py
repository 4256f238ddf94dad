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
    """Hold a lock file against other processes on the same machine; the system lets go when this one ends.

    The folder itself cannot carry the lock, because it changes its name while a result is put in place.

    Args:
        path: the lock file beside the folder; it is made, and removed at the end.
        folder: the folder, for the message.

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
        # Removed while it is held: who opened it before and gets it now, sees that it has gone and makes a new one.
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
    except OSError:  # Some file systems on clusters have no locks; refusing them would help nobody.
        return
