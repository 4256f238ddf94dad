"""`interp-encoder`: encoders that take classes apart, and the exact autoencoder, on Gaussian points and digits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from modejax.data import load_dataset
from modejax.interpolation import (
    build_autoencoder,
    build_decoder,
    build_encoder,
    check_labels,
    code_measures,
    hidden_units,
    off_block_energy,
    outputs,
    spectrum,
)
from modejax.plots.interpolation import plot_matrix
from modejax.studies.common import save_drawing
from modejax.studies.interp_files import check_seeds, table, text, write_study

__all__ = ["run"]


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: 200 digits instead of 1,000.
        seeds: data sets; default 5.
        report: told each part when it is done.

    Returns:
        The folder.

    Raises:
        InputError: fewer than 2 seeds, or a folder that is a file.
    """
    folder, count = check_seeds(seeds, 5, out)
    records: list[dict[str, Any]] = []
    for name, mode, classes in (("orth", "orth", 4), ("ovr2", "ovr2", 7)):
        for seed in range(count):
            X, y = np.random.default_rng(seed).standard_normal((120, 8)), np.arange(120) % classes
            code = outputs(*build_encoder(X, y, mode), X)  # pyright: ignore[reportArgumentType]
            found = code_measures(code, y, X)
            record = {"code": name, "seed": seed, **found._asdict(), "separable": sum(found.separable)}
            if mode == "orth":
                hidden, decoded = hidden_units(*build_autoencoder(X, y), X)
                block = hidden[2].Phi
                record["reconstruction"] = float(np.abs(decoded - X).max())
                record["decoder_rank"] = spectrum(block).rank
                record["decoder_condition"] = spectrum(block).condition
                record["decoder_off_block"] = off_block_energy(block, y)
            records.append(record)
    report("Gaussian points done")

    def of(code: str, key: str) -> list[Any]:
        return [record[key] for record in records if record["code"] == code]

    lines = ["# Encoders that take classes apart", "", f"120 Gaussian points in 8 dimensions, {count} data sets.", ""]
    measures = ("size", "distinct", "least_distance", "beta", "separable", "jaccard", "least_angle", "rank", "rho")
    lines += table(["measure", "orth, K = 4", "ovr2, K = 7"], [[key, text(of("orth", key)), text(of("ovr2", key))] for key in measures])  # fmt: skip  # noqa: E501
    lines += ["`separable`: classes that a half-plane parts from the rest. `least_angle`: degrees.", "", "## Autoencoder d - (n-1) - K - n - d", ""]  # fmt: skip  # noqa: E501
    rows = [[key, text(of("orth", key))] for key in ("reconstruction", "decoder_rank", "decoder_condition")]
    rows += [["largest reconstruction error", f"{max(of('orth', 'reconstruction')):.1e}"]]
    rows += [["largest off-block energy of the code", f"{max(of('orth', 'beta')):.1e}"]]
    rows += [["largest off-block energy of the decoder's layer", f"{max(of('orth', 'decoder_off_block')):.1e}"]]
    lines += table(["what", "value"], rows)

    n = 200 if quick else 1000
    digits = load_dataset("digits")
    X, y, _ = check_labels(digits.x_train[:n] * digits.scale, digits.y_train[:n])
    began = time.perf_counter()
    built = build_autoencoder(X, y, candidates=2000)
    seconds = time.perf_counter() - began
    decoded = outputs(*built, X)
    test = digits.x_test * digits.scale
    off = outputs(*built, test)
    size = [each.capacity for each in built.network.units]  # pyright: ignore
    error = float(np.abs(decoded - X).max())
    new = float(((off - test) ** 2).mean() / ((test - X.mean(axis=0)) ** 2).mean())
    lines += [
        f"## Digits, {n} images",
        "",
        f"Widths {size}, built in {seconds:.2f} s; largest reconstruction error {error:.1e} (pixels in 0..1). "
        f"On the test images "
        f"the squared error is {new:.3g} times that of the mean image: memorisation, nothing more.",
        "",
    ]
    records.append({"code": "digits", "reconstruction": error, "new_points": new, "seconds": seconds})
    report("digits done")

    def draw(figure: Any) -> None:
        X, y = np.random.default_rng(0).standard_normal((120, 8)), np.arange(120) % 4
        order = np.argsort(y, kind="stable")
        code = outputs(*build_encoder(X, y), X).clip(0)
        second = outputs(*build_encoder(X, np.arange(120) % 7, "ovr2"), X)
        left, middle, right = figure.subplots(1, 3)
        plot_matrix(code, left, title="orth code, points by class", rows=order)
        left.set_xticks(range(4))
        blocks = hidden_units(*build_decoder(code, X), code)[0][0].Phi
        rank = np.lexsort((code.max(axis=1), y))
        plot_matrix(blocks, middle, title="decoder: class blocks of triangles", rows=rank)
        right.scatter(second[:, 0], second[:, 1], c=np.arange(120) % 7, cmap="tab10", vmin=0, vmax=9, s=12)
        right.set_title("ovr2 code, K = 7", fontsize=9)
        right.set_aspect("equal")
        right.set_xlabel("code 1")
        right.set_ylabel("code 2")

    save_drawing(folder / "figures" / "codes.png", draw, (10.5, 3.6))
    write_study(folder, "interp-encoder", records, lines, {"quick": quick, "seeds": count, "digits": n})
    return folder
