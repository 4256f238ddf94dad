"""`interp-modes`: rank, conditioning, sparseness and the least number of modes that fits, over width x modes.

One compiled program trains the whole grid: 160 Gaussian points in 10
dimensions, four classes by signs, three hidden layers, biases, mean squared error, Adam with a cosine schedule; data
and initial values are redrawn for each seed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.interpolation import (
    data_report,
    fit_grid,
    interp_matrix,
    layer_reports,
    one_hot,
    one_mode_rank,
    random_features,
    sign_classes,
    spectrum,
    truncation_profile,
)
from modejax.plots.interpolation import plot_profile, plot_series
from modejax.studies.common import save_drawing
from modejax.studies.interp_files import check_seeds, mean_sd, table, write_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

FITTED = 1e-3


def _name(modes: int) -> str:
    return "full W" if modes == 0 else f"P = {modes}"


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: three small widths, 400 steps.
        seeds: data sets and networks a cell; default 5.
        report: told each part when it is done.

    Returns:
        The folder.

    Raises:
        InputError: fewer than 2 seeds, or a folder that is a file.
    """
    folder, count = check_seeds(seeds, 5, out)
    widths = (16, 32, 64) if quick else (16, 32, 64, 128, 256)
    modes = (1, 2, 4, 8, 0)
    steps, n, d = (400 if quick else 1500), 160, 10
    drawn = [sign_classes(n, d, seed) for seed in range(count)]
    X, Y = np.stack([x for x, _ in drawn]), np.stack([one_hot(y, 4) for _, y in drawn])
    fits = fit_grid(X, Y, widths, modes, steps=steps)
    report(
        f"{len(fits.members)} networks in one program: compiled in {fits.seconds_to_compile:.1f} s, "
        f"ran {fits.seconds_to_run:.0f} s"
    )
    members = fits.members
    reports = layer_reports(
        [(m.network, m.params) for m in members],
        [X[m.seed] for m in members],
        [Y[m.seed] for m in members],
        starts=[m.start for m in members],
    )
    report("layer reports done")
    cells: dict[tuple[int, int], list[int]] = {}
    for index, m in enumerate(members):
        cells.setdefault((m.width, m.modes), []).append(index)
    cuts = _truncation(members, X, Y, cells, quick)
    report("truncation done")
    records: list[dict[str, Any]] = []
    for index, (m, layers) in enumerate(zip(members, reports, strict=True)):
        for layer in layers:
            least = cuts.get((index, layer["layer"] - 1), "")
            own = {"width": m.width, "modes": m.modes, "seed": m.seed, "mse": m.mse}
            records.append({**own, **layer, "least_kept": least})

    def values(width: int, p: int, field: str, layer: int) -> list[float]:
        return [reports[i][layer][field] for i in cells[width, p]]

    lines = _page(members, cells, widths, modes, values, count, steps, fits)
    lines += _truncation_table(cells, widths, cuts)
    lines += _features(quick, count)
    _figures(folder, members, cells, widths, modes, values, n)
    config = {
        "quick": quick,
        "seeds": count,
        "widths": widths,
        "modes (0: dense)": modes,
        "points": n,
        "features": d,
        "depth": 3,
        "steps": steps,
        "rate": 5e-3,
        "fitted below mse": FITTED,
        "seconds_to_compile": round(fits.seconds_to_compile, 2),
        "seconds_to_run": round(fits.seconds_to_run, 2),
        "data of seed 0": data_report(X[0], Y[0], drawn[0][1]),
    }
    write_study(folder, "interp-modes", records, lines, config)
    return folder


def _truncation(members: Any, X: np.ndarray, Y: np.ndarray, cells: Any, quick: bool) -> dict[tuple[int, int], int]:
    """Cut the hidden maps of the dense and the P = 8 networks to their singular modes."""
    found = {}
    for (width, modes), indices in cells.items():
        if modes not in (0, 8):
            continue
        kept = tuple(k for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256) if k <= width)
        for index in indices[: 2 if quick else None]:
            m = members[index]
            for layer in range(3):
                profile = truncation_profile(m.network, m.params, layer, X[m.seed], Y[m.seed], kept)
                found[index, layer] = profile.least
    return found


