"""The Gaussian mixture: three bias-free ReLU units cannot solve it, four seldom do, and their start decides which.

The first figure of Li and Huang, arXiv 2208.09859, in whose released code the network is 2-3-1 without biases.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.studies.common import check_seeds, markdown_table
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import mixture, trained_run

if TYPE_CHECKING:
    from modejax.runs import Run
    from modejax.sweep.trained import Trained

__all__ = ["MARGIN", "Row", "covered", "run", "share"]

MARGIN = 0.5
"""Points below the Bayes accuracy from which on a network counts as having solved the task."""

_MEANS = np.array([[0.5, 0.5], [-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5]])
_LABELS = np.array([1.0, 1.0, -1.0, -1.0])
_ARMS = {"modes": "mode", "dense": "baseline"}


class Row(NamedTuple):
    """One network."""

    layer: str
    hidden_units: int
    seed: int
    covered_at_start: int
    accuracy: float  # percent; not a number where it diverged
    solved: bool


def covered(hidden: np.ndarray, output: np.ndarray) -> int:
    """Count the clusters on whose mean some unit is active that has an output weight of the sign of their label.

    A network without biases whose units leave a cluster uncovered cannot give it the right sign.

    Args:
        hidden: weights into the hidden units, shape (units, 2).
        output: weights out of them, shape (units,).

    Returns:
        A number from 0 to 4.

    Example:
        >>> covered(np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([1.0, 1.0]))
        1
    """
    active = _MEANS @ hidden.T > 0
    right = np.sign(output)[None] == _LABELS[:, None]
    return int((active & right).any(axis=1).sum())


def share(solved: int, count: int) -> str:
    """Write a count with the 95 % interval of its share (Clopper and Pearson).

    Example:
        >>> share(30, 100)
        '30 of 100 [21, 40] %'
    """
    low, high = _ends(solved, count)
    return f"{solved} of {count} [{low:.0f}, {high:.0f}] %"


def _ends(solved: int, count: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    ends = binomtest(solved, count).proportion_ci(0.95)
    return 100 * ends.low, 100 * ends.high


def _rows(trained: Run, bayes: float) -> list[Row]:
    found = []
    for layer, arm in _ARMS.items():
        last = 100 * trained[arm].test_accuracy.isel(epoch=-1, modes=0, learning_rate=0, weight_decay=0)
        for member in trained.networks(arm=arm):
            accuracy = float(last.sel(width=member.width, seed=member.seed))
            at_start = covered(*_start(member))
            found.append(Row(layer, member.width, member.seed, at_start, accuracy, accuracy >= bayes - MARGIN))
    return found


def _start(member: Trained) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights into and out of the hidden units of a network before its training."""
    import jax

    network = member.network
    params = network.init(jax.random.key(member.seed))
    hidden, output = (np.asarray(each.kernel, float) for each in network.maps(params).values())  # pyright: ignore
    return hidden, output[0]


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: one pass over the points instead of two, and 30 seeds.
        seeds: networks of each width and layer, each with its own start and order of points; by default 200.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed or the folder is a file.

    Example:
        >>> run("docs/studies/mdl-mixture", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    from modejax.data.mixture import bayes_accuracy

    count = check_seeds(seeds, 30 if quick else 200)
    folder = check_folder(out)
    config = mixture(quick, count)
    trained = trained_run(folder, "mixture", config, report)
    bayes = 100 * bayes_accuracy()
    rows = _rows(trained, bayes)
    page = [
        "# The Gaussian mixture",
        "",
        "Four clusters labelled like XOR; 2-H-1, ReLU, no biases, linear output; three modes in each map, or dense; "
        f"{config.epochs} pass(es) over 100,000 points in batches of {config.batch_size}, Adam with rate "
        f"{config.learning_rates[0]:g} and decay {config.weight_decays[0]:g}. {count} seeds, each with its own start "
        f"and order of points. The best any classifier can reach is {bayes:.2f} %; solved: within {MARGIN} points of "
        "it. Intervals: 95 %, Clopper and Pearson.",
        "",
        *_solved_lines(rows),
        *_start_lines(rows),
        "`figures/start.png` draws the last table, `figures/decision.png` the output of the best mode network of each "
        "width over the plane (black: decision boundary), `figures/mode-space.png` the test points as the modes of "
        "the first map see them (Sigma xi_in x, in the plane that they fill).",
        "",
    ]
    decision, mode_space = _pictures(trained, rows)
    write_figures(
        folder,
        {
            "decision": ((11.5, 4.2), decision),
            "mode-space": ((11.5, 4.2), mode_space),
            "start": ((7.6, 4.2), lambda figure: _start_figure(figure, rows)),
        },
    )
    write_study(
        folder,
        page=page,
        rows=[row._asdict() for row in rows],
        settings={"seeds": count, "quick": quick, "margin": MARGIN},
        runs={"mixture": config},
    )
    return folder


def _solved_lines(rows: list[Row]) -> list[str]:
    """Tabulate how many networks of each kind solve the task, and where the others end."""
    table = []
    for layer in _ARMS:
        for units in sorted({row.hidden_units for row in rows}):
            here = [row for row in rows if row.layer == layer and row.hidden_units == units]
            accuracy = np.array([row.accuracy for row in here])
            three = int(((accuracy > 65) & ~np.array([row.solved for row in here])).sum())
            solved = sum(row.solved for row in here)
            kind = f"2-{units}-1, {'three modes' if layer == 'modes' else 'dense'}"
            rest = len(here) - solved - three
            table.append([kind, share(solved, len(here)), three, rest, f"{np.nanmax(accuracy):.2f}"])
    head = ["network", "solved", "one cluster lost (about 73 %)", "less", "best (%)"]
    return [*markdown_table(head, table), ""]


def _by_start(rows: list[Row], layer: str, units: int) -> dict[int, tuple[int, int]]:
    """Return solved and counted networks of a kind by the number of clusters covered at the start."""
    here = [row for row in rows if row.layer == layer and row.hidden_units == units]
    found = {}
    for clusters in range(5):
        some = [row.solved for row in here if row.covered_at_start == clusters]
        if some:
            found[clusters] = sum(some), len(some)
    return found


def _start_lines(rows: list[Row]) -> list[str]:
    """Tabulate the share of solved networks by what their start covers."""
    table = []
    for layer in _ARMS:
        for units in sorted({row.hidden_units for row in rows}):
            found = _by_start(rows, layer, units)
            kind = f"2-{units}-1, {'three modes' if layer == 'modes' else 'dense'}"
            table.append([kind, *(share(*found[c]) if c in found else "none" for c in range(1, 5))])
    return [
        "## What the start decides",
        "",
        "Solved networks by the number of clusters that are covered at the start: those on whose mean a unit is active "
        "that has an output weight of the sign of their label.",
        "",
        *markdown_table(["network", *(f"{c} covered" for c in range(1, 5))], table),
        "",
    ]


def _start_figure(figure: Any, rows: list[Row]) -> None:
    from modejax.plots.style import finish

    ax = figure.subplots()
    kinds = [(layer, units) for units in sorted({row.hidden_units for row in rows}) for layer in _ARMS]
    colours = {units: f"C{i}" for i, units in enumerate(sorted({units for _, units in kinds}))}
    for index, (layer, units) in enumerate(kinds):
        found = _by_start(rows, layer, units)
        x = np.array(list(found)) + 0.07 * (index - (len(kinds) - 1) / 2)
        y = np.array([100 * solved / count for solved, count in found.values()])
        ends = np.array([_ends(*each) for each in found.values()])
        ax.errorbar(
            x,
            y,
            np.abs(ends.T - y),
            fmt="o" if layer == "modes" else "s",
            mfc=colours[units] if layer == "modes" else "white",
            color=colours[units],
            ms=5,
            capsize=2,
            label=f"2-{units}-1, {'three modes' if layer == 'modes' else 'dense'}",
        )
    ax.set_xticks(range(1, 5))
    ax.set_ylim(-3, 103)
    ax.set_xlabel("clusters covered at the start")
    ax.set_ylabel("networks that solve the task (%)")
    ax.legend(fontsize=8.5, frameon=False)
    finish(ax)


def _pictures(trained: Run, rows: list[Row]) -> tuple[Callable[[Any], None], Callable[[Any], None]]:
    """Return what draws the decisions and the mode space of the best mode network of each width."""
    from modejax.data.mixture import gaussian_mixture
    from modejax.plots.mixture import plot_decision, plot_mode_space

    data = gaussian_mixture(trained.config.shuffle_seed)
    x, cluster = data.x_test[:1200], np.arange(1200) % 4
    best: dict[int, Row] = {}
    for row in rows:
        finite = row.layer == "modes" and np.isfinite(row.accuracy)
        if finite and (row.hidden_units not in best or row.accuracy > best[row.hidden_units].accuracy):
            best[row.hidden_units] = row
    networks = {units: trained.networks(width=units, seed=row.seed)[0] for units, row in best.items()}

    def figure_of(draw: Callable[..., Any]) -> Callable[[Any], None]:
        def on(figure: Any) -> None:
            axes = np.atleast_1d(figure.subplots(1, len(best)))
            for ax, (units, row) in zip(axes, sorted(best.items()), strict=True):
                draw(networks[units].network, networks[units].params, x, cluster, ax)
                ax.set_title(f"2-{units}-1, best of {trained.config.seeds}: {row.accuracy:.1f} %", fontsize=10)

        return on

    return figure_of(plot_decision), figure_of(plot_mode_space)
