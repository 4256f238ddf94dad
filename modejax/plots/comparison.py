"""Measures of several kinds of networks side by side, and accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modejax.plots.colours import Chosen, choose
from modejax.plots.style import finish, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_by_layer", "plot_cost"]

_MARKERS = "osD^vPX*"
_CYCLE = [f"C{index}" for index in range(10)]


def plot_by_layer(
    places: Sequence[str],
    values: Mapping[str, np.ndarray],
    ax: Axes | None = None,
    *,
    chance: Mapping[str, np.ndarray] | np.ndarray | None = None,
    colours: Chosen = None,
) -> Axes:
    """Draw a measure at several places of a network for several kinds of networks: mean and standard deviation.

    Args:
        places: names of the places, as layers.
        values: by kind, (seeds, places).
        ax: where to draw; a figure of its own by default.
        chance: the value by chance at each place, drawn as a short line.
        colours: a colour for each kind in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> ax = plot_by_layer(["layer 1"], {"mode": np.array([[1.0], [2.0]])})
        >>> [text.get_text() for text in ax.get_xticklabels()]
        ['layer 1']
    """
    ax = own_axes(ax)
    drawn = choose(colours, list(values), _CYCLE)
    at = np.arange(len(places))
    step = 0.7 / max(len(values), 1)
    for index, (name, each) in enumerate(values.items()):
        each = np.asarray(each, float)
        sd = each.std(axis=0, ddof=1) if len(each) > 1 else None
        x = at + (index - (len(values) - 1) / 2) * step
        ax.errorbar(
            x, each.mean(axis=0), sd, fmt=_MARKERS[index % 8], ms=5.5, capsize=3, color=drawn[index], label=name
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


def plot_cost(
    series: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    ax: Axes | None = None,
    *,
    xlabel: str = "trained parameters",
    colours: Chosen = None,
) -> Axes:
    """Draw the test error against a cost for several families of networks, both on logarithmic axes.

    Args:
        series: by family, the cost, the mean accuracy in percent and its standard deviation (NaN without).
        ax: where to draw; a figure of its own by default.
        xlabel: the cost and its unit.
        colours: a colour for each family in their order, or by name; that named `dense` is black and dashed.

    Returns:
        The axes.

    Example:
        >>> one = (np.array([10.0]), np.array([90.0]), np.array([np.nan]))
        >>> plot_cost({"mode": one}).get_xscale()
        'log'
    """
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

    ax = own_axes(ax)
    default = ["black" if name == "dense" else _CYCLE[index % 10] for index, name in enumerate(series)]
    drawn = choose(colours, list(series), default)
    for index, (name, (cost, mean, sd)) in enumerate(series.items()):
        ax.errorbar(
            cost, 100 - mean, np.nan_to_num(sd), marker=_MARKERS[index % 8], ms=5, lw=1.4, capsize=2.5,
            color=drawn[index], ls="--" if name == "dense" else "-", label=name,
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
    ax.set_xlabel(xlabel)
    ax.set_ylabel("test error (%)")
    finish(ax)
    return ax
