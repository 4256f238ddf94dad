"""Learning curves: loss on the training set, loss and accuracy on the test set against the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.members import diverged_text, headline, pick_pair, seeds_text, spread
from modejax.plots.style import (
    MOST_TOGETHER,
    Curve,
    draw_curve,
    finish,
    integer_axis,
    make_axes,
    pick_curves,
    place_legend,
    set_log_y,
    set_title,
)

if TYPE_CHECKING:
    import xarray

__all__ = ["plot_learning"]

_PANELS = (("train_loss", "train loss"), ("test_loss", "test loss"), ("test_accuracy", "test accuracy"))
_DENSE_COLOUR = (0.35, 0.35, 0.35, 1.0)


def plot_learning(
    result: xarray.Dataset,
    axes: Any = None,
    width: int | None = None,
    modes: int | None = None,
    *,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
) -> np.ndarray:
    """Draw train loss, test loss and test accuracy against the epoch.

    Curves are means over seeds, bands one standard deviation. A network that diverged counts at no epoch; the title
    says how many did. Where more than six curves would be drawn, the largest width is shown. With one width shown the
    dense baseline of that width is drawn in grey.

    Args:
        result: the result of a sweep.
        axes: three axes; a figure of its own by default.
        width: one width only.
        modes: one number of modes only.
        learning_rate: one of the sweep's learning rates; the first by default.
        weight_decay: one of the sweep's weight decays; the first by default.

    Returns:
        The axes, shape (3,).

    Raises:
        InputError: if the result is not that of a sweep, has no such width, modes or pair, or the number
            of axes is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> [ax.get_ylabel() for ax in plot_learning(result)]
        ['train loss (nat)', 'test loss (nat)', 'test accuracy (%)']
    """
    member = pick_pair(result, learning_rate, weight_decay)
    data = member.data
    picked = pick_curves(data, width, modes, pairs=MOST_TOGETHER)
    panels, made = make_axes(3, axes)
    widths = {curve.width for curve in picked.curves}
    counts = []
    for ax, (name, label) in zip(panels, _PANELS, strict=True):
        scale = 100.0 if name == "test_accuracy" else 1.0
        means = []
        for curve in picked.curves:
            found = spread(data[name].isel(curve.where), scale)
            draw_curve(ax, data.epoch.values, found, curve, crowded=picked.colours.many)
            counts.append(found.count)
            means.append(found.mean)
        if f"baseline_{name}" in data and len(widths) == 1:
            where = {"width": picked.curves[0].where["width"]}
            found = spread(data[f"baseline_{name}"].isel(where), scale)
            dense = Curve(next(iter(widths)), 0, where, "dense baseline", _DENSE_COLOUR, (0, (5, 2)))
            draw_curve(ax, data.epoch.values, found, dense)
            means.append(found.mean)
        drawn = np.concatenate(means)
        unit = "%" if name == "test_accuracy" else str(result[name].attrs.get("units", "nat"))
        ax.set_ylabel(f"{label} ({unit})" if unit != "1" else f"{label} (no unit)")
        ax.set_xlabel("epoch")
        ax.set_title(label, fontsize=10)
        positive = drawn[np.isfinite(drawn) & (drawn > 0)]
        if name != "test_accuracy" and positive.size and positive.max() / positive.min() > 5:
            set_log_y(ax, drawn)
        finish(ax, empty="" if np.isfinite(drawn).any() else "every network diverged")
        integer_axis(ax, data.epoch.values)
    if made:
        words = [picked.text, member.text, seeds_text(np.concatenate(counts)), diverged_text(data.status)]
        set_title(panels, [headline(result), *words])
    place_legend(panels, made, colours=picked.colours, columns=5 if len(widths) == 1 else len(widths))
    return panels
