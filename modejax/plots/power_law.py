"""Ranked curves with their piecewise power laws, what the fits leave over, and how the slopes move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.colours import Chosen, choose
from modejax.plots.style import finish, own_axes, set_log_y, set_number_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modejax.modes.fits import CurveFit, PowerLaw

__all__ = ["plot_power_law", "plot_residuals", "plot_slopes"]

_RANKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_CYCLE = [f"C{index}" for index in range(10)]


def _rank_axis(ax: Axes, count: int) -> None:
    set_number_axis(ax, [rank for rank in _RANKS if rank <= max(count, 2)], wide=1.0)
    ax.set_xlim(0.9, max(count, 2) * 1.1)
    ax.set_xlabel("rank of the mode")


def plot_power_law(
    curves: np.ndarray,
    laws: Mapping[str, PowerLaw],
    ax: Axes | None = None,
    *,
    ylabel: str = "importance \N{GREEK SMALL LETTER TAU}",
    colours: Chosen = None,
) -> Axes:
    """Draw the mean of ranked curves, its spread over seeds, and piecewise power laws.

    Args:
        curves: sorted values, (seeds, ranks).
        laws: fits of these curves by name.
        ax: where to draw; a figure of its own by default.
        ylabel: what the curves are.
        colours: a colour for each law in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> from modejax.modes import power_law
        >>> curves = np.arange(1.0, 13.0)[None] ** -0.5
        >>> len(plot_power_law(curves, {"free break": power_law(curves)}).lines)
        3
    """
    ax = own_axes(ax)
    drawn = choose(colours, list(laws), ("tab:red", "tab:blue", "tab:green"))
    mean = curves.mean(axis=0)
    rank = np.arange(1, mean.size + 1)
    ax.plot(
        rank, mean, "o", ms=3.5, color="0.25", label=f"mean of {len(curves)} seeds" if len(curves) > 1 else "1 seed"
    )
    if len(curves) > 1:
        sd = curves.std(axis=0, ddof=1)
        ax.fill_between(rank, mean - sd, mean + sd, color="0.6", alpha=0.35, lw=0, label="\N{PLUS-MINUS SIGN} 1 sd")
    for index, (label, law) in enumerate(laws.items()):
        predicted, last = law.fit.predicted(mean.size), int(law.fit.last)
        slopes = ", ".join(f"{slope:.2f}" for slope in law.fit.slopes)
        form: dict[str, Any] = {"color": drawn[index], "lw": 1.6}
        form["ls"] = ("-", "--", ":")[index % 3]
        ax.plot(rank[:last], predicted[:last], label=f"{label} ({last}): slopes {slopes}", **form)
        ax.plot(rank[last:], predicted[last:], **form)
    _rank_axis(ax, mean.size)
    set_log_y(ax, mean)
    ax.set_ylabel(ylabel)
    ax.legend(fontsize=8, frameon=False, loc="lower left")
    finish(ax)
    return ax


def plot_residuals(
    mean: np.ndarray, fits: Sequence[CurveFit], ax: Axes | None = None, *, colours: Chosen = None
) -> Axes:
    """Draw ln(curve / fit) against the rank for several descriptions of one curve.

    Args:
        mean: the curve, (ranks,).
        fits: what `modejax.modes.compare_fits` returned for it.
        ax: where to draw; a figure of its own by default.
        colours: a colour for each fit in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> from modejax.modes import compare_fits
        >>> curve = 1 / np.arange(2.0, 22.0)
        >>> len(plot_residuals(curve, compare_fits(curve)).lines)
        6
    """
    ax = own_axes(ax)
    drawn = choose(colours, [fit.name for fit in fits], _CYCLE)
    rank = np.arange(1, mean.size + 1)
    ax.axhline(0, color="0.4", lw=0.8)
    best = min(float(fit.aic) for fit in fits)
    for fit, colour in zip(fits, drawn, strict=True):
        label = f"{fit.name}: \N{GREEK CAPITAL LETTER DELTA}AIC {float(fit.aic) - best:.0f}"
        ax.plot(rank, np.log(mean / fit.predicted), color=colour, lw=1.4, label=label)
    _rank_axis(ax, mean.size)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.75 * (high - low))  # room for the legend
    ax.set_ylabel("ln(curve / fit)")
    ax.legend(fontsize=7.5, frameon=False, loc="upper left")
    finish(ax)
    return ax


def plot_slopes(
    epochs: np.ndarray,
    series: Mapping[str, tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]],
    ax: Axes | None = None,
    *,
    colours: Chosen = None,
) -> Axes:
    """Draw slopes against training time.

    Args:
        epochs: the times.
        series: by name, the slope at each time and the ends of its interval (None without).
        ax: where to draw; a figure of its own by default.
        colours: a colour for each name in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> ax = plot_slopes(np.array([1, 2]), {"a": (np.array([-0.1, -0.2]), None)})
        >>> ax.get_xlabel()
        'epoch'
    """
    from matplotlib.ticker import MaxNLocator

    ax = own_axes(ax)
    drawn = choose(colours, list(series), _CYCLE)
    for (label, (slope, ends)), colour in zip(series.items(), drawn, strict=True):
        ax.plot(epochs, slope, "o-", ms=3, lw=1.4, color=colour, label=label)
        if ends is not None:
            ax.fill_between(epochs, *ends, color=colour, alpha=0.09, lw=0)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_ylabel("slope")
    finish(ax)
    return ax
