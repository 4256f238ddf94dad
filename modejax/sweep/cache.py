"""Compiled programs kept on disk: the same sweep again starts at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from modejax.errors import InputError

__all__ = ["SWITCH", "programs_folder", "use_compile_cache"]

SWITCH = "MODEJAX_COMPILE_CACHE"
"""Environment variable: off keeps no compiled programs on disk."""

_SETTINGS = {
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_persistent_cache_min_compile_time_secs": 0.5,
}


@contextlib.contextmanager
def use_compile_cache(wanted: bool = True) -> Iterator[Path | None]:
    """Let JAX keep compiled programs in the user's cache folder, and find them there, inside a `with` block.

    Nothing is changed where the user has set a cache folder of JAX (`jax_compilation_cache_dir` or
    `JAX_COMPILATION_CACHE_DIR`) or switched JAX's cache off, where the environment variable `MODEJAX_COMPILE_CACHE` is
    off, or where the folder cannot be written. The settings of JAX are put back afterwards.

    Args:
        wanted: False changes nothing.

    Yields:
        The folder; None where nothing was changed.

    Raises:
        InputError: if the environment variable is neither on nor off.

    Example:
        >>> with use_compile_cache(False) as folder:
        ...     print(folder)
        None
    """
    switch = os.environ.get(SWITCH, "on").lower()
    if switch not in ("on", "off"):
        raise InputError(f"the environment variable {SWITCH} is {switch!r}; allowed: on, off")
    here = {name: getattr(jax.config, name) for name in ("jax_compilation_cache_dir", "jax_enable_compilation_cache")}
    of_user = here["jax_compilation_cache_dir"] is not None or not here["jax_enable_compilation_cache"]
    folder = _folder() if wanted and switch == "on" and not of_user else None
    if folder is None:
        yield None
        return
    from jax.experimental.compilation_cache import compilation_cache

    before = {name: getattr(jax.config, name) for name in _SETTINGS}
    try:
        for name, value in _SETTINGS.items():
            jax.config.update(name, value)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # JAX looks once whether there is a cache, at the first compilation of a process.
        compilation_cache.reset_cache()
        yield folder
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def programs_folder() -> Path:
    """Return the folder of the user that holds compiled programs; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("modejax", appauthor=False)) / "xla"


def _folder() -> Path | None:
    """Return the folder, made where it is missing; None where it cannot be written."""
    folder = programs_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
