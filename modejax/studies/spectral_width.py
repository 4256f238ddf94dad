"""Accuracy against hidden width for every form of spectral learning beside the dense network, one sweep a family.

The question of Chicchi et al., "Training of sparse and dense deep neural networks: fewer parameters, same
performance", Phys. Rev. E 104, 054312 (arXiv 2106.09021): how close do a few trained eigenvalues come to all weights
trained? Settings are those of its released code where it has them (ReLU, biases, AdaMax, batches of 200, learning rates
of its notebook), with one hidden layer, without early stopping and with fewer epochs. The dense network
has the rate 0.005 of the S-QR layers; the notebook's own, 0.015, is larger.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from modejax.studies.common import check_seeds, final_accuracy, over_seeds, percent
from modejax.studies.spread import bars
from modejax.sweep.config import SweepConfig

__all__ = ["FAMILIES", "Family", "Row", "claims", "measure", "plot_width", "run", "write"]


class Family(NamedTuple):
    """One family of networks of the study."""

    name: str
    layer: str
    options: tuple[str, ...]
    learning_rate: float


FAMILIES = (
    Family("single set", "spectral", ("variant=single_set",), 0.015),
    Family("two sets, released factors", "spectral", ("variant=two_set_released",), 0.015),
    Family("two sets", "spectral", ("variant=two_set",), 0.015),
    Family("S-SVD, released factors", "spectral", ("variant=svd_released",), 0.015),
    Family("S-SVD", "spectral", ("variant=svd",), 0.015),
    Family("S-QR, triangular", "spectral", ("variant=qr_triangular",), 0.005),
    Family("S-QR, released", "spectral", ("variant=qr_full",), 0.005),
    Family("two sets and eigenvectors", "spectral", ("variant=two_set", "eigenvectors=trained"), 0.005),
    Family("dense", "dense", ("use_bias=true",), 0.005),
)
"""The families, in the order in which the paper's claim has their accuracy."""

_ORDER = (
    ("single set",),
    ("two sets",),
    ("S-SVD",),
    ("S-QR, triangular", "S-QR, released"),
    ("dense",),
)


class Row(NamedTuple):
    """The test accuracy of one network after its last epoch."""

    family: str
    width: int
    parameters: int
    seed: int
    accuracy: float  # share of 1; not a number where it diverged


def settings(quick: bool, seeds: int) -> SweepConfig:
    """Return what the sweeps of the study share."""
    if quick:
        size = {"dataset": "digits", "widths": (8, 16, 32), "epochs": 20, "batch_size": 50}
    else:
        size = {"dataset": "mnist", "widths": (20, 50, 100, 200), "epochs": 12, "batch_size": 200}
    return SweepConfig(
        layer="spectral",
        depth=1,
        optimiser="adamax",
        weight_decays=(0.0,),
        baseline="none",
        seeds=seeds,
        **size,  # pyright: ignore[reportArgumentType]
    )


def measure(shared: SweepConfig, report: Callable[[str], None] = print) -> list[Row]:
    """Train all families, one sweep each.

    Args:
        shared: data, widths, seeds, epochs and optimiser.
        report: told each family's name when it is done.

    Returns:
        One row a network.
    """
    from modejax.runs import perform

    rows = []
    for family in FAMILIES:
        config = dataclasses.replace(
            shared,
            layer=family.layer,  # pyright: ignore[reportArgumentType]
            layer_options=family.options,
            learning_rates=(family.learning_rate,),
        )
        result = perform(config).first
        final = final_accuracy(result).isel(modes=0, learning_rate=0, weight_decay=0)
        for width in config.widths:
            count = int(result.num_parameters.sel(width=width).values.ravel()[0])
            for seed in config.seed_numbers:
                rows.append(Row(family.name, width, count, seed, float(final.sel(width=width, seed=seed))))
        report(f"{family.name}: {100 * float(final.sel(width=max(config.widths)).mean()):.2f} % at the largest width")
    return rows


def _points(rows: list[Row], family: str) -> list[tuple[int, int, np.ndarray]]:
    """Return width, parameters and the finite accuracies, by width."""
    found = []
    for width in sorted({row.width for row in rows if row.family == family}):
        here = [row for row in rows if row.family == family and row.width == width]
        values = np.array([row.accuracy for row in here])
        found.append((width, here[0].parameters, values[np.isfinite(values)]))
    return found


