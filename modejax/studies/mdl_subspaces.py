"""How compact and how disentangled the spaces of mode networks are, beside dense networks trained the same way.

The claim of Li and Huang, arXiv 2208.09859: modes give a latent space that is more compact from layer to layer and more
disentangled than that of standard training. Their released code has no measure of it. The dense controls share data,
width, schedule, decay and seeds with the mode networks; one kind starts from the very weights of the mode networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.modes import (
    alignment,
    class_overlap,
    hidden_activity,
    participation_dimension,
)
from modejax.modes.subspaces import Alignment, second_moment_overlap
from modejax.studies.common import check_seeds, markdown_table, over_seeds, pm
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import dense_control, long_training, trained_run

if TYPE_CHECKING:
    from modejax.data import Dataset
    from modejax.networks import Network

__all__ = ["describe", "run"]

DIRECTIONS = 5


def describe(network: Network, params: Any, data: Dataset, directions: int = DIRECTIONS) -> dict[str, list[float]]:
    """Measure one network on the test set.

    Args:
        network: the network.
        params: its parameters.
        data: its data set.
        directions: leading directions of a class.

    Returns:
        Measures by name, one number a hidden layer, map, or pattern set.
    """
    x = data.x_test.astype(np.float32) * data.scale
    hidden = hidden_activity(network, params, x)
    kernels = [np.asarray(w, np.float64) for w in network.kernels(params)]
    found = {
        "activity dimension": [float(participation_dimension(h)) for h in hidden],
        "class overlap": [class_overlap(h, data.y_test, directions) for h in hidden],
        "units that are active": [float((h.max(axis=0) > 0).sum()) for h in hidden],
        "weight dimension": [float(participation_dimension(w, centred=False)) for w in kernels],
        "kernel overlap": [],
        "kernel overlap, chance": [],
    }
    for left, right in itertools.pairwise(kernels):
        overlap, chance = second_moment_overlap(left.T, right)
        found["kernel overlap"].append(overlap)
        found["kernel overlap, chance"].append(chance)
    modes = network.modes(params)
    if all(each is not None for each in modes):
        sets = [p for each in modes if each is not None for p in (each.xi_in, np.asarray(each.xi_out).T)]
        found["pattern dimension"] = [float(participation_dimension(np.asarray(p))) for p in sets[:-1]]
        aligned = alignment(network, params)
        for name in Alignment._fields:
            found[f"alignment {name}"] = [float(getattr(each, name)) for each in aligned]
    return found


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits, N = 64 and 40 epochs instead of MNIST, N = 100 and 100 epochs.
        seeds: networks of each kind; by default 5, and 3 of the dense controls (quick: 3).
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/mdl-subspaces", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    from modejax.data import load_dataset

    count = check_seeds(seeds, 3 if quick else 5)
    folder = check_folder(out)
    plain = long_training(quick, count)
    fewer = long_training(quick, count, modes=10 if quick else 30, learning_rates=(0.003,))
    assert plain.modes is not None
    assert fewer.modes is not None
    configs = {"plain": plain, "fewer": fewer}
    dense_seeds = count if seeds is not None else 3
    configs["dense-he"] = dense_control("he", plain, (0.003,), dense_seeds)
    configs["dense-mode-start"] = dense_control("mode", plain, (0.003,), dense_seeds)
    labels = {
        "plain": f"modes, P = {plain.modes[0]}",
        "fewer": f"modes, P = {fewer.modes[0]}",
        "dense-he": "dense, He start",
        "dense-mode-start": "dense, mode start",
    }
    data = load_dataset(plain.dataset, data_dir=plain.data_dir)
    directions = DIRECTIONS
    kinds: dict[str, dict[str, np.ndarray]] = {}
    rows = []
    for short, config in configs.items():
        trained = trained_run(folder, short, config, report)
        for rate in config.learning_rates:
            if short == "plain" and rate != 0.003:
                continue  # the schedule that all kinds share
            name = labels[short] + (f", rate {rate:g}" if short.startswith("dense") else "")
            accuracy = 100 * trained.first.test_accuracy.isel(epoch=-1, width=0, modes=0, weight_decay=0)
            measured: dict[str, list[Any]] = {"accuracy": []}
            for member in trained.networks(learning_rate=rate):
                if member.status:
                    continue
                value = float(accuracy.sel(learning_rate=rate, seed=member.seed))
                measured["accuracy"].append([value])
                for key, each in describe(member.network, member.params, data, directions).items():
                    measured.setdefault(key, []).append(each)
                    for place, number in enumerate(each, 1):
                        rows.append(
                            {"network": name, "seed": member.seed, "measure": key, "place": place, "value": number}
                        )
                rows.append({"network": name, "seed": member.seed, "measure": "accuracy", "place": 0, "value": value})
            kinds[name] = {key: np.array(each) for key, each in measured.items()}
        report(f"{short}: measured")
    width = plain.widths[0]
    page = _page(kinds, plain, labels, count, dense_seeds, directions)
    write_figures(
        folder,
        {
            "activity": (
                (12.0, 5.2),
                lambda figure: _activity_figure(figure, kinds, directions / width, plain.dataset),
            ),
            "patterns": ((12.0, 5.0), lambda figure: _pattern_figure(figure, kinds, plain.dataset)),
        },
    )
    settings = {"seeds": count, "dense_seeds": dense_seeds, "directions": directions, "quick": quick}
    write_study(folder, page=page, rows=rows, settings=settings, runs=configs)
    return folder


def _page(
    kinds: Mapping[str, Mapping[str, np.ndarray]],
    plain: Any,
    labels: Mapping[str, str],
    count: int,
    dense_seeds: int,
    directions: int,
) -> list[str]:
    width = plain.widths[0]
    page = [
        "# Compact and disentangled spaces",
        "",
        f"{plain.dataset}, N = {width}, two hidden layers, {plain.epochs} epochs, learning rate halved every "
        f"{plain.halve_every}, weight decay "
        f"{plain.weight_decays[0]:g} for all networks; mode networks with rate 0.003. Test set; {over_seeds(count)} of "
        f"the mode networks, {over_seeds(dense_seeds)} of the dense ones. `mode start`: dense networks that start from "
        f"the weights of the mode networks with P = {plain.modes[0]}.",
        "",
        "## Hidden activity",
        "",
        "Dimension: participation ratio of the covariance. Class overlap: mean over pairs of classes of the shared "
        f"part of their {directions} leading "
        f"directions, each centred on its class; lower is more disentangled, chance is {directions / width:.2f}.",
        "",
    ]
    lines = []
    for name, found in kinds.items():
        cells = [pm(found["accuracy"], 2)]
        for key, digits in (("activity dimension", 1), ("class overlap", 3), ("units that are active", 0)):
            cells += [pm(found[key][:, layer], digits) for layer in range(found[key].shape[1])]
        lines.append([name, *cells])
    head = ["network", "accuracy (%)"]
    head += [f"{key}, layer {layer}" for key in ("dimension", "class overlap", "active units") for layer in (1, 2)]
    page += [*markdown_table(head, lines), "", "## Weights", ""]
    page += [
        "Dimension of each weight matrix, (tr W W^T)^2 / tr (W W^T)^2, and overlap of W^l W^l^T with (W^{l+1})^T "
        "W^{l+1} in hidden layer l (after the semicolon: of a random turn).",
        "",
    ]
    lines = []
    for name, found in kinds.items():
        cells = [pm(found["weight dimension"][:, i]) for i in range(found["weight dimension"].shape[1])]
        for layer in range(found["kernel overlap"].shape[1]):
            chance = found["kernel overlap, chance"][:, layer].mean()
            cells.append(f"{pm(found['kernel overlap'][:, layer], 3)}; {chance:.3f}")
        lines.append([name, *cells])
    maps = len(lines[0]) - 3
    head = ["network", *(f"map {i + 1}" for i in range(maps)), "overlap, layer 1", "overlap, layer 2"]
    page += [*markdown_table(head, lines), "", "## Pattern sets of the mode networks", ""]
    page += [
        "Dimension of the sets, in order from the input: in 1, out 1, in 2, out 2, in 3 (covariance over modes). "
        "Overlap of the two sets in each hidden layer: of "
        "their spans, and with every pattern scaled by the gauge-free size of its mode; chance after the semicolon.",
        "",
    ]
    lines = []
    for name, found in kinds.items():
        if "pattern dimension" not in found:
            continue
        cells = [pm(found["pattern dimension"][:, i]) for i in range(found["pattern dimension"].shape[1])]
        for layer in range(found["alignment overlap"].shape[1]):
            for key in ("overlap", "weighted"):
                chance = found[f"alignment {key}_random"][:, layer].mean()
                cells.append(f"{pm(found[f'alignment {key}'][:, layer], 3)}; {chance:.3f}")
        lines.append([name, *cells])
    head = ["network", "in 1", "out 1", "in 2", "out 2", "in 3"]
    head += [f"{key}, layer {layer}" for layer in (1, 2) for key in ("spans", "scaled")]
    page += [*markdown_table(head, lines), "", "`table.csv` has every number.", ""]
    return page


def _activity_figure(figure: Any, kinds: Mapping[str, Mapping[str, np.ndarray]], chance: float, dataset: str) -> None:
    from modejax.plots.comparison import plot_by_layer

    axes = figure.subplots(1, 2)
    places = ["hidden layer 1", "hidden layer 2"]
    plot_by_layer(places, {name: found["activity dimension"] for name, found in kinds.items()}, axes[0])
    axes[0].set_ylabel("dimension of hidden activity (participation ratio)")
    overlaps = {name: found["class overlap"] for name, found in kinds.items()}
    plot_by_layer(places, overlaps, axes[1], chance=np.full(2, chance))
    axes[1].set_ylabel("overlap of class subspaces (dashed: chance)")
    for ax in axes:
        ax.set_ylim(bottom=0)
    handles, names = axes[0].get_legend_handles_labels()
    texts = [f"{name}: {pm(kinds[name]['accuracy'], 2)} %" for name in names]
    figure.legend(handles, texts, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(
        f"{dataset}, same schedule and decay, test set; legend: test accuracy; mean \N{PLUS-MINUS SIGN} 1 sd",
        fontsize=11,
    )


def _pattern_figure(figure: Any, kinds: Mapping[str, Mapping[str, np.ndarray]], dataset: str) -> None:
    from modejax.plots.comparison import plot_by_layer

    axes = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    modes = {name: found for name, found in kinds.items() if "pattern dimension" in found}
    places = ["in 1", "out 1", "in 2", "out 2", "in 3"]
    plot_by_layer(places, {name: found["pattern dimension"] for name, found in modes.items()}, axes[0])
    axes[0].set_ylabel("dimension of the pattern set")
    axes[0].set_ylim(bottom=0)
    for ax, key, title in (
        (axes[1], "overlap", "overlap of the spans"),
        (axes[2], "weighted", "scaled by size of the modes"),
    ):
        values = {name: found[f"alignment {key}"] for name, found in modes.items()}
        chance = {name: found[f"alignment {key}_random"].mean(axis=0) for name, found in modes.items()}
        plot_by_layer(["layer 1", "layer 2"], values, ax, chance=chance)
        ax.set_title(title, fontsize=10)
        ax.set_ylabel("overlap (dashed: chance)")
        ax.set_ylim(0, 1)
    axes[0].legend(frameon=False, fontsize=9, loc="lower left")
    figure.suptitle(f"{dataset}: pattern sets of the mode networks, from the input on", fontsize=11)
