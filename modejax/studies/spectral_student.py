"""A student with more nodes than its teacher: does a penalty on eigenvalues find the teacher's size?

The question of Giambagli et al., "How a student becomes a teacher", NeurIPS 2023, arXiv 2310.12612. A teacher of 20
ReLU nodes, whose outputs are added, makes real targets from Gaussian inputs of dimension 10. Students of more and more
nodes learn them with a penalty sum lambda^2 + sum phi^2 in the loss; nodes go from the smallest |lambda_i| ||phi_i||
on, and the test error is read against the nodes that are left. Claimed: it stays flat down to 20 nodes, whatever the
student's width. Rivals: the same student without a penalty, and a dense student of which nodes go by the size of their
weights, with and without the same penalty on its weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from modejax import layers
from modejax.data import Dataset
from modejax.extent import Extent
from modejax.layers import Spectral, SpectralParams
from modejax.studies.common import check_seeds, markdown_table, mean_and_sd, write_study
from modejax.sweep.config import SweepConfig

__all__ = ["Row", "measure", "run", "student_layer", "teacher_data"]

TEACHER = 20
INPUTS = 10


class Row(NamedTuple):
    """The test error of one student with some of its nodes left."""

    family: str
    width: int
    seed: int
    left: int  # nodes
    error: float  # mean of (output - target)^2 over the test set, in units of the targets' variance


class Family(NamedTuple):
    """One kind of student: penalties of eigenvalues and eigenvectors, and what is trained."""

    name: str
    score: str
    learning_rate: float
    options: dict[str, Any]


FAMILIES = (
    Family("spectral, penalty", "eigenvector", 0.005, {"l2_out": 2.5e-4, "l2_phi": 0.005}),
    Family("spectral, no penalty", "eigenvector", 0.005, {}),
    Family("weights, penalty", "incoming", 0.002, {"eigenvalues": "frozen", "l2_phi": 0.005}),
    Family("weights, no penalty", "incoming", 0.002, {"eigenvalues": "frozen"}),
)
"""The students. Weights alone are spectral layers of which lambda is frozen at 1, so that W = -phi. Learning rates and
penalties are those of the released code, the penalties halved as is the loss (output - target)^2 / 2 here."""


def teacher_data(seed: int = 0, *, n_train: int = 10_000, n_test: int = 5_000) -> Dataset:
    """Draw inputs and the targets that a fixed teacher 10-20-1 gives them.

    The teacher's weights are uniform up to sqrt(6 / (10 + 20)) (Glorot) and frozen, its outputs are added.

    Args:
        seed: chooses the teacher and the inputs.
        n_train: training examples.
        n_test: test examples.

    Returns:
        The data set; targets are real values.

    Example:
        >>> teacher_data(n_train=100, n_test=50)
        Dataset(teacher: 100 + 50 examples, 10 features float32, values)
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = rng.uniform(-1, 1, (TEACHER, INPUTS)) * np.sqrt(6 / (INPUTS + TEACHER))
    x = rng.standard_normal((n_train + n_test, INPUTS)).astype(np.float32)
    y = np.maximum(x @ weights.T, 0).sum(axis=1)
    return Dataset(
        x[:n_train],
        y[:n_train],
        x[n_train:],
        y[n_train:],
        num_classes=1,
        name="teacher",
        source=f"ReLU teacher {INPUTS}-{TEACHER}-1, seed {seed}",
        targets="values",
    )


