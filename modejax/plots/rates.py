"""What learning rates do: accuracy against the rate, and the first rate of a sweep beside the best one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.plots.accuracy import draw_panel
from modejax.plots.colours import Chosen
from modejax.plots.members import (
    Result,
    Spread,
    arm_data,
    diverged_text,
    headline,
    pick,
    seeds_text,
    spread,
)
from modejax.plots.style import (
    DENSE_COLOUR,
    DENSE_STYLE,
    MOST_TOGETHER,
    Curve,
    draw_curve,
    finish,
    make_axes,
    nothing_text,
    pick_curves,
    place_legend,
    set_log_y,
    set_number_axis,
    set_title,
)
from modejax.sweep.select import first_pair, judge_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["plot_accuracy_vs_rate", "plot_first_and_best"]

_RATE = "learning_rate"


def plot_first_and_best(
    result: Result,
    axes: Any = None,
    *,
    arm: str | None = None,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> np.ndarray:
    """Draw `plot_accuracy` at the first learning rate and weight decay of an arm, and at the best ones of each cell.

    The best ones are chosen on held-out data where the sweep has some, else by the training loss; the test set plays no
    part in it. The first pair is the first one of which some network did not diverge.

    Args:
        result: a run, its result, or the data set of one arm, which has no baseline.
        axes: two axes; a figure of its own by default.
        arm: the name of an arm; the first one by default.
        colours: a colour for each width in their order, or by the label it has by default (`N = 16`).
        labels: what the legend says of each width instead, likewise.
        **at: values of further axes of the grid, such as sparsity=50.

    Returns:
        The axes, shape (2,).

    Raises:
        InputError: if the result is not that of a sweep, has no such arm or value of an axis, or the number of axes is
            wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=1, epochs=1, learning_rates=(0.01, 0.1))
        >>> [ax.get_title().split(":")[0] for ax in plot_first_and_best(run_sweep(config))]
        ['first', 'best']
    """
    data = arm_data(result, arm)
    first, best = pick(result, arm, {**at, **first_pair(data)}), pick(result, arm, at)
    panels, made = make_axes(2, axes, share_y=True)
    scale, counts = None, []
    for ax, member, name in zip(panels, (first, best), ("first", "best"), strict=True):
        scale, count = draw_panel(ax, member, numbers=False, colours=colours, labels=labels)
        counts.append(count)
        # Two lines: the rates of an arm and how they were chosen do not fit one over half a figure.
        ax.set_title(f"{name}: {member.text.replace(' (', chr(10) + '(')}", fontsize=10)
    if made:
        words = [f"after epoch {int(data.epoch[-1])}", best.dense_text, seeds_text(np.concatenate(counts))]
        set_title(panels, [headline(data), *words, diverged_text(data.status)])
    place_legend(panels, made, colours=scale)
    return panels


def plot_accuracy_vs_rate(
    result: Result,
    ax: Axes | None = None,
    *,
    width: int | None = None,
    modes: int | None = None,
    arm: str | None = None,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> Axes:
    """Draw the test accuracy after the last epoch against the learning rate, a line for each width and number of modes.

    Points are means over seeds, bands one standard deviation of single networks. A star marks the rate that was chosen
    for a line: on held-out data where the sweep has some, else by the training loss. At each rate the weight decay is
    chosen likewise. Where more than six lines would be drawn, those of the largest width are. With one width the dense
    baseline of that width is drawn in grey. Where the targets are real values, the test loss is drawn.

    Args:
        result: a run over several learning rates, its result, or the data set of one arm, which has no baseline.
        ax: where to draw; a figure of its own by default.
        width: one width only.
        modes: one number of modes only.
        arm: the name of an arm; the first one by default.
        colours: a colour for each curve in their order, or by the label it has by default.
        labels: what the legend says of each curve instead, likewise.
        **at: values of further axes of the grid, such as sparsity=50.

    Returns:
        The axes.

    Raises:
        InputError: if the result is not that of a sweep, or has no such arm, width, modes or value of an axis.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=1, epochs=1, learning_rates=(0.01, 0.1))
        >>> plot_accuracy_vs_rate(run_sweep(config)).get_xlabel()
        'learning rate'
    """
    whole = arm_data(result, arm)
    if "status" not in whole or _RATE not in whole.status.dims:
        raise InputError("the result has no axis learning_rate; give the result of a sweep or of one of its arms")
    member, best = pick(result, arm, at, keep=(_RATE,)), pick(result, arm, at)
    data, measure = member.data, member.measure
    picked = pick_curves(data, width, modes, pairs=MOST_TOGETHER).dressed(colours, labels)
    panels, made = make_axes(1, ax)
    panel: Axes = panels[0]
    rates, counts, means = list(data[_RATE].values), [], []
    for curve in picked.curves:
        chosen = float(best.data[_RATE].isel({n: i for n, i in curve.where.items() if n in best.data[_RATE].dims}))
        found = _draw(panel, data, measure, curve, chosen, crowded=picked.colours.many)
        counts.append(found.count)
        means.append(found.mean)
    widths = {curve.width for curve in picked.curves}
    if len(widths) == 1 and member.dense is not None and best.dense is not None:
        where = {"width": picked.curves[0].where["width"]}
        chosen = best.dense[_RATE].isel(where if "width" in best.dense[_RATE].dims else {})
        grey = Curve(next(iter(widths)), 0, where, "dense baseline", DENSE_COLOUR, DENSE_STYLE)
        means.append(_draw(panel, member.dense, measure, grey, float(chosen)).mean)
        rates += list(member.dense[_RATE].values)
    how = _how(whole)
    if len(whole[_RATE]) > 1:
        panel.plot([], [], "*", color="0.3", ms=11, label=f"chosen: {how}")
    drawn = np.concatenate(means)
    set_number_axis(panel, sorted({float(rate) for rate in rates}), wide=2.0)
    panel.set_xlabel("learning rate")
    panel.set_ylabel(measure.label)
    positive = drawn[np.isfinite(drawn) & (drawn > 0)]
    if measure.what == "loss" and positive.size and positive.max() / positive.min() > 5:
        set_log_y(panel, drawn)
    finish(panel, empty="" if np.isfinite(drawn).any() else nothing_text(data))
    if made:
        words = [f"after epoch {int(data.epoch[-1])}", picked.text, member.text, seeds_text(np.concatenate(counts))]
        set_title(panels, [headline(data), *words, diverged_text(data.status)])
    place_legend(panels, made, colours=picked.colours)
    return panel


def _draw(
    ax: Axes, data: xarray.Dataset, measure: Any, curve: Curve, chosen: float, *, crowded: bool = False
) -> Spread:
    """Draw one line against the rate with a star at the rate that was chosen."""
    values = data[measure.test].isel({"epoch": -1, **curve.where}).transpose(_RATE, "seed")
    order = np.argsort(data[_RATE].values)
    found = Spread(*(part[order] for part in spread(values, measure.scale)))
    rates = data[_RATE].values[order]
    draw_curve(ax, rates, found, curve, crowded=crowded, limits=measure.limits)
    here = rates == chosen
    if rates.size > 1:
        style: dict[str, Any] = {"color": curve.colour, "ms": 11, "mec": "white", "mew": 0.8, "zorder": 4}
        ax.plot(rates[here], found.mean[here], "*", label=f"_{curve.label}, rate chosen", **style)
    return found


def _how(data: xarray.Dataset) -> str:
    """Say by what rates are chosen."""
    return "best on held-out data" if judge_of(data).startswith("validation") else "lowest training loss"
