"""Test accuracy of networks cut back to some of their modes, and how those curves come about during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.plots.members import Spread, config_of, diverged_text, headline, pick_pair, require, seeds_text, spread
from modejax.plots.style import (
    Colours,
    Curve,
    draw_curve,
    finish,
    integer_axis,
    make_axes,
    pick_curves,
    place_legend,
    set_title,
)

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["map_title", "order_text", "plot_emergence", "plot_truncation"]

_WHY = "A layer without modes (dense) has no truncation curves; sweep a layer with modes"

_ORDERS = {
    "importance": "largest importance \N{GREEK SMALL LETTER TAU}",
    "weight": "largest |\N{GREEK CAPITAL LETTER SIGMA}|",
    "size": "largest gauge-free size",
}


def order_text(result: xarray.Dataset) -> str:
    """Say in which order the modes are kept.

    Args:
        result: the result of a sweep.

    Returns:
        For example `largest importance τ kept first`; empty where the result carries no config.
    """
    config = config_of(result)
    if "order" not in config:
        return ""
    if config["order"] == "random":
        return f"kept in random order, mean of {config['draws']} draws"
    verb = "removed first" if config.get("cut") == "remove-leading" else "kept first"
    return f"{_ORDERS[config['order']]} {verb}"


def map_title(layer: int, count: int) -> str:
    """Name one map of a network.

    Args:
        layer: its number, 1 next to the input.
        count: the number of maps.

    Returns:
        For example `map 3 (to the output)`.
    """
    place = " (from the input)" if layer == 1 else " (to the output)" if layer == count else ""
    return f"map {layer}{place}"


def plot_truncation(
    result: xarray.Dataset,
    axes: Any = None,
    width: int | None = None,
    modes: int | None = None,
    *,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
) -> np.ndarray:
    """Draw the test accuracy against the number of modes kept: one map cut, a panel each, and all maps cut together.

    The curves are those after the last epoch. They differ in the number of modes that the networks were trained with,
    or in their width if `modes` is given.

    Args:
        result: the result of a sweep of a layer with modes.
        axes: one a map and one more; a figure of its own by default.
        width: one width only; by default the largest, unless `modes` is given.
        modes: one number of modes only.
        learning_rate: one of the sweep's learning rates; the first by default.
        weight_decay: one of the sweep's weight decays; the first by default.

    Returns:
        The axes, shape (maps + 1,).

    Raises:
        InputError: if the result has no truncation curves, no such width, modes or pair, or the number of
            axes is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> [ax.get_title() for ax in plot_truncation(result)]
        ['map 1 (from the input)', 'map 2', 'map 3 (to the output)', 'all maps']
    """
    require(result, "truncation_accuracy", "truncation_accuracy_all", why=_WHY)
    member = pick_pair(result, learning_rate, weight_decay)
    data = member.data.isel(truncation_epoch=-1)
    picked = pick_curves(data, width, modes)
    layers = [int(layer) for layer in data.layer.values]
    panels, made = make_axes(len(layers) + 1, axes, share_y=True)
    kept = data.kept.values
    counts = []
    for index, ax in enumerate(panels):
        whole = index == len(layers)
        values = data.truncation_accuracy_all if whole else data.truncation_accuracy.isel(layer=index)
        for curve in picked.curves:
            found = spread(values.isel(curve.where), 100.0)
            counts.append(found.count)
            draw_curve(ax, kept, found, curve, crowded=picked.colours.many)
        name = "all maps" if whole else map_title(layers[index], len(layers))
        # In a figure of our own the order stands in its title.
        ax.set_title(name if made else f"{name}\n{order_text(result)}".rstrip(), fontsize=10)
        ax.set_xlabel(f"modes kept in {'each map' if whole else 'this map'}")
        ax.set_ylabel("test accuracy (%)")
        integer_axis(ax, kept)
        drawn = any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in ax.lines)
        finish(ax, empty="" if drawn else "no modes, or every network diverged")
    if made:
        words = [picked.text, member.text, seeds_text(np.concatenate(counts)), diverged_text(data.status)]
        set_title(panels, [headline(result), f"after epoch {int(data.truncation_epoch)}", order_text(result), *words])
    place_legend(panels, made, colours=picked.colours)
    return panels


def plot_emergence(
    result: xarray.Dataset,
    ax: Axes | None = None,
    width: int | None = None,
    modes: int | None = None,
    *,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
) -> Axes:
    """Draw the accuracy with all maps cut, at every epoch at which it was measured: one sees the modes emerge.

    Args:
        result: the result of a sweep with `truncate_every`.
        ax: where to draw; a figure of its own by default.
        width: a width; the largest by default.
        modes: a number of modes; the largest by default.
        learning_rate: one of the sweep's learning rates; the first by default.
        weight_decay: one of the sweep's weight decays; the first by default.

    Returns:
        The axes.

    Raises:
        InputError: if curves were measured at fewer than two epochs, or there is no such width, modes or pair.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=1, epochs=2, truncate_every=1, baseline="none")
        >>> [line.get_label() for line in plot_emergence(run_sweep(config)).lines]
        ['epoch 1', 'epoch 2']
    """
    require(result, "truncation_accuracy_all", why=_WHY)
    epochs = [int(epoch) for epoch in result.truncation_epoch.values]
    if len(epochs) < 2:
        raise InputError(
            f"the result has truncation curves at {len(epochs)} epoch, but watching them emerge takes 2 or more; "
            "run the sweep with truncate_every"
        )
    member = pick_pair(result, learning_rate, weight_decay)
    width = int(member.data.width.values.max()) if width is None else width
    modes = int(member.data.modes.values.max()) if modes is None else modes
    picked = pick_curves(member.data, width, modes)
    panels, made = make_axes(1, ax)
    panel: Axes = panels[0]
    colours = Colours(epochs, "epoch")
    counts = []
    for index, epoch in enumerate(epochs):
        found: Spread = spread(
            member.data.truncation_accuracy_all.isel(picked.curves[0].where | {"truncation_epoch": index}), 100.0
        )
        counts.append(found.count)
        curve = Curve(width, modes, {}, f"epoch {epoch}", colours(epoch), "-")
        draw_curve(panel, member.data.kept.values, found, curve, crowded=colours.many)
    panel.set_xlabel("modes kept in each map")
    panel.set_ylabel("test accuracy (%)")
    integer_axis(panel, member.data.kept.values)
    words = [picked.text, member.text, seeds_text(np.concatenate(counts)), diverged_text(member.data.status)]
    if made:
        set_title(panels, [headline(result), "all maps cut", order_text(result), *words])
    else:
        panel.set_title(f"all maps, {order_text(result)}\n{picked.text}", fontsize=10)
    drawn = any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in panel.lines)
    finish(panel, empty="" if drawn else "every network diverged")
    place_legend(panels, made, colours=colours)
    return panel
