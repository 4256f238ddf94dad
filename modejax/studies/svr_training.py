"""The graph of spectral neurons while a network learns, and over a sweep of widths and modes.

The dense network of the paper's film, [784, 100, 50, 50, 50, 10] without biases on MNIST by plain SGD, and a sweep of
dense and mode networks, whose shares of significant edges come out of one batched call.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from modejax.plots.style import set_number_axis
from modejax.plots.svr_graph import plot_svr
from modejax.studies.common import check_seeds, markdown_table, over_seeds, percent, pm
from modejax.studies.convnet import ConvRun, Trained, kernels, trained_run
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import trained_run as trained_sweep
from modejax.studies.spread import draw_curves
from modejax.studies.svr_runs import fc_run, file_name, pick, sweeps
from modejax.svr import derived, members, null, svr
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["measure", "run"]

LEVEL = null.level_of_sigma(3)


def measure(trained: Trained) -> list[dict[str, Any]]:
    """Measure the graphs of dense networks at all checkpoints.

    Args:
        trained: the networks of a run.

    Returns:
        For each checkpoint and seed one row for each pair of layers: share of significant edges at three standard
        deviations, of all networks in one batched call; mean size of the leading blocks that share most beyond chance
        (0 where chance explains them); entropy over that of equal edges. And one row for the network: accuracy, log10
        of the path metric and of the sum of squared weights.
    """
    places = list(itertools.product(range(len(trained.epochs)), range(trained.accuracy.shape[1])))
    networks = [kernels(trained.weights, place, seed) for place, seed in places]
    shares = members(networks)["share"].to_numpy().reshape(len(networks), -1)
    rows = []
    for (place, seed), network, share in zip(places, networks, shares, strict=True):
        result = svr(network)
        own = {"epoch": float(trained.epochs[place]), "seed": seed}
        for index, pair in enumerate(result.pairs):
            block = derived.internal_dimension(pair.E, pair.c, pair.z)
            rows.append(
                {
                    **own, "layers": f"{pair.writer}-{pair.reader}", "c": pair.c, "share": float(share[index]),
                    "dimension": (block.reader + block.writer) / 2 if block.significant else 0.0,
                    "entropy": derived.entropy(pair.E, normalised=True),
                }
            )  # fmt: skip
        whole = {
            "accuracy": float(trained.accuracy[place, seed]),
            "path": math.log10(result.path_metric()),
            "squares": math.log10(sum(float((layer.S**2).sum()) for layer in result.layers)),
        }
        rows.append({**own, "layers": "all", **whole})
    return rows


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits instead of MNIST, small networks.
        seeds: networks of each kind; default 5, and 3 of each in the sweep (quick: 3 and 2).
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing, or the folder is a file.

    Example:
        >>> run("docs/studies/svr-training", quick=True, seeds=1)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 2, since error bars need them, got 1
    """
    count = check_seeds(seeds, 3 if quick else 5, least=2)
    folder = check_folder(out)
    config = fc_run(quick, count)
    trained = trained_run(folder, file_name("fc", config), config, report)
    with threadpool_limits(1):  # many small matrices: a second thread only waits
        rows = measure(trained)
    report("graphs measured")
    configs = sweeps(quick, seeds or (2 if quick else 3))
    leading = configs["modes"].modes or ()
    swept = _swept(folder, "modes", configs["modes"], (), report)
    swept += _swept(folder, "dense", configs["dense"], leading, report)
    report("sweep measured")
    write_study(
        folder,
        page=_page(rows, swept, config, configs, count),
        rows=[{"part": "training", **row} for row in rows] + [{"part": "sweep", **row} for row in swept],
        settings={"study": "svr-training", "quick": quick, "seeds": count, "level": LEVEL, "network": vars(config)},
        runs=configs,
    )
    write_figures(
        folder,
        {
            "measures": ((11.0, 7.0), lambda figure: _draw_measures(figure, rows, count)),
            "frames": ((15.0, 4.6), lambda figure: _draw_frames(figure, trained)),
            "sweep": ((11.0, 7.4), lambda figure: _draw_sweep(figure, swept, configs)),
        },
    )
    return folder


