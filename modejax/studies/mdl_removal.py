"""Accuracy against the share of modes removed: least important first, most important first, and at random.

The second half of the third figure of Li and Huang, arXiv 2208.09859, for the network of that figure (P = 70) and for
one with fewer modes (P = 30).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.studies.common import check_seeds, markdown_table, over_seeds, pm
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import long_training, trained_run

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from modejax.runs import Run

    Families = dict[int, dict[str, xarray.Dataset]]
    """Curves by number of modes and by score."""

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
        report: called with a line of text for each part that is done.

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
    count = check_seeds(seeds, 3 if quick else 5)
    folder = check_folder(out)
    draws = 5 if quick else 10
    configs = {
        "plain": long_training(quick, count),
        "fewer": long_training(quick, count, modes=30 if not quick else 10, learning_rates=(0.003,)),
    }
    families: Families = {}
    for name, config in configs.items():
        assert config.modes is not None
        families[config.modes[0]] = _curves(name, trained_run(folder, name, config, report), draws, report)
    plain = configs["plain"]
    page = [
        "# Removal of modes",
        "",
        f"{plain.dataset}, N = {plain.widths[0]}, plain gauge, learning rate 0.003 halved every {plain.halve_every} of "
        f"{plain.epochs} epochs, weight decay 0.001. One map is cut, the others are intact; the order is that of the "
        "importance tau of each network. Test accuracy in percent, "
        f"{over_seeds(count)}; random orders are means of {draws} draws "
        "for each network.",
        "",
        *_family_lines(families),
        *_paper_lines(families),
    ]
    title = f"{plain.dataset}, N = {plain.widths[0]}"
    figures = {
        f"removal-{modes}": (
            (12.0, 4.2),
            lambda figure, modes=modes: _removal_figure(figure, families[modes]["importance"], modes, title),
        )
        for modes in families
    }
    write_figures(folder, figures)
    settings = {"seeds": count, "draws": draws, "quick": quick}
    write_study(folder, page=page, rows=_rows(families), settings=settings, runs=configs)
    return folder


def _curves(name: str, trained: Run, draws: int, report: Callable[[str], None]) -> dict[str, xarray.Dataset]:
    """Remove modes from the networks of one run: curves by score, all orders for the importance."""
    from modejax.runs.removal import removal_curves

    scores: tuple[Any, ...] = ("importance", "weight", "size") if name == "plain" else ("importance",)
    found = {}
    for score in scores:
        removals: Any = ("least", "most", "random") if score == "importance" else ("least",)
        curves = removal_curves(trained, removals, score=score, draws=draws)
        found[score] = curves.sel(learning_rate=0.003).isel(width=0, modes=0, weight_decay=0, drop=True)
        report(f"{name}: removal curves by {score} done")
    return found


def _family_lines(families: Families) -> list[str]:
    """Tabulate the accuracy by importance, for each number of modes."""
    lines = []
    for modes, found in families.items():
        curves = found["importance"]
        table = []
        for layer in curves.layer.values:
            for removal in curves.removal.values:
                cells = [pm(accuracy_at(curves, str(removal), int(layer), s, modes)) for s in SHARES]
                table.append([layer, _WORDS[str(removal)], *cells])
        head = ["map", "removed", *(f"{s} %" for s in SHARES)]
        lines += [f"## P = {modes}", "", *markdown_table(head, table), ""]
    return lines


def _paper_lines(families: Families) -> list[str]:
    """Compare the largest number of modes with the paper's figure, and the scores with each other."""
    modes = max(families)
    claims = [
        [claim, lost, "yes" if holds else "no"] for claim, lost, holds in verdicts(families[modes]["importance"], modes)
    ]
    scores = []
    for score, curves in families[modes].items():
        for layer in curves.layer.values:
            cells = [pm(accuracy_at(curves, "least", int(layer), s, modes)) for s in SHARES]
            scores.append([score, layer, *cells])
    return [
        f"## Against the paper's figure (P = {modes})",
        "",
        *markdown_table(["claim", "points lost", "holds"], claims),
        "",
        "Ordered by |Sigma| or by the gauge-free size instead of tau, least important first, percent:",
        "",
        *markdown_table(["score", "map", *(f"{s} %" for s in SHARES)], scores),
        "",
    ]


def _rows(families: Families) -> list[dict[str, Any]]:
    """Return the table of the study: one row for each network, map, order and share removed."""
    rows = []
    for modes, found in families.items():
        for score, curves in found.items():
            for layer, removal, share in itertools.product(curves.layer.values, curves.removal.values, SHARES):
                values = accuracy_at(curves, str(removal), int(layer), share, modes)
                for seed, value in zip(curves.seed.values, values, strict=True):
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
    return rows


def _removal_figure(figure: Figure, curves: xarray.Dataset, modes: int, title: str) -> None:
    from modejax.plots.removal import plot_removal

    plot_removal(curves, modes, figure.subplots(1, curves.sizes["layer"], sharey=True))
    count = curves.sizes["seed"]
    note = "mean \N{PLUS-MINUS SIGN} 1 sd" if count > 1 else "no band"
    figure.suptitle(f"{title}, P = {modes}: one map cut, the others intact; {count} seed(s), {note}", fontsize=10)
