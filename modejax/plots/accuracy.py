"""Final test accuracy against the number of modes, a curve for each width, beside the dense baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.members import (
    Member,
    Spread,
    config_of,
    diverged_text,
    headline,
    layer_text,
    pick_pair,
    seeds_text,
    spread,
)
from modejax.plots.style import (
    Colours,
    Curve,
    draw_curve,
    finish,
    make_axes,
    modes_text,
    place_legend,
    set_number_axis,
    set_title,
)

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["MOST_PAIRS", "plot_accuracy", "plot_rates"]

MOST_PAIRS = 9
"""Most pairs of learning rate and weight decay for which `plot_rates` draws a panel."""

_DENSE_COLOUR = (0.35, 0.35, 0.35, 1.0)
_ALL_DIVERGED = "every network diverged"
_DASH = 5.0  # in line widths
_MOST_TURNS = 3  # with more baselines whose dashes take turns, the gaps would hide the lines


def plot_accuracy(
    result: xarray.Dataset,
    ax: Axes | None = None,
    *,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
) -> Axes:
    """Draw the test accuracy after the last epoch against the number of modes, a curve for each width.

    Points are means over seeds and bands one standard deviation of single networks. Dashed lines are dense networks of
    the same widths, with their own learning rate and decay. With one number of modes, or none, the horizontal axis is
    the width.

    Args:
        result: the result of a sweep.
        ax: where to draw; a figure of its own by default.
        learning_rate: one of the sweep's learning rates; the first by default. The best is not looked for: chosen by
            test accuracy it would flatter the result.
        weight_decay: one of the sweep's weight decays; the first by default.

    Returns:
        The axes; `.figure` is their figure.

    Raises:
        InputError: if the result is not that of a sweep, or has no such learning rate or weight decay.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> plot_accuracy(result).get_ylabel()
        'test accuracy (%)'
    """
    member = pick_pair(result, learning_rate, weight_decay)
    panels, made = make_axes(1, ax)
    panel: Axes = panels[0]
    colours, counts = _panel(panel, member, numbers=True)
    words = [f"after epoch {int(result.epoch[-1])}", member.text, seeds_text(counts), diverged_text(member.data.status)]
    if made:
        set_title(panels, [headline(result), *words])
    else:
        panel.set_title(f"{headline(result)}\n{member.text}", fontsize=10)
    place_legend(panels, made, colours=colours, columns=2)
    return panel


def plot_rates(result: xarray.Dataset, axes: Any = None) -> np.ndarray:
    """Draw `plot_accuracy` for every pair of learning rate and weight decay, a panel each.

    Args:
        result: the result of a sweep.
        axes: one a pair (at most 9, the first ones); a figure of its own by default.

    Returns:
        The axes, shape (pairs,).

    Raises:
        InputError: if the result is not that of a sweep, or the number of axes is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> [ax.get_title() for ax in plot_rates(result)]
        ['learning rate 0.005, weight decay 0.001']
    """
    pick_pair(result)
    pairs = [(float(r), float(d)) for r in result.learning_rate.values for d in result.weight_decay.values]
    panels, made = make_axes(min(len(pairs), MOST_PAIRS), axes, share_y=True)
    colours, counts = None, []
    for ax, (rate, decay) in zip(panels, pairs, strict=False):
        colours, count = _panel(ax, pick_pair(result, rate, decay), numbers=False)
        counts.append(count)
        ax.set_title(f"learning rate {rate:g}, weight decay {decay:g}", fontsize=10)
    if made:
        left_out = f"the first {MOST_PAIRS} of {len(pairs)} pairs" if len(pairs) > MOST_PAIRS else ""
        epoch = f"after epoch {int(result.epoch[-1])}"
        failed = diverged_text(result.status)
        set_title(panels, [headline(result), epoch, seeds_text(np.concatenate(counts)), left_out, failed])
    place_legend(panels, made, colours=colours)
    return panels


def _panel(ax: Axes, member: Member, *, numbers: bool) -> tuple[Colours | None, np.ndarray]:
    """Draw one pair; return the colours where curves are widths, and how many seeds stand behind each mean."""
    data = member.data
    if data.sizes["modes"] > 1:
        return _against_modes(ax, data, numbers=numbers)
    return None, _against_width(ax, data)


def _against_modes(ax: Axes, data: xarray.Dataset, *, numbers: bool) -> tuple[Colours, np.ndarray]:
    widths, modes = data.width.values, data.modes.values
    found = spread(data.test_accuracy.isel(epoch=-1).transpose("width", "modes", "seed"), 100.0)
    colours = Colours(widths, "width N (units of each hidden layer)")
    order = np.argsort(modes)
    for index, width in enumerate(widths):
        curve = Curve(int(width), 0, {"width": index}, f"N = {width}", colours(width), "-")
        values = Spread(*(part[index, order] for part in found))
        draw_curve(ax, modes[order], values, curve, crowded=colours.many)
    counts = [found.count.ravel()]
    if "baseline_test_accuracy" in data:
        dense = spread(data.baseline_test_accuracy.isel(epoch=-1).transpose("width", "seed"), 100.0)
        counts.append(dense.count)
        _dense_lines(ax, widths, dense, colours, numbers=numbers)
    set_number_axis(ax, modes.tolist())
    ax.set_xlabel("modes P of each map")
    ax.set_ylabel("test accuracy (%)")
    finish(ax, empty="" if np.isfinite(found.mean).any() else _ALL_DIVERGED)
    return colours, np.concatenate(counts)


def _dense_lines(ax: Axes, widths: np.ndarray, dense: Spread, colours: Colours, *, numbers: bool) -> None:
    """Draw the baseline of each width across the axis; dashes take turns, so that lines on one another are all seen."""
    drawn = [index for index in range(len(widths)) if np.isfinite(dense.mean[index])]
    turns = min(len(drawn), _MOST_TURNS)
    for turn, index in enumerate(drawn):
        mean, sd, colour = dense.mean[index], dense.sd[index], colours(widths[index])
        dash = (-_DASH * (turn % turns), (_DASH, _DASH * max(turns - 1, 0.6)))
        ax.axhline(mean, color=colour, linestyle=dash, lw=1.8, zorder=1.5)
        if np.isfinite(sd) and not colours.many:
            ax.axhspan(mean - sd, mean + sd, facecolor=colour, edgecolor="none", alpha=0.08, zorder=0.5)
        if colours.many and turn == 0:
            ax.plot([], [], "--", color=_DENSE_COLOUR, label="dense baseline, same width and colour")
        elif not colours.many:
            text = f": {mean:.1f}" + (f" \N{PLUS-MINUS SIGN} {sd:.1f} %" if np.isfinite(sd) else " %")
            # A line of its own for the legend, where every dash should start at the left.
            ax.plot([], [], "--", color=colour, label=f"N = {widths[index]} dense{text if numbers else ''}")


def _against_width(ax: Axes, data: xarray.Dataset) -> np.ndarray:
    widths = data.width.values
    order = np.argsort(widths)
    modes = int(data.modes.values[0])
    own = spread(data.test_accuracy.isel(epoch=-1, modes=0).transpose("width", "seed"), 100.0)
    own = Spread(*(part[order] for part in own))
    label = ", ".join(filter(None, [layer_text(config_of(data)), modes_text(data, modes)]))
    curve = Curve(0, modes, {}, label, Colours([1.0], "")(1.0), "-")
    draw_curve(ax, widths[order], own, curve, marker="o")
    counts = own.count
    if "baseline_test_accuracy" in data:
        dense = Spread(*(part[order] for part in spread(data.baseline_test_accuracy.isel(epoch=-1), 100.0)))
        grey = curve._replace(label="dense baseline", colour=_DENSE_COLOUR, style=(0, (5, 2)))
        draw_curve(ax, widths[order], dense, grey, marker="s")
        counts = np.concatenate([counts, dense.count])
    set_number_axis(ax, widths.tolist())
    ax.set_xlabel("width N (units of each hidden layer)")
    ax.set_ylabel("test accuracy (%)")
    finish(ax, empty="" if np.isfinite(own.mean).any() else _ALL_DIVERGED)
    return counts
