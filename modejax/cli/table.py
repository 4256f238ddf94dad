"""Tables and sizes as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["bytes_text", "count_text", "print_table", "time_text"]


def count_text(number: float) -> str:
    """Return a count with a metric prefix.

    Example:
        >>> count_text(23_940), count_text(7.9e9)
        ('23.9 k', '7.9 G')
    """
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.1f} {prefix}"
    return f"{number:g}"


def time_text(seconds: float) -> str:
    """Return a time in seconds, minutes or hours.

    Example:
        >>> time_text(0.052), time_text(40), time_text(330), time_text(9000)
        ('0.05 s', '40 s', '5.5 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1g} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def bytes_text(number: float) -> str:
    """Return a size in binary units.

    Example:
        >>> bytes_text(3 * 2**20)
        '3.0 MiB'
    """
    step = min(4, int(math.log2(max(number, 1)) // 10))
    return f"{number / 2 ** (10 * step):.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; all but the first column are set to the right.

    Args:
        title: what stands above it.
        columns: the heads.
        rows: the cells.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=True).print(table)
