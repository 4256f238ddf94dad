"""What edges of a singular value representation look like by chance, and what counts as more than chance.

Frames drawn uniformly, random networks, smooth kernels without any alignment of channels, several tests at once, and
the weakest planted connection that is found. The tests are those of `modejax.svr.null`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats
from threadpoolctl import threadpool_limits

from modejax.plots.svr import COLOURS, plot_survival
from modejax.studies.common import check_seeds, markdown_table, over_seeds, pm, write_study
from modejax.studies.files import check_folder
from modejax.studies.spread import draw_bars, draw_curves
from modejax.studies.svr_planted import planted_frame, smooth_kernel
from modejax.svr import null, svr
from modejax.svr.edges import edges
from modejax.svr.neurons import haar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["calibrate", "detect", "run", "several_tests", "smooth_kernels"]

LEVEL = null.level_of_sigma(3)
CASES = (
    (16, 1, 16, 16),
    (64, 1, 32, 16),
    (512, 1, 128, 128),
    (3, 9, 27, 3),
    (5, 9, 32, 5),
    (16, 9, 16, 16),
    (64, 9, 64, 64),
    (512, 9, 128, 128),
    (512, 49, 32, 128),
)
"""Channels c, positions z, neurons of the reader, neurons of the writer."""

COSINES = (0.15, 0.2, 0.25, 0.3, 0.35, 0.38, 0.4, 0.42, 0.45, 0.5, 0.6)


def calibrate(case: tuple[int, int, int, int], entries: int, seed: int) -> dict[str, Any]:
    """Draw uniform frames, and compare their edges with the exact law and with chi-square.

    Args:
        case: channels, positions, neurons of reader and writer.
        entries: edges drawn, at least.
        seed: of the draws.

    Returns:
        Kolmogorov-Smirnov distances and rates of false edges at three standard deviations.

    Example:
        >>> found = calibrate((16, 1, 16, 16), 5000, 0)
        >>> found["KS Beta"] < found["KS chi-square"]
        True
    """
    c, z, n, m = case
    rng = np.random.default_rng([seed, c, z])
    draws = math.ceil(entries / (n * m))
    E = np.stack([edges(haar(rng, c, m)[:, None], haar(rng, c * z, n).reshape(c, z, n)) for _ in range(draws)])
    beta = scipy.stats.beta(z / 2, z * (c - 1) / 2)
    return {
        "c": c,
        "z": z,
        "entries": E.size,
        "KS Beta": _distance(E, beta.cdf),
        "KS chi-square": _distance(c * z * E, scipy.stats.chi2(z).cdf),
        "false Beta": float((null.beta_log_p(E, c, z) <= math.log(LEVEL)).mean()),
        "false chi-square": float((null.chi2_log_p(E, c, z) <= math.log(LEVEL)).mean()),
    }


def _distance(values: np.ndarray, law: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the Kolmogorov-Smirnov distance between values and a law, given by its distribution function."""
    return float(scipy.stats.ks_1samp(values.ravel(), law).statistic)  # pyright: ignore[reportAttributeAccessIssue]


def smooth_kernels(seed: int, c: int, pairs: int, rotations: int) -> list[dict[str, Any]]:
    """Return rates of false edges between convolutions (3x3) whose channels have nothing to do with each other."""
    rows = []
    for name, correlation in (("white", 0.0), ("correlation 0.5", 0.5), ("correlation 0.8", 0.8), ("constant", 1.0)):
        rng = np.random.default_rng([seed, c, round(10 * correlation)])
        found: dict[str, list[float]] = {"beta": [], "channel_haar": [], "rotation": [], "z_eff": []}
        for index in range(pairs):
            network = [rng.standard_normal((c, c, 3, 3)), smooth_kernel(rng, c, c, 3, correlation)]
            result = svr(network, layout="torch", null="channel_haar")
            pair, V = result.pairs[0], result.layers[1].V
            found["channel_haar"].append(float(pair.significant(LEVEL).mean()))
            found["beta"].append(float((null.beta_log_p(pair.E, pair.c, pair.z) <= math.log(LEVEL)).mean()))
            G = np.einsum("cxn,cyn->nxy", V, V)
            found["z_eff"].append(float((1 / (G**2).sum(axis=(1, 2))).mean()))
            if index < rotations:
                turned = svr(network, layout="torch", null="rotation").pairs[0]
                found["rotation"].append(float(turned.significant(LEVEL).mean()))
        means = {key: float(np.mean(each)) for key, each in found.items() if each}
        rows.append({"kernels": name, "seed": seed, **means})
    return rows


