"""The report behind `modejax svr`: a weight file or a run folder in, tables, a graph and figures out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax._files import replaced
from modejax.errors import InputError
from modejax.runs import Output, kind_of, open_run, output
from modejax.studies.common import save_drawing
from modejax.studies.files import Wrote, check_apart
from modejax.studies.svr_layers import write_layer_spectra
from modejax.svr import SVR, Stream, describe, members, svr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["parse_groups", "parse_norms", "parse_streams", "report_svr"]

_AXES = ("width", "modes", "seed")
"""Axes of a run that the table has in any case."""

_SHOWN = 12
"""Pairs of layers that a figure of one panel a pair shows."""


def parse_groups(words: Sequence[str]) -> dict[str, int]:
    """Return groups by layer from words such as `dw=8`.

    Raises:
        InputError: a word has another form.

    Example:
        >>> parse_groups(["dw=8"])
        {'dw': 8}
    """
    found = {}
    for word in words:
        name, equals, count = word.rpartition("=")
        if not equals or not count.isdigit():
            raise InputError(f"groups {word!r}; allowed: LAYER=NUMBER, as dw=8")
        found[name] = int(count)
    return found


def parse_norms(words: Sequence[str]) -> dict[str, str]:
    """Return norms by layer from words such as `conv1=bn1`.

    Raises:
        InputError: a word has another form.

    Example:
        >>> parse_norms(["conv1=bn1"])
        {'conv1': 'bn1'}
    """
    pairs = [word.partition("=") for word in words]
    if not all(layer and norm for layer, _, norm in pairs):
        raise InputError(f"norms {' '.join(words)!r}; allowed: LAYER=NORM, as conv1=bn1")
    return {layer: norm for layer, _, norm in pairs}


def parse_streams(words: Sequence[str]) -> list[Stream] | None:
    """Return residual streams from words such as `stem,a.conv2>b.conv1,head`; None for no word.

    Raises:
        InputError: a word has another form.

    Example:
        >>> parse_streams(["a,b>c"])
        [Stream(writers=('a', 'b'), readers=('c',))]
    """
    found = []
    for word in words:
        writers, arrow, readers = word.partition(">")
        if not arrow or not writers or not readers:
            raise InputError(f"stream {word!r}; allowed: WRITER,WRITER>READER,READER")
        found.append(Stream(tuple(writers.split(",")), tuple(readers.split(","))))
    return found or None


def report_svr(
    source: Path,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    level: float = 0.00135,
    correction: str = "none",
    max_edges: int = 100,
    options: Mapping[str, Any] | None = None,
) -> list[str]:
    """Write the singular value representation of a weight file, or count the edges of all networks of a run.

    Args:
        source: a weight file, an Orbax checkpoint, or the run folder of a sweep.
        out: folder to write; by default a new one, `runs/svr-NAME-001` and so on.
        overwrite: replace an earlier output of this command in `out`.
        level: probability that an edge passes by chance.
        correction: none, bonferroni or bh, over the edges of a pair.
        max_edges: that tables and graphs keep, a pair.
        options: of `svr.svr`.

    Returns:
        Lines to print: what was understood, a table, what was written and what to do next.

    Raises:
        InputError: see `svr.describe`, `svr.svr` and `modejax.runs.output`.
    """
    source = Path(source)
    if not 0 < level < 1:
        raise InputError(f"a probability of {level:g} by chance; allowed: above 0 and below 1. Give another --sigma")
    if max_edges < 1:
        raise InputError(f"max_edges={max_edges}; allowed: at least 1")
    options = dict(options or {})
    check_apart(source, out)
    claim = functools.partial(output, out, "svr", overwrite=overwrite, stem=source.stem)
    if kind_of(source) == "sweep":
        plain = {"method": "svr", "fold": "none", "null": options.get("null", "beta"), "eps": 1e-5, "draws": 200}
        other = [name for name, value in options.items() if value and value != plain.get(name)]
        if other or correction != "none" or plain["null"] not in ("beta", "channel_haar"):
            raise InputError(
                f"{source} is a run, whose networks are counted together; allowed with it: --sigma and --null beta or "
                "channel_haar. Use modejax.svr.svr on the kernels of one network for all else"
            )
        with claim() as claimed:
            return _run(source, claimed, level, plain["null"])
    explain, per_layer = options.pop("explain", False), options.pop("layers", False)
    names = ("layout", "order", "groups", "norms", "flatten", "streams", "kinds", "only", "exclude")
    understood = describe(source, **{name: options.pop(name) for name in names if options.get(name)})
    for name in names:
        options.pop(name, None)
    with claim() as claimed:
        result = svr(understood, **options)
        # A file holds at most so many edges a pair: those of all pairs of a large network would fill the disk.
        result.save(claimed.path, level, correction=correction, max_edges=max_edges)
        written = _figures(claimed.path, result, level, correction, max_edges)
        spectra = write_layer_spectra(result, claimed.path) if per_layer else []
        folder = claimed.finish()
    lines = ["understood:", *understood.lines(), ""]
    if explain and understood.found is not None:
        lines = ["inferred:", *understood.found.lines(), "", *lines]
    if per_layer:
        lines += [*spectra, ""]
    lines += _table(result.layer_table(), ("layer", "neurons", "hidden", "route", "largest_S", "median_S", "clusters"))
    shown = ("writer", "reader", "channels", "positions", "edges", "significant", "by_chance", "bonferroni", "bh")
    lines += ["", *_table(result.summary(), (*shown, "leading_E", "leading_log10_p"))]
    lines += [f"note: {note}" for note in result.notes if note not in understood.notes]
    if len(result.pairs) > _SHOWN:
        lines.append(
            f"note: figures show the first {_SHOWN} of {len(result.pairs)} pairs of layers; the tables have all"
        )
    lines += _chains(result)
    lines.append(Wrote(folder, f"edges.parquet, edges.csv, pairs.csv, layers.csv, graph.graphml, {', '.join(written)}"))
    lines.append(
        "next: open graph.html; --null channel_haar where convolutions are smooth, --fold full where batch norms "
        "rescale channels"
    )
    return lines


def _chains(result: SVR) -> list[str]:
    try:
        chains = {"leading": result.leading_chain(), "dominant": result.dominant_chain()}
    except InputError as error:
        return [] if "single path" in str(error) else [f"note: {error}"]  # a residual network has no path through all
    return [
        f"{name} chain: neurons {'-'.join(map(str, chain.neurons))}, product of edges {chain.product:.3g}, weakest "
        f"{chain.weakest:.3g}, log10 p {chain.log_p / np.log(10):.1f}"
        for name, chain in chains.items()
    ]


def _table(frame: Any, columns: Sequence[str]) -> list[str]:
    return frame[list(columns)].to_string(index=False, float_format=lambda value: f"{value:.4g}").splitlines()


def _figures(folder: Path, result: SVR, level: float, correction: Any, max_edges: int) -> list[str]:
    from modejax.plots.svr import plot_edges, plot_filters, plot_survival
    from modejax.plots.svr_graph import plot_svr
    from modejax.plots.svr_html import write_svr_html

    options = {"level": level, "correction": correction, "max_edges": max_edges}
    write_svr_html(result, folder / "graph.html", **options)
    width = max(6.0, 1.1 * len(result.layers))
    save_drawing(
        folder / "figures" / "graph.png",
        lambda figure: plot_svr(result, figure.subplots(), scale="largest", **options),
        (width, 4.6),
    )
    pairs = result.pairs[:_SHOWN]
    names = [layer.name for layer in result.layers]

    def panels(figure: Figure, count: int) -> list[Any]:
        columns = min(4, count)
        axes = figure.subplots(-(-count // columns), columns, squeeze=False).ravel()
        for ax in axes[count:]:
            ax.set_axis_off()
        return list(axes[:count])

    def size(count: int) -> tuple[float, float]:
        return 3.6 * min(4, count), 3.2 * -(-count // min(4, count))

    def edges(figure: Figure) -> None:
        for ax, pair in zip(panels(figure, len(pairs)), pairs, strict=True):
            plot_edges(pair.E, pair.c, ax, names=(names[pair.writer], names[pair.reader]))

    def survival(figure: Figure) -> None:
        for ax, pair in zip(panels(figure, len(pairs)), pairs, strict=True):
            plot_survival(pair.E, pair.c, pair.z, ax, label=f"{names[pair.writer]} to {names[pair.reader]}")

    save_drawing(folder / "figures" / "edges.png", edges, size(len(pairs)))
    save_drawing(folder / "figures" / "survival.png", survival, size(len(pairs)))
    written = ["graph.html", "figures/graph.png", "figures/edges.png", "figures/survival.png"]
    convs = [pair for pair in pairs if len(result.layers[pair.reader].window) == 2 and pair.V.shape[1] > 1]

    def filters(figure: Figure) -> None:
        for ax, pair in zip(panels(figure, len(convs)), convs, strict=True):
            found = pair.filters(range(min(6, pair.E.shape[0])), range(min(6, pair.E.shape[1])))[:, :, 0, :]
            plot_filters(found.reshape(len(found), *result.layers[pair.reader].window, -1), ax)
            ax.set_title(f"{names[pair.writer]} to {names[pair.reader]}", fontsize=9)

    if convs and result.method == "svr":
        save_drawing(folder / "figures" / "filters.png", filters, size(len(convs)))
        written.append("figures/filters.png")
    return written


def _run(source: Path, claimed: Output, level: float, null: Any) -> list[str]:
    from modejax.plots.svr import plot_significant

    folder = claimed.path
    trained = open_run(source).networks()
    keys = tuple(trained[0].at)
    kernels = [[np.asarray(kernel) for kernel in each.network.kernels(each.params)] for each in trained]
    good = [
        not each.status and all(np.isfinite(kernel).all() for kernel in network)
        for each, network in zip(trained, kernels, strict=True)
    ]
    if not any(good):
        raise InputError(f"no network of {source} stayed finite; there is nothing to count")
    table: Any = members(
        [network for network, fine in zip(kernels, good, strict=True) if fine],
        [dict(each.at) for each, fine in zip(trained, good, strict=True) if fine],
        level=level,
        null=null,
    )
    kinds = ["modes", *(key for key in keys if key not in _AXES and table[key].nunique() > 1)]
    with replaced(folder / "members.csv") as part:
        table.to_csv(part, index=False)
    mean: Any = table.groupby(["width", *kinds, "pair"], as_index=False)[["share", "leading_E", "neurons"]].mean()
    widths = sorted(set(table.width))

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, table.pair.nunique(), squeeze=False, sharey=True)[0]
        for pair, ax in enumerate(axes):
            curves = {}
            for kind, rows in table[table.pair == pair].groupby(kinds):
                each = [rows[rows.width == width].share.to_numpy() for width in widths]
                most = max(len(values) for values in each)
                padded = [np.pad(values, (0, most - len(values)), constant_values=np.nan) for values in each]
                name = [f"{kind[0]} modes" if kind[0] else "full rank"]
                name += [f"{key.replace('_', ' ')} {value:g}" for key, value in zip(kinds[1:], kind[1:], strict=True)]
                curves[", ".join(name)] = np.array(padded)
            plot_significant(widths, curves, ax, xlabel="width", chance=level)
            ax.set_title(f"pair {pair + 1} to {pair + 2}", fontsize=9)
        handles, words = axes[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=4, frameon=False, fontsize=8)

    save_drawing(folder / "figures" / "significant.png", draw, (4.4 * table.pair.nunique(), 3.8))
    folder = claimed.finish()
    lines = _table(mean, list(mean.columns))
    lost = len(good) - sum(good)
    if lost:
        lines.append(f"note: {lost} networks whose status is not 0 were left out")
    lines.append(Wrote(folder, "members.csv and figures/significant.png"))
    lines.append("next: modejax.svr.svr(network.kernels(params)) for the graph of one of them")
    return lines
