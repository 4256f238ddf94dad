"""Linear perceptrons and small networks with trained eigenvalues, beside as many trained weights.

The questions of Giambagli et al., arXiv 2005.14436. How well does a perceptron do of which the N1 + N2 eigenvalues
alone are trained, against all weights, and against as many weights chosen at random? Do linear hidden layers help the
eigenvalues, though they collapse into one matrix? Are the weights distributed as after ordinary training? And, after
Chicchi et al., arXiv 2406.01183: do the eigenvalues of the inputs say which inputs matter?
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modejax.studies.common import check_seeds, final_accuracy, markdown_table, over_seeds, percent, write_study
from modejax.studies.spectral_perceptron_seeds import against_random, lines, paired_rows
from modejax.studies.spread import bars
from modejax.sweep.config import SweepConfig

__all__ = ["Row", "measure", "relevance", "run"]


class Row(NamedTuple):
    """The test accuracy of one network after its last epoch."""

    kind: str  # perceptron, linear (one linear hidden layer) or relu
    family: str
    width: int  # of the hidden layer; 0 for the perceptron
    parameters: int  # trained
    seed: int
    accuracy: float  # share of 1; not a number where it diverged


_EIGEN = ("variant=two_set", "use_bias=false")
_FAMILIES: tuple[tuple[str, str, tuple[str, ...], float], ...] = (
    ("eigenvalues of both sets", "spectral", _EIGEN, 0.015),
    ("eigenvalues of the inputs", "spectral", ("variant=input_only", "use_bias=false"), 0.015),
    ("eigenvalues of the outputs", "spectral", ("variant=single_set", "use_bias=false"), 0.015),
    ("eigenvalues and eigenvectors", "spectral", (*_EIGEN, "eigenvectors=trained"), 0.005),
    ("as many weights", "dense", (), 0.015),
    ("all weights", "dense", (), 0.005),
)
"""Name, layer, options and learning rate; `as many weights` trains as many as there are eigenvalues of both sets."""


def settings(quick: bool, seeds: int) -> SweepConfig:
    """Return what the sweeps of the study share."""
    if quick:
        size: dict[str, Any] = {"dataset": "digits", "epochs": 30, "batch_size": 50}
    else:
        size = {"dataset": "mnist", "epochs": 20, "batch_size": 200}
    return SweepConfig(
        layer="dense",
        depth=0,
        optimiser="adamax",
        weight_decays=(0.0,),
        baseline="none",
        seeds=seeds,
        **size,
    )


def _sweeps(shared: SweepConfig, quick: bool) -> dict[str, SweepConfig]:
    widths = (10, 20, 40) if quick else (20, 50, 100)
    hidden = dataclasses.replace(shared, depth=1, widths=widths, epochs=shared.epochs // 2)
    return {
        "perceptron": shared,
        "linear": dataclasses.replace(hidden, activation="identity"),
        "relu": dataclasses.replace(hidden, activation="relu"),
    }


def _frozen_share(features: int, width: int, outputs: int, *, deep: bool) -> float:
    """Return the percentage of the weights to freeze so that as many train as two sets have eigenvalues."""
    sizes = (features, width, outputs) if deep else (features, outputs)
    pairs = list(itertools.pairwise(sizes))
    weights = sum(a * b for a, b in pairs)
    return 100 * (1 - sum(a + b for a, b in pairs) / weights)


def measure(quick: bool, seeds: int, report: Callable[[str], None] = print) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Train all families.

    The share of trained weights of `as many weights` is the same in every map of a network, and depends on its width:
    one sweep a width.

    Args:
        quick: digits instead of MNIST.
        seeds: networks of each kind.
        report: called with a line of text for each part that is done.

    Returns:
        One row a network, and the weights of one perceptron for each family (seed 0), flattened.
    """
    from modejax.data import load_dataset
    from modejax.runs import perform

    shared = settings(quick, seeds)
    dataset = load_dataset(shared.dataset, data_dir=shared.data_dir, seed=shared.shuffle_seed)
    rows, weights = [], {}
    for kind, config in _sweeps(shared, quick).items():
        for name, layer, options, rate in _FAMILIES:
            changes: dict[str, Any] = {"name": "", "layer": layer, "layer_options": options, "learning_rates": (rate,)}
            each = [changes]
            if name == "as many weights":
                shares = [
                    _frozen_share(dataset.num_features, width, dataset.num_outputs, deep=config.depth > 0)
                    for width in config.widths
                ]
                each = [
                    changes | {"mask": "frozen", "sparsities": (share,), **({"widths": (width,)} if width else {})}
                    for width, share in zip(config.widths, shares, strict=True)
                ]
            for change in each:
                trained = perform(dataclasses.replace(config, **change), dataset)
                final = final_accuracy(trained.first)
                for width in final.width.values:
                    count = int(trained.first.num_parameters.sel(width=width).values.ravel()[0])
                    for seed in config.seed_numbers:
                        value = float(final.sel(width=width, seed=seed).values.ravel()[0])
                        rows.append(Row(kind, name, int(width), count, seed, value))
                if kind == "perceptron":
                    first = trained.networks(seed=config.first_seed)[0]
                    weights[name] = np.asarray(first.network.kernels(first.params)[0]).ravel()
            report(f"{kind}: {name}")
    return rows, weights


