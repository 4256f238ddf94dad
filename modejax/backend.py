"""The backend that programs are made for: the one that JAX runs on, or another that is only compiled for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

__all__ = ["backend", "made_for"]

_CHOSEN: ContextVar[str | None] = ContextVar("backend", default=None)


def backend() -> str:
    """Return the backend by which code chooses layout and ways of computing.

    Returns:
        cpu, gpu or tpu; that of JAX outside of `made_for`.

    Example:
        >>> with made_for("tpu"):
        ...     backend()
        'tpu'
    """
    return _CHOSEN.get() or jax.default_backend()


@contextlib.contextmanager
def made_for(name: str) -> Iterator[None]:
    """Trace programs for a backend that need not be there.

    Args:
        name: cpu, gpu or tpu.

    Example:
        >>> with made_for("gpu"):
        ...     backend()
        'gpu'
    """
    token = _CHOSEN.set(name)
    try:
        yield
    finally:
        _CHOSEN.reset(token)
