"""A student with more nodes than its teacher: does a penalty on eigenvalues find the teacher's size?

The question of Giambagli et al., "How a student becomes a teacher", NeurIPS 2023, arXiv 2310.12612, on the setting of
the released code: a teacher 10-20-20-1 of ReLU nodes, whose outputs are added, makes real targets from Gaussian inputs.
Its students have N nodes in the first layer, with one set of eigenvalues and trained eigenvectors, a second layer of 20
whose weights are trained without a penalty, and add up its outputs. The loss has a penalty on sum lambda^2 and on
sum phi^2. After training nodes of the first layer go from the smallest |lambda_i| ||phi_i|| on, and the test error is
read against the nodes that are left. Claimed: it stays flat down to 20 nodes, whatever N. Rivals take one part of the
setting away each: the penalty, the eigenvalues, the second layer, the training of outgoing weights, and training time.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from modejax import layers, networks
from modejax.data import Dataset
from modejax.extent import Extent, as_extent
from modejax.layers import Spectral
from modejax.studies.common import check_seeds, pm, write_study
from modejax.studies.spectral_student_report import INPUTS, TEACHER, Row, by_factor, draw, page, students_of
from modejax.sweep.config import SweepConfig

__all__ = ["KINDS", "Adds", "Kind", "dropped_errors", "measure", "run", "student", "teacher_data"]

TEACHERS = 3
"""Teachers that the students as released are shown; the others see the first one."""


class Kind(NamedTuple):
    """One kind of student."""

    name: str
    second: bool = True  # whether it and its teacher have a second layer of 20 nodes
    outgoing: str = "trained"  # or frozen: what the map behind the first layer is
    learning_rate: float = 0.005
    options: tuple[tuple[str, Any], ...] = (("l2_out", 2.5e-4), ("l2_phi", 0.005))
    time: float = 1.0  # share of the epochs


KINDS = (
    Kind("as released"),
    Kind("no penalty", options=()),
    Kind("weights trained directly", learning_rate=0.002, options=(("eigenvalues", "frozen"), ("l2_phi", 0.005))),
    Kind("one layer", second=False),
    Kind("one layer, outgoing frozen", second=False, outgoing="frozen"),
    Kind("a fifth of the epochs", time=0.2),
)
"""The students, most like the source first. Learning rates and penalties (5e-4 and 0.01) are those of the released
code, the penalties halved as is the loss (output - target)^2 / 2 here. Weights trained directly are spectral layers of
which lambda is frozen at 1, so that W = -phi."""


def teacher_data(seed: int = 0, *, second: bool = True, n_train: int = 10_000, n_test: int = 5_000) -> Dataset:
    """Draw inputs and the targets that a fixed teacher 10-20-20-1, or 10-20-1, gives them.

    The teacher's weights are uniform up to sqrt(6 / (fan_in + fan_out)) (Glorot) and frozen, its outputs are added.

    Args:
        seed: chooses the teacher and the inputs.
        second: whether the teacher has a second layer.
        n_train: training examples.
        n_test: test examples.

    Returns:
        The data set; targets are real values.

    Example:
        >>> teacher_data(n_train=100, n_test=50)
        Dataset(teacher: 100 + 50 examples, 10 features float32, values)
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    sizes = [INPUTS, TEACHER, TEACHER][: 3 if second else 2]
    pairs = list(itertools.pairwise(sizes))
    weights = [rng.uniform(-1, 1, (after, before)) * np.sqrt(6 / (before + after)) for before, after in pairs]
    x = rng.standard_normal((n_train + n_test, INPUTS)).astype(np.float32)
    h = x.astype(np.float64)
    for weight in weights:
        h = np.maximum(h @ weight.T, 0)
    y = h.sum(axis=1).astype(np.float32)
    return Dataset(
        x[:n_train],
        y[:n_train],
        x[n_train:],
        y[n_train:],
        num_classes=1,
        name="teacher",
        source=f"ReLU teacher {'-'.join(map(str, sizes))}-1, seed {seed}",
        targets="values",
    )


class AddsParams(NamedTuple):
    """The parameters of `Adds`."""

    weight: Float[Array, "fan_out fan_in"]  # ones, frozen


