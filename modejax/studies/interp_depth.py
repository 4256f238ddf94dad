"""`interp-depth`: what a further layer adds: sparse targets, deep classifiers, and trained networks layer by layer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from modejax.data import load_dataset
from modejax.data.prepared import find_prepared
from modejax.interpolation import (
    Built,
    build_hinge,
    build_target,
    check_labels,
    direct_classifier,
    fit_grid,
    hidden_units,
    interp_matrix,
    layer_reports,
    nrank,
    one_hot,
    outputs,
    polytope_classifier,
    regular_limit,
    regular_share,
    sign_classes,
    slab_classifier,
    spectrum,
    support_budget,
    tent_network,
)
from modejax.plots.interpolation import plot_profile, plot_regions, plot_series
from modejax.studies.common import save_drawing
from modejax.studies.interp_files import check_seeds, mean_sd, table, text, write_study

__all__ = ["run"]

CLASSIFIERS: dict[str, Callable[..., Built]] = {
    "direct": direct_classifier,
    "slab": slab_classifier,
    "polytope": polytope_classifier,
}


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: 200 digits instead of 1,000 MNIST images, fewer draws and steps.
        seeds: data sets and networks; default 5.
        report: told each part when it is done.

    Returns:
        The folder.

    Raises:
        InputError: fewer than 2 seeds, or a folder that is a file.
    """
    folder, count = check_seeds(seeds, 5, out)
    records: list[dict[str, Any]] = []
    lines = ["# What depth adds", ""]
    lines += _statements(folder, quick, count, records)
    report("operational statements done")
    lines += _classifiers(folder, count, records)
    report("classifiers done")
    lines += _images(quick, records)
    report("images done")
    lines += _trained(folder, quick, count, records)
    report("trained networks done")
    write_study(folder, "interp-depth", records, lines, {"quick": quick, "seeds": count})
    return folder


