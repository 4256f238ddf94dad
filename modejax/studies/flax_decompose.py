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
from modejax.studies.common import check_seeds, markdown_table, over_seeds, percent, pm, write_study
from modejax.studies.files import check_folder
from modejax.studies.flax_models import Kind, accuracy, count_parameters, perceptron, train
from modejax.studies.spread import bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

_RATE = 0.001
"""Of the dense network."""
_RATES = (0.001, 0.003, 0.01)
"""From which fine-tuning and the mode networks take theirs."""


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
    tuning, rate = (_RATES[1], _RATES[1]) if quick else _best_rates(data, sizes, epochs, batch)
    report(f"learning rates: {tuning:g} after the cut, {rate:g} as modes")
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
            row["tuned"] = _test(train(cut.model, data, 1, tuning, seed + 1000, batch=batch), data)
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
        "tuning_learning_rate": tuning,
        "mode_learning_rate": rate,
        "modes": numbers,
        "seeds": count,
    }
    figures = {"accuracy": lambda: _draw(rows, curves)}
    return write_study(folder, page=_page(rows, config), rows=rows, config=config, figures=figures)


def _test(model: Any, data: Dataset) -> float:
    return accuracy(model, data.x_test, data.y_test, data.scale)


def _best_rates(data: Dataset, sizes: tuple[int, ...], epochs: int, batch: int) -> tuple[float, float]:
    """Return the rates of fine-tuning and of mode networks: the best for 20 modes after an epoch, on other images."""
    part = len(data.x_train) - 10_000
    dense = train(
        perceptron(Kind("dense", "dense"), sizes, nnx.Rngs(1000)), data, epochs, _RATE, batch=batch, examples=part
    )

    def held_out(model: Any, rate: float) -> float:
        train(model, data, 1, rate, 1000, batch=batch, examples=part)
        return accuracy(model, data.x_train[part:], data.y_train[part:], data.scale)

    tuned = {rate: held_out(decompose(dense, 20).model, rate) for rate in _RATES}
    fresh = {rate: held_out(perceptron(Kind("mode", "mode", 20), sizes, nnx.Rngs(1000)), rate) for rate in _RATES}
    return max(tuned, key=tuned.__getitem__), max(fresh, key=fresh.__getitem__)


def _page(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[str]:
    numbers = config["modes"]
    dense = [row["dense"] for row in rows if row["modes"] == numbers[0]]
    energies = [key for key in rows[0] if key.startswith("kept_energy")]
    table = []
    for modes in numbers:
        here = [row for row in rows if row["modes"] == modes]

        def column(key: str, here: list[dict[str, Any]] = here) -> list[float]:
            return [row[key] for row in here]

        energy = " / ".join(f"{100 * np.mean(column(key)):.0f}" for key in energies)
        gap = 100 * (np.array(column("tuned")) - np.array(column("mode_trained")))
        accuracies = [percent(column(key)) for key in ("cut", "tuned", "mode_trained")]
        table.append([modes, f"{here[0]['parameters']:,}", energy, *accuracies, pm(gap)])
    head = ["modes", "parameters", "kept energy by map, %", "cut", "after one epoch in mode space", "trained as modes"]
    return [
        "# A trained Flax network cut to its leading modes",
        "",
        f"{config['dataset']}, {'-'.join(map(str, config['sizes']))}, ReLU, biases, batches of {config['batch']}. The "
        f"dense network is trained by Adam for {config['epochs']} epochs (rate {config['learning_rate']:g}, cosine); "
        "every kernel is cut to its P leading singular values (a map of smaller rank keeps its rank), and all factors "
        f"are trained for one more epoch (rate {config['tuning_learning_rate']:g}, cosine). Beside it networks that "
        f"start as P random modes and train for {config['epochs'] + 1} epochs "
        f"(rate {config['mode_learning_rate']:g}, cosine). Test accuracy in percent, "
        f"{over_seeds(config['seeds'])}.",
        "",
        f"Dense: {pm(100 * np.array(dense), 2)} % with {rows[0]['dense_parameters']:,} parameters.",
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
    means = {name: values.mean(axis=0, keepdims=True) for name, values in series.items()}
    ax = plot_cuts(curves[0].kept, cuts.mean(axis=0, keepdims=True), numbers, means, dense, figure.subplots())
    mean, (below, above) = bars(100 * cuts.T)
    ax.fill_between(curves[0].kept, mean - below, np.minimum(mean + above, 100), color="C0", alpha=0.2, lw=0)
    for index, values in enumerate(series.values()):
        mean, lengths = bars(100 * values.T)
        ax.errorbar(numbers, mean, lengths, fmt="none", capsize=3, elinewidth=1.2, ecolor=f"C{index + 1}")
    ax.set_title(f"all maps cut to P modes; {over_seeds(len(dense))}", fontsize=10)
    return figure
