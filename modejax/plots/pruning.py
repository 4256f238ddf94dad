"""What is left when nodes or weights are taken away: pruning curves, and the scores of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from modejax.errors import InputError, choices
from modejax.plots.colours import Chosen, choose
from modejax.plots.members import (
    BAND,
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
    DENSE_STYLE,
    Curve,
    draw_curve,
    epoch_curves,
    finish,
    make_axes,
    nothing_text,
    place_legend,
    set_title,
)

__all__ = ["plot_node_scores", "plot_pruning"]

_COLOURS: dict[str, Any] = {
    "eigenvalue": "#0072B2",
    "eigenvector": "#56B4E9",
    "incoming": "#D55E00",
    "throughput": "#CC79A7",
    "random": "#777777",
    "weights": "#009E73",
}
"""Colours of the scores, safe for colour-blind readers."""


def plot_pruning(
    result: Result,
    axes: Any = None,
    *,
    arm: str | None = None,
    by_layer: bool = False,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> np.ndarray:
    """Draw the test accuracy left when nodes or weights below a percentile of a score are taken away.

    A panel a width, of the largest number of modes, after the last epoch; dashed the dense baseline by the same scores.
    Where labels are real values, the test loss is drawn.

    Args:
        result: a run with pruning curves.
        axes: one axes a width; a figure of its own by default.
        arm: the name of an arm; the first one by default.
        by_layer: draw the curves with a percentile for each hidden layer instead of one over all of them.
        colours: a colour for each score in their order, or by name.
        labels: what the legend says of each score instead, likewise.
        **at: values of further axes of the grid, such as learning_rate=0.01; see `modejax.plots.members.pick` for what
            is taken by default.

    Returns:
        The axes, shape (widths,).

    Raises:
        InputError: if the result has no pruning curves, no such arm or value of an axis, or the number of axes
            is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, prune=("incoming",)))
        >>> plot_pruning(run)[0].get_xlabel()
        'removed (%)'
    """
    require(arm_data(result, arm), "pruning_accuracy", why="Give prune=... in the config of the sweep")
    suffix = "_by_layer" if by_layer else ""
    if by_layer:
        why = "Give prune_by_layer=True in the config of the sweep"
        require(arm_data(result, arm), "pruning_accuracy_by_layer", why=why)
    member = pick(result, arm, at)
    data, measure = member.data.isel(truncation_epoch=-1, modes=-1), member.measure
    name = f"pruning_{measure.what}{suffix}"
    dense = member.dense if member.dense is not None and name in member.dense else None
    panels, made = make_axes(data.sizes["width"], axes, share_y=measure.what == "accuracy")
    counts = []
    scores = [str(score) for score in data.score.values]
    form = zip(
        choose(colours, scores, [_COLOURS[score] for score in scores]),
        choose(labels, scores, scores, "labels"),
        strict=True,
    )
    looks = dict(zip(scores, form, strict=True))
    for place, ax in enumerate(panels):
        width = int(data.width[place])
        for score, (colour, label) in looks.items():
            parts: list[tuple[Any, Any, str]] = [(data, "-", "")]
            if dense is not None and score in dense.score.values:
                parts.append((dense.isel(truncation_epoch=-1), DENSE_STYLE, ", dense"))
            for part, style, whose in parts:
                found = spread(part[name].isel(width=place).sel(score=score), measure.scale)
                if np.isfinite(found.mean).any():
                    curve = Curve(width, 0, {}, f"{label}{whose}", colour, style)
                    draw_curve(ax, data.percentile.values, found, curve, limits=measure.limits)
                    counts.append(found.count)
        ax.set_title(f"N = {width}", fontsize=10)
        ax.set_xlabel("removed of each layer (%)" if by_layer else "removed (%)")
        ax.set_ylabel(measure.label)
        finish(ax, empty="" if ax.lines else nothing_text(data))
    if made:
        seeds = seeds_text(np.concatenate(counts)) if counts else ""
        words = [member.text, member.dense_text, BAND, seeds, diverged_text(member.data.status)]
        set_title(panels, [headline(member.data), *words])
    place_legend(panels, made, columns=4)
    return panels


def plot_node_scores(
    result: Result,
    axes: Any = None,
    *,
    score: str = "eigenvalue",
    width: int | None = None,
    arm: str | None = None,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> np.ndarray:
    """Draw the histogram of the nodes' scores, such as the sizes of eigenvalues, at each epoch at which it was taken.

    All seeds together; a panel a hidden layer. A mass near 0 and a tail apart from it would say that only the nodes of
    the tail are used.

    Args:
        result: a run with pruning curves by this score.
        axes: one axes a hidden layer; a figure of its own by default.
        score: a score that ranks nodes one by one.
        width: one of the sweep's widths; the largest by default.
        arm: the name of an arm; the first one by default.
        colours: a colour for each epoch in their order, or by the label it has by default (`epoch 5`).
        labels: what the legend says of each epoch instead, likewise.
        **at: values of further axes of the grid, such as learning_rate=0.01; see `modejax.plots.members.pick` for what
            is taken by default.

    Returns:
        The axes, shape (hidden layers,).

    Raises:
        InputError: if the result has no such scores, arm, width or value of an axis, or the number of axes is wrong.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(layer="spectral", widths=(8,), seeds=1, epochs=1, prune=("eigenvalue",))
        >>> [ax.get_xlabel() for ax in plot_node_scores(run_sweep(config))]
        ['|eigenvalue| of a node', '|eigenvalue| of a node']
    """
    whole = arm_data(result, arm)
    require(whole, "node_score", why=f"Give prune=({score!r},) in the config of the sweep")
    if score not in whole.node_ranking.values:
        raise InputError(f"the result has no scores {score!r}; it has {choices(whole.node_ranking.values)}")
    member = pick(result, arm, at)
    place = whole.sizes["width"] - 1 if width is None else place_of(whole, "width", width)
    data = member.data.node_score.isel(width=place, modes=-1).sel(node_ranking=score)
    panels, made = make_axes(data.sizes["hidden_layer"], axes)
    epochs = [int(epoch) for epoch in data.truncation_epoch.values]
    picked = epoch_curves(epochs).dressed(colours, labels)
    for layer, ax in enumerate(panels):
        here = data.isel(hidden_layer=layer)
        everything = here.values[np.isfinite(here.values)]
        edges = np.linspace(0, everything.max() if everything.size and everything.max() > 0 else 1, 41)
        for curve in picked.curves:
            values = here.isel(curve.where).values
            label = f"_{curve.label}" if picked.colours.many else curve.label
            values = values[np.isfinite(values)]
            if values.size:
                weights = np.full(values.size, 100 / values.size)
                ax.hist(values, edges, weights=weights, histtype="step", color=curve.colour, lw=1.5, label=label)
        ax.set_title(f"hidden layer {layer + 1}", fontsize=10)
        ax.set_xlabel("|eigenvalue| of a node" if score == "eigenvalue" else f"score {score} of a node")
        ax.set_ylabel("nodes (%)")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="0.85", lw=0.6)
        ax.set_axisbelow(True)
    if made:
        words = f"N = {int(whole.width[place])}, all {whole.sizes['seed']} seeds together"
        set_title(panels, [headline(member.data), words, member.text, diverged_text(member.data.status)])
    place_legend(panels, made, colours=picked.colours)
    return panels
