"""The dominant connection: is there one chain of leading spectral neurons through a network, and does it need training?

Planted networks show what is found and what is not; a VGG-like network trained here on MNIST stands in for the
pretrained VGG16 of the paper. Smooth kernels alone make edges of convolutions large, so every share is given under the
isotropic null and under that of random channels, beside the same networks at their initial values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from modejax.plots.svr import COLOURS, plot_filters
from modejax.plots.svr_graph import Scale, plot_svr
from modejax.studies.common import check_seeds, markdown_table, over_seeds, percent, pm, write_study
from modejax.studies.convnet import ConvRun, Trained, kernels, trained_run
from modejax.studies.files import check_folder
from modejax.studies.spread import draw_bars, draw_curves
from modejax.studies.svr_planted import planted_chain
from modejax.studies.svr_runs import dominant_runs, file_name, pick
from modejax.svr import null, svr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["find_planted", "measure", "run"]

LEVEL = null.level_of_sigma(3)


def find_planted(width: int, cosine: float, draws: int, seed: int) -> dict[str, Any]:
    """Plant a chain through five layers, and look for it.

    Args:
        width: of all layers.
        cosine: between the patterns of successive leading neurons.
        draws: networks.
        seed: of the draws.

    Returns:
        How often the least likely chain is the planted one, how often all its edges are significant after Bonferroni
        over their pair, and how often one given edge is.

    Example:
        >>> find_planted(24, 0.97, 1, 0)["chain"]
        1.0
    """
    rng = np.random.default_rng([seed, width, round(1000 * cosine)])
    chain, all_edges, one_edge = 0, 0, 0
    for _ in range(draws):
        result = svr(planted_chain(rng, width, 5, cosine))
        chain += result.dominant_chain().neurons == (0,) * 5
        passed = [bool(pair.significant(0.05, "bonferroni")[0, 0]) for pair in result.pairs]
        all_edges += all(passed)
        one_edge += passed[0]
    found = {"chain": chain / draws, "all edges": all_edges / draws, "first edge": one_edge / draws}
    return {"width": width, "cosine": cosine, "seed": seed, **found}


def measure(trained: Trained, checkpoint: int, seed: int) -> list[dict[str, Any]]:
    """Measure the connections of one network.

    Args:
        trained: the networks of a run.
        checkpoint: which weights.
        seed: which network.

    Returns:
        One row for each pair of layers: the edge between the leading neurons, log10 of its p-value after Bonferroni
        over the pair, and shares of significant edges, under both nulls; leading singular value over the median of the
        reader; and one row for the whole network.
    """
    network = kernels(trained.weights, checkpoint, seed)
    beta, channels = svr(network, null="beta"), svr(network, null="channel_haar")
    own = {"epoch": float(trained.epochs[checkpoint]), "seed": seed}
    rows = []
    for one, other in zip(beta.pairs, channels.pairs, strict=True):
        row = {
            **own, "pair": one.writer, "layers": f"{one.writer}-{one.reader}", "c": one.c, "z": one.z,
            "E00": float(one.E[0, 0]), "c E00": float(one.c * one.E[0, 0]), "mean cE": float(one.c * one.E.mean()),
            "gap": float(beta.layers[one.reader].S[0] / np.median(beta.layers[one.reader].S)),
        }  # fmt: skip
        for name, pair in (("beta", one), ("channel-Haar", other)):
            row[f"log10 p, {name}"] = float(null.bonferroni(pair.log_p)[0, 0] / math.log(10))
            row[f"share, {name}"] = float(pair.significant(LEVEL).mean())
        rows.append(row)
    leading, best = channels.leading_chain(), channels.dominant_chain()
    whole = {
        **own, "layers": "chain", "accuracy": float(trained.accuracy[checkpoint, seed]), "product": leading.product,
        "weakest": leading.weakest, "log10 p, leading chain": leading.log_p / math.log(10),
        "best chain": "-".join(map(str, best.neurons)), "log10 p, best chain": best.log_p / math.log(10),
        "significant of leading": sum(row["log10 p, channel-Haar"] <= math.log10(0.05) for row in rows),
    }  # fmt: skip
    return [*rows, whole]


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: small networks on digits instead of MNIST, and few planted ones.
        seeds: networks of each kind; default 3, and 5 of those on digits (quick: 3).
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing, or the folder is a file.

    Example:
        >>> run("docs/studies/svr-dominant", quick=True, seeds=1)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 2, since error bars need them, got 1
    """
    count = check_seeds(seeds, 3, least=2)
    folder = check_folder(out)
    widths, draws = ((16, 32), 3) if quick else ((32, 64, 128), 20)
    cosines = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    runs = dominant_runs(quick, seeds)
    nets, rows = {}, []
    for name, config in runs.items():
        own = name.removeprefix("digits, ") + " plain" if name.startswith("digits") else "vgg"
        nets[name] = trained = trained_run(folder, file_name(own, config), config, report)
        places = itertools.product(range(len(trained.epochs)), range(config.seeds))
        with threadpool_limits(1):  # many small matrices: a second thread only waits
            rows += [{"network": name, **row} for place, s in places for row in measure(trained, place, s)]
    report("trained networks measured")
    with threadpool_limits(1):
        planted = [find_planted(w, cosine, draws, s) for w in widths for cosine in cosines for s in range(count)]
    report("planted networks done")
    vgg = nets["VGG-like"]
    write_study(
        folder,
        page=_page(rows, planted, runs, widths, cosines, draws, count),
        rows=[{"part": "planted", **row} for row in planted] + [{"part": "trained", **row} for row in rows],
        config={
            "study": "svr-dominant", "quick": quick, "seeds": count, "level": LEVEL, "widths": widths, "draws": draws,
            "networks": {name: vars(config) for name, config in runs.items()},
        },
        figures={
            "planted": lambda: _draw_planted(planted, widths, cosines, draws, count),
            "graph": lambda: _draw_graphs({"VGG-like": (vgg, 0), "VGG-like, trained": (vgg, -1)}),
            "graph-penalty": lambda: _draw_graphs({name: (nets[name], -1) for name in list(runs)[1:]}, "largest"),
            "shares": lambda: _draw_shares(rows, runs),
            "filters": lambda: _draw_filters(vgg),
        },
    )  # fmt: skip
    return folder


