"""Measures of several kinds of networks side by side, and accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modejax.plots.style import finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_by_layer", "plot_cost"]

_MARKERS = "osD^vPX*"


def plot_by_layer(
    ax: Axes,
    places: Sequence[str],
    values: Mapping[str, np.ndarray],
    *,
    chance: Mapping[str, np.ndarray] | np.ndarray | None = None,
) -> Axes:
    """Draw a measure at several places of a network for several kinds of networks: mean and standard deviation.

    Args:
        ax: where.
        places: names of the places, as layers.
        values: by kind, (seeds, places).
        chance: the value by chance at each place, drawn as a short line.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_by_layer(Figure().subplots(), ["layer 1"], {"mode": np.array([[1.0], [2.0]])})
        >>> [text.get_text() for text in ax.get_xticklabels()]
        ['layer 1']
    """
    at = np.arange(len(places))
    step = 0.7 / max(len(values), 1)
    for index, (name, each) in enumerate(values.items()):
        each = np.asarray(each, float)
        sd = each.std(axis=0, ddof=1) if len(each) > 1 else None
        x = at + (index - (len(values) - 1) / 2) * step
        ax.errorbar(
            x, each.mean(axis=0), sd, fmt=_MARKERS[index % 8], ms=5.5, capsize=3, color=f"C{index}", label=name
        )  # fmt: skip
        if isinstance(chance, Mapping) and name in chance:
            ax.hlines(chance[name], x - 0.45 * step, x + 0.45 * step, color="0.35", lw=1.3, ls="--")
    if chance is not None and not isinstance(chance, Mapping):
        ax.hlines(chance, at - 0.42, at + 0.42, color="0.35", lw=1.3, ls="--")
    ax.set_xticks(at, places)
    ax.set_xlim(-0.5, len(places) - 0.5)
    finish(ax)
    ax.grid(visible=False, axis="x")
    return ax


def plot_cost(ax: Axes, series: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], label: str) -> Axes:
    """Draw the test error against a cost for several families of networks, both on logarithmic axes.

    Args:
        ax: where.
        series: by family, the cost, the mean accuracy in percent and its standard deviation (NaN without).
        label: the cost and its unit.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> one = (np.array([10.0]), np.array([90.0]), np.array([np.nan]))
        >>> plot_cost(Figure().subplots(), {"mode": one}, "trained parameters").get_xscale()
        'log'
    """
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

    for index, (name, (cost, mean, sd)) in enumerate(series.items()):
        dense = name == "dense"
        ax.errorbar(
            cost, 100 - mean, np.nan_to_num(sd), marker=_MARKERS[index % 8], ms=5, lw=1.4, capsize=2.5,
            color="black" if dense else f"C{index}", ls="--" if dense else "-", label=name,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    lows = [float(np.nanmin(100 - mean)) for _, mean, _ in series.values()]
    highs = [float(np.nanmax(100 - mean)) for _, mean, _ in series.values()]
    # A bar may reach 0, which a logarithmic axis does not have.
    ax.set_ylim(0.75 * max(min(lows), 0.01), 1.3 * max(highs))
    for axis, form in ((ax.xaxis, EngFormatter(sep="")), (ax.yaxis, FuncFormatter(lambda value, _: f"{value:g}"))):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axis.set_major_formatter(form)
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(label)
    ax.set_ylabel("test error (%)")
    finish(ax)
    return ax
