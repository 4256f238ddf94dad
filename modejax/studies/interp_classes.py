"""`interp-classes`: solution classes, their counts, and what each construction's interpolation matrix looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.interpolation import (
    act_mask,
    block_order,
    build_affine_blocks,
    build_diagonal,
    build_hinge,
    build_target,
    classify,
    count_orderings,
    count_supports,
    find_orderings,
    find_supports,
    hidden_units,
    interp_matrix,
    nrank,
    outputs,
    random_features,
    spectrum,
)
from modejax.plots.interpolation import plot_matrix
from modejax.studies.common import over_seeds, save_drawing
from modejax.studies.interp_files import check_seeds, table, text, write_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from modejax.interpolation.maps import Units

__all__ = ["run"]

BUILDERS = {
    "hinges, theta 0": lambda X, Y: build_hinge(X, Y),
    "hinges, theta 1/4": lambda X, Y: build_hinge(X, Y, theta=0.25),
    "affine blocks": lambda X, Y: build_affine_blocks(X, Y),
    "diagonal (lifted)": lambda X, Y: build_diagonal(X, Y),
    "two layers, target I": lambda X, Y: build_target(X, Y),
}


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: fewer random matrices.
        seeds: data sets a construction; default 5.
        report: told each part when it is done.

    Returns:
        The folder.

    Raises:
        InputError: fewer than 2 seeds, or a folder that is a file.
    """
    folder, count = check_seeds(seeds, 5, out)
    draws = 50 if quick else 400
    built, shown = _constructions(count)
    lines = ["# Solution classes", "", *_construction_lines(built, count)]
    report("constructions done")
    counts = _counts()
    lines += _count_lines(counts)
    report("counts done")
    lines += _random_layer_lines(draws)
    report("random layers done")
    save_drawing(folder / "figures" / "matrices.png", lambda figure: _draw_matrices(figure, shown), (9.6, 6.2))
    lines += ["`figures/matrices.png`: interpolation matrices in block order (data set 0)."]
    settings = {"quick": quick, "seeds": count, "draws": draws}
    write_study(folder, "interp-classes", [*built, *counts], lines, settings)
    return folder


def _constructions(count: int) -> tuple[list[dict[str, Any]], dict[str, Units]]:
    """Build networks: one record for each construction and data set, and the last hidden layers on data set 0."""
    records, shown = [], {}
    for name, build in BUILDERS.items():
        for seed in range(count):
            rng = np.random.default_rng(seed)
            X, Y = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))
            built = build(X, Y)
            units = hidden_units(*built, X)[0][-1]
            found = spectrum(interp_matrix(units.Phi))
            records.append(
                {
                    "construction": name,
                    "seed": seed,
                    "class": classify(units.Z, Y).letter,
                    "units": units.Phi.shape[1],
                    "rank": found.rank,
                    "condition": found.condition,
                    "density": float(act_mask(units.Z).mean()),
                    "error": float(np.abs(outputs(*built, X) - Y).max()),
                    "error_float32": float(np.abs(outputs(*built, X, float32=True) - Y).max()),
                }
            )
            if seed == 0:
                shown[name] = units
    return records, shown


def _construction_lines(records: list[dict[str, Any]], count: int) -> list[str]:
    lines = [
        "## Constructions",
        "",
        f"60 Gaussian points in 4 dimensions, 2 Gaussian targets; {over_seeds(count, of='data set')}; "
        "the last hidden layer. Condition: of [Phi, 1] with columns of norm 1.",
        "",
    ]
    rows = []
    for name in BUILDERS:
        own = [record for record in records if record["construction"] == name]
        column = {key: [record[key] for record in own] for key in own[0]}
        rows.append(
            [
                name,
                "".join(sorted(set(column["class"]))),
                column["units"][0],
                text(column["rank"]),
                text(column["condition"]),
                text(column["density"], ".3f"),
                f"{max(column['error']):.1e}",
                f"{max(column['error_float32']):.1e}",
            ]
        )
    heads = ["construction", "class", "units", "rank", "condition", "density", "largest error", "in float32"]
    return lines + table(heads, rows)


def _counts() -> list[dict[str, Any]]:
    """Count supports and orders of random points, and by the formulas."""
    records = []
    for n, d in ((6, 1), (6, 2), (6, 3), (8, 2)):
        found = len(find_supports(np.random.default_rng(n + d).standard_normal((n, d))))
        name = f"supports of one unit, n = {n}, d = {d}"
        records.append({"construction": name, "found": found, "formula": count_supports(n, d)})
    for n, d in ((5, 2), (5, 3), (6, 2), (6, 3)):
        found = len(find_orderings(np.random.default_rng(n + d).standard_normal((n, d))))
        name = f"orders along a direction, n = {n}, d = {d}"
        records.append({"construction": name, "found": found, "formula": count_orderings(n, d)})
    return records


def _count_lines(records: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Counts",
        "",
        "Found by linear programs and by directions close to all rays, against the formulas.",
        "",
    ]
    return lines + table(["what", "found", "formula"], [list(record.values()) for record in records])


def _random_layer_lines(draws: int) -> list[str]:
    lines = [
        "## Random ReLU matrices are often singular",
        "",
        f"Share of {draws} random layers whose [Phi, 1] has rank n = 50 (Gaussian points, weights and biases).",
        "",
    ]
    rows = []
    dimensions = (1, 2, 3, 5, 50)
    for m in (50, 60, 100):
        share = [
            np.mean([nrank(interp_matrix(random_features(50, d, m, d, seed))) == 50 for seed in range(draws)])
            for d in dimensions
        ]
        rows.append([m, *(f"{each:.3f}" for each in share)])
    return lines + table(["units", *(f"d = {d}" for d in dimensions)], rows)


def _draw_matrices(figure: Figure, shown: dict[str, Units]) -> None:
    axes = figure.subplots(2, 3).ravel()
    wide = random_features(60, 4, 90, 4, 0)
    pictures = {name: (units.Phi, act_mask(units.Z)) for name, units in shown.items() if "1/4" not in name}
    pictures["random, 90 units"] = (wide, wide > 0)
    pictures["random, 90 units, order of drawing"] = (wide, wide > 0)
    for ax, (name, (Phi, A)) in zip(axes, pictures.items(), strict=True):
        if "drawing" in name:
            plot_matrix(Phi, ax, title=name)
            continue
        rows, columns = block_order(np.hstack([A, np.ones((len(A), 1), bool)]))
        columns = columns[columns < A.shape[1]]
        plot_matrix(Phi, ax, title=name, rows=rows, columns=columns)
