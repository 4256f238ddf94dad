"""The numbers behind a picture, as a table: what was drawn in each panel, curve by curve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    import pandas
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from modejax.plots.members import Spread

__all__ = ["figure_data", "remember"]

_SPREADS: WeakKeyDictionary[Artist, Spread] = WeakKeyDictionary()
"""What `remember` was told; an entry goes with its line."""

_Row = tuple[str, Any, Any, Any, Any, Any]  # curve, x, y, low, high, n


def remember(line: Artist, values: Spread) -> None:
    """Keep the standard deviation and the number of seeds of a line for `figure_data`, as a line holds means alone.

    Args:
        line: the line.
        values: what stands behind each of its points.
    """
    _SPREADS[line] = values


def figure_data(axes: Any) -> pandas.DataFrame:
    """Return the numbers behind a picture.

    Args:
        axes: the axes, or an array of them, as a function of `modejax.plots` returned them.

    Returns:
        A table with a row for each point: `panel` (from 1), `title` of the panel, `curve`, `x_label`, `x`, `y_label`,
        `y`, `low` and `high` (the ends of a band or a bar; for means over seeds mean -+ one standard deviation) and `n`
        (networks behind a mean). Lines across the whole panel have no `x`; an image has a curve for each of its rows,
        a histogram the corners of its outline. What is unknown is missing.

    Example:
        >>> from modejax.plots import plot_slopes
        >>> figure_data(plot_slopes(np.array([1, 2]), {"a": (np.array([-0.1, -0.2]), None)}))[["curve", "x", "y"]]
          curve    x    y
        0     a  1.0 -0.1
        1     a  2.0 -0.2
    """
    import pandas

    columns = ["panel", "title", "curve", "x_label", "x", "y_label", "y", "low", "high", "n"]
    rows = []
    for index, ax in enumerate(np.ravel(np.asarray(axes, dtype=object))):
        names = (ax.get_title().replace("\n", "; "), ax.get_xlabel(), ax.get_ylabel())
        for curve, x, y, low, high, count in _rows(ax):
            rows.append((index + 1, names[0], curve, names[1], x, names[2], y, low, high, count))
    return pandas.DataFrame(rows, columns=columns).dropna(subset="y", ignore_index=True)


def _rows(ax: Axes) -> Iterator[_Row]:
    from matplotlib.container import ErrorbarContainer

    taken: set[Any] = set()
    for container in ax.containers:
        if isinstance(container, ErrorbarContainer):
            data, caps, _ = container.lines
            taken |= {data, *caps}
            if not str(container.get_label()).startswith("_container") and data is not None:
                yield from _bars(container)
    for line in ax.lines:
        if line not in taken:
            yield from _line(ax, line)
    yield from _areas(ax)


def _bars(container: Any) -> Iterator[_Row]:
    """Return the points of a line with bars; a bar that has no size is none."""
    data, _, collections = container.lines
    ends = [np.full((len(data.get_ydata()), 2), np.nan)]
    for each in collections:
        found = np.array([[part[0][1], part[-1][1]] if len(part) else [np.nan] * 2 for part in each.get_segments()])
        ends = [found] if found.shape == ends[0].shape else ends
    for x, y, (low, high) in zip(data.get_xdata(), data.get_ydata(), ends[0], strict=True):
        yield _name(container.get_label()), x, y, low, high, None


def _line(ax: Axes, line: Any) -> Iterator[_Row]:
    name, values = _name(line.get_label()), _SPREADS.get(line)
    x, y = (np.asarray(each, float) for each in line.get_data())
    if line.get_transform() == ax.get_xaxis_transform():
        return  # a vertical line, which has no height
    if line.get_transform() == ax.get_yaxis_transform():
        yield name, None, y[0], None, None, None
    elif values is None:
        yield from ((name, *point, None, None, None) for point in zip(x, y, strict=True))
    else:
        low, high = values.mean - values.sd, values.mean + values.sd
        yield from ((name, *point) for point in zip(x, y, low, high, values.count, strict=True))


def _areas(ax: Axes) -> Iterator[_Row]:
    from matplotlib.patches import Polygon, Rectangle

    for patch in ax.patches:
        name = _name(patch.get_label())
        if isinstance(patch, Polygon):
            yield from ((name, x, y, None, None, None) for x, y in np.asarray(patch.get_xy()))
        elif isinstance(patch, Rectangle) and patch.get_transform() == patch.get_patch_transform() + ax.transData:
            yield name, patch.get_x() + patch.get_width() / 2, patch.get_height(), None, None, None
    for image in ax.images:
        array = np.ma.filled(np.ma.asarray(image.get_array()).astype(float), np.nan)
        for row, values in enumerate(array if array.ndim == 2 else ()):
            yield from ((f"row {row}", column, value, None, None, None) for column, value in enumerate(values))


def _name(label: Any) -> str:
    """Return the label of a curve; those that are kept out of legends start with an underscore."""
    text = str(label)
    return "" if text.startswith(("_child", "_nolegend")) else text.removeprefix("_")