def _swept(
    folder: Path, name: str, config: SweepConfig, leading: Sequence[int], report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Train a sweep, and count the significant edges of all its networks in one batched call.

    The edges between the first neurons alone are counted as well, for each of the numbers in `leading`.
    """
    trained = trained_sweep(folder, f"sweep-{name}", config, report)
    nets = trained.networks()
    maps = [[np.asarray(kernel) for kernel in each.network.kernels(each.params)] for each in nets]
    names = [{"width": each.width, "modes": each.modes, "seed": each.seed, "first": 0} for each in nets]
    counted = members(maps, names)
    found = [{key: row[key] for key in (*names[0], "pair", "share")} for row in counted.to_dict("records")]
    with threadpool_limits(1):
        for (own, kernels_), count in itertools.product(zip(names, maps, strict=True), leading):
            pairs = svr(kernels_, max_neurons=count).pairs
            found += [
                {**own, "first": count, "pair": k, "share": float(pair.significant(LEVEL).mean())}
                for k, pair in enumerate(pairs)
            ]
    right = trained.first.test_accuracy.isel(epoch=-1, learning_rate=0, weight_decay=0)
    places = {int(each): index for index, each in enumerate(right.modes.values)}
    for row in found:
        row["layers"] = f"{row['pair']}-{row['pair'] + 1}"
        here = right.sel(width=row["width"], seed=row["seed"]).isel(modes=places.get(row["modes"], 0))
        row["accuracy"] = float(here)
    return found


def _layers(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["layers"] for row in rows if row["layers"] != "all"))


def _epochs(rows: list[dict[str, Any]]) -> list[float]:
    return list(dict.fromkeys(row["epoch"] for row in rows))


def _page(
    rows: list[dict[str, Any]],
    swept: list[dict[str, Any]],
    config: ConvRun,
    configs: dict[str, SweepConfig],
    count: int,
) -> list[str]:
    lines = [
        "# The graph during training, and over width and modes", "",
        f"{config.dataset}, dense network with hidden widths {list(config.hidden)}, no biases, SGD "
        f"{config.learning_rate:g}, batch {config.batch}, {config.images} images; {over_seeds(count)}. "
        f"Shares of edges beyond three standard deviations (by chance {100 * LEVEL:.3f} %).", "",
        "## Significant edges (%)", "",
    ]  # fmt: skip
    pairs = _layers(rows)
    head = ["epoch", "test accuracy (%)", *(f"layers {pair}" for pair in pairs)]
    table = [
        [f"{epoch:g}", percent(pick(rows, "accuracy", epoch=epoch, layers="all"))]
        + [_share(pick(rows, "share", epoch=epoch, layers=pair)) for pair in pairs]
        for epoch in _epochs(rows)
    ]
    lines += [*markdown_table(head, table), "", "## Dimension, entropy and paths", ""]
    lines += [
        "Dimension: mean size of the leading blocks that share most beyond chance (0: not beyond chance). Entropy: "
        "over that of equal edges. Paths: log10 of the path metric (without singular values it is the number of "
        "outputs at all times, since all neurons are kept); squares: log10 of the sum of squared weights.",
        "",
    ]
    head = [
        "epoch",
        *(f"dimension {pair}" for pair in pairs),
        *(f"entropy {pair}" for pair in pairs),
        "paths",
        "squares",
    ]
    table = [
        [f"{epoch:g}"]
        + [pm(pick(rows, "dimension", epoch=epoch, layers=pair)) for pair in pairs]
        + [pm(pick(rows, "entropy", epoch=epoch, layers=pair), 3) for pair in pairs]
        + [pm(pick(rows, field, epoch=epoch, layers="all"), 2) for field in ("path", "squares")]
        for epoch in _epochs(rows)
    ]
    lines += [*markdown_table(head, table), "", "## Sweep: significant edges (%) between neurons of the rank", ""]
    some = configs["modes"]
    lines += [
        f"{some.dataset}, two hidden layers, {some.epochs} epochs, {over_seeds(some.seeds)}; after the semicolon the "
        "test accuracy (%).",
        "",
    ]
    kinds = sorted({row["modes"] for row in swept}, key=lambda modes: modes or 10**6)
    for pair in _layers(swept):
        table = []
        for width in sorted({row["width"] for row in swept}):
            cells = []
            for modes in kinds:
                here = {"width": width, "modes": modes, "layers": pair, "first": 0}
                cells.append(f"{_share(pick(swept, 'share', **here))}; {percent(pick(swept, 'accuracy', **here))}")
            table.append([width, *cells])
        lines += [f"Layers {pair}:", "", *markdown_table(["width", *map(_kind, kinds)], table), ""]
    lines += ["## Dense networks: significant edges (%) between the first neurons of both layers", ""]
    firsts = sorted({row["first"] for row in swept} - {0})
    table = [
        [width, pair]
        + [_share(pick(swept, "share", width=width, modes=0, layers=pair, first=first)) for first in firsts]
        for pair in _layers(swept)
        for width in sorted({row["width"] for row in swept})
    ]
    return lines + markdown_table(["width", "layers", *(f"first {first}" for first in firsts)], table)


def _share(values: np.ndarray) -> str:
    return pm(100 * values, 2)


def _kind(modes: int) -> str:
    return f"P = {modes}" if modes else "dense"


def _draw_measures(figure: Figure, rows: list[dict[str, Any]], count: int) -> None:
    epochs, pairs = _epochs(rows), _layers(rows)
    axes = figure.subplots(2, 2).ravel()
    fields = (
        ("share", "significant edges (%)"),
        ("dimension", "internal dimension"),
        ("entropy", "entropy / that of equal edges"),
    )
    for ax, (field, label) in zip(axes, fields, strict=False):
        curves = {
            f"layers {pair}": np.stack([pick(rows, field, epoch=epoch, layers=pair) for epoch in epochs])
            for pair in pairs
        }
        draw_curves(
            epochs, curves, ax, ylabel=label, percent=field == "share", chance=LEVEL if field == "share" else None
        )
    names = {"path": "path metric", "squares": "sum of squared weights"}
    curves = {
        name: np.stack([pick(rows, field, epoch=epoch, layers="all") for epoch in epochs])
        for field, name in names.items()
    }
    curves = {name: values - values[0] for name, values in curves.items()}
    draw_curves(epochs, curves, axes[3], ylabel="log10 of the ratio to epoch 0", percent=False)
    axes[0].legend(frameon=False, fontsize=8)
    axes[3].legend(frameon=False, fontsize=8)
    figure.suptitle(over_seeds(count), fontsize=10)


def _draw_frames(figure: Figure, trained: Trained) -> None:
    shown = np.unique(np.linspace(0, len(trained.epochs) - 1, 4).astype(int))
    axes = figure.subplots(1, len(shown), sharey=True)
    for ax, place in zip(axes, shown, strict=True):
        result = svr(kernels(trained.weights, int(place), 0))
        plot_svr(result, ax, max_edges=60, colour_bar=place == shown[-1])
        right = 100 * trained.accuracy[place, 0]
        ax.set_title(f"epoch {trained.epochs[place]:g}, test accuracy {right:.1f} %", fontsize=10)
    for ax in axes[1:]:
        ax.set_ylabel("")


def _draw_sweep(figure: Figure, swept: list[dict[str, Any]], configs: dict[str, SweepConfig]) -> None:
    widths = sorted({row["width"] for row in swept})
    modes = sorted({row["modes"] for row in swept} - {0})
    pairs = _layers(swept)
    axes = figure.subplots(2, len(pairs))
    for pair, (top, below) in zip(pairs, axes.T, strict=True):
        curves = {
            _kind(kind): np.stack(
                [pick(swept, "share", width=width, modes=kind, layers=pair, first=0) for width in widths]
            )
            for kind in (*modes, 0)
        }
        draw_curves(widths, curves, top, xlabel="width N", chance=LEVEL)
        curves = {
            f"N = {width}": np.stack(
                [pick(swept, "share", width=width, modes=kind, layers=pair, first=0) for kind in modes]
            )
            for width in widths
        }
        draw_curves(modes, curves, below, xlabel="modes P", chance=LEVEL)
        top.set_title(f"layers {pair}", fontsize=10)
        set_number_axis(top, widths)
        set_number_axis(below, modes)
    for row in axes:
        row[0].legend(frameon=False, fontsize=8)
    some = configs["modes"]
    figure.suptitle(f"{some.dataset}, {some.epochs} epochs, {over_seeds(some.seeds)}", fontsize=10)