def other_weights(seed: int, c: int, pairs: int) -> list[dict[str, Any]]:
    """Return rates of false edges between independent matrices whose entries are not Gaussian."""
    kinds: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
        "Gaussian": lambda rng: rng.standard_normal((c, c)),
        "uniform": lambda rng: rng.uniform(-1, 1, (c, c)),
        "Student t, 2.5 degrees": lambda rng: rng.standard_t(2.5, (c, c)),
        "mean 0.3 sigma": lambda rng: rng.standard_normal((c, c)) + 0.3,
        "5 % of the entries": lambda rng: rng.standard_normal((c, c)) * (rng.random((c, c)) < 0.05),
    }
    rows = []
    for name, draw in kinds.items():
        rng = np.random.default_rng([seed, c])
        shares = [svr([draw(rng), draw(rng)]).pairs[0].significant(LEVEL).mean() for _ in range(pairs)]
        rows.append({"weights": name, "seed": seed, "beta": float(np.mean(shares))})
    return rows


def several_tests(c: int, z: int, draws: int, seed: int) -> dict[str, Any]:
    """Return how often uniform frames give any significant edge, and how many by three standard deviations."""
    rng = np.random.default_rng([seed, c, z, 7])
    family, discoveries, raw = [], [], []
    for _ in range(draws):
        E = edges(haar(rng, c, c)[:, None], haar(rng, c * z, c).reshape(c, z, c))
        log_p = null.beta_log_p(E, c, z)
        family.append((null.bonferroni(log_p) <= math.log(0.05)).any())
        discoveries.append((null.benjamini_hochberg(log_p) <= math.log(0.05)).any())
        raw.append((log_p <= math.log(LEVEL)).sum())
    return {
        "c": c, "z": z, "seed": seed, "draws": draws, "Bonferroni": float(np.mean(family)),
        "Benjamini-Hochberg": float(np.mean(discoveries)), "3 sigma edges": float(np.mean(raw)),
        "3 sigma edges, sd": float(np.std(raw, ddof=1)), "expected": LEVEL * c * c,
    }  # fmt: skip