@dataclasses.dataclass(frozen=True)
class Student(layers.Family):
    """The maps of a student: one set of eigenvalues with eigenvectors; the map to the output adds, frozen.

    Attributes:
        inner: the family of the other maps.

    Example:
        >>> import jax
        >>> family = student_layer()
        >>> family.kernel(family.init(jax.random.key(0), 3, 1)).tolist()
        [[1.0, 1.0, 1.0]]
    """

    inner: Spectral

    def init(
        self, key: Any, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> SpectralParams:
        """Draw the family inside; the map to the output gets ones."""
        params = self.inner.init(key, fan_in, fan_out, modes)
        if not _adds(params):
            return params
        mask = fan_in.mask if isinstance(fan_in, Extent) else jnp.full(fan_in, True)
        return params._replace(lambda_out=-jnp.ones_like(params.lambda_out), phi=jnp.where(mask, 1.0, 0.0)[None, :])

    def kernel(self, params: SpectralParams) -> Any:
        """Return the kernel of the family inside."""
        return self.inner.kernel(params)

    def apply(self, params: SpectralParams, x: Any) -> Any:
        """Apply the family inside."""
        return self.inner.apply(params, x)

    def trainable(self, params: SpectralParams) -> SpectralParams:
        """Mark what the family inside trains, and nothing of the map to the output."""
        chosen = self.inner.trainable(params)
        return chosen._replace(lambda_out=False, phi=False) if _adds(params) else chosen  # pyright: ignore

    def penalty(self, params: SpectralParams) -> Any:
        """Return the penalty of the family inside; none for the map to the output."""
        return jnp.zeros(()) if _adds(params) else self.inner.penalty(params)


def _adds(params: SpectralParams) -> bool:
    return params.lambda_out.shape[-1] == 1


def student_layer(**options: Any) -> Student:
    """Return the family of a student.

    Args:
        options: of `modejax.layers.Spectral`.

    Returns:
        The family, for a sweep.
    """
    return Student(Spectral("single_set", eigenvectors="trained", start="tools", use_bias=False, **options))


def settings(quick: bool, seeds: int) -> SweepConfig:
    """Return what the sweeps of the study share."""
    size: dict[str, Any] = (
        {"widths": (10, 20, 40, 100), "epochs": 120} if quick else {"widths": (10, 15, 20, 30, 60, 150)}
    )
    return SweepConfig(
        **{
            "layer": "spectral",
            "depth": 1,
            "epochs": 1000,
            "batch_size": 300,
            "weight_decays": (0.0,),
            "penalty": "loss",
            "baseline": "none",
            "buckets": "one",
            "seeds": seeds,
        }
        | size
    )


def measure(shared: SweepConfig, report: Callable[[str], None] = print) -> list[Row]:
    """Train all students, one sweep over widths a family, and drop their nodes one after another.

    Args:
        shared: widths, seeds, epochs.
        report: told what is done.

    Returns:
        One row a student and number of nodes left.
    """
    from modejax.runs import perform
    from modejax.sweep.spec import Custom

    dataset = teacher_data()
    variance = float(np.var(dataset.y_test))
    most = max(shared.widths)
    # Half a node beside each share, so that a percentile lies between two scores: k nodes go at (k - 1/2) / (N - 1).
    dropped = {
        width: {k: 0.0 if k == 0 else 100 * (k - 0.5) / (width - 1) for k in range(width)} for width in shared.widths
    }
    percentiles = sorted({p for each in dropped.values() for p in each.values()})
    rows = []
    for family in FAMILIES:
        config = dataclasses.replace(
            shared,
            learning_rates=(family.learning_rate,),
            prune=(family.score,),  # pyright: ignore[reportArgumentType]
            percentiles=tuple(percentiles),
        )
        result = perform(config, dataset, custom=Custom(layer=student_layer(**family.options))).first
        curves = 2 * result.pruning_loss.isel(modes=0, learning_rate=0, weight_decay=0, truncation_epoch=-1, score=0)
        for width in shared.widths:
            for seed in shared.seed_numbers:
                for gone, percentile in dropped[width].items():
                    error = float(curves.sel(width=width, seed=seed, percentile=percentile)) / variance
                    rows.append(Row(family.name, width, seed, width - gone, error))
        whole = [row.error for row in rows if row.family == family.name and row.left == row.width == most]
        report(f"{family.name}: error {np.mean(whole):.2e} of the variance at width {most}")
    return rows


def needed(rows: Sequence[Row], family: str, width: int, seed: int, factor: float = 2.0) -> int:
    """Return the fewest nodes with which a student's error is below `factor` times that of the whole student.

    Dropping goes from small scores on and stops where the error first passes the bound.

    Example:
        >>> rows = [Row("a", 3, 0, 3, 0.1), Row("a", 3, 0, 2, 0.15), Row("a", 3, 0, 1, 0.9)]
        >>> needed(rows, "a", 3, 0)
        2
    """
    errors = {row.left: row.error for row in rows if (row.family, row.width, row.seed) == (family, width, seed)}
    left = width
    # Errors below a millionth of the variance are all alike.
    bound = max(factor * errors[width], 1e-6)
    while left - 1 in errors and errors[left - 1] <= bound:
        left -= 1
    return left


def _draw(rows: Sequence[Row], title: str) -> Any:
    from matplotlib.figure import Figure

    from modejax.plots.style import Colours

    widths = sorted({row.width for row in rows})
    colours = Colours(widths, "width of the student")
    figure = Figure(figsize=(10.4, 7.6), layout="constrained")
    panels = figure.subplots(2, 2, sharey=True, sharex=True).ravel()
    for ax, family in zip(panels, FAMILIES, strict=True):
        for width in widths:
            lefts = sorted({row.left for row in rows if row.width == width})
            here = [[r.error for r in rows if (r.family, r.width, r.left) == (family.name, width, n)] for n in lefts]
            logs = [mean_and_sd(np.log10(values)) for values in here]
            mean, sd = map(np.array, zip(*logs, strict=True))
            ax.plot(lefts, 10**mean, color=colours(width), lw=1.5, label=f"width {width}")
            if np.isfinite(sd).all():
                ax.fill_between(lefts, 10 ** (mean - sd), 10 ** (mean + sd), color=colours(width), alpha=0.2, lw=0)
        ax.axvline(TEACHER, color="0.5", lw=1, ls=":")
        ax.set_yscale("log")
        ax.set_xscale("log")
        ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200) if n <= max(widths)]
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.minorticks_off()
        ax.set_title(family.name, fontsize=10)
        ax.set_xlabel("nodes left")
        ax.set_ylabel("test error / variance")
        ax.tick_params(labelleft=True, labelbottom=True)
        ax.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title)
    return figure