def claims(rows: list[Row]) -> list[str]:
    """Say at which widths single set < two sets < S-SVD < S-QR < dense holds for the mean accuracies.

    Where it holds, neighbours in it are named of which the least accuracy of the better one is not above the largest of
    the other.

    Args:
        rows: what `measure` returned.

    Returns:
        One sentence a width.

    Example:
        >>> rows = [Row(f.name, 8, 1, 0, k / 10) for k, f in enumerate(FAMILIES)]
        >>> claims(rows)
        ['Width 8: the order holds.']
    """
    table = {family.name: {width: 100 * v for width, _, v in _points(rows, family.name)} for family in FAMILIES}
    neighbours = [(low, high) for lows, highs in itertools.pairwise(_ORDER) for low in lows for high in highs]
    sentences = []
    for width in sorted({row.width for row in rows}):
        pairs = [(low, table[low][width], high, table[high][width]) for low, high in neighbours]
        broken = [
            f"{low} ({_mean(a):.2f} %) is not below {high} ({_mean(b):.2f} %)"
            for low, a, high, b in pairs
            if not _mean(a) < _mean(b)
        ]
        if not broken:
            broken = [f"{low} and {high}" for low, a, high, b in pairs if not a.max() < b.min()]
            broken = ["the order holds", *([f"ranges overlap of {', '.join(broken)}"] if broken else [])]
        sentences.append(f"Width {width}: {'; '.join(broken)}.")
    return sentences


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def plot_width(rows: list[Row], title: str, path: Path) -> None:
    """Draw accuracy against width and against trained parameters; bars are those of `studies.common.ends`.

    Args:
        rows: what `measure` returned.
        title: the figure's title.
        path: the PNG to write.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    from modejax.plots.style import set_number_axis

    figure = Figure(figsize=(12.5, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    colours = colormaps["tab10"].colors  # pyright: ignore[reportAttributeAccessIssue]
    markers = "osD^vPX*h"
    for index, family in enumerate(FAMILIES):
        width, parameters, values = zip(*_points(rows, family.name), strict=True)
        mean, lengths = bars([100 * each for each in values])
        style = {"color": colours[index], "marker": markers[index], "ms": 5, "lw": 1.5, "capsize": 3}
        if family.name == "dense":
            style |= {"color": "black", "linestyle": "--"}
        left.errorbar(width, mean, lengths, label=family.name, **style)
        right.errorbar(parameters, mean, lengths, **style)
    set_number_axis(left, sorted({row.width for row in rows}))
    left.set_xlabel("width N (hidden units)")
    left.set_ylabel("test accuracy (%)")
    right.set_xscale("log")
    right.set_xlabel("trained parameters")
    for ax in (left, right):
        ax.grid(alpha=0.3)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=130)


def _page(rows: list[Row], config: SweepConfig) -> str:
    widths = config.widths
    lines = [
        "# Accuracy against width for spectral learning",
        "",
        f"{config.dataset}, one hidden ReLU layer, biases, AdaMax, batches of {config.batch_size}, "
        f"{config.epochs} epochs, "
        f"no early stopping; test accuracy in percent after the last epoch, "
        f"{over_seeds(config.seeds)} (initial values; the order of examples is shared). Trained parameters at width "
        f"{widths[-1]} in the last column.",
        "",
        "| family | learning rate | " + " | ".join(f"N = {width}" for width in widths) + " | parameters |",
        "| --- " * (len(widths) + 3) + "|",
    ]
    for family in FAMILIES:
        points = _points(rows, family.name)
        cells = [percent(values) for _, _, values in points]
        lines.append(f"| {family.name} | {family.learning_rate:g} | {' | '.join(cells)} | {points[-1][1]:,} |")
    order = " < ".join("S-QR" if "S-QR" in names[0] else names[0] for names in _ORDER)
    lines += ["", f"The claim {order} (arXiv 2106.09021), for the means, and where ranges overlap:", ""]
    lines += [f"- {sentence}" for sentence in claims(rows)]
    lines += ["", "`table.csv` has every network; `figures/accuracy.png` draws them.", ""]
    return "\n".join(lines)


def write(rows: list[Row], shared: SweepConfig, folder: Path) -> None:
    """Write `results.md`, `table.csv`, `config.json` and `figures/accuracy.png`, each whole or not at all.

    Args:
        rows: what `measure` returned.
        shared: what the sweeps share.
        folder: where; made where it is missing.
    """
    from modejax._files import replaced
    from modejax.studies.files import write_text

    config = dataclasses.asdict(shared) | {"families": [family._asdict() for family in FAMILIES]}
    for name in ("layer", "layer_options", "learning_rates"):
        del config[name]
    title = f"{shared.dataset}, one hidden ReLU layer, {shared.epochs} epochs of AdaMax; {over_seeds(shared.seeds)}"
    with replaced(folder / "figures" / "accuracy.png") as path:
        plot_width(rows, title, path)
    with replaced(folder / "table.csv") as path, path.open("w", newline="") as file:
        csv.writer(file).writerows([Row._fields, *rows])
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    write_text(folder / "results.md", _page(rows, shared))


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: digits and three small widths instead of MNIST and four.
        seeds: networks a width and family; by default 3.
        report: told each family's name when it is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/spectral-width", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    from modejax.studies.files import check_folder

    shared = settings(quick, check_seeds(seeds, 3))
    folder = check_folder(out)
    write(measure(shared, report), shared, folder)
    return folder