def _page(
    members: Any, cells: Any, widths: Any, modes: Any, values: Callable, count: int, steps: int, fits: Any
) -> list[str]:
    names = [_name(p) for p in modes]
    mse = {cell: np.array([members[i].mse for i in indices]) for cell, indices in cells.items()}
    lines = [
        "# Interpolation over width and modes",
        "",
        f"160 points, 10 features, 4 classes by signs of x0 x1 and x2 x3; three hidden layers of N ReLU units, "
        f"biases; mean "
        f"squared error, {steps} steps of Adam (5e-3, cosine), full batch; {count} seeds (data and initial values). "
        f"{len(members)} networks in one program: compile {fits.seconds_to_compile:.1f} s, run "
        f"{fits.seconds_to_run:.0f} s.",
        "",
        "## Training error",
        "",
        "Median mean squared error over seeds (least to largest).",
        "",
    ]
    rows = [
        [w, *(f"{np.median(mse[w, p]):.1e} ({mse[w, p].min():.0e} to {mse[w, p].max():.0e})" for p in modes)]
        for w in widths
    ]
    lines += table(["width", *names], rows)
    least = []
    for w in widths:
        good = [p for p in modes if p and (mse[w, p] < FITTED).all()]
        half = [p for p in modes if p and np.median(mse[w, p]) < FITTED]
        least.append([w, min(good, default="none up to 8"), min(half, default="none up to 8")])
    lines += ["## Least number of modes that fits (error below 1e-3)", ""]
    lines += table(["width", "on all seeds", "in the median"], least)
    for title, field, form in (
        ("Rank at 1e-3 of [Phi, 1], as a share of 160", "rank_1e-03", "share"),
        ("Rank at 1e-10", "rank_1e-10", ".0f"),
        ("log10 of the condition", "cond", "log"),
        ("Density of active entries", "alpha", ".2f"),
        ("Dead units", "dead_units", ".0f"),
        ("rho of the one-hot labels", "rho", ".1e"),
        ("Pattern flips since the start", "flips", ".2f"),
        ("Off-block energy", "beta", ".2f"),
    ):
        lines += [f"## {title}", "", "Mean over seeds in layers 1, 2, 3.", ""]
        rows = []
        for w in widths:
            row = [w]
            for p in modes:
                cell = []
                for layer in range(3):
                    got = np.array(values(w, p, field, layer))
                    mean = np.mean(np.log10(got)) if form == "log" else got.mean() / (160 if form == "share" else 1)
                    cell.append(f"{mean:{'.1f' if form == 'log' else '.2f' if form == 'share' else form}}")
                row.append(", ".join(cell))
            rows.append(row)
        lines += table(["width", *names], rows)
    lines += ["## Classes of the layers (all seeds)", ""]
    rows = []
    for w in widths:
        rows.append([w, *("; ".join("".join(values(w, p, "class", k)) for k in range(3)) for p in modes)])
    lines += table(["width", *names], rows)
    return lines


def _truncation_table(cells: Any, widths: Any, cuts: dict[tuple[int, int], int]) -> list[str]:
    lines = [
        "## Truncation: least number of singular modes of one map with rho within 2x (or below 1e-3)",
        "",
        "Maps into layers 1, 2, 3, the others as they are; means over seeds. Maps of 8 modes hold no more.",
        "",
    ]
    rows = []
    for width in widths:
        row = [width]
        for modes in (8, 0):
            own = [index for index in cells[width, modes] if (index, 0) in cuts]
            row.append(", ".join(f"{np.mean([cuts[index, layer] for index in own]):.1f}" for layer in range(3)))
        rows.append(row)
    return lines + table(["width", "P = 8", "full W"], rows)


def _features(quick: bool, count: int) -> list[str]:
    """Random features: the exact one-mode rank, and the condition against the number of modes."""
    n = 200
    lines = [
        "## Random one-mode layers: exact rank of [Phi, t, 1]",
        "",
        "200 Gaussian projections, Gaussian thresholds.",
        "",
    ]
    rows = []
    for m in (100, 200, 400, 800, 1600):
        ranks = []
        for seed in range(50 if quick else 400):
            rng = np.random.default_rng(seed)
            ranks.append(one_mode_rank(rng.standard_normal(n), rng.standard_normal(m)))
        rows.append(
            [m, f"{np.median(ranks):.0f}", f"{min(ranks)} to {max(ranks)}", f"{np.mean(np.array(ranks) == n):.3f}"]
        )
    lines += table(["units", "median", "range", "share of full rank"], rows)
    lines += ["## Random layers of P modes with biases, n = 200, m = 400, d = 50", ""]
    rows = []
    for p in (1, 2, 3, 4, 8, 16, 50):
        found = [spectrum(interp_matrix(random_features(n, 50, 400, p, seed))) for seed in range(count)]
        logs = mean_sd([np.log10(each.condition) for each in found])
        low, full = (f"{np.mean([each.ranks[cut] for each in found]):.0f}" for cut in (1e-3, 1e-10))
        rows.append([p, f"{float(logs[0]):.2f} +- {float(logs[1]):.2f}", low, full])
    return lines + table(["modes", "log10 condition (kept part)", "rank at 1e-3", "rank at 1e-10"], rows)


