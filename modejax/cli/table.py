"""Tables, counts, times and sizes as readable text."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Sequence

__all__ = ["bytes_text", "count_text", "print_table", "say", "time_text"]


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


def say(text: str) -> None:
    """Print a text wrapped to the terminal, with later lines indented; a NUL stands for a non-breaking space."""
    columns = shutil.get_terminal_size().columns
    lines = textwrap.wrap(text, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    start = text[: len(text) - len(text.lstrip())]
    print(start + "\n".join(lines).lstrip().replace("\0", " "))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 0) -> None:
    """Print a table; all columns but the first are right-aligned.

    Args:
        title: the line above the table.
        columns: the column heads.
        rows: the cells.
        keys: number of leading columns that identify a row. If not all columns fit the terminal, the table is split
            into blocks of columns, each with these columns again, and no cell is wrapped. 0: cells are wrapped to make
            the table fit.
    """
    from rich.console import Console
    from rich.table import Table

    # Names that a user gave may have brackets, which are not markup.
    console = Console(soft_wrap=True, markup=False)
    say(title)
    for block in _blocks(columns, rows, keys, console.width) if keys else [range(len(columns))]:
        table = Table()
        for index in block:
            justify = "left" if index == 0 else "right"
            table.add_column(columns[index], justify=justify, no_wrap=keys > 0)
        for row in rows:
            table.add_row(*(row[index] for index in block))
        console.print(table)


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], keys: int, width: int) -> list[list[int]]:
    """Split the columns of a table into blocks that fit the terminal, if possible."""
    widths = [3 + max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    first = list(range(keys))
    blocks, used = [first.copy()], 1 + sum(widths[:keys])
    for index in range(keys, len(columns)):
        if used + widths[index] > width and len(blocks[-1]) > keys:
            blocks.append(first.copy())
            used = 1 + sum(widths[:keys])
        blocks[-1].append(index)
        used += widths[index]
    return blocks
