"""Learning curves: loss on the training set, loss and accuracy on the test set against the epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from modejax.plots.colours import Chosen
from modejax.plots.members import Result, diverged_text, headline, pick, seeds_text, spread
from modejax.plots.style import (
    DENSE_COLOUR,
    DENSE_STYLE,
    MOST_TOGETHER,
    Curve,
    draw_curve,
    finish,
    integer_axis,
    make_axes,
    nothing_text,
    pick_curves,
    place_legend,
    set_log_y,
    set_title,
)

__all__ = ["plot_learning"]

_PANELS = (("train_loss", "train loss"), ("test_loss", "test loss"), ("test_accuracy", "test accuracy"))
"""Variables and their names; the last one is left out where there are no accuracies."""


def plot_learning(
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
    """Draw train loss, test loss and test accuracy against the epoch.

    Curves are means over seeds, bands one standard deviation. A network that diverged counts at no epoch; the title
    says how many did. Where more than six curves would be drawn, the largest width is shown. With one width shown the
    dense baseline of that width is drawn in grey. Where the targets are real values, there is no panel of accuracies.

    Args:
        result: a run, its result, or the data set of one arm, which has no baseline.
        axes: three axes, two without accuracies; a figure of its own by default.
        width: one width only.
        modes: one number of modes only.
        arm: the name of an arm; the first one by default.
        colours: a colour for each curve in their order, or by the label it has by default.
        labels: what the legend says of each curve instead, likewise.
        **at: values of further axes of the grid, such as learning_rate=0.01; see `modejax.plots.members.pick` for what
            is taken by default.

    Returns:
        The axes, shape (3,), or (2,) without accuracies.

    Raises:
        InputError: if the result is not that of a sweep, has no such arm, width, modes or value of an axis, or the
            number of axes is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> [ax.get_ylabel() for ax in plot_learning(run)]
        ['train loss (nat)', 'test loss (nat)', 'test accuracy (%)']
    """
    member = pick(result, arm, at)
    data = member.data
    picked = pick_curves(data, width, modes, pairs=MOST_TOGETHER).dressed(colours, labels)
    shown = _PANELS if member.measure.what == "accuracy" else _PANELS[:-1]
    panels, made = make_axes(len(shown), axes)
    widths = {curve.width for curve in picked.curves}
    counts = []
    for ax, (name, label) in zip(panels, shown, strict=True):
        scale, limits = (100.0, (0.0, 100.0)) if name == "test_accuracy" else (1.0, None)
        means = []
        for curve in picked.curves:
            found = spread(data[name].isel(curve.where), scale)
            draw_curve(ax, data.epoch.values, found, curve, crowded=picked.colours.many, limits=limits)
            counts.append(found.count)
            means.append(found.mean)
        if member.dense is not None and len(widths) == 1:
            where = {"width": picked.curves[0].where["width"]}
            found = spread(member.dense[name].isel(where), scale)
            dense = Curve(next(iter(widths)), 0, where, "dense baseline", DENSE_COLOUR, DENSE_STYLE)
            draw_curve(ax, data.epoch.values, found, dense, limits=limits)
            means.append(found.mean)
        drawn = np.concatenate(means)
        unit = "%" if name == "test_accuracy" else str(data[name].attrs.get("units", "nat"))
        ax.set_ylabel(f"{label} ({unit})" if unit != "1" else f"{label} (no unit)")
        ax.set_xlabel("epoch")
        ax.set_title(label, fontsize=10)
        positive = drawn[np.isfinite(drawn) & (drawn > 0)]
        if name != "test_accuracy" and positive.size and positive.max() / positive.min() > 5:
            set_log_y(ax, drawn)
        finish(ax, empty="" if np.isfinite(drawn).any() else nothing_text(data))
        integer_axis(ax, data.epoch.values)
    if made:
        dense_text = member.dense_text if len(widths) == 1 else ""
        words = [picked.text, member.text, dense_text, seeds_text(np.concatenate(counts)), diverged_text(data.status)]
        set_title(panels, [headline(member.data), *words])
    place_legend(panels, made, colours=picked.colours, columns=5 if len(widths) == 1 else len(widths))
    return panels
