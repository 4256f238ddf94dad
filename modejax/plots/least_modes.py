"""The least number of modes against the width, and the accuracies from which it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from modejax.plots.colours import Chosen, choose
from modejax.plots.style import finish, own_axes, set_number_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modejax.modes.growth import GrowthFit
    from modejax.modes.least import LeastModes

__all__ = ["plot_least_modes"]

_LINES = {
    "constant": (":", "tab:red"),
    "logarithm": ("-", "tab:green"),
    "power": ("--", "tab:orange"),
    "saturating": ("-.", "tab:blue"),
}


def plot_least_modes(
    found: LeastModes,
    fits: Sequence[GrowthFit] = (),
    ax: Axes | None = None,
    *,
    most: int | None = None,
    colours: Chosen = None,
) -> Axes:
    """Draw the least number of modes with its intervals, and the forms fitted to it.

    Args:
        found: what `modejax.modes.least_modes` returned.
        fits: what `modejax.modes.growth_fits` returned for it.
        ax: where to draw; a figure of its own by default.
        most: the largest number of modes tried; a width that does not reach the target is drawn above it as an arrow.
        colours: a colour for each fit in their order, or by its name.

    Returns:
        The axes.

    Example:
        >>> from modejax.modes.least import LeastModes
        >>> n = np.array([10.0, 20.0])
        >>> found = LeastModes("fixed", 97.0, n, n, n, n, None, None, None, 1)
        >>> plot_least_modes(found).get_title()
        'at least 97 % test accuracy'
    """
    ax = own_axes(ax)
    drawn = choose(colours, [fit.name for fit in fits], [_LINES[fit.name][1] for fit in fits])
    n, value = found.widths, found.value
    reached = np.isfinite(value)
    top = float(most if most is not None else np.max(value[reached], initial=1.0))
    if found.low is not None and found.high is not None:
        low, high = found.low[reached], np.minimum(found.high[reached], top)
        ends = np.maximum([value[reached] - low, high - value[reached]], 0)
        ax.errorbar(n[reached], value[reached], ends, fmt="o", ms=5, capsize=3, color="black", zorder=3)
    else:
        ax.plot(n[reached], value[reached], "o", ms=5, color="black")
    if not reached.all():
        ax.plot(n[~reached], np.full((~reached).sum(), top), "^", ms=7, color="tab:red", label="not reached")
    dense = np.geomspace(n.min(), n.max(), 200)
    for fit, colour in sorted(zip(fits, drawn, strict=True), key=lambda pair: pair[0].aic):
        chi = f"\N{GREEK SMALL LETTER CHI}\N{SUPERSCRIPT TWO} {fit.chi_square:.1f}"
        label = f"{fit.formula}: weight {fit.weight:.2f}, {chi}"
        ax.plot(dense, fit.predicted(dense), ls=_LINES[fit.name][0], color=colour, lw=1.4, label=label)
    set_number_axis(ax, n.tolist())
    high_end = np.nanmax(
        [*value[reached], *(np.minimum(found.high[reached], top) if found.high is not None else [])], initial=1.0
    )
    ax.set_ylim(0, 1.45 * max(high_end, top if not reached.all() else 0))
    ax.set_xlabel("width N (units of each hidden layer)")
    ax.set_ylabel("least number of modes")
    ax.set_title(found.text, fontsize=9.5)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=7.5, frameon=False, loc="upper left")
    finish(ax)
    return ax