def _figures(folder: Path, members: Any, cells: Any, widths: Any, modes: Any, values: Callable, n: int) -> None:
    mse = {cell: np.array([members[i].mse for i in indices]) for cell, indices in cells.items()}
    figures = folder / "figures"
    wide = (2.5 * len(widths) + 1, 5.6)
    low_rank = [p for p in modes if p]
    save_drawing(figures / "profile.png", lambda figure: _draw_profile(figure, widths, modes, values, n), wide)
    save_drawing(figures / "modes.png", lambda figure: _draw_modes(figure, widths, low_rank, values, n), (9.5, 3.8))
    save_drawing(figures / "fit.png", lambda figure: _draw_fit(figure, widths, modes, mse), (9.5, 4.0))


def _draw_profile(figure: Figure, widths: Any, modes: Any, values: Callable, n: int) -> None:
    """Draw the density and the rank over the layers, a column for each width."""
    axes = figure.subplots(2, len(widths), sharey="row", squeeze=False)
    for column, w in enumerate(widths):
        for row, (field, scale) in enumerate((("alpha", 1.0), ("rank_1e-03", 1.0 / n))):
            curves = {
                _name(p): mean_sd([[scale * value for value in seed] for seed in _layers(values, w, p, field)])
                for p in modes
            }
            ax = plot_profile(curves, axes[row, column], ylabel=("density of active entries", "rank at 1e-3 / n")[row])
            legend = ax.get_legend()
            if legend is not None:
                legend.remove()
            if row == 0:
                ax.set_title(f"N = {w}", fontsize=10)
            if column:
                ax.set_ylabel("")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(modes), fontsize=9)


def _draw_modes(figure: Figure, widths: Any, low_rank: list[int], values: Callable, n: int) -> None:
    """Draw the rank and the condition of the last layer over the modes."""
    from matplotlib import colormaps

    left, right = figure.subplots(1, 2)
    for ax, field, label in (
        (left, "rank_1e-03", "rank at 1e-3 / n, last layer"),
        (right, "cond", "condition, last layer"),
    ):
        scale = 1 / n if field != "cond" else 1.0
        for index, w in enumerate(widths):
            got = [scale * np.array(values(w, p, field, 2)) for p in low_rank]
            pairs = [mean_sd(np.log10(each) if field == "cond" else each) for each in got]
            ax.errorbar(
                np.array(low_rank) / np.log(float(w)),
                np.array([mean for mean, _ in pairs]),
                np.array([sd for _, sd in pairs]),
                label=f"{w}",
                color=colormaps["viridis"](0.87 * index / max(len(widths) - 1, 1)),
                marker="o",
                ms=4,
                capsize=2,
            )
        ax.set_xlabel(r"modes over log width, $P / \ln N$")
        ax.set_ylabel(f"log10 {label}" if field == "cond" else label)
        ax.grid(alpha=0.3)
    right.legend(title="width", fontsize=8)


def _draw_fit(figure: Figure, widths: Any, modes: Any, mse: dict[tuple[int, int], np.ndarray]) -> None:
    """Draw the training error, and the least number of modes that fits."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    fit = {}
    for p in modes:
        pairs = [mean_sd(np.log10(np.maximum(mse[w, p], 1e-18))) for w in widths]
        fit[_name(p)] = (np.array([mean for mean, _ in pairs]), np.array([sd for _, sd in pairs]))
    ax = plot_series(widths, fit, left, xlabel="width N", ylabel="log10 training error", log="x")
    ax.axhline(np.log10(FITTED), color="k", lw=0.8, ls=":")
    least = [min((p for p in modes if p and (mse[w, p] < FITTED).all()), default=np.nan) for w in widths]
    right.plot(widths, least, "ks-", ms=5)
    for w, value in zip(widths, least, strict=True):
        if not np.isfinite(value):
            right.text(w, 9, "none\nup to 8", ha="center", va="center", fontsize=8)
    right.set_ylim(0, 10)
    right.set_yticks([1, 2, 4, 8])
    right.set_xscale("log", base=2)
    right.set_xlim(widths[0] / 1.5, widths[-1] * 1.5)
    right.set_xticks(widths, [str(w) for w in widths])
    right.set_xlabel("width N")
    right.set_ylabel("least P with error < 1e-3 on all seeds")
    right.grid(alpha=0.3)


def _layers(values: Callable, width: int, modes: int, field: str) -> list[list[float]]:
    """Return a field by seed and layer."""
    return [list(each) for each in zip(*(values(width, modes, field, layer) for layer in range(3)), strict=True)]
