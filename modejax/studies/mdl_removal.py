"""Accuracy against the share of modes removed: least important first, most important first, and at random.

The second half of the third figure of Li and Huang, arXiv 2208.09859, for the network of that figure (P = 70) and for
one with fewer modes (P = 30).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.studies.common import check_seeds, markdown_table, pm
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import long_training, trained_run

if TYPE_CHECKING:
    import xarray

__all__ = ["TARGETS", "accuracy_at", "run", "verdicts"]

SHARES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90)
TARGETS = (
    (2, "least", 50, "at most", 1.0),
    (2, "least", 70, "at most", 3.0),
    (2, "random", 70, "at least", 15.0),
    (1, "least", 70, "at least", 10.0),
)
"""Map, order, percent removed, and what the mean accuracy should lose, in points: what the paper's figure shows."""


def accuracy_at(curves: xarray.Dataset, removal: str, layer: int, percent: float, modes: int) -> np.ndarray:
    """Return the accuracy of each seed, in percent, with a share of a map's modes removed (rounded to whole modes)."""
    kept = modes - round(percent / 100 * modes)
    return 100 * np.asarray(curves.accuracy.sel(removal=removal, layer=layer, kept=kept), np.float64)


def verdicts(curves: xarray.Dataset, modes: int) -> list[tuple[str, str, bool]]:
    """Compare the losses with those that the paper's figure shows.

    Args:
        curves: of one family of networks, with the dimension `seed`.
        modes: its number of modes.

    Returns:
        For each of `TARGETS` the claim, what was measured, and whether it holds for the mean.
    """
    found = []
    for layer, removal, percent, sense, points in TARGETS:
        whole = 100 * np.asarray(curves.accuracy.sel(removal=removal, layer=layer, kept=modes), np.float64)
        lost = whole - accuracy_at(curves, removal, layer, percent, modes)
        holds = bool(lost.mean() <= points if sense == "at most" else lost.mean() >= points)
        claim = f"map {layer}, {percent} % removed, {_WORDS[removal]}: {sense} {points:g} points lost"
        found.append((claim, pm(lost, 2), holds))
    return found


_WORDS = {"least": "least important first", "most": "most important first", "random": "at random"}


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits, N = 64 and 40 epochs instead of MNIST, N = 100 and 100 epochs.
        seeds: networks; by default 5 (quick: 3).
        report: told what happens.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/mdl-removal", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    from modejax.plots.removal import plot_removal
    from modejax.runs.removal import removal_curves

    count = check_seeds(seeds, 3 if quick else 5)
    folder = check_folder(out)
    draws = 5 if quick else 10
    configs = {
        "plain": long_training(quick, count),
        "fewer": long_training(quick, count, modes=30 if not quick else 10, learning_rates=(0.003,)),
    }
    families: dict[int, dict[str, xarray.Dataset]] = {}
    for name, config in configs.items():
        trained = trained_run(folder, name, config, report)
        assert config.modes is not None
        scores: tuple[Any, ...] = ("importance", "weight", "size") if name == "plain" else ("importance",)
        found = {}
        for score in scores:
            removals: Any = ("least", "most", "random") if score == "importance" else ("least",)
            curves = removal_curves(trained, removals, score=score, draws=draws)
            found[score] = curves.sel(learning_rate=0.003).isel(width=0, modes=0, weight_decay=0, drop=True)
            report(f"{name}: removal curves by {score} done")
        families[config.modes[0]] = found

    page = [
        "# Removal of modes",
        "",
        f"{configs['plain'].dataset}, N = {configs['plain'].widths[0]}, plain gauge, learning rate 0.003 halved every "
        f"{configs['plain'].halve_every} of {configs['plain'].epochs} epochs, weight decay 0.001. One map is cut, "
        "the others are intact; the order is "
        "that of the importance tau of each network. Test accuracy in percent, mean +- standard deviation over "
        f"{count} "
        f"seed(s){'' if count > 1 else ' (one seed: no error bars)'}; random orders are means of {draws} draws for "
        "each network.",
        "",
    ]
    rows = []
    for modes, found in families.items():
        page += [f"## P = {modes}", ""]
        table = []
        for score, curves in found.items():
            for layer in curves.layer.values:
                for removal in curves.removal.values:
                    values = {s: accuracy_at(curves, str(removal), int(layer), s, modes) for s in SHARES}
                    if score == "importance":
                        table.append([layer, _WORDS[str(removal)], *(pm(values[s]) for s in SHARES)])
                    for share, each in values.items():
                        for seed, value in zip(curves.seed.values, each, strict=True):
                            rows.append(
                                {
                                    "modes": modes,
                                    "score": score,
                                    "map": int(layer),
                                    "removal": str(removal),
                                    "removed_percent": share,
                                    "seed": int(seed),
                                    "accuracy": float(value),
                                }
                            )
        page += [*markdown_table(["map", "removed", *(f"{s} %" for s in SHARES)], table), ""]
    largest = max(families)
    page += [f"## Against the paper's figure (P = {largest})", ""]
    lines = [
        [claim, lost, "yes" if holds else "no"]
        for claim, lost, holds in verdicts(families[largest]["importance"], largest)
    ]
    page += [*markdown_table(["claim", "points lost", "holds"], lines), ""]
    page += ["Ordered by |Sigma| or by the gauge-free size instead of tau, least important first, percent:", ""]
    lines = []
    for score, curves in families[largest].items():
        for layer in curves.layer.values:
            cells = [pm(accuracy_at(curves, "least", int(layer), s, largest)) for s in SHARES]
            lines.append([score, layer, *cells])
    page += [*markdown_table(["score", "map", *(f"{s} %" for s in SHARES)], lines), ""]

    def draw(modes: int) -> Callable[[Any], None]:
        def on(figure: Any) -> None:
            curves = families[modes]["importance"]
            axes = figure.subplots(1, curves.sizes["layer"], sharey=True)
            plot_removal(curves, modes, axes)
            note = "mean \N{PLUS-MINUS SIGN} 1 sd" if count > 1 else "no band"
            figure.suptitle(
                f"{configs['plain'].dataset}, N = {configs['plain'].widths[0]}, P = {modes}: one map cut, the others "
                f"intact; {count} seed(s), {note}",
                fontsize=10,
            )

        return on

    write_figures(folder, {f"removal-{modes}": ((12.0, 4.2), draw(modes)) for modes in families})
    write_study(folder, page=page, rows=rows, settings={"seeds": count, "draws": draws, "quick": quick}, runs=configs)
    return folder
