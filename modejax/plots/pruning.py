"""What is left when nodes or weights are taken away: pruning curves, sparse networks, and the scores of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.members import BAND, diverged_text, headline, pick_pair, require, seeds_text, spread
from modejax.plots.style import Curve, draw_curve, finish, make_axes, pick_curves, place_legend, set_title

if TYPE_CHECKING:
    import xarray

__all__ = ["plot_node_scores", "plot_pruning", "plot_sparsity"]

_COLOURS = {
    "eigenvalue": "#0072B2",
    "eigenvector": "#56B4E9",
    "incoming": "#D55E00",
    "throughput": "#CC79A7",
    "random": "#777777",
    "weights": "#009E73",
}
"""Colours of the scores, safe for colour-blind readers."""


def plot_pruning(
    result: xarray.Dataset,
    axes: Any = None,
    *,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
) -> np.ndarray:
    """Draw the test accuracy left when nodes or weights below a percentile of a score are taken away.

    A panel a width, of the largest number of modes, after the last epoch; dashed the dense baseline by the same scores.
    Where labels are real values, the test loss is drawn.

    Args:
        result: the result of a sweep with pruning curves.
        axes: one axes a width; a figure of its own by default.
        learning_rate: one of the sweep's learning rates; the first by default.
        weight_decay: one of the sweep's weight decays; the first by default.

    Returns:
        The axes, shape (widths,).

    Raises:
        InputError: if the result has no pruning curves, no such pair, or the number of axes is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, prune=("incoming",)))
        >>> plot_pruning(result)[0].get_xlabel()
        'removed (%)'
    """
    require(result, "pruning_accuracy", why="Give prune=... in the config of the sweep")
    member = pick_pair(result, learning_rate, weight_decay)
    data = member.data.isel(truncation_epoch=-1, modes=-1)
    values = result.attrs.get("targets") == "values"
    name, scale = ("pruning_loss", 1.0) if values else ("pruning_accuracy", 100.0)
    panels, made = make_axes(data.sizes["width"], axes, share_y=not values)
    counts = []
    for place, ax in enumerate(panels):
        width = int(data.width[place])
        for score in data.score.values:
            colour = _COLOURS[str(score)]
            for prefix, style, suffix in (("", "-", ""), ("baseline_", (0, (5, 2)), ", dense")):
                if prefix + name not in data:
                    continue
                found = spread(data[prefix + name].isel(width=place).sel(score=score), scale)
                if np.isfinite(found.mean).any():
                    curve = Curve(width, 0, {}, f"{score}{suffix}", colour, style)  # pyright: ignore[reportArgumentType]
                    draw_curve(ax, data.percentile.values, found, curve)
                    counts.append(found.count)
        ax.set_title(f"N = {width}", fontsize=10)
        ax.set_xlabel("removed (%)")
        ax.set_ylabel("test loss (no unit)" if values else "test accuracy (%)")
        finish(ax, empty="" if ax.lines else "every network diverged")
    if made:
        seeds = seeds_text(np.concatenate(counts)) if counts else ""
        set_title(panels, [headline(result), member.text, BAND, seeds, diverged_text(member.data.status)])
    place_legend(panels, made, columns=4)
    return panels


def plot_sparsity(
    result: xarray.Dataset,
    ax: Any = None,
    *,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
) -> Any:
    """Draw the test accuracy of networks trained with sparse weights against the sparsity.

    Args:
        result: the result of a sweep over sparsities.
        ax: where; a figure of its own by default.
        learning_rate: one of the sweep's learning rates; the first by default.
        weight_decay: one of the sweep's weight decays; the first by default.

    Returns:
        The axes.

    Raises:
        InputError: if the result has no sparsities, or no such pair.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(layer="dense", widths=(8,), epochs=1, seeds=2, mask="dynamic", sparsities=(0, 90))
        >>> plot_sparsity(run_sweep(config)).get_xlabel()
        'weights masked (%)'
    """
    require(result, "sparsity", why="Give mask=... and sparsities=... in the config of the sweep")
    panels, made = make_axes(1, ax)
    axes = panels[0]
    values = result.attrs.get("targets") == "values"
    name, scale = ("test_loss", 1.0) if values else ("test_accuracy", 100.0)
    parts = [pick_pair(result.isel(sparsity=[i]), learning_rate, weight_decay) for i in range(result.sizes["sparsity"])]
    picked = pick_curves(parts[0].data)
    counts = []
    for curve in picked.curves:
        each = [spread(part.data[name].isel({"epoch": -1, **curve.where}), scale) for part in parts]
        found = type(each[0])(*(np.array(values) for values in zip(*each, strict=True)))
        draw_curve(axes, result.sparsity.values, found, curve, crowded=picked.colours.many)
        counts.append(found.count)
    axes.set_xlabel("weights masked (%)")
    axes.set_ylabel("test loss (no unit)" if values else "test accuracy (%)")
    finish(axes, empty="" if any(count.any() for count in counts) else "every network diverged")
    if made:
        text = parts[0].text.partition(", sparsity")[0]
        words = [BAND, seeds_text(np.concatenate(counts)), diverged_text(result.status)]
        set_title(panels, [headline(result), picked.text, text, *words])
    place_legend(panels, made, colours=picked.colours)
    return axes


def plot_node_scores(
    result: xarray.Dataset,
    axes: Any = None,
    *,
    score: str = "eigenvalue",
    width: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
) -> np.ndarray:
    """Draw the histogram of the nodes' scores, such as the sizes of eigenvalues, at each epoch at which it was taken.

    All seeds together; a panel a hidden layer. A mass near 0 and a tail apart from it would say that only the nodes of
    the tail are used.

    Args:
        result: the result of a sweep with pruning curves by this score.
        axes: one axes a hidden layer; a figure of its own by default.
        score: a score that ranks nodes one by one.
        width: one of the sweep's widths; the largest by default.
        learning_rate: one of the sweep's learning rates; the first by default.
        weight_decay: one of the sweep's weight decays; the first by default.

    Returns:
        The axes, shape (hidden layers,).

    Raises:
        InputError: if the result has no such scores, width or pair, or the number of axes is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(layer="spectral", widths=(8,), seeds=1, epochs=1, prune=("eigenvalue",))
        >>> [ax.get_xlabel() for ax in plot_node_scores(run_sweep(config))]
        ['|eigenvalue| of a node', '|eigenvalue| of a node']
    """
    require(result, "node_score", why=f"Give prune=({score!r},) in the config of the sweep")
    from modejax.errors import InputError, choices
    from modejax.plots.members import place_of
    from modejax.plots.style import Colours

    if score not in result.node_ranking.values:
        raise InputError(f"the result has no scores {score!r}; it has {choices(result.node_ranking.values)}")
    member = pick_pair(result, learning_rate, weight_decay)
    place = result.sizes["width"] - 1 if width is None else place_of(result, "width", width)
    data = member.data.node_score.isel(width=place, modes=-1).sel(node_ranking=score)
    panels, made = make_axes(data.sizes["hidden_layer"], axes)
    epochs = [int(epoch) for epoch in data.truncation_epoch.values]
    colours = Colours(epochs, "epoch")
    for layer, ax in enumerate(panels):
        here = data.isel(hidden_layer=layer)
        everything = here.values[np.isfinite(here.values)]
        edges = np.linspace(0, everything.max() if everything.size and everything.max() > 0 else 1, 41)
        for at, epoch in enumerate(epochs):
            values = here.isel(truncation_epoch=at).values
            label = f"_{epoch}" if colours.many else f"epoch {epoch}"
            values = values[np.isfinite(values)]
            if values.size:
                weights = np.full(values.size, 100 / values.size)
                ax.hist(values, edges, weights=weights, histtype="step", color=colours(epoch), lw=1.5, label=label)
        ax.set_title(f"hidden layer {layer + 1}", fontsize=10)
        ax.set_xlabel("|eigenvalue| of a node" if score == "eigenvalue" else f"score {score} of a node")
        ax.set_ylabel("nodes (%)")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="0.85", lw=0.6)
        ax.set_axisbelow(True)
    if made:
        words = f"N = {int(result.width[place])}, all {result.sizes['seed']} seeds together"
        set_title(panels, [headline(result), words, member.text, diverged_text(member.data.status)])
    place_legend(panels, made, colours=colours)
    return panels