def _page(rows: Sequence[Row], config: SweepConfig) -> list[str]:
    def count(family: str, width: int) -> str:
        mean, sd = mean_and_sd([needed(rows, family, width, seed) for seed in config.seed_numbers])
        return f"{mean:.1f}" + (f" +- {sd:.1f}" if np.isfinite(sd) else "")

    def whole(family: str, width: int) -> str:
        values = [r.error for r in rows if (r.family, r.width, r.left) == (family, width, width)]
        return f"{np.exp(np.mean(np.log(values))):.1e}"

    names = [f"width {width}" for width in config.widths]
    return [
        "# Students and a teacher of 20 nodes",
        "",
        f"ReLU teacher {INPUTS}-{TEACHER}-1, outputs added, 10,000 Gaussian examples, squared error, Adam, "
        f"batches of {config.batch_size}, {config.epochs} epochs, {config.seeds} seeds (initial values; one teacher). "
        "Penalties are in the loss: 5e-4 sum lambda^2 and 0.01 sum phi^2 beside the mean squared error.",
        "",
        "Test error of the whole student in units of the targets' variance (geometric mean over seeds):",
        "",
        *markdown_table(["student", *names], [[f.name, *(whole(f.name, w) for w in config.widths)] for f in FAMILIES]),
        "",
        "Fewest nodes with which the error is still below twice that of the whole student, mean +- standard deviation:",
        "",
        *markdown_table(["student", *names], [[f.name, *(count(f.name, w) for w in config.widths)] for f in FAMILIES]),
    ]


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: fewer epochs and smaller students.
        seeds: students of each kind; by default 5.
        report: told what is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed or the folder is a file.
    """
    from modejax.studies.files import check_folder

    shared = settings(quick, check_seeds(seeds, 5))
    folder = check_folder(out)
    rows = measure(shared, report)
    title = f"teacher of {TEACHER} nodes (dotted), {shared.epochs} epochs; geometric mean, sd of {shared.seeds} seeds"
    return write_study(
        folder,
        page=_page(rows, shared),
        rows=[row._asdict() for row in rows],
        config=dataclasses.asdict(shared) | {"families": [family._asdict() for family in FAMILIES]},
        figures={"error": lambda: _draw(rows, title)},
    )
