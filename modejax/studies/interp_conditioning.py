"""`interp-conditioning`: where thresholds lie decides the condition of hinges, and what helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.interpolation import (
    build_decoder,
    build_diagonal,
    build_hinge,
    build_target,
    find_line,
    hidden_units,
    hinge_matrix,
    interp_matrix,
    outputs,
    random_features,
    spectrum,
    target_code,
)
from modejax.plots.interpolation import plot_condition, plot_series
from modejax.studies.common import save_drawing
from modejax.studies.interp_files import check_seeds, mean_sd, table, text, write_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

THETAS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.75)
BUILDERS = {
    "hinges, theta 0": lambda X, Y: build_hinge(X, Y),
    "hinges, theta 1/4": lambda X, Y: build_hinge(X, Y, theta=0.25),
    "diagonal (lifted)": lambda X, Y: build_diagonal(X, Y),
    "two layers, target I": lambda X, Y: build_target(X, Y),
}


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: up to n = 128 and 256 instead of 1,024 and 1,000.
        seeds: data sets a cell; default 5.
        report: told each part when it is done.

    Returns:
        The folder.

    Raises:
        InputError: fewer than 2 seeds, or a folder that is a file.
    """
    folder, count = check_seeds(seeds, 5, out)
    sizes = (8, 16, 32, 64, 128) if quick else (8, 16, 32, 64, 128, 256, 512, 1024)
    curves = _unit_gaps(sizes)
    lines = ["# Conditioning of hinge layers", "", *_unit_gap_lines(sizes, curves)]
    report("unit gaps done")
    lines += _random_threshold_lines(40 * count)
    networks = _networks(((50, 5), (200, 5)) if quick else ((50, 5), (200, 2), (200, 5), (200, 30), (1000, 20)), count)
    lines += _network_lines(networks)
    report("Gaussian data done")
    lines += _help_lines(count)
    save_drawing(folder / "figures" / "theta.png", lambda figure: _draw_theta(figure, sizes, curves), (10.5, 4.2))
    lines += [_error_line(networks, count)]
    gaps = [
        {"what": "unit gaps", "theta": theta, "n": n, "condition": float(value)}
        for theta, values in curves.items()
        for n, value in zip(sizes, values, strict=True)
    ]
    settings = {"quick": quick, "seeds": count, "thetas": THETAS, "n": sizes}
    write_study(folder, "interp-conditioning", gaps + networks, lines, settings)
    return folder


def _unit_gaps(sizes: tuple[int, ...]) -> dict[float, np.ndarray]:
    """Return the condition of n hinges in unit gaps, over n, for every place of the thresholds."""
    return {
        theta: np.array([np.linalg.cond(hinge_matrix(np.arange(n + 1.0), theta)[1:]) for n in sizes])
        for theta in THETAS
    }


def _unit_gap_lines(sizes: tuple[int, ...], curves: dict[float, np.ndarray]) -> list[str]:
    shares = ", ".join(f"{v / n**2:.4f}" for n, v in zip(sizes, curves[0.0], strict=True))
    band = np.linalg.inv(hinge_matrix(np.arange(9.0))[1:])
    return [
        "## Unit gaps: condition of the n x n hinge matrix",
        "",
        *table(["theta", *(f"n = {n}" for n in sizes)], [[t, *(f"{v:.3g}" for v in c)] for t, c in curves.items()]),
        f"Condition / n^2 at theta 0: {shares}. Values beyond 1e16 are rounding.",
        "",
        f"First column of the inverse at n = 8: {np.round(band[:, 0], 9).astype(int).tolist()}.",
        "",
    ]


def _random_threshold_lines(draws: int) -> list[str]:
    rows = []
    for n in (16, 32, 64):
        found = []
        for seed in range(draws):
            share = np.random.default_rng(seed).uniform(size=n)
            t = np.arange(n + 1.0)
            found.append(np.linalg.cond(np.maximum(t[1:, None] - (t[:-1] + share), 0.0)))
        rows.append([n, f"{np.median(found):.2g}", f"{np.percentile(found, 10):.2g} to {np.percentile(found, 90):.2g}"])
    lines = ["## Random thresholds inside the gaps", "", f"Uniform in each gap, {draws} draws.", ""]
    return lines + table(["n", "median condition", "10 to 90 %"], rows)


