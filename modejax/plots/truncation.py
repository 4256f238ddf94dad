"""Test accuracy of networks cut back to some of their modes, and how those curves come about during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.plots.colours import Chosen
from modejax.plots.members import (
    Result,
    arm_data,
    config_of,
    diverged_text,
    headline,
    measure_of,
    pick,
    require,
    seeds_text,
    spread,
)
from modejax.plots.style import (
    draw_curve,
    epoch_curves,
    finish,
    integer_axis,
    make_axes,
    nothing_text,
    pick_curves,
    place_legend,
    set_title,
)

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["empty_text", "map_title", "order_text", "plot_emergence", "plot_truncation"]

_WHY = "A layer without modes (dense) has no truncation curves; sweep a layer with modes"

_ORDERS = {
    "importance": "largest importance \N{GREEK SMALL LETTER TAU}",
    "weight": "largest |\N{GREEK CAPITAL LETTER SIGMA}|",
    "size": "largest gauge-free size",
}


def order_text(data: xarray.Dataset) -> str:
    """Say in which order the modes are kept.

    Args:
        data: the result of an arm.

    Returns:
        For example `largest importance τ kept first`; empty where the result carries no config.
    """
    config = config_of(data)
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


def _variable(data: xarray.Dataset) -> str:
    """Return the variable of the truncation curves, of accuracies or losses."""
    require(data, "test_accuracy", "status")
    name = f"truncation_{measure_of(data).what}"
    require(data, name, f"{name}_all", why=_WHY)
    return name


def empty_text(data: xarray.Dataset) -> str:
    """Say why a panel of modes is empty."""
    found = nothing_text(data)
    return found if found != "no finite value" else "no modes"


def plot_truncation(
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
    """Draw the test accuracy against the number of modes kept: one map cut, a panel each, and all maps cut together.

    The curves are those after the last epoch. They differ in the number of modes that the networks were trained with,
    or in their width if `modes` is given. Where the targets are real values, the test loss is drawn.

    Args:
        result: a run of a layer with modes, its result, or one arm of it.
        axes: one a map and one more; a figure of its own by default.
        width: one width only; by default the largest, unless `modes` is given.
        modes: one number of modes only.
        arm: the name of an arm; the first one by default.
        colours: a colour for each curve in their order, or by the label it has by default.
        labels: what the legend says of each curve instead, likewise.
        **at: values of further axes of the grid, such as learning_rate=0.01; see `modejax.plots.members.pick` for what
            is taken by default.

    Returns:
        The axes, shape (maps + 1,).

    Raises:
        InputError: if the result has no truncation curves, no such arm, width, modes or value of an axis, or the
            number of axes is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> [ax.get_title() for ax in plot_truncation(run)]
        ['map 1 (from the input)', 'map 2', 'map 3 (to the output)', 'all maps']
    """
    name = _variable(arm_data(result, arm))
    member = pick(result, arm, at)
    data, scale = member.data.isel(truncation_epoch=-1), member.measure.scale
    picked = pick_curves(data, width, modes).dressed(colours, labels)
    layers = [int(layer) for layer in data.layer.values]
    panels, made = make_axes(len(layers) + 1, axes, share_y=True)
    kept = data.kept.values
    counts = []
    for index, ax in enumerate(panels):
        whole = index == len(layers)
        values = data[f"{name}_all"] if whole else data[name].isel(layer=index)
        for curve in picked.curves:
            found = spread(values.isel(curve.where), scale)
            counts.append(found.count)
            draw_curve(ax, kept, found, curve, crowded=picked.colours.many, limits=member.measure.limits)
        title = "all maps" if whole else map_title(layers[index], len(layers))
        # In a figure of our own the order stands in its title.
        ax.set_title(title if made else f"{title}\n{order_text(data)}".rstrip(), fontsize=10)
        ax.set_xlabel(f"modes kept in {'each map' if whole else 'this map'}")
        ax.set_ylabel(member.measure.label)
        integer_axis(ax, kept)
        drawn = any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in ax.lines)
        finish(ax, empty="" if drawn else empty_text(data))
    if made:
        words = [f"after epoch {int(data.truncation_epoch)}", order_text(data), picked.text, member.text]
        words += [seeds_text(np.concatenate(counts)), diverged_text(data.status)]
        set_title(panels, [headline(data), *words])
    place_legend(panels, made, colours=picked.colours)
    return panels


def plot_emergence(
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
    """Draw the accuracy with all maps cut, at every epoch at which it was measured: one sees the modes emerge.

    Args:
        result: a run with `truncate_every`, its result, or one arm of it.
        ax: where to draw; a figure of its own by default.
        width: a width; the largest by default.
        modes: a number of modes; the largest by default.
        arm: the name of an arm; the first one by default.
        colours: a colour for each curve in their order, or by the label it has by default.
        labels: what the legend says of each curve instead, likewise.
        **at: values of further axes of the grid, such as learning_rate=0.01; see `modejax.plots.members.pick` for what
            is taken by default.

    Returns:
        The axes.

    Raises:
        InputError: if curves were measured at fewer than two epochs, or there is no such arm, width, modes or value of
            an axis.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=1, epochs=2, truncate_every=1, baseline="none")
        >>> [line.get_label() for line in plot_emergence(run_sweep(config)).lines]
        ['epoch 1', 'epoch 2']
    """
    data = arm_data(result, arm)
    name = _variable(data)
    epochs = [int(epoch) for epoch in data.truncation_epoch.values]
    if len(epochs) < 2:
        raise InputError(
            f"the result has truncation curves at {len(epochs)} epoch, but watching them emerge takes 2 or more; "
            "run the sweep with truncate_every"
        )
    member = pick(result, arm, at)
    width = int(member.data.width.values.max()) if width is None else width
    modes = int(member.data.modes.values.max()) if modes is None else modes
    picked = pick_curves(member.data, width, modes)
    panels, made = make_axes(1, ax)
    panel: Axes = panels[0]
    drawn = epoch_curves(epochs).dressed(colours, labels)
    counts = []
    for curve in drawn.curves:
        found = spread(member.data[f"{name}_all"].isel(picked.curves[0].where | curve.where), member.measure.scale)
        counts.append(found.count)
        kept, limits = member.data.kept.values, member.measure.limits
        draw_curve(panel, kept, found, curve, crowded=drawn.colours.many, limits=limits)
    panel.set_xlabel("modes kept in each map")
    panel.set_ylabel(member.measure.label)
    integer_axis(panel, member.data.kept.values)
    words = [picked.text, member.text, seeds_text(np.concatenate(counts)), diverged_text(member.data.status)]
    if made:
        set_title(panels, [headline(member.data), "all maps cut", order_text(member.data), *words])
    else:
        panel.set_title(f"all maps, {order_text(member.data)}\n{picked.text}", fontsize=10)
    some = any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in panel.lines)
    finish(panel, empty="" if some else nothing_text(member.data))
    place_legend(panels, made, colours=drawn.colours)
    return panel
