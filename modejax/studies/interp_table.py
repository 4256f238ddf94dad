"""The table that `modejax interpolate` prints: means over seeds, and what its columns are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["summary_lines"]

_MEANING = {
    "m": "units",
    "rank_1e-03": "rank of [Phi, 1] at 1e-3 of its largest singular value",
    "rank_1e-10": "at 1e-10",
    "cond": "largest over least singular value",
    "alpha": "share of active entries",
    "dead_units": "units that no point activates",
    "tau": "triangular rank of the pattern",
    "class": "how it fits (letter, and how many seeds have it)",
    "rho": "share of the targets that no readout fits",
    "beta": "energy off the blocks of the classes",
}
_MOST = 60


def summary_lines(rows: Sequence[Mapping[str, Any]], names: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Return records of layers as an aligned table, averaged over seeds, and a line that explains its columns.

    Args:
        rows: records, a network and layer each.
        names: columns that tell networks apart; those that do not vary are left out.
        shown: columns of the records; the first is the layer.

    Returns:
        Lines: mean +- standard deviation over seeds where there are several.

    Example:
        >>> rows = [{"seed": s, "layer": 1, "rho": 0.1 * s, "class": "T"} for s in (1, 3)]
        >>> summary_lines(rows, ["seed"], ["layer", "rho", "class"])[1].split()
        ['2', '1', '0.2', '+-', '0.14', 'T', '2']
    """
    keys = [name for name in names if name != "seed" and len({row[name] for row in rows}) > 1]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((*(row[key] for key in keys), row[shown[0]]), []).append(row)
    several = any(len(some) > 1 for some in groups.values())
    heads = [*keys, *(["seeds"] if several else []), *shown]
    cells = [
        [*(_one(value) for value in key[:-1]), *([str(len(some))] if several else []), _one(key[-1])]
        + [_cell([row[column] for row in some]) for column in shown[1:]]
        for key, some in list(groups.items())[:_MOST]
    ]
    sizes = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    lines = ["  ".join(word.rjust(n) for word, n in zip(each, sizes, strict=True)) for each in [heads, *cells]]
    if len(groups) > _MOST:
        lines.append(f"... {len(groups) - _MOST} more rows; layers.csv has every network")
    explained = "; ".join(f"{name}: {_MEANING[name]}" for name in shown if name in _MEANING)
    return [*lines, f"{explained}{'; mean +- standard deviation over seeds' if several else ''}"]


def _one(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _cell(values: Sequence[Any]) -> str:
    if any(isinstance(value, str) for value in values):
        counts = Counter(values).most_common()
        return counts[0][0] if len(values) == 1 else " ".join(f"{word} {count}" for word, count in counts)
    if len(values) == 1:
        return _one(values[0])
    numbers = np.asarray(values, float)
    good = numbers[np.isfinite(numbers)]
    if not good.size:
        return "nan"
    return f"{good.mean():.3g}" + (f" +- {good.std(ddof=1):.2g}" if good.size > 1 else "")