def _page(
    rows: Any, planted: Any, runs: dict[str, ConvRun], widths: Any, cosines: Any, draws: int, count: int
) -> list[str]:
    seeds = over_seeds(count, *(config.seeds for config in runs.values()))
    lines = ["# The dominant connection", "", f"In the tables: {seeds}.", ""]
    lines += [
        "## Planted chains through five layers",
        "",
        f"{draws} networks a seed. Chain: the least likely chain of neurons is the planted one. All edges: each of the "
        "four passes Bonferroni (0.05) over its pair.",
        "",
    ]
    table = []
    for width in widths:
        limit = math.sqrt(null.detection_limit(width, tests=width * width).edge)
        for field in ("chain", "first edge", "all edges"):
            cells = [percent(pick(planted, field, width=width, cosine=cosine)) for cosine in cosines]
            table.append([width, f"{limit:.3f}", f"{field} (%)", *cells])
    lines += [*markdown_table(["width", "limit of the cosine", "found", *(f"{each:g}" for each in cosines)], table), ""]
    lines += ["## Trained networks: the chain of leading neurons", ""]
    head = ["network", "epoch", "test accuracy (%)", "log10 of the product of E[0,0]", "least E[0,0]"]
    head += ["log10 p of the leading chain", "leading edges significant", "log10 p of the best chain"]
    table = []
    for name, config in runs.items():
        for epoch in config.checkpoints:
            here = {"network": name, "epoch": epoch, "layers": "chain"}
            table.append(
                [
                    name, f"{epoch:g}", percent(pick(rows, "accuracy", **here)), _log(pick(rows, "product", **here)),
                    pm(pick(rows, "weakest", **here), 3), pm(pick(rows, "log10 p, leading chain", **here)),
                    f"{pm(pick(rows, 'significant of leading', **here))} of {len(_layers(rows, name))}",
                    pm(pick(rows, "log10 p, best chain", **here)),
                ]
            )  # fmt: skip
    lines += [*markdown_table(head, table), ""]
    lines += [
        "p-values under the channel-Haar null; those of edges after Bonferroni over their pair (0.05), that of the "
        "best chain over all chains.",
        "",
        "Best chains at the end, by neuron from the first layer on:",
        "",
    ]
    for name, config in runs.items():
        best = pick(rows, "best chain", network=name, layers="chain", epoch=config.checkpoints[-1])
        lines.append(f"- {name}: {'; '.join(best)}")
    head = ["layers", "c", "z", "c E[0,0], start", "end", "log10 p, start", "end", "S0/median, start", "end"]
    head += ["share, start: Beta", "channel-Haar", "share, end: Beta", "channel-Haar"]
    for name, config in runs.items():
        lines += ["", f"## Pair by pair: {name}, at the start and after {config.epochs} epochs", ""]
        ends = config.checkpoints[0], config.checkpoints[-1]
        table = []
        for layers in _layers(rows, name):
            here = {"network": name, "layers": layers}
            some = next(row for row in rows if row["network"] == name and row["layers"] == layers)
            cells = []
            for field, digits in (("c E00", 2), ("log10 p, channel-Haar", 1), ("gap", 2)):
                cells += [pm(pick(rows, field, **here, epoch=epoch), digits) for epoch in ends]
            for epoch, law in itertools.product(ends, ("beta", "channel-Haar")):
                cells.append(pm(100 * pick(rows, f"share, {law}", **here, epoch=epoch), 2))
            table.append([layers, some["c"], some["z"], *cells])
        lines += markdown_table(head, table)
    lines.append("")
    lines += [
        f"Shares in percent; by chance {100 * LEVEL:.3f}. log10 p of E[0,0]: channel-Haar, after Bonferroni over the "
        "pair."
    ]
    return lines