@dataclasses.dataclass(frozen=True)
class Adds(layers.Family):
    """The map that adds up its inputs; nothing of it is trained.

    Example:
        >>> family = Adds()
        >>> family.kernel(family.init(jax.random.key(0), 3, 1)).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def init(
        self, key: Any, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> AddsParams:
        """Make the ones; key and modes are ignored."""
        del key, modes
        ends = as_extent(fan_out), as_extent(fan_in)
        here = ends[0].mask[:, None] & ends[1].mask[None, :]
        return AddsParams(here.astype(jnp.result_type(float)))

    def kernel(self, params: AddsParams) -> Float[Array, "fan_out fan_in"]:
        """Return the ones."""
        return params.weight

    def trainable(self, params: AddsParams) -> AddsParams:
        """Say that nothing is trained."""
        del params
        return AddsParams(False)  # pyright: ignore[reportArgumentType]


def student(kind: Kind) -> Callable[..., networks.Network]:
    """Return the factory of students of a kind, for a sweep.

    Args:
        kind: the kind.

    Returns:
        A function of the width.

    Example:
        >>> student(KINDS[0])(60).num_parameters(), student(KINDS[4])(60).num_parameters()
        (1860, 660)
    """
    trained = {"eigenvectors": "trained", "start": "tools", "use_bias": False}
    first = Spectral("single_set", **{**trained, **dict(kind.options)})  # pyright: ignore[reportArgumentType]
    plain = Spectral("single_set", eigenvalues="frozen", **trained)  # pyright: ignore[reportArgumentType]

    def build(width: int | Extent) -> networks.Network:
        if kind.second:
            return networks.mlp([INPUTS, width, TEACHER, 1], [first, plain, Adds()])
        return networks.mlp([INPUTS, width, 1], [first, plain if kind.outgoing == "trained" else Adds()])

    return build


@jax.jit
def dropped_errors(
    kernels: Sequence[Float[Array, "fan_out fan_in"]],
    scores: Float[Array, " nodes"],
    x: Float[Array, "rows inputs"],
    y: Float[Array, " rows"],
) -> Float[Array, " nodes"]:
    """Return the mean squared error with the k nodes of smallest score gone, for k = 0, 1, ... nodes - 1.

    Args:
        kernels: the weights of a ReLU network, first map first; the last one has no ReLU behind it.
        scores: one a node of the first hidden layer.
        x: inputs.
        y: targets.

    Returns:
        The errors.

    Example:
        >>> eye = jnp.eye(2)
        >>> dropped_errors([eye, jnp.ones((1, 2))], jnp.array([1.0, 2.0]), eye, jnp.ones(2)).tolist()
        [0.0, 0.5]
    """
    rank = jnp.argsort(jnp.argsort(scores, stable=True), stable=True)
    hidden = jax.nn.relu(x @ kernels[0].T)

    def error(gone: Array) -> Array:
        h = jnp.where((rank >= gone)[None, :], hidden, 0)
        for index, kernel in enumerate(kernels[1:], start=2):
            h = h @ kernel.T
            h = jax.nn.relu(h) if index < len(kernels) else h
        return jnp.mean((h[:, 0] - y) ** 2)

    return jax.lax.map(error, jnp.arange(len(scores)))


def settings(quick: bool, seeds: int) -> SweepConfig:
    """Return what the sweeps of the study share."""
    size: dict[str, Any] = {"widths": (25, 40), "epochs": 60} if quick else {"widths": (30, 60, 200), "epochs": 2000}
    fields: dict[str, Any] = {
        "batch_size": 300,
        "weight_decays": (0.0,),
        "penalty": "loss",
        "baseline": "none",
        "seeds": seeds,
    }
    return SweepConfig(**fields, **size)


def measure(kind: Kind, shared: SweepConfig, teacher: int = 0) -> list[Row]:
    """Train the students of a kind as one sweep over widths, and drop their nodes one after another.

    Args:
        kind: the kind.
        shared: widths, seeds, epochs.
        teacher: the seed of the teacher.

    Returns:
        One row a student and number of nodes left.
    """
    from modejax.runs import perform
    from modejax.sweep.spec import Custom

    dataset = teacher_data(teacher, second=kind.second)
    config = dataclasses.replace(
        shared, learning_rates=(kind.learning_rate,), epochs=max(1, round(kind.time * shared.epochs))
    )
    run = perform(config, dataset, custom=Custom(network=student(kind)))
    x, y = jnp.asarray(dataset.x_test), jnp.asarray(dataset.y_test, jnp.float32)
    rows = []
    for trained in run.networks():
        first = trained.params[0]
        scores = jnp.abs(first.lambda_out) * jnp.linalg.norm(first.phi, axis=1)
        kernels = [jnp.asarray(each) for each in trained.network.kernels(trained.params)]
        errors = np.asarray(dropped_errors(kernels, scores, x, y)) / float(np.var(dataset.y_test))
        rows += [
            Row(kind.name, teacher, trained.width, trained.seed, trained.width - gone, float(error))
            for gone, error in enumerate(errors)
        ]
    return rows


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: fewer epochs and smaller students of the first two kinds and one teacher.
        seeds: students of each kind; by default 5.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed or the folder is a file.
    """
    from modejax.studies.files import check_folder

    shared = settings(quick, check_seeds(seeds, 5))
    folder = check_folder(out)
    rows: list[Row] = []
    asked = [(kind, 0) for kind in KINDS] + [(KINDS[0], teacher) for teacher in range(1, TEACHERS)]
    for kind, teacher in asked[:2] if quick else asked:
        rows += measure(kind, shared, teacher)
        counts = [pm([by_factor(e) for e in students_of(rows, kind.name, n, teacher)]) for n in shared.widths]
        report(f"{kind.name}, teacher {teacher}: {', '.join(counts)} nodes of {', '.join(map(str, shared.widths))}")
    names = [kind.name for kind in KINDS]
    title = f"teacher of {TEACHER} nodes (dotted), {shared.epochs} epochs; mean and range of {shared.seeds} seeds"
    return write_study(
        folder,
        page=page(rows, names, shared),
        rows=[row._asdict() for row in rows],
        config=dataclasses.asdict(shared) | {"kinds": [kind._asdict() for kind in KINDS]},
        figures={"error": lambda: draw(rows, names, title)},
    )
