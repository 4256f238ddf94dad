"""A progress bar over epochs, on the terminal or in a notebook."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["progress_bar", "progress_is_seen"]


def progress_is_seen() -> bool:
    """Return whether a progress bar would be visible: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextlib.contextmanager
def progress_bar(networks: int, epochs: int, *, shown: bool) -> Iterator[Any]:
    """Yield a function that updates a progress bar over epochs on stderr.

    Args:
        networks: number of networks that are trained, for the text while the program compiles.
        epochs: number of epochs of the run.
        shown: whether to show a bar.

    Yields:
        The function, to be called with a `modejax.sweep.execute.Progress`; None if no bar is shown.
    """
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(f"compiling {networks} networks", total=epochs)

    def report(at: Any) -> None:
        bar.start()
        if at.done:
            text = f"mean test accuracy {100 * at.accuracy:.1f} %"
            if math.isnan(at.accuracy):
                text = f"mean test loss {at.loss:.4g}"
            bar.update(task, completed=at.done, total=at.total, description=text)

    try:
        yield report
    finally:
        bar.stop()