def detect(c: int, z: int, cosine: float, draws: int, seed: int) -> float:
    """Return how often one planted connection among c x c edges is significant after Bonferroni at 0.05.

    Example:
        >>> detect(32, 1, 0.95, 2, 0)
        1.0
    """
    rng = np.random.default_rng([seed, c, z, round(1000 * cosine)])
    hits = 0
    for _ in range(draws):
        U = haar(rng, c)
        spatial = rng.standard_normal(z)
        target = np.outer(U[:, 0], spatial / np.linalg.norm(spatial)).ravel()
        V = planted_frame(rng, target, cosine, c)
        log_p = null.beta_log_p(edges(U[:, None], V.reshape(c, z, c)), c, z)
        hits += bool(null.bonferroni(log_p)[0, 0] <= math.log(0.05))
    return hits / draws


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: a tenth of the draws, and no frames of 512 channels at windows.
        seeds: independent repetitions; default 5 (quick: 3).
        report: told each part when it is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, or the folder is a file.

    Example:
        >>> run("docs/studies/svr-null", quick=True, seeds=1)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 2, since error bars need them, got 1
    """
    count = check_seeds(seeds, 3 if quick else 5, least=2)
    folder = check_folder(out)
    cases = tuple(case for case in CASES if not quick or case[0] * case[1] <= 600)
    c, pairs = (16, 2) if quick else (64, 12)
    tests = ((32, 1, 20), (16, 9, 20)) if quick else ((128, 1, 60), (32, 9, 200))
    sizes = ((64, 1), (16, 9)) if quick else ((128, 1), (64, 9))
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1):  # many small matrices: a second thread only waits
        for case in cases:
            entries = 8000 if quick else 100_000 if case[0] * case[1] < 4000 else 60_000
            rows += [{"part": "calibration", "seed": s, **calibrate(case, entries, s)} for s in range(count)]
        report("uniform frames done")
        for s in range(count):
            rows += [
                {"part": "smooth", "c": c, "z": 9, **row} for row in smooth_kernels(s, c, pairs, 0 if quick else 3)
            ]
            rows += [{"part": "weights", "c": c, "z": 1, **row} for row in other_weights(s, c, 4 * pairs)]
        report("smooth kernels and other weights done")
        for s in range(count):
            rows += [{"part": "tests", **several_tests(*each, s)} for each in tests]
        report("several tests done")
        for (width, z), cosine, s in itertools.product(sizes, COSINES, range(count)):
            rate = detect(width, z, cosine, 5 if quick else 20, s)
            rows.append({"part": "detection", "c": width, "z": z, "seed": s, "cosine": cosine, "detected": rate})
        report("planted connections done")
    write_study(
        folder,
        page=_page(rows, cases, sizes, tests, count, c),
        rows=rows,
        config={"study": "svr-null", "quick": quick, "seeds": count, "level": LEVEL, "cases": cases},
        figures={
            "survival": lambda: _draw_survival(20 if quick else 200),
            "false": lambda: _draw_false(rows, cases),
            "smooth": lambda: _draw_smooth(rows, sizes, count),
        },
    )
    return folder


def _of(rows: list[dict[str, Any]], part: str, field: str, **where: Any) -> np.ndarray:
    """Return a field of the rows of a part, one value a seed."""
    return np.array(
        [
            row.get(field, np.nan)
            for row in rows
            if row["part"] == part and all(row.get(key) == value for key, value in where.items())
        ]
    )


def _names(rows: list[dict[str, Any]], part: str, field: str) -> list[str]:
    """Return the names in a field of the rows of a part, in the order in which they come."""
    return list(dict.fromkeys(row[field] for row in rows if row["part"] == part))


def _page(rows: Any, cases: Any, sizes: Any, tests: Any, count: int, c: int) -> list[str]:
    return [
        "# Edges by chance",
        "",
        f"In the tables: {over_seeds(count)}. Rates of false edges in thousandths; nominal {1e3 * LEVEL:.3f}.",
        "",
        *_frame_lines(rows, cases),
        *_random_kernel_lines(rows, c),
        *_several_lines(rows, tests),
        *_detection_lines(rows, sizes),
    ]


def _rate(values: np.ndarray) -> str:
    return pm(1e3 * values, 2) if np.isfinite(values).all() else "-"


def _frame_lines(rows: Any, cases: Any) -> list[str]:
    """Tabulate the exact law and chi-square on uniform frames."""
    table = []
    for c, z, n, m in cases:
        here = {"c": c, "z": z}
        entries = _of(rows, "calibration", "entries", **here)[0]
        chi2 = null.threshold(LEVEL, c, z, "chi2")
        exact = float(np.exp(null.beta_log_p(chi2, c, z))) if chi2 < 1 else 0.0
        table.append(
            [
                c, z, f"{n} x {m}", int(entries),
                pm(_of(rows, "calibration", "KS Beta", **here), 4), f"{1.36 / math.sqrt(entries):.4f}",
                pm(_of(rows, "calibration", "KS chi-square", **here), 4),
                _rate(_of(rows, "calibration", "false Beta", **here)),
                f"{_rate(_of(rows, 'calibration', 'false chi-square', **here))} ({1e3 * exact:.3f})",
                f"{null.threshold(LEVEL, c, z) / chi2:.3f}",
            ]
        )  # fmt: skip
    head = ["c", "z", "neurons", "N a seed", "KS Beta", "1.36/sqrt(N)", "KS chi-square", "false, Beta"]
    head += ["false, chi-square (exact)", "least E, Beta/chi-square"]
    return [
        "## Uniform frames",
        "",
        "KS: largest distance of the distribution functions; 1.36 / sqrt(N) would be passed in 5 % of independent "
        "samples of N.",
        "",
        *markdown_table(head, table),
        "",
    ]


def _random_kernel_lines(rows: Any, c: int) -> list[str]:
    """Tabulate false edges of smooth kernels, and of matrices whose entries are not Gaussian."""
    smooth = [
        [name, pm(_of(rows, "smooth", "z_eff", kernels=name), 2)]
        + [_rate(_of(rows, "smooth", law, kernels=name)) for law in ("beta", "channel_haar", "rotation")]
        for name in _names(rows, "smooth", "kernels")
    ]
    other = [[name, _rate(_of(rows, "weights", "beta", weights=name))] for name in _names(rows, "weights", "weights")]
    head = ["reader's kernels", "effective positions", "false, Beta", "false, channel-Haar", "false, rotations"]
    return [
        f"## Convolutions without alignment, smooth over the window (c = {c}, 3x3)",
        "",
        *(["12 pairs of layers a seed, rotations on the first 3 of them.", ""] if c == 64 else []),
        *markdown_table(head, smooth),
        "",
        f"## Matrices whose entries are not Gaussian ({c} x {c})",
        "",
        *markdown_table(["weights", "false, Beta"], other),
        "",
    ]


def _several_lines(rows: Any, tests: Any) -> list[str]:
    """Tabulate what several tests at once find by chance."""
    table = []
    for width, z, draws in tests:
        here = {"c": width, "z": z}
        cells = [pm(_of(rows, "tests", key, **here), 3) for key in ("Bonferroni", "Benjamini-Hochberg")]
        raw = pm(_of(rows, "tests", "3 sigma edges", **here), 2)
        table.append([width, z, draws, *cells, raw, f"{LEVEL * width**2:.2f}"])
    head = ["c", "z", "draws a seed", "Bonferroni", "Benjamini-Hochberg", "edges at 3 sigma", "expected"]
    text = "Share of pairs of layers with any significant edge, level 0.05."
    return ["## Several tests at once", "", text, "", *markdown_table(head, table), ""]


def _detection_lines(rows: Any, sizes: Any) -> list[str]:
    """Tabulate how often a planted connection is found."""
    table = []
    for c, z in sizes:
        limit = null.detection_limit(c, z, tests=c * c)
        shares = [pm(_of(rows, "detection", "detected", c=c, z=z, cosine=cosine), 2) for cosine in COSINES]
        table.append([f"c = {c}, z = {z}", f"{math.sqrt(limit.edge):.3f}", *shares])
    head = ["", "limit of the cosine", *(f"{cosine:g}" for cosine in COSINES)]
    return ["## The weakest planted connection that is found (Bonferroni, 0.05)", "", *markdown_table(head, table)]


def _figure(columns: int, width: float = 4.6) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, 4.0), layout="constrained", facecolor="white")
    return figure, figure.subplots(1, columns, squeeze=False).ravel()


def _draw_survival(draws: int) -> Figure:
    figure, axes = _figure(2)
    rng = np.random.default_rng(0)
    dense = [svr([rng.standard_normal((64, 16)), rng.standard_normal((32, 64))]).pairs[0] for _ in range(draws)]
    conv = [
        svr([rng.standard_normal((5, 16, 3, 3)), rng.standard_normal((32, 5, 3, 3))], layout="torch").pairs[0]
        for _ in range(draws)
    ]
    for ax, pairs, title in zip(axes, (dense, conv), ("dense 16-64-32", "convolutions 16-5-32, 3x3"), strict=True):
        E = np.stack([pair.E for pair in pairs])
        plot_survival(E, pairs[0].c, pairs[0].z, ax, label=f"{draws} random networks")
        ax.set_title(f"{title}: c = {pairs[0].c}, z = {pairs[0].z}", fontsize=10)
    return figure


def _draw_false(rows: Any, cases: Any) -> Figure:
    figure, (ax,) = _figure(1, 9.0)
    laws = {"Beta": "false Beta", "chi-square": "false chi-square"}
    groups = {
        name: np.stack([1e3 * _of(rows, "calibration", field, c=case[0], z=case[1]) for case in cases])
        for name, field in laws.items()
    }
    draw_bars(
        [f"c = {case[0]}\nz = {case[1]}" for case in cases],
        groups,
        ax,
        ylabel="false edges (thousandths)",
        line=(1e3 * LEVEL, "nominal"),
    )
    ax.legend(frameon=False, fontsize=9, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.12))
    return figure


def _draw_smooth(rows: Any, sizes: Any, count: int) -> Figure:
    figure, axes = _figure(2, 5.2)
    names = _names(rows, "smooth", "kernels")
    laws = {"Beta (isotropic)": "beta", "channel-Haar": "channel_haar", "rotations": "rotation"}
    groups = {
        law: np.stack([1e3 * _of(rows, "smooth", field, kernels=name) for name in names]) for law, field in laws.items()
    }
    groups = {law: values for law, values in groups.items() if np.isfinite(values).any()}
    draw_bars(names, groups, axes[0], ylabel="false edges (thousandths)", line=(1e3 * LEVEL, "nominal"), log=True)
    axes[0].set_title("no alignment, kernels smooth over 3x3", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8)
    curves = {
        f"c = {c}, z = {z}": np.stack([_of(rows, "detection", "detected", c=c, z=z, cosine=each) for each in COSINES])
        for c, z in sizes
    }
    draw_curves(COSINES, curves, axes[1], xlabel="planted cosine", ylabel="found after Bonferroni (%)")
    for index, (c, z) in enumerate(sizes):
        limit = math.sqrt(null.detection_limit(c, z, tests=c * c).edge)
        axes[1].axvline(limit, color=COLOURS[index], ls=":", lw=1.2)
    axes[1].set_title(f"dotted: limit by the null\n{over_seeds(count)}", fontsize=9)
    axes[1].legend(frameon=False, fontsize=8)
    return figure
