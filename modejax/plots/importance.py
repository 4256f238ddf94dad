"""Importance of the modes: against their rank, where power laws are straight lines, and against the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.plots.colours import Chosen, Colours
from modejax.plots.members import (
    Result,
    arm_data,
    diverged_text,
    headline,
    pick,
    place_of,
    require,
    seeds_text,
    spread,
)
from modejax.plots.style import (
    Curve,
    Picked,
    draw_curve,
    finish,
    integer_axis,
    make_axes,
    pick_curves,
    place_legend,
    set_log_y,
    set_number_axis,
    set_title,
)
from modejax.plots.truncation import empty_text, map_title

if TYPE_CHECKING:
    import xarray

__all__ = ["plot_importance", "plot_importance_history"]

_WHY = "A layer without modes (dense) has no importances; sweep a layer with modes"


def plot_importance(
    result: Result,
    axes: Any = None,
    *,
    width: int | None = None,
    modes: int | None = None,
    arm: str | None = None,
    colours: Chosen = None,
    labels: Chosen = None,
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
        colours: a colour for each curve in their order, or by the label it has by default.
        labels: what the legend says of each curve instead, likewise.
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
    picked = pick_curves(data, width, modes).dressed(colours, labels)
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


def plot_importance_history(
    result: Result,
    axes: Any = None,
    *,
    width: int | None = None,
    modes: int | None = None,
    seed: int | None = None,
    arm: str | None = None,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> np.ndarray:
    """Draw the importance tau of each mode against the epoch: a panel for each map, the vertical axis logarithmic.

    The modes of a network are numbered by their importance after the last epoch, and each is followed back from there:
    curve 1 is the mode that ends as the leading one. Over several seeds the mean of the modes of one number is drawn.

    Args:
        result: a run of a layer with modes and `truncate_every`, its result, or one arm of it.
        axes: one a map; a figure of its own by default.
        width: a width; the largest by default.
        modes: a number of modes; the largest by default.
        seed: the network of one seed; the mean over all seeds by default.
        arm: the name of an arm; the first one by default.
        colours: a colour for each mode in their order, or by the label it has by default (`mode 1`).
        labels: what the legend says of each mode instead, likewise.
        **at: values of further axes of the grid, such as learning_rate=0.01; see `modejax.plots.members.pick` for what
            is taken by default.

    Returns:
        The axes, shape (maps,).

    Raises:
        InputError: if importances were measured at fewer than two epochs, there is no such arm, width, modes, seed or
            value of an axis, or the number of axes is wrong.

    References:
        tau: Li and Huang, arXiv 2208.09859; see `modejax.truncation.importance`.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=3, truncate_every=1, baseline="none")
        >>> [line.get_label() for line in plot_importance_history(run_sweep(config))[0].lines]
        ['mode 1', 'mode 2']
    """
    whole = arm_data(result, arm)
    require(whole, "importance", why=_WHY)
    if "importance_history" not in whole:
        raise InputError("the result has importances after the last epoch only; run the sweep with truncate_every")
    member = pick(result, arm, at)
    data = member.data
    width = int(data.width.values.max()) if width is None else width
    modes = int(data.modes.values.max()) if modes is None else modes
    shown = pick_curves(data, width, modes)
    ordered = _followed(data, shown.curves[0].where, seed)
    picked = _mode_curves(max(int(np.isfinite(ordered.values).any(axis=(0, 1, 2)).sum()), 1)).dressed(colours, labels)
    layers = [int(layer) for layer in data.layer.values]
    panels, made = make_axes(len(layers), axes)
    counts, epochs = [], data.truncation_epoch.values
    for index, ax in enumerate(panels):
        means = []
        for curve in picked.curves:
            found = spread(ordered.isel(curve.where | {"layer": index}))
            draw_curve(ax, epochs, found, curve, crowded=picked.colours.many)
            counts.append(found.count)
            means.append(found.mean)
        integer_axis(ax, epochs)
        set_log_y(ax, np.concatenate(means))
        ax.set_xlabel("epoch")
        ax.set_ylabel("importance \N{GREEK SMALL LETTER TAU} (no unit)")
        ax.set_title(map_title(layers[index], len(layers)), fontsize=10)
        finish(ax, empty="" if np.isfinite(np.concatenate(means)).any() else empty_text(data))
    if made:
        seeds = seeds_text(np.concatenate(counts)) if seed is None else f"seed {seed}"
        words = [shown.text, member.text, seeds, diverged_text(data.status)]
        set_title(panels, [headline(data), "modes numbered by their importance at the end", *words])
    place_legend(panels, made, colours=picked.colours, columns=5)
    return panels


def _followed(data: xarray.Dataset, where: dict[str, int], seed: int | None) -> xarray.DataArray:
    """Return importances (layer, seed, epoch, mode) with modes in the order of the last epoch, the largest first."""
    found = data.importance_history.isel(where)
    if seed is not None:
        found = found.isel(seed=[place_of(data, "seed", seed)])
    found = found.transpose("layer", "seed", "truncation_epoch", "mode")
    values = np.asarray(found, np.float64)
    order = np.argsort(-values[..., -1:, :], axis=-1)  # what is missing comes last
    return found.copy(data=np.take_along_axis(values, np.broadcast_to(order, values.shape), axis=-1))


def _mode_curves(count: int) -> Picked:
    """Return a curve for each mode, numbered from 1."""
    numbers = range(1, count + 1)
    scale = Colours(numbers, "mode, by its importance at the end")
    return Picked([Curve(0, 0, {"mode": k - 1}, f"mode {k}", scale(k), "-") for k in numbers], scale, "")


def _rank_axis(ax: Any, longest: int) -> None:
    """Make the horizontal axis logarithmic with whole numbers, however few there are."""
    ticks = [tick * 10**power for power in range(6) for tick in (1, 2, 5) if tick * 10**power <= max(longest, 2)]
    set_number_axis(ax, ticks, wide=1.0)
    ax.set_xlim(0.9, max(longest, 2) * 1.1)