def _log(values: np.ndarray) -> str:
    return pm(np.log10(np.maximum(values, 1e-300)))


def _layers(rows: list[dict[str, Any]], network: str) -> list[str]:
    return list(dict.fromkeys(row["layers"] for row in rows if row["layers"] != "chain" and row["network"] == network))


def _figure(columns: int, size: tuple[float, float], share_y: bool = False) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    return figure, figure.subplots(1, columns, squeeze=False, sharey=share_y).ravel()


def _draw_planted(planted: Any, widths: Any, cosines: Any, draws: int, count: int) -> Figure:
    figure, axes = _figure(2, (10.0, 4.0))
    for ax, field, title in zip(
        axes,
        ("first edge", "chain"),
        ("one planted edge after Bonferroni", "the planted chain of five layers is the best"),
        strict=True,
    ):
        curves = {
            f"width {width}": np.stack([pick(planted, field, width=width, cosine=cosine) for cosine in cosines])
            for width in widths
        }
        draw_curves(cosines, curves, ax, xlabel="planted cosine", ylabel="found (%)")
        ax.set_title(title, fontsize=10)
    for index, width in enumerate(widths):
        limit = math.sqrt(null.detection_limit(width, tests=width * width).edge)
        axes[0].axvline(limit, color=COLOURS[index], ls=":", lw=1.2)
    axes[1].legend(frameon=False, fontsize=9, loc="lower right")
    text = f"{over_seeds(count)}, each of {draws} networks; dotted: limit by the null"
    figure.suptitle(text, fontsize=10)
    return figure


def _draw_graphs(nets: dict[str, tuple[Trained, int]], scale: Scale = "median") -> Figure:
    figure, axes = _figure(2, (15.0, 5.0), share_y=True)
    for ax, (name, (trained, place)) in zip(axes, nets.items(), strict=True):
        result = svr(kernels(trained.weights, place, 0), null="channel_haar")
        plot_svr(result, ax, scale=scale, correction="bonferroni", level=0.05, max_edges=60, colour_bar=ax is axes[-1])
        ax.set_title(f"{name}, epoch {trained.epochs[place]:g}: edges after Bonferroni, at most 60 a pair", fontsize=10)
    axes[1].set_ylabel("")
    return figure


def _draw_shares(rows: Any, runs: dict[str, ConvRun]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.0, 4.4), layout="constrained", facecolor="white")
    sizes = [len(_layers(rows, name)) for name in runs]
    axes = figure.subplots(1, len(runs), sharey=True, width_ratios=sizes)
    for ax, (name, config) in zip(axes, runs.items(), strict=True):
        groups = {
            f"{when}, {law}": np.stack(
                [
                    100 * pick(rows, f"share, {field}", network=name, layers=layers, epoch=epoch)
                    for layers in _layers(rows, name)
                ]
            )
            for when, epoch in (("start", config.checkpoints[0]), ("end", config.checkpoints[-1]))
            for law, field in (("Beta", "beta"), ("channel-Haar", "channel-Haar"))
        }
        draw_bars(_layers(rows, name), groups, ax, line=(100 * LEVEL, "by chance"), log=True)
        ax.set_title(f"{name}: {config.epochs} epochs,\n{over_seeds(config.seeds)}", fontsize=9)
        ax.set_xlabel("pair of layers")
    axes[0].set_ylabel("significant edges (%)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.suptitle("error bars end at a tenth of the mean where they would go below", fontsize=9)
    return figure


def _draw_filters(trained: Trained) -> Figure:
    figure, axes = _figure(2, (10.0, 4.6))
    for ax, place in zip(axes, (0, -1), strict=True):
        result = svr(kernels(trained.weights, place, 0))
        windows = [k for k, pair in enumerate(result.pairs) if len(result.layers[pair.reader].window) == 2]
        pair = result.pairs[windows[-1]]
        filters = pair.filters(slice(6), slice(6))
        plot_filters(filters.reshape(len(filters), *result.layers[pair.reader].window, -1), ax)
        ax.set_title(f"epoch {trained.epochs[place]:g}, layers {pair.writer}-{pair.reader}", fontsize=10)
    return figure
