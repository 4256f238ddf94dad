"""Importance of the modes against their rank, on logarithmic axes: power laws are straight lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from modejax.plots.members import Result, arm_data, diverged_text, headline, pick, require, seeds_text, spread
from modejax.plots.style import (
    draw_curve,
    finish,
    make_axes,
    pick_curves,
    place_legend,
    set_log_y,
    set_number_axis,
    set_title,
)
from modejax.plots.truncation import empty_text, map_title

__all__ = ["plot_importance"]

_WHY = "A layer without modes (dense) has no importances; sweep a layer with modes"


def plot_importance(
    result: Result,
    axes: Any = None,
    width: int | None = None,
    modes: int | None = None,
    *,
    arm: str | None = None,
    **at: float,
) -> np.ndarray:
    """Draw the importance tau of the modes, largest first, against their rank: log-log, a panel for each map.

    Each network's importances are sorted before the mean over seeds is taken: rank 1 is the leading mode of each.

    Args:
        result: a run of a layer with modes, its result, or one arm of it.
        axes: one a map; a figure of its own by default.
        width: one width only; by default the largest, unless `modes` is given.
        modes: one number of modes only.
        arm: the name of an arm; the first one by default.
        **at: values of further axes of the grid, such as learning_rate=0.01; see `modejax.plots.members.pick` for what
            is taken by default.

    Returns:
        The axes, shape (maps,).

    Raises:
        InputError: if the result has no importances, no such arm, width, modes or value of an axis, or the
            number of axes is wrong.

    References:
        tau: Li and Huang, arXiv 2208.09859; see `modejax.truncation.importance`.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> [ax.get_xscale() for ax in plot_importance(run)]
        ['log', 'log', 'log']
    """
    require(arm_data(result, arm), "importance", why=_WHY)
    member = pick(result, arm, at)
    data = member.data
    picked = pick_curves(data, width, modes)
    layers = [int(layer) for layer in data.layer.values]
    panels, made = make_axes(len(layers), axes)
    rank = np.arange(1, data.sizes["mode"] + 1)
    values = data.importance.transpose("width", "modes", "layer", "seed", "mode")
    # Not-a-number is sorted last both ways, so a map with fewer modes fills the first ranks.
    ordered = values.copy(data=-np.sort(-np.asarray(values, np.float64), axis=-1))
    counts = []
    for index, ax in enumerate(panels):
        means, longest = [], 1
        for curve in picked.curves:
            found = spread(ordered.isel(curve.where | {"layer": index}))
            draw_curve(ax, rank, found, curve, crowded=picked.colours.many)
            counts.append(found.count)
            means.append(found.mean)
            longest = max(longest, int(np.isfinite(found.mean).sum()))
        drawn = np.concatenate(means)
        _rank_axis(ax, longest)
        set_log_y(ax, drawn)
        ax.set_xlabel("rank of the mode")
        ax.set_ylabel("importance \N{GREEK SMALL LETTER TAU} (no unit)")
        ax.set_title(map_title(layers[index], len(layers)), fontsize=10)
        finish(ax, empty="" if np.isfinite(drawn).any() else empty_text(data))
    if made:
        words = [picked.text, member.text, seeds_text(np.concatenate(counts)), diverged_text(data.status)]
        set_title(panels, [headline(member.data), "after the last epoch", *words])
    place_legend(panels, made, colours=picked.colours, columns=5)
    return panels


def _rank_axis(ax: Any, longest: int) -> None:
    """Make the horizontal axis logarithmic with whole numbers, however few there are."""
    ticks = [tick * 10**power for power in range(6) for tick in (1, 2, 5) if tick * 10**power <= max(longest, 2)]
    set_number_axis(ax, ticks, wide=1.0)
    ax.set_xlim(0.9, max(longest, 2) * 1.1)
