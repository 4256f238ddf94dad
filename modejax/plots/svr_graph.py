"""The graph of a singular value representation as lines and markers: what is drawn where, for every way of drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from modejax.errors import InputError
from modejax.plots.settings import plain
from modejax.plots.style import own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modejax.svr import SVR
    from modejax.svr.pair import Correction

__all__ = ["GraphEdges", "Scale", "SpectralGraph", "plot_svr", "spectral_graph"]

Scale = Literal["raw", "median", "largest"]
"""Heights of neurons: singular values as they are, or over the median or the largest of their layer."""

LABELS = {
    "raw": "singular value",
    "median": "singular value / median of the layer",
    "largest": "singular value / largest of the layer",
}


class GraphEdges(NamedTuple):
    """The edges drawn, weakest first, so that strong ones lie on top; each array has one entry an edge."""

    pair: np.ndarray  # index in `result.pairs`
    writer: np.ndarray  # neuron of the earlier layer
    reader: np.ndarray  # neuron of the later layer
    x: np.ndarray  # (edges, 2): layers
    y: np.ndarray  # (edges, 2): heights
    E: np.ndarray
    log_p: np.ndarray  # natural logarithm
    shade: np.ndarray  # 0 for the weakest edge of a pair, 1 for the strongest


class SpectralGraph(NamedTuple):
    """What a picture of the graph shows."""

    heights: list[np.ndarray]  # of the neurons of each layer
    intensity: list[np.ndarray]  # 0..1; not a number where no layer reads this one
    edges: GraphEdges
    hidden: int  # significant edges that are not drawn


def spectral_graph(
    result: SVR, *, scale: Scale = "raw", level: float = 0.00135, correction: Correction = "none", max_edges: int = 100
) -> SpectralGraph:
    """Choose what a picture of the graph shows.

    Args:
        result: of `modejax.svr.svr`.
        scale: see `Scale`.
        level: probability below which an edge is significant; the default is that of three standard deviations.
        correction: over the edges of a pair of layers: `"none"`, `"bonferroni"` or `"bh"`.
        max_edges: the strongest of a pair that are drawn, at most.

    Returns:
        Neurons and edges.

    Raises:
        InputError: an option is not allowed.

    Example:
        >>> from modejax.svr import svr
        >>> shared = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0] * np.arange(1, 17)
        >>> graph = spectral_graph(svr([shared, shared.T]), correction="bonferroni")
        >>> len(graph.edges.E), graph.heights[0].shape
        (16, (16,))
    """
    if scale not in get_args(Scale):
        raise InputError(f"unknown scale {scale!r}; allowed: {', '.join(get_args(Scale))}")
    if isinstance(max_edges, bool) or not isinstance(max_edges, int) or max_edges < 0:
        raise InputError(f"max_edges must be an integer of at least 0, got {max_edges!r}")
    over = {"raw": lambda S: 1.0, "median": np.median, "largest": np.max}[scale]
    heights = [layer.S / (over(layer.S) or 1.0) for layer in result.layers]
    read = {pair.writer for pair in result.pairs}
    intensity = [each if k in read else np.full(len(each), np.nan) for k, each in enumerate(result.intensities())]
    parts, hidden = [], 0
    for index, pair in enumerate(result.pairs):
        reader, writer = np.nonzero(pair.significant(level, correction))
        order = np.argsort(pair.E[reader, writer], kind="stable")
        hidden += max(len(order) - max_edges, 0)
        order = order[max(len(order) - max_edges, 0) :]
        reader, writer = reader[order], writer[order]
        E = pair.E[reader, writer]
        spread = np.ptp(E) if len(E) else 0.0
        shade = (E - E.min()) / spread if spread > 1e-12 else np.ones(len(E))
        x = np.tile([float(pair.writer), float(pair.reader)], (len(E), 1))
        y = np.stack([heights[pair.writer][writer], heights[pair.reader][reader]], axis=1)
        parts.append(GraphEdges(np.full(len(E), index), writer, reader, x, y, E, pair.log_p[reader, writer], shade))
    edges = GraphEdges(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    order = np.argsort(edges.shade, kind="stable")
    return SpectralGraph(heights, intensity, GraphEdges(*(each[order] for each in edges)), hidden)


def plot_svr(
    result: SVR,
    ax: Axes | None = None,
    *,
    scale: Scale = "raw",
    level: float = 0.00135,
    correction: Correction = "none",
    max_edges: int = 100,
    colour_bar: bool = True,
) -> Axes:
    """Draw the graph: layers from left to right, a marker a spectral neuron, edges darker where E is larger.

    Squares are dense layers, circles convolutions. The colour of a neuron is its intensity, the excess of its edges on
    the leading neurons of the next layer; neurons that no layer reads are white.

    Args:
        result: of `modejax.svr.svr`.
        ax: where to draw; a figure of its own by default.
        scale: heights: singular values `raw`, or over the `median` or the `largest` of the layer.
        level: probability below which an edge is significant.
        correction: over the edges of a pair of layers: `none` (the paper), `bonferroni` or `bh`.
        max_edges: the strongest of a pair that are drawn, at most.
        colour_bar: whether the colours of neurons are explained.

    Returns:
        The axes.

    Raises:
        InputError: an option is not allowed.

    Example:
        >>> from modejax.svr import svr
        >>> rng = np.random.default_rng(0)
        >>> ax = plot_svr(svr([rng.standard_normal((12, 8)), rng.standard_normal((6, 12))]))
        >>> ax.get_ylabel()
        'singular value'
    """
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import FixedLocator

    graph = spectral_graph(result, scale=scale, level=level, correction=correction, max_edges=max_edges)
    ax = own_axes(ax, (max(6.0, 2.2 + 1.1 * len(result.layers)), 4.6))
    lines = np.stack([graph.edges.x, graph.edges.y], axis=-1)
    grey = 0.8 - 0.7 * graph.edges.shade
    ax.add_collection(LineCollection(list(lines), colors=np.repeat(grey[:, None], 3, axis=1), linewidths=0.9, zorder=1))
    drawn = None
    for place, layer in enumerate(result.layers):
        known = np.isfinite(graph.intensity[place])
        form = {"marker": "o" if layer.window else "s", "s": 20, "lw": 0.6, "zorder": 2}
        x = np.full(len(layer.S), float(place))
        if known.any():
            drawn = ax.scatter(
                x,
                graph.heights[place],
                c=graph.intensity[place],
                cmap=_colours(),
                vmin=0,
                vmax=1,
                edgecolors="0.25",
                **form,
            )
        else:
            ax.scatter(x, graph.heights[place], c="white", edgecolors="0.25", **form)
    if drawn is not None and colour_bar:
        bar = ax.figure.colorbar(drawn, ax=ax, aspect=30, pad=0.01)
        bar.set_label("intensity: excess of its edges on the next leading neurons", fontsize=8)
    if colour_bar:
        ax.set_title("lines: significant edges, darker where E is larger within their pair", fontsize=8, color="0.35")
    ax.xaxis.set_major_locator(FixedLocator(list(range(len(result.layers)))))
    many = len(result.layers) > 12
    size, turn = (8, 30) if not many else (max(4.0, 8 - len(result.layers) / 20), 90)
    names = [_short(layer.name) for layer in result.layers]
    ax.set_xticklabels(names, rotation=turn, ha="center" if many else "right", fontsize=size)
    ax.set_xlim(-0.4, len(result.layers) - 0.6)
    beside = [other for other in ax.get_shared_y_axes().get_siblings(ax) if other is not ax and other.has_data()]
    tops = [other.get_ylim()[1] for other in beside]  # of frames side by side the highest counts
    ax.set_ylim(0, max(1.05 * max(float(each.max(initial=0)) for each in graph.heights), *tops, 1e-12))
    ax.set_ylabel(LABELS[scale])
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _short(name: str) -> str:
    return plain(name, 18)


def _colours() -> Any:
    """Return the colours of intensity, from near white to dark blue."""
    import matplotlib

    return matplotlib.colormaps["YlGnBu"]
