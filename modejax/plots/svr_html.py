"""The graph of a singular value representation as a page to look into: plotly, one trace a shade of edges."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from modejax._files import replaced
from modejax.plots.svr_graph import LABELS, Scale, spectral_graph

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from modejax.svr import SVR
    from modejax.svr.pair import Correction

__all__ = ["svr_figure", "write_svr_html"]

_SHADES = 8


def svr_figure(
    result: SVR,
    *,
    scale: Scale = "raw",
    level: float = 0.00135,
    correction: Correction = "none",
    max_edges: int = 100,
    title: str | None = None,
) -> go.Figure:
    """Return the graph as a plotly figure: neurons and the middles of edges tell their numbers under the pointer.

    Edges of one shade are one line with gaps, so that thousands of edges stay quick.

    Args:
        result: of `modejax.svr.svr`.
        scale: see `plot_svr`.
        level: see `plot_svr`.
        correction: see `plot_svr`.
        max_edges: see `plot_svr`.
        title: above the figure; by default what is drawn, in words.

    Returns:
        The figure.

    Raises:
        InputError: an option is not allowed.

    Example:
        >>> from modejax.svr import svr
        >>> rng = np.random.default_rng(0)
        >>> figure = svr_figure(svr([rng.standard_normal((12, 8)), rng.standard_normal((6, 12))]))
        >>> figure.layout.yaxis.title.text
        'singular value'
    """
    import plotly.graph_objects as go

    graph = spectral_graph(result, scale=scale, level=level, correction=correction, max_edges=max_edges)
    edges, names = graph.edges, [html.escape(layer.name) for layer in result.layers]
    figure = go.Figure()
    shade = np.minimum((edges.shade * _SHADES).astype(int), _SHADES - 1)
    for step in range(_SHADES):
        here = shade == step
        if not here.any():
            continue
        grey = round(225 - 200 * (step + 0.5) / _SHADES)
        figure.add_scatter(
            x=_with_gaps(edges.x[here]), y=_with_gaps(edges.y[here]), mode="lines", hoverinfo="skip", showlegend=False,
            line={"width": 1.2, "color": f"rgb({grey},{grey},{grey})"},
        )  # fmt: skip
    if len(edges.E):
        pairs = [result.pairs[each] for each in edges.pair]
        words = [
            f"{names[pair.writer]} {writer} \N{RIGHTWARDS ARROW} {names[pair.reader]} {reader}<br>"
            f"E = {E:.4g}, log10 p = {log_p / np.log(10):.2f}"
            for pair, writer, reader, E, log_p in zip(
                pairs, edges.writer, edges.reader, edges.E, edges.log_p, strict=True
            )
        ]
        figure.add_scatter(
            x=edges.x.mean(axis=1), y=edges.y.mean(axis=1), mode="markers", text=words, hoverinfo="text", name="edges",
            marker={"size": 5, "color": "rgba(0,0,0,0)"}, showlegend=False,
        )  # fmt: skip
    places = np.concatenate([np.full(len(layer.S), place) for place, layer in enumerate(result.layers)])
    intensity = np.concatenate(graph.intensity)
    words = [
        f"{names[place]}, neuron {index}<br>singular value {S:.4g}"
        + (f"<br>intensity {graph.intensity[place][index]:.3f}" if np.isfinite(graph.intensity[place][index]) else "")
        for place, layer in enumerate(result.layers)
        for index, S in enumerate(layer.S)
    ]
    figure.add_scatter(
        x=places, y=np.concatenate(graph.heights), mode="markers", text=words, hoverinfo="text", name="neurons",
        showlegend=False,
        marker={
            "size": 7, "color": np.nan_to_num(intensity), "colorscale": "YlGnBu", "cmin": 0, "cmax": 1,
            "colorbar": {"title": {"text": "intensity: excess of edges<br>on the next leading neurons"}},
            "line": {"width": 0.7, "color": "rgb(60,60,60)"},
            "symbol": ["circle" if result.layers[place].window else "square" for place in places],
        },
    )  # fmt: skip
    left = f", {graph.hidden} more not drawn" if graph.hidden else ""
    test = {"none": "", "bonferroni": " after Bonferroni", "bh": " after Benjamini-Hochberg"}[correction]
    figure.update_layout(
        title=title
        or f"{len(edges.E)} edges with p below {level:g}{test}{left}; darker: larger E within the pair; squares: "
        "matrices, circles: convolutions",
        template="simple_white",
        xaxis={"tickvals": list(range(len(names))), "ticktext": [_short(name) for name in names]},
        yaxis={"title": {"text": LABELS[scale]}, "rangemode": "tozero"},
    )
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 30 else name[:12] + "\N{HORIZONTAL ELLIPSIS}" + name[-17:]


def _with_gaps(ends: np.ndarray) -> list[float | None]:
    """Return the ends of lines with a gap after each."""
    return [each for start, end in ends.tolist() for each in (start, end, None)]


def write_svr_html(
    result: SVR,
    path: str | os.PathLike[str],
    *,
    include_plotlyjs: bool | Literal["cdn"] = True,
    **options: Any,
) -> Path:
    """Write the interactive graph as one page, whole or not at all.

    Args:
        result: of `modejax.svr.svr`.
        path: of the page.
        include_plotlyjs: True puts plotly's program (5 MB) into the page, so that it opens offline; `"cdn"` fetches it.
        options: of `svr_figure`.

    Returns:
        The path.

    Raises:
        InputError: an option is not allowed.

    Example:
        >>> import tempfile
        >>> from modejax.svr import svr
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = write_svr_html(svr([np.eye(3), np.eye(3)]), f"{folder}/a.html", include_plotlyjs="cdn")
        ...     page.read_text().count("</html>")
        1
    """
    figure = svr_figure(result, **options)
    path = Path(path)
    with replaced(path) as part:
        figure.write_html(part, include_plotlyjs=include_plotlyjs)
    return path
