"""`flax-decompose`: a trained Flax perceptron cut to its leading modes and fine-tuned, beside one trained as modes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flax import nnx

from modejax.data import Dataset, load_dataset
from modejax.layers import singular_modes
from modejax.nnx import decompose
from modejax.nnx.convert import canonical_kernel
from modejax.plots.decompose import plot_cuts
from modejax.studies.chains import chain, kept_accuracy
from modejax.studies.common import check_seeds, markdown_table, percent, pm, write_study
from modejax.studies.files import check_folder
from modejax.studies.flax_models import Kind, accuracy, count_parameters, perceptron, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

_RATE = 0.001
"""Of the dense network at the start and of fine-tuning."""
_MODE_RATES = (0.001, 0.003, 0.01)
"""From which the mode networks take theirs."""


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: digits and a small network instead of MNIST.
        seeds: dense networks; by default 3.
        report: told each part when it is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.
    """
    folder, count = check_folder(out), check_seeds(seeds, 3)
    data = load_dataset("digits" if quick else "mnist")
    hidden, epochs, batch = ((64, 64), 30, 50) if quick else ((400, 400), 8, 100)
    numbers = (2, 5, 10, 20) if quick else (2, 5, 10, 20, 50)
    sizes = (data.num_features, *hidden, data.num_classes)
    rate = _MODE_RATES[1] if quick else _mode_rate(data, sizes, batch)
    rows: list[dict[str, Any]] = []
    curves = []
    for seed in range(count):
        dense = train(perceptron(Kind("dense", "dense"), sizes, nnx.Rngs(seed)), data, epochs, _RATE, seed, batch=batch)
        base = {"seed": seed, "dense": _test(dense, data), "dense_parameters": count_parameters(dense)}
        maps = [part for part in dense.layers if isinstance(part, nnx.Linear)]
        found = [singular_modes(canonical_kernel(part)) for part in maps]
        whole = chain(found, [part.bias[...] for part in maps], [each.rank for each in found])  # pyright: ignore
        curves.append(kept_accuracy(*whole, data))
        for modes in numbers:
            cut = decompose(dense, modes)
            row = base | {"modes": modes, "parameters": count_parameters(cut.model), "cut": _test(cut.model, data)}
            for layer in cut.layers:
                row[f"kept_energy_{layer.path}"] = layer.kept_energy
            row["tuned"] = _test(train(cut.model, data, 1, _RATE, seed + 1000, batch=batch), data)
            kind = Kind("mode", "mode", modes)
            trained = train(perceptron(kind, sizes, nnx.Rngs(seed)), data, epochs + 1, rate, seed, batch=batch)
            rows.append(row | {"mode_trained": _test(trained, data)})
        report(f"seed {seed}: dense {100 * base['dense']:.2f} %, cut to {numbers[-1]} {100 * rows[-1]['cut']:.2f} %")
    config = {
        "dataset": data.name,
        "sizes": sizes,
        "epochs": epochs,
        "batch": batch,
        "learning_rate": _RATE,
        "mode_learning_rate": rate,
        "modes": numbers,
        "seeds": count,
    }
    figures = {"accuracy": lambda: _draw(rows, curves)}
    return write_study(folder, page=_page(rows, config), rows=rows, config=config, figures=figures)


def _test(model: Any, data: Dataset) -> float:
    return accuracy(model, data.x_test, data.y_test, data.scale)


def _mode_rate(data: Dataset, sizes: tuple[int, ...], batch: int) -> float:
    """Return the rate at which 20 modes do best on held-out images after one epoch on others."""
    held, found = slice(len(data.x_train) - 10_000, None), {}
    for rate in _MODE_RATES:
        model = perceptron(Kind("mode", "mode", 20), sizes, nnx.Rngs(1000))
        train(model, data, 1, rate, batch=batch, examples=len(data.x_train) - 10_000)
        found[rate] = accuracy(model, data.x_train[held], data.y_train[held], data.scale)
    return max(found, key=found.__getitem__)


def _page(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[str]:
    numbers = config["modes"]
    dense = [row["dense"] for row in rows if row["modes"] == numbers[0]]
    energies = [key for key in rows[0] if key.startswith("kept_energy")]
    table = []
    for modes in numbers:
        here = [row for row in rows if row["modes"] == modes]

        def column(key: str, here: list[dict[str, Any]] = here) -> list[float]:
            return [row[key] for row in here]

        energy = " / ".join(pm(100 * np.array(column(key)), 0).split(" ")[0] for key in energies)
        gap = 100 * (np.array(column("tuned")) - np.array(column("mode_trained")))
        accuracies = [percent(column(key)) for key in ("cut", "tuned", "mode_trained")]
        table.append([modes, f"{here[0]['parameters']:,}", energy, *accuracies, pm(gap)])
    head = ["P", "parameters", "kept energy by map, %", "cut", "after one epoch in mode space", "trained as modes"]
    return [
        "# A trained Flax network cut to its leading modes",
        "",
        f"{config['dataset']}, {'-'.join(map(str, config['sizes']))}, ReLU, biases, batches of {config['batch']}. The "
        f"dense network is trained by Adam for {config['epochs']} epochs (rate {config['learning_rate']:g}, cosine); "
        "every kernel is cut to its P leading singular values (a map of smaller rank keeps its rank), and all factors "
        "are trained for one more epoch (the same rate and schedule). Beside it networks that start as P random modes "
        f"and train for {config['epochs'] + 1} epochs (rate {config['mode_learning_rate']:g}). Test accuracy in "
        f"percent, mean +- standard deviation over {config['seeds']} seeds.",
        "",
        f"Dense: {percent(dense)} % (least {100 * min(dense):.2f} %) with {rows[0]['dense_parameters']:,} parameters.",
        "",
        *markdown_table([*head, "points between the two"], table),
        "",
        "`figures/accuracy.png` has the cut at every number of modes, by the truncation curves of the library.",
    ]


def _draw(rows: list[dict[str, Any]], curves: list[Any]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), layout="constrained", facecolor="white")
    numbers = sorted({row["modes"] for row in rows})
    series = {
        name: np.array([[row[key] for row in rows if row["modes"] == modes] for modes in numbers]).T
        for name, key in (("cut, one epoch in mode space", "tuned"), ("trained as modes", "mode_trained"))
    }
    dense = np.array([row["dense"] for row in rows if row["modes"] == numbers[0]])
    cuts = np.array([each.together for each in curves])
    ax = plot_cuts(figure.subplots(), curves[0].kept, cuts, numbers, series, dense)
    ax.set_title(f"all maps cut to P modes; mean and standard deviation of {len(dense)} seeds", fontsize=10)
    return figure
