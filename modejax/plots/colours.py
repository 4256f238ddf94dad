"""Colours of curves: of an ordered quantity, and those and the labels that a caller gives instead."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MANY", "Chosen", "Colours", "choose", "ordered_colours", "spaced"]

MANY = 8
"""More curves than these get a colour bar instead of a legend, and no bands."""

Chosen = Sequence[Any] | Mapping[str, Any] | None
"""Colours or labels of curves: one for each in their order, or by the labels that they have by default."""


def choose(chosen: Chosen, names: Sequence[str], default: Sequence[Any], what: str = "colours") -> list[Any]:
    """Return the colours, or the labels, of some curves.

    Args:
        chosen: what the caller of a plot gave.
        names: the names that the curves have by default.
        default: what they get where nothing was given; repeated where it is shorter.
        what: how the argument is called.

    Returns:
        One entry a curve.

    Raises:
        InputError: if the number of entries is not that of the curves, or no curve has such a name.

    Example:
        >>> choose({"dense": "black"}, ["mode", "dense"], ["C0", "C1"]), choose(["red"], ["mode"], ["C0"])
        (['C0', 'black'], ['red'])
    """
    found = [default[index % len(default)] for index in range(len(names))]
    if chosen is None:
        return found
    if isinstance(chosen, Mapping):
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise InputError(f"{what} names {unknown[0]!r}, but the curves are {', '.join(names)}")
        return [chosen.get(name, each) for name, each in zip(names, found, strict=True)]
    if isinstance(chosen, str) or len(chosen) != len(names):
        count = 1 if isinstance(chosen, str) else len(chosen)
        raise InputError(
            f"{what} has {count} entries, but there are {len(names)} curves ({', '.join(names)}); give a list with one "
            "for each, or a dictionary by name"
        )
    return list(chosen)


def ordered_colours(count: int) -> list[Any]:
    """Return colours for an ordered quantity, dark first; the palest end, unreadable on white, is left out.

    Args:
        count: how many.

    Returns:
        RGBA colours.

    Example:
        >>> len(ordered_colours(3))
        3
    """
    import matplotlib

    return list(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.87, max(count, 1))))


class Colours:
    """Colours for an ordered quantity: dark for the smallest, light for the largest, safe for colour-blind readers."""

    def __init__(self, values: Sequence[float], name: str, chosen: Sequence[Any] | None = None) -> None:
        """Spread the colours over values.

        Args:
            values: what the curves differ in.
            name: its name, for the colour bar.
            chosen: a colour for each value instead.
        """
        import matplotlib
        from matplotlib.colors import ListedColormap, LogNorm, Normalize

        # The lightest end of viridis cannot be seen on white.
        self._map = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.87, 256)))
        self.values, self.name = [float(value) for value in values], name
        self._chosen = None if chosen is None else dict(zip(self.values, chosen, strict=True))
        low, high = min(self.values), max(self.values)
        wide = low > 0 and high / low >= 8
        self._norm = LogNorm(low, high) if wide else Normalize(low, high)

    @property
    def many(self) -> bool:
        """Whether there are too many values for a legend; never where colours were given."""
        return len(self.values) > MANY and self._chosen is None

    def __call__(self, value: float) -> Any:
        """Return the colour of one of the values."""
        if self._chosen is not None:
            return self._chosen[float(value)]
        if self.many:
            return self._map(self._norm(value))
        order = sorted(self.values)
        return self._map(order.index(value) / max(len(order) - 1, 1) if len(order) > 1 else 0.35)

    def bar(self, axes: Sequence[Axes]) -> None:
        """Draw the colour bar beside some axes."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        picked = spaced(sorted(self.values), log=type(self._norm).__name__ == "LogNorm", gap=0.08)
        bar = axes[0].figure.colorbar(ScalarMappable(self._norm, self._map), ax=list(axes), label=self.name, aspect=30)
        bar.ax.yaxis.set_major_locator(FixedLocator(picked))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def spaced(values: Sequence[float], *, log: bool, gap: float) -> list[float]:
    """Leave values out that stand closer than a share of the whole axis; the two ends stay."""
    place = [math.log(value) if log else value for value in values]
    least = gap * (place[-1] - place[0])
    found = [0]
    for index in range(1, len(values) - 1):
        if place[index] - place[found[-1]] >= least and place[-1] - place[index] >= least:
            found.append(index)
    if len(values) > 1:
        found.append(len(values) - 1)
    return [values[index] for index in found]