def _networks(cells: tuple[tuple[int, int], ...], count: int) -> list[dict[str, Any]]:
    """Build networks on Gaussian data of n points and d features: one record for each of them."""
    records = []
    for n, d in cells:
        for name, build in BUILDERS.items():
            for seed in range(count):
                rng = np.random.default_rng(seed)
                X, Y = rng.standard_normal((n, d)), rng.standard_normal((n, 3))
                built = build(X, Y)
                condition = spectrum(interp_matrix(hidden_units(*built, X)[0][-1].Phi)).condition
                error, single = (float(np.abs(outputs(*built, X, float32=each) - Y).max()) for each in (False, True))
                own = {"what": name, "n": n, "d": d, "seed": seed, "condition": condition}
                records.append({**own, "error": error, "error_float32": single})
    return records


def _network_lines(records: list[dict[str, Any]]) -> list[str]:
    cells: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    for record in records:
        cells.setdefault((record["n"], record["d"], record["what"]), []).append(record)
    rows = []
    for cell, own in cells.items():
        cond, error, single = ([record[key] for record in own] for key in ("condition", "error", "error_float32"))
        rows.append([*cell, text(cond), text(error, ".1e"), text(single, ".1e")])
    heads = ["n", "d", "construction", "condition of the last layer", "error", "error in float32"]
    return ["## Gaussian data: error of the whole network", "", *table(heads, rows)]


def _help_lines(count: int) -> list[str]:
    rows = []
    for candidates in (1, 16, 256, 4096):
        gaps = []
        for seed in range(count):
            X = np.random.default_rng(seed).standard_normal((200, 5))
            t = find_line(X, candidates=candidates, seed=seed).t
            gaps.append(np.diff(t).min() / np.ptp(t))
        rows.append([f"best of {candidates} directions: least gap / range (n = 200, d = 5)", text(gaps)])
    codes, one = [], []
    for seed in range(count):
        X, y = np.random.default_rng(seed).standard_normal((120, 8)), np.arange(120) % 4
        code = target_code(y)
        codes.append(spectrum(hidden_units(*build_decoder(code, X), code)[0][0].Phi).condition)
        one.append(np.linalg.cond(hinge_matrix(np.arange(121.0))[1:]))
    rows.append(["decoder with 4 class blocks, n = 120: condition (columns of norm 1)", text(codes)])
    rows.append(["one ordered list with unit gaps, n = 120: condition", text(one)])
    for d in (2, 5, 100):
        wide = [spectrum(interp_matrix(random_features(200, d, 400, d, seed))).condition for seed in range(count)]
        rows.append([f"random layer, n = 200, m = 400, d = {d}: condition", text(wide)])
    return ["## What helps", "", *table(["what", "value"], rows)]


def _error_line(records: list[dict[str, Any]], count: int) -> str:
    means = []
    for name in BUILDERS:
        own = [record for record in records if record["what"] == name and record["d"] == 5]
        logs = [[np.log10(record["error"]) for record in own if record["seed"] == seed] for seed in range(count)]
        means.append(f"{name} {', '.join(f'{v:.1f}' for v in mean_sd(logs)[0])}")
    return f"Mean log10 error at d = 5 (n = 50, 200): {'; '.join(means)}."


def _draw_theta(figure: Figure, sizes: tuple[int, ...], curves: dict[float, np.ndarray]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(5, 4))
    plot_condition(sizes, curves, left)
    fine = np.linspace(0, 0.9, 19)
    series = {}
    for n in (16, 32, 64):
        values = [np.linalg.cond(hinge_matrix(np.arange(n + 1.0), t)[1:]) for t in fine]
        series[str(n)] = (np.minimum(values, 1e17), np.zeros(len(fine)))
    label = r"place of the threshold in its gap, $\theta$"
    plot_series(fine.tolist(), series, right, xlabel=label, ylabel="condition", log="y", legend="n")
    right.axhline(1e16, color="k", lw=0.8, ls=":")