def relevance(quick: bool, report: Callable[[str], None] = print) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Train lambda_in and the eigenvectors of a perceptron, and score its inputs by |lambda_in_j| ||phi_j||.

    Args:
        quick: digits instead of MNIST.
        report: told when it is done.

    Returns:
        The scores, the mean image of the training set, both of the shape of an image, and that shape.

    References:
        Chicchi et al., arXiv 2406.01183; the penalties of the code released with it, at 1e-3.
    """
    from modejax.data import load_dataset
    from modejax.runs import perform

    config = dataclasses.replace(
        settings(quick, 1),
        layer="spectral",
        layer_options=("variant=input_only", "eigenvectors=trained", "l2_in=0.001", "l2_phi=0.001"),
        penalty="loss",
        optimiser="adam",
        learning_rates=(0.01,),
        epochs=10,
    )
    dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
    params = perform(config, dataset).networks()[0].params[0]
    scores = np.abs(np.asarray(params.lambda_in)) * np.linalg.norm(np.asarray(params.phi), axis=0)
    shape = dataset.image_shape or (1, dataset.num_features)
    report("relevance of the inputs")
    return scores.reshape(shape), (dataset.x_train.mean(axis=0) * dataset.scale).reshape(shape), shape


def _values(rows: Sequence[Row], kind: str, family: str, width: int) -> list[float]:
    return [row.accuracy for row in rows if (row.kind, row.family, row.width) == (kind, family, width)]


def _draw_widths(rows: Sequence[Row], title: str) -> Any:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    from modejax.plots.style import set_number_axis

    figure = Figure(figsize=(11.5, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    colours = colormaps["tab10"].colors  # pyright: ignore[reportAttributeAccessIssue]
    for ax, kind, text in zip(panels, ("linear", "relu"), ("linear hidden layer", "ReLU hidden layer"), strict=True):
        widths = sorted({row.width for row in rows if row.kind == kind})
        for index, (name, *_) in enumerate(_FAMILIES):
            mean, lengths = bars([100 * np.array(_values(rows, kind, name, width)) for width in widths])
            form = {"color": colours[index], "marker": "os^vDP"[index], "ms": 5, "capsize": 3}
            ax.errorbar(widths, mean, lengths, label=name, **form)
        set_number_axis(ax, widths)
        ax.set_title(text, fontsize=10)
        ax.set_xlabel("width N (hidden units)")
        ax.set_ylabel("test accuracy (%)")
        ax.tick_params(labelleft=True)
        ax.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(title)
    return figure


def _draw_weights(weights: dict[str, np.ndarray], title: str) -> Any:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    ax = figure.subplots()
    colours = colormaps["tab10"].colors  # pyright: ignore[reportAttributeAccessIssue]
    for index, (name, *_) in enumerate(_FAMILIES):
        if name in ("eigenvalues of both sets", "eigenvalues and eigenvectors", "all weights"):
            scaled = weights[name] / weights[name].std()
            edges = np.linspace(-5, 5, 81).tolist()
            ax.hist(
                np.clip(scaled, -5, 5), edges, density=True, histtype="step", color=colours[index], lw=1.5, label=name
            )
    ax.set_yscale("log")
    ax.set_xlabel("weight / standard deviation of the weights (beyond 5 at the edge)")
    ax.set_ylabel("density")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def _draw_relevance(scores: np.ndarray, mean: np.ndarray, title: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.9), layout="constrained")
    for ax, image, text in zip(
        figure.subplots(1, 2), (scores, mean), ("|lambda_in| ||phi|| of each input", "mean training image"), strict=True
    ):
        shown = ax.imshow(image, cmap="viridis")
        ax.set_title(text, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
        figure.colorbar(shown, ax=ax, shrink=0.85)
    figure.suptitle(title)
    return figure


def _page(rows: Sequence[Row], config: SweepConfig, scores: np.ndarray, mean: np.ndarray) -> list[str]:
    def count(kind: str, family: str, width: int) -> str:
        return f"{next(r.parameters for r in rows if (r.kind, r.family, r.width) == (kind, family, width)):,}"

    page = [
        "# Perceptrons with trained eigenvalues",
        "",
        f"{config.dataset}, no biases, AdaMax, batches of {config.batch_size}, {config.epochs} epochs; test accuracy "
        f"in percent, {over_seeds(config.seeds)}. `as many weights` trains about as many "
        "weights, chosen at random, as there are eigenvalues of both sets; the others keep their initial values.",
        "",
        *markdown_table(
            ["perceptron", "trained", "accuracy"],
            [[n, count("perceptron", n, 0), percent(_values(rows, "perceptron", n, 0))] for n, *_ in _FAMILIES],
        ),
    ]
    for kind, text in (("linear", "One linear hidden layer"), ("relu", "One ReLU hidden layer")):
        widths = sorted({row.width for row in rows if row.kind == kind})
        lines = [
            [n, count(kind, n, widths[-1]), *(percent(_values(rows, kind, n, width)) for width in widths)]
            for n, *_ in _FAMILIES
        ]
        page += [
            "",
            f"## {text}, {config.epochs // 2} epochs",
            "",
            *markdown_table(["trained", "parameters", *(f"N = {w}" for w in widths)], lines),
        ]
        page[-len(lines) - 2] = page[-len(lines) - 2].replace("parameters", f"parameters at N = {widths[-1]}")
    used, unused = scores[mean > 0.05], scores[mean == 0]
    ratio = np.median(used) / max(np.median(unused), 1e-30) if unused.size else float("nan")
    ratio_text = "more than 1000" if ratio > 1000 else f"{ratio:.1f}"
    page += [
        "",
        "## Relevance of the inputs",
        "",
        f"Median score of the {used.size} pixels with a mean above 0.05, divided by that of the {unused.size} pixels "
        f"that are 0 in every training image: {ratio_text} (penalties 1e-3 in the loss; without a penalty pixels that "
        "are always 0 keep their initial score).",
    ]
    return page


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: digits and small networks instead of MNIST.
        seeds: networks of each kind; by default 3.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.
    """
    from modejax.data import load_dataset
    from modejax.studies.files import check_folder

    shared = settings(quick, check_seeds(seeds, 3))
    folder = check_folder(out)
    rows, weights = measure(quick, shared.seeds, report)
    dataset = load_dataset(shared.dataset, data_dir=shared.data_dir, seed=shared.shuffle_seed)
    share = _frozen_share(dataset.num_features, 0, dataset.num_outputs, deep=False)
    many = max(shared.seeds, 5 if quick else 20)
    paired = against_random(shared, share, many)
    report(f"eigenvalues against random weights: {many} seeds")
    scores, mean, _ = relevance(quick, report)
    title = f"{shared.dataset}, {shared.epochs // 2} epochs of AdaMax; {over_seeds(shared.seeds)}"
    return write_study(
        folder,
        page=[*_page(rows, shared, scores, mean), *lines(paired)],
        rows=[row._asdict() for row in rows] + paired_rows(paired),
        config=dataclasses.asdict(shared) | {"families": [list(map(str, family)) for family in _FAMILIES]},
        figures={
            "widths": lambda: _draw_widths(rows, title),
            "weights": lambda: _draw_weights(weights, f"{shared.dataset}, weights of a perceptron (seed 0)"),
            "relevance": lambda: _draw_relevance(scores, mean, f"{shared.dataset}, perceptron, 10 epochs of Adam"),
        },
    )