def _statements(folder: Path, quick: bool, count: int, records: list[dict[str, Any]]) -> list[str]:
    lines = ["## SMP-1: supports of a unit behind m random units (n = 8, d = 2), and the bound", ""]
    rows = []
    for m in range(1, 8):
        found = []
        for seed in range(2 if quick else count):
            rng = np.random.default_rng(seed)
            Z = rng.standard_normal((8, 2)) @ rng.standard_normal((2, m)) + rng.standard_normal(m)
            found.append(support_budget(np.maximum(Z, 0.0)))
        rows.append([m, text([a for a, _ in found], ".0f"), f"{min(b for _, b in found)} to {max(b for _, b in found)}",
                     all(a <= b for a, b in found)])  # fmt: skip
    lines += table(["m", "supports", "bound Cov(n, rank - 1)", "within the bound"], rows)

    draws, offsets = (50 if quick else 400), (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
    shares = {n: [regular_share(n, c, draws=draws, seed=n) for c in offsets] for n in (50, 100, 400)}
    lines += ["## SMP-4: random n x n masks of density (ln n + c) / n with a perfect matching", ""]
    heads = ["c", *(f"n = {n}" for n in shares), "limit"]
    lines += table(heads, [[c, *(f"{shares[n][i]:.3f}" for n in shares), f"{regular_limit(c):.3f}"] for i, c in enumerate(offsets)])  # fmt: skip  # noqa: E501

    def draw(figure: Any) -> None:
        curves = {}
        for n in shares:
            p = np.array(shares[n])
            curves[str(n)] = (p, np.sqrt(p * (1 - p) / draws))
        ax = plot_series(
            list(offsets), curves, figure.subplots(), xlabel="c", ylabel="share of regular masks", legend="n"
        )
        fine = np.linspace(-2, 4, 100)
        ax.plot(fine, [regular_limit(c) for c in fine], "k--", lw=1, label=r"$\exp(-2e^{-c})$")
        ax.legend(fontsize=8)

    save_drawing(folder / "figures" / "masks.png", draw, (5.2, 3.6))
    levels = 12
    u = np.arange(2**levels + 1)[:, None] / 2**levels
    hidden, decided = hidden_units(*tent_network(levels), u)
    distinct = [len(np.unique(each.Phi, axis=0)) for each in hidden]
    error = float(np.abs(decided[:, 0] - np.arange(2**levels + 1) % 2).max())
    ranks = max(nrank(interp_matrix(each.Phi)) for each in hidden)
    lines += ["## SMP-5: folding", "", f"12 layers of width 2 on 4,097 points: error {error:.1e}, distinct rows {distinct}, largest rank {ranks}.", ""]  # fmt: skip  # noqa: E501
    rows = []
    pair: dict[str, Callable[..., Built]] = {"one hidden layer": build_hinge, "two, target I": build_target}
    for name, build in pair.items():
        got = []
        for seed in range(count):
            X = np.random.default_rng(seed).standard_normal((200, 5))
            found = spectrum(interp_matrix(hidden_units(*build(X, X[:, :1]), X)[0][-1].Phi))
            got.append((found.condition, float((hidden_units(*build(X, X[:, :1]), X)[0][-1].Z > 1e-9).mean())))
        cond, density = zip(*got, strict=True)
        records.append({"what": name, "condition": float(np.mean(cond)), "density": float(np.mean(density))})
        rows.append([name, text(cond), text(density)])
    return [*lines, "## Depth advantage, n = 200, d = 5", "", *table(["network", "condition", "density"], rows)]


def _data(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if kind == "random labels":
        return rng.standard_normal((300, 6)), np.concatenate([np.arange(4), rng.integers(0, 4, 296)])
    if kind == "clusters":
        y = np.arange(300) % 4
        return 6 * rng.standard_normal((4, 6))[y] + rng.standard_normal((300, 6)), y
    y = np.arange(300) % 2
    radius, angle = rng.uniform(0.0, 0.8, 300) + 1.2 * y, rng.uniform(0, 2 * np.pi, 300)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y


def _classifiers(folder: Path, count: int, records: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Constructed classifiers",
        "",
        f"300 points, {count} seeds; sizes are means over seeds, errors the largest.",
        "",
    ]
    rows = []
    for kind in ("random labels", "clusters", "two rings"):
        for name, build in CLASSIFIERS.items():
            got = []
            for seed in range(count):
                X, y = _data(kind, seed)
                built = build(X, y)
                H = one_hot(y, int(y.max()) + 1)
                Phi = hidden_units(*built, X)[0][1].Phi
                errors = [float(np.abs(outputs(*built, X, float32=single) - H).max()) for single in (False, True)]
                widths = [size.capacity for size in built.network.units][1:-1]  # pyright: ignore
                got.append((widths[0], widths[1], float((Phi > 1e-9).mean()), *errors))
                records.append({"what": f"{kind}, {name}", "seed": seed, "widths": "-".join(map(str, widths)), "density": got[-1][2], "error": errors[0], "error_float32": errors[1]})  # fmt: skip  # noqa: E501
            a, b, density, error, single = zip(*got, strict=True)
            rows.append([kind, name, text(a), text(b), text(density), f"{max(error):.1e}", f"{max(single):.1e}"])
    lines += table(["data", "classifier", "width 1", "width 2", "density of layer 2", "error", "in float32"], rows)

    def draw(figure: Any) -> None:
        axes = figure.subplots(2, 3)
        rng = np.random.default_rng(3)
        y = np.arange(120) % 3
        angle = 2 * np.pi * y / 3
        clusters = 2.2 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.6 * rng.standard_normal((120, 2))
        for row, (X, labels) in enumerate((_data("two rings", 0), (clusters, y))):
            for column, (name, build) in enumerate(CLASSIFIERS.items()):
                built = build(X, labels)
                widths = [size.capacity for size in built.network.units][1:-1]  # pyright: ignore
                title = f"{name}, widths {', '.join(map(str, widths))}"
                plot_regions(lambda x, built=built: outputs(*built, x), X, labels, axes[row, column], title=title)

    save_drawing(folder / "figures" / "regions.png", draw, (10.0, 6.4))
    return [*lines, "`figures/regions.png`: decision regions in the plane (grey: no output above 1/2).", ""]


def _images(quick: bool, records: list[dict[str, Any]]) -> list[str]:
    use_mnist = not quick and find_prepared("mnist") is not None
    data = load_dataset("mnist" if use_mnist else "digits")
    n = 200 if quick else 1000
    X, y, K = check_labels(data.x_train[:n] * data.scale, data.y_train[:n])
    test = data.x_test * data.scale
    rows = []
    for name, build in CLASSIFIERS.items():
        began = time.perf_counter()
        built = build(X, y)
        seconds = time.perf_counter() - began
        errors = [float(np.abs(outputs(*built, X, float32=single) - one_hot(y, K)).max()) for single in (False, True)]
        right = float((outputs(*built, test).argmax(axis=1) == data.y_test).mean())
        widths = [size.capacity for size in built.network.units]  # pyright: ignore
        largest = max(float(np.abs(part.weight).max()) for part in built.params)
        records.append({"what": f"{data.name}, {name}", "widths": "-".join(map(str, widths)), "seconds": seconds, "error": errors[0], "error_float32": errors[1], "test_accuracy": right, "largest_weight": largest})  # fmt: skip  # noqa: E501
        rows.append([name, "-".join(map(str, widths)), f"{seconds:.2f}", f"{errors[0]:.1e}", f"{errors[1]:.1e}", f"{largest:.2g}", f"{100 * right:.1f} %"])  # fmt: skip  # noqa: E501
    from sklearn.neighbors import KNeighborsClassifier

    nearest = float(KNeighborsClassifier(1).fit(X, y).score(test, data.y_test))
    lines = [f"## {n} images of {data.name} interpolated exactly", ""]
    lines += table(
        ["classifier", "widths", "seconds", "one-hot error", "in float32", "largest weight", "test accuracy"], rows
    )
    return [*lines, f"Nearest neighbour on the same {n} images: {100 * nearest:.1f} %. Chance: about 10 %.", ""]


def _trained(folder: Path, quick: bool, count: int, records: list[dict[str, Any]]) -> list[str]:
    widths, steps = ((60, 100) if quick else (60, 100, 320)), (500 if quick else 1500)
    drawn = [sign_classes(160, 10, seed) for seed in range(count)]
    X, Y = np.stack([x for x, _ in drawn]), np.stack([one_hot(y, 4) for _, y in drawn])
    fits = fit_grid(X, Y, widths, (0,), steps=steps)
    found = layer_reports(
        [(m.network, m.params) for m in fits.members],
        [X[m.seed] for m in fits.members],
        [Y[m.seed] for m in fits.members],
        starts=[m.start for m in fits.members],
    )
    lines = ["## Trained deep networks, layer by layer", ""]
    lines += [f"160 points in 10 dimensions, labels by signs; three hidden layers, {steps} steps, {count} seeds.", ""]
    rows, curves, ranks = [], {}, {}
    for width in widths:
        own = [k for k, m in enumerate(fits.members) if m.width == width]
        for layer in range(3):
            got = {f: [found[k][layer][f] for k in own] for f in found[0][0]}
            rows.append([width, layer + 1, text(got["rank_1e-10"], ".0f"), text(got["rank_1e-03"], ".0f"), text(got["alpha"], ".2f"), text(got["tau"], ".0f"), text(got["flips"], ".2f"), text(got["move"], ".2f"), text(got["beta"], ".2f"), f"{min(got['rho']):.0e} to {max(got['rho']):.0e}", "".join(got["class"])])  # fmt: skip  # noqa: E501
        for k in own:
            records += [{"what": "trained", "width": width, "seed": fits.members[k].seed, "mse": fits.members[k].mse, **row} for row in found[k]]  # fmt: skip  # noqa: E501
        curves[str(width)] = mean_sd([[row["alpha"] for row in found[k]] for k in own])
        ranks[str(width)] = mean_sd([[row["rank_1e-10"] / 160 for row in found[k]] for k in own])
    lines += table(["width", "layer", "rank at 1e-10", "at 1e-3", "density", "tau", "flips", "move", "beta", "rho", "classes"], rows)  # fmt: skip  # noqa: E501
    mse = {w: [m.mse for m in fits.members if m.width == w] for w in widths}
    lines += [
        "Training error (largest over seeds): " + ", ".join(f"N = {w}: {max(v):.1e}" for w, v in mse.items()) + "."
    ]
    last = [found[k][2] for k, m in enumerate(fits.members) if m.width == 60]
    lines += [f"N = 60: {sum(r['class'] == 'L' for r in last)} of {count} last layers are of class L (rank below 160, and still fitting)."]  # fmt: skip  # noqa: E501

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        plot_profile(curves, left, ylabel="density of active entries", legend="N")
        plot_profile(ranks, right, ylabel="rank at 1e-10 / n", legend="N")

    save_drawing(folder / "figures" / "trained.png", draw, (8.4, 3.6))
    return lines
