"""How figures of studies show seeds: bars and bands of `ends`, a standard deviation or, of few seeds, the range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.svr import COLOURS, plot_bars, plot_significant
from modejax.studies.common import ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bars", "draw_bars", "draw_curves"]


def bars(points: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of several points, and the lengths of their bars as `Axes.errorbar` takes them.

    Args:
        points: for each point its values, one a seed; those that are not finite do not count.

    Returns:
        Means, shape (points,), not a number where no value is finite, and lengths below and above, shape (2, points),
        0 for one value or none.

    Example:
        >>> [each.tolist() for each in bars([[1.0, 2.0, 6.0], [4.0]])]
        [[3.0, 4.0], [[2.0, 0.0], [3.0, 0.0]]]
    """
    mean, low, high = np.array([ends(values) for values in points], float).reshape(-1, 3).T
    return mean, np.nan_to_num(np.stack([mean - low, high - mean]))


def draw_curves(
    x: Sequence[float], curves: Mapping[str, np.ndarray], ax: Axes, *, percent: bool = True, **options: Any
) -> None:
    """Draw curves as `plot_significant` does, with bands of `ends`.

    Args:
        x: the places.
        curves: name to values of shape (places, seeds).
        ax: where.
        percent: values are shares of 1, drawn in percent.
        options: as of `plot_significant`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> draw_curves([0, 1], {"pair 0-1": np.array([[0.1, 0.2, 0.6], [0.3, 0.3, 0.3]])}, ax)
        >>> float(ax.collections[-1].get_paths()[0].vertices[:, 1].max())
        60.0
    """
    found = {name: bars(values) for name, values in curves.items()}
    plot_significant(x, {name: mean[:, None] for name, (mean, _) in found.items()}, ax, percent=percent, **options)
    factor = 100.0 if percent else 1.0
    for index, (name, (mean, (below, above))) in enumerate(found.items()):
        low = mean - below if (np.asarray(curves[name]) < 0).any() else np.maximum(mean - below, 0)
        ends_ = factor * low, factor * (mean + above)
        ax.fill_between(x, *ends_, color=COLOURS[index % len(COLOURS)], alpha=0.16, lw=0)


def draw_bars(
    names: Sequence[str], groups: Mapping[str, np.ndarray], ax: Axes, *, log: bool = False, **options: Any
) -> None:
    """Draw groups of bars as `plot_bars` does, with error bars of `ends`.

    On a logarithmic axis an error bar does not reach below a tenth of the mean.

    Args:
        names: what stands below the bars.
        groups: name of a colour to values of shape (names, seeds).
        ax: where.
        log: a logarithmic vertical axis.
        options: as of `plot_bars`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = Figure().subplots()
        >>> draw_bars(["a", "b"], {"one": np.array([[1.0, 2.0, 6.0], [1.0, 1.0, 1.0]])}, ax)
        >>> ax.collections[-1].get_segments()[0][:, 1].tolist()
        [1.0, 6.0]
    """
    from matplotlib.container import BarContainer

    found = {name: bars(values) for name, values in groups.items()}
    plot_bars(names, {name: mean[:, None] for name, (mean, _) in found.items()}, ax, log=log, **options)
    drawn = [each for each in ax.containers if isinstance(each, BarContainer)]
    for each, (mean, (below, above)) in zip(drawn, found.values(), strict=True):
        x = [patch.get_x() + patch.get_width() / 2 for patch in each.patches]
        below = np.minimum(below, 0.9 * mean) if log else below
        shown = np.where(mean > 0, mean, np.nan) if log else mean
        ax.errorbar(x, shown, [below, above], fmt="none", ecolor="0.2", elinewidth=1, capsize=2)
