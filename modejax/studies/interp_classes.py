"""`interp-classes`: solution classes, their counts, and what each construction's interpolation matrix looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from modejax.studies.common import save_drawing
from modejax.studies.interp_files import check_seeds, table, text, write_study

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
    records: list[dict[str, Any]] = []
    lines = ["# Solution classes", "", "## Constructions", ""]
    lines += [
        f"60 Gaussian points in 4 dimensions, 2 Gaussian targets; mean and standard deviation over {count} data "
        f"sets; the last "
        "hidden layer. Condition: of [Phi, 1] with columns of norm 1.",
        "",
    ]
    shown = {}
    for name, build in BUILDERS.items():
        rows = []
        for seed in range(count):
            rng = np.random.default_rng(seed)
            X, Y = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))
            built = build(X, Y)
            units = hidden_units(*built, X)[0][-1]
            found = spectrum(interp_matrix(units.Phi))
            record = {
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
            rows.append(record)
            if seed == 0:
                shown[name] = units
        records += rows

        def column(key: str, rows: list[dict[str, Any]] = rows) -> list[Any]:
            return [row[key] for row in rows]

        shown_row = [name, "".join(sorted(set(column("class")))), rows[0]["units"], text(column("rank")),
                     text(column("condition")), text(column("density"), ".3f"), f"{max(column('error')):.1e}",
                     f"{max(column('error_float32')):.1e}"]  # fmt: skip
        shown[name] = (shown[name], shown_row)
    heads = ["construction", "class", "units", "rank", "condition", "density", "largest error", "in float32"]
    lines += table(heads, [row for _, row in shown.values()])
    report("constructions done")

    lines += [
        "## Counts",
        "",
        "Found by linear programs and by directions close to all rays, against the formulas.",
        "",
    ]
    rows = []
    for n, d in ((6, 1), (6, 2), (6, 3), (8, 2)):
        found = len(find_supports(np.random.default_rng(n + d).standard_normal((n, d))))
        rows.append([f"supports of one unit, n = {n}, d = {d}", found, count_supports(n, d)])
    for n, d in ((5, 2), (5, 3), (6, 2), (6, 3)):
        found = len(find_orderings(np.random.default_rng(n + d).standard_normal((n, d))))
        rows.append([f"orders along a direction, n = {n}, d = {d}", found, count_orderings(n, d)])
    lines += table(["what", "found", "formula"], rows)
    records += [{"construction": name, "found": found, "formula": formula} for name, found, formula in rows]
    report("counts done")

    draws = 50 if quick else 400
    lines += ["## Random ReLU matrices are often singular", ""]
    lines += [
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
    lines += table(["units", *(f"d = {d}" for d in dimensions)], rows)
    report("random layers done")

    def matrices(figure: Any) -> None:
        axes = figure.subplots(2, 3).ravel()
        wide = random_features(60, 4, 90, 4, 0)
        pictures = {name: (units.Phi, act_mask(units.Z)) for name, (units, _) in shown.items() if "1/4" not in name}
        pictures["random, 90 units"] = (wide, wide > 0)
        pictures["random, 90 units, order of drawing"] = (wide, wide > 0)
        for ax, (name, (Phi, A)) in zip(axes, pictures.items(), strict=True):
            if "drawing" in name:
                plot_matrix(ax, Phi, name)
                continue
            rows, columns = block_order(np.hstack([A, np.ones((len(A), 1), bool)]))
            columns = columns[columns < A.shape[1]]
            plot_matrix(ax, Phi, name, rows=rows, columns=columns)

    save_drawing(folder / "figures" / "matrices.png", matrices, (9.6, 6.2))
    lines += ["`figures/matrices.png`: interpolation matrices in block order (data set 0)."]
    write_study(folder, "interp-classes", records, lines, {"quick": quick, "seeds": count, "draws": draws})
    return folder
