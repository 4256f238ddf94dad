"""Test accuracy (loss for real values) against the number of modes, a curve a width, beside the dense baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.colours import Chosen, Colours
from modejax.plots.members import (
    Measure,
    Member,
    Result,
    Spread,
    arm_config,
    arm_data,
    diverged_text,
    headline,
    layer_text,
    pick,
    seeds_text,
    spread,
)
from modejax.plots.style import (
    DENSE_COLOUR,
    DENSE_STYLE,
    Curve,
    Picked,
    draw_curve,
    finish,
    make_axes,
    modes_text,
    nothing_text,
    place_legend,
    set_number_axis,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_PAIRS", "draw_panel", "plot_accuracy", "plot_rates"]

MOST_PAIRS = 9
"""Most pairs of learning rate and weight decay for which `plot_rates` draws a panel."""

_DASH = 5.0  # in line widths
_MOST_TURNS = 3  # with more baselines whose dashes take turns, the gaps would hide the lines


def plot_accuracy(
    result: Result,
    ax: Axes | None = None,
    *,
    arm: str | None = None,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> Axes:
    """Draw the test accuracy after the last epoch against the number of modes, a curve for each width.

    Points are means over seeds and bands one standard deviation of single networks. Dashed lines are dense networks of
    the same widths, with their own learning rate and decay. With one number of modes, or none, the horizontal axis is
    the width. Where the targets are real values, the test loss is drawn.

    Args:
        result: a run, its result, or the data set of one arm, which has no baseline.
        ax: where to draw; a figure of its own by default.
        arm: the name of an arm; the first one by default.
        colours: a colour for each width in their order, or by the label it has by default (`N = 16`).
        labels: what the legend says of each width instead, likewise.
        **at: values of further axes of the grid, such as learning_rate=0.01; see `modejax.plots.members.pick` for what
            is taken by default.

    Returns:
        The axes; `.figure` is their figure.

    Raises:
        InputError: if the result is not that of a sweep, or has no such arm or value of an axis.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> plot_accuracy(run).get_ylabel()
        'test accuracy (%)'
    """
    member = pick(result, arm, at)
    panels, made = make_axes(1, ax)
    panel: Axes = panels[0]
    scale, counts = draw_panel(panel, member, numbers=True, colours=colours, labels=labels)
    if made:
        words = [f"after epoch {int(member.data.epoch[-1])}", member.text, member.dense_text, seeds_text(counts)]
        set_title(panels, [headline(member.data), *words, diverged_text(member.data.status)])
    else:
        panel.set_title(f"{headline(member.data)}\n{member.text}", fontsize=10)
    place_legend(panels, made, colours=scale, columns=2)
    return panel


def plot_rates(
    result: Result,
    axes: Any = None,
    *,
    arm: str | None = None,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> np.ndarray:
    """Draw `plot_accuracy` for every pair of learning rate and weight decay, a panel each.

    Args:
        result: a run, its result, or the data set of one arm, which has no baseline.
        axes: one a pair (at most 9, the first ones); a figure of its own by default.
        arm: the name of an arm; the first one by default.
        colours: a colour for each width in their order, or by the label it has by default (`N = 16`).
        labels: what the legend says of each width instead, likewise.
        **at: values of further axes of the grid, such as sparsity=50.

    Returns:
        The axes, shape (pairs,).

    Raises:
        InputError: if the result is not that of a sweep, has no such arm or value of an axis, or the number of axes is
            wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> [ax.get_title() for ax in plot_rates(run)]
        ['learning rate 0.005, weight decay 0.001']
    """
    data = arm_data(result, arm)
    pick(result, arm, at)
    pairs = [(float(r), float(d)) for r in data.learning_rate.values for d in data.weight_decay.values]
    panels, made = make_axes(min(len(pairs), MOST_PAIRS), axes, share_y=True)
    scale, counts, dense = None, [], ""
    for ax, (rate, decay) in zip(panels, pairs, strict=False):
        member = pick(result, arm, {**at, "learning_rate": rate, "weight_decay": decay})
        scale, count = draw_panel(ax, member, numbers=False, colours=colours, labels=labels)
        counts.append(count)
        dense = member.dense_text
        ax.set_title(f"learning rate {rate:g}, weight decay {decay:g}", fontsize=10)
    if made:
        left_out = f"the first {MOST_PAIRS} of {len(pairs)} pairs" if len(pairs) > MOST_PAIRS else ""
        words = [f"after epoch {int(data.epoch[-1])}", dense, seeds_text(np.concatenate(counts)), left_out]
        set_title(panels, [headline(data), *words, diverged_text(data.status)])
    place_legend(panels, made, colours=scale)
    return panels


def draw_panel(
    ax: Axes, member: Member, *, numbers: bool, colours: Chosen = None, labels: Chosen = None
) -> tuple[Colours | None, np.ndarray]:
    """Draw the accuracies of one pair.

    Args:
        ax: where.
        member: the part of a result with this pair.
        numbers: write the accuracy of the dense baseline into the legend.
        colours: a colour for each width; for networks and their baseline where the widths are the horizontal axis.
        labels: what the legend says of them.

    Returns:
        The colours where curves are widths, and how many seeds stand behind each mean.
    """
    if member.data.sizes["modes"] > 1:
        return _against_modes(ax, member, colours, labels, numbers=numbers)
    return None, _against_width(ax, member, colours, labels)


def _against_modes(
    ax: Axes, member: Member, colours: Chosen, labels: Chosen, *, numbers: bool
) -> tuple[Colours, np.ndarray]:
    data, measure = member.data, member.measure
    widths, modes = data.width.values, data.modes.values
    found = spread(data[measure.test].isel(epoch=-1).transpose("width", "modes", "seed"), measure.scale)
    scale = Colours(widths, "width N (units of each hidden layer)")
    own = [Curve(int(each), 0, {"width": i}, f"N = {each}", scale(each), "-") for i, each in enumerate(widths)]
    picked = Picked(own, scale, "").dressed(colours, labels)
    order = np.argsort(modes)
    for index, curve in enumerate(picked.curves):
        values = Spread(*(part[index, order] for part in found))
        draw_curve(ax, modes[order], values, curve, crowded=picked.colours.many, limits=measure.limits)
    counts = [found.count.ravel()]
    if member.dense is not None:
        dense = spread(member.dense[measure.test].isel(epoch=-1).transpose("width", "seed"), measure.scale)
        counts.append(dense.count)
        _dense_lines(ax, picked, dense, measure=measure, numbers=numbers)
    set_number_axis(ax, modes.tolist())
    ax.set_xlabel("modes P of each map")
    ax.set_ylabel(measure.label)
    finish(ax, empty="" if np.isfinite(found.mean).any() else nothing_text(data))
    return picked.colours, np.concatenate(counts)


def _dense_lines(ax: Axes, picked: Picked, dense: Spread, *, measure: Measure, numbers: bool) -> None:
    """Draw the baseline of each width across the axis; dashes take turns, so that lines on one another are all seen."""
    drawn = [index for index in range(len(picked.curves)) if np.isfinite(dense.mean[index])]
    crowded = picked.colours.many
    turns = min(len(drawn), _MOST_TURNS)
    unit = "%" if measure.unit == "%" else ""
    low, high = dense.band(measure.limits)
    form = (lambda value: f"{value:.1f}") if unit else (lambda value: f"{value:.3g}")
    for turn, index in enumerate(drawn):
        mean, sd, colour = dense.mean[index], dense.sd[index], picked.curves[index].colour
        dash = (-_DASH * (turn % turns), (_DASH, _DASH * max(turns - 1, 0.6)))
        name = f"_dense, {picked.curves[index].label}"
        ax.axhline(mean, color=colour, linestyle=dash, lw=1.8, zorder=1.5, label=name)
        if np.isfinite(sd) and not crowded:
            ax.axhspan(low[index], high[index], facecolor=colour, edgecolor="none", alpha=0.08, zorder=0.5)
        if crowded and turn == 0:
            ax.plot([], [], "--", color=DENSE_COLOUR, label="dense baseline, same width and colour")
        elif not crowded:
            text = f": {form(mean)}" + (f" \N{PLUS-MINUS SIGN} {form(sd)}" if np.isfinite(sd) else "")
            text += f" {unit}" if unit else ""
            # A line of its own for the legend, where every dash should start at the left.
            ax.plot([], [], "--", color=colour, label=f"{picked.curves[index].label} dense{text if numbers else ''}")


def _against_width(ax: Axes, member: Member, colours: Chosen, labels: Chosen) -> np.ndarray:
    data, measure = member.data, member.measure
    widths = data.width.values
    order = np.argsort(widths)
    modes = int(data.modes.values[0])
    own = spread(data[measure.test].isel(epoch=-1, modes=0).transpose("width", "seed"), measure.scale)
    own = Spread(*(part[order] for part in own))
    label = ", ".join(filter(None, [layer_text(arm_config(data)), modes_text(data, modes)]))
    curves = [Curve(0, modes, {}, label, Colours([1.0], "")(1.0), "-")]
    if member.dense is not None:
        curves.append(Curve(0, 0, {}, "dense baseline", DENSE_COLOUR, DENSE_STYLE))
    curves = Picked(curves, Colours([1.0], ""), "").dressed(colours, labels).curves
    draw_curve(ax, widths[order], own, curves[0], marker="o", limits=measure.limits)
    counts = own.count
    if member.dense is not None:
        found = spread(member.dense[measure.test].isel(epoch=-1).transpose("width", "seed"), measure.scale)
        dense = Spread(*(part[order] for part in found))
        draw_curve(ax, widths[order], dense, curves[1], marker="s", limits=measure.limits)
        counts = np.concatenate([counts, dense.count])
    set_number_axis(ax, widths.tolist())
    ax.set_xlabel("width N (units of each hidden layer)")
    ax.set_ylabel(measure.label)
    finish(ax, empty="" if np.isfinite(own.mean).any() else nothing_text(data))
    return counts
