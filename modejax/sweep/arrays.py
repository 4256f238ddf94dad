"""What goes into the compiled step and comes out of it, and the static facts that it is compiled for."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from modejax.data import Dataset
from modejax.extent import Extent
from modejax.networks import Network
from modejax.sweep.plan import Plan, bucket_specs
from modejax.sweep.spec import BucketSpec

__all__ = [
    "Blocks",
    "Clock",
    "Data",
    "MemberArrays",
    "ProgramSpec",
    "Records",
    "features_of",
    "float_type",
    "member_network",
    "program_spec",
]


class MemberArrays(NamedTuple):
    """The numbers that make a member of a bucket; all traced, so that other values need no other program."""

    width: Int[Array, " members"]
    modes: Int[Array, " members"]
    seed: Int[Array, " members"]
    learning_rate: Float[Array, " members"]
    weight_decay: Float[Array, " members"]
    sparsity: Float[Array, " members"]


class Blocks(NamedTuple):
    """Examples to evaluate on, in blocks filled up with rows that do not count."""

    x: Array  # (blocks, rows, features), as stored
    y: Array  # (blocks, rows); labels, or real values
    counts: Bool[Array, "blocks rows"]


class Data(NamedTuple):
    """The data set on the device."""

    x_train: Array  # (examples, features), as stored
    y_train: Array  # (examples,); labels, or real values
    test: Blocks
    held_out: Blocks | None  # examples to choose the best epoch by


class Clock(NamedTuple):
    """Where in the run a call stands."""

    first: Int[Array, ""]  # number of the first epoch, from 0
    count: Int[Array, ""]  # epochs to run, at most the length of a chunk
    epochs: Int[Array, ""]  # of the whole run
    halve_every: Int[Array, ""]
    truncate: Bool[Array, ""]  # whether curves are due after the last of these epochs
    key: UInt32[Array, " words"]  # data of the key of the order of examples


class Records(NamedTuple):
    """What a call reports of one bucket; not a number where a member has diverged."""

    train_loss: Float[Array, "epochs members"]  # mean over the epoch's batches, each before its step
    test_loss: Float[Array, "epochs members"]
    test_accuracy: Float[Array, "epochs members"]  # share of 1
    validation: Float[Array, "epochs members"]  # accuracy (loss for real values) before going back; no epochs without
    layer_curves: Float[Array, "members draws maps kept"]  # test accuracy, share of 1
    together_curves: Float[Array, "members draws kept"]
    importance: Float[Array, "members maps modes"]
    mode_weight: Float[Array, "members maps modes"]
    pruning_accuracy: Float[Array, "members scores percentiles"]  # test accuracy, share of 1
    pruning_loss: Float[Array, "members scores percentiles"]
    node_score: Float[Array, "members scores hidden units"]  # of the scores that rank nodes
    best_epoch: Int[Array, " members"]  # from 1; 0 without held-out examples
    healthy: Bool[Array, " members"]


@dataclasses.dataclass(frozen=True)
class ProgramSpec:
    """The static facts of a program; equal specs share one executable."""

    buckets: tuple[BucketSpec, ...]
    targets: str
    scale: float
    train_examples: int
    x_dtype: str
    features: int
    test_blocks: int
    test_rows: int
    test_examples: int
    held_out: int
    batch: int
    steps: int
    chunk: int
    order: str
    cut: str
    draws: int
    kept: tuple[int, ...]
    percentiles: tuple[float, ...]
    prune_draws: int
    mask_after: int
    patience: int
    least_improvement: float
    penalty: str
    optimiser: str
    precision: str
    devices: int

    @property
    def held_out_blocks(self) -> int:
        """Blocks of held-out examples, of as many rows as a test block."""
        return -(-self.held_out // self.test_rows)


def program_spec(plan: Plan, dataset: Dataset) -> ProgramSpec:
    """Return the static facts of the program that runs a plan on a data set."""
    config = plan.config
    return ProgramSpec(
        buckets=bucket_specs(plan.groups, plan.buckets, config.prune, truncated=bool(plan.kept)),
        targets=dataset.targets,
        scale=dataset.scale,
        train_examples=len(dataset.y_train) - plan.held_out,
        x_dtype=str(dataset.x_train.dtype),
        features=dataset.num_features,
        test_blocks=-(-len(dataset.y_test) // plan.evaluation_rows),
        test_rows=plan.evaluation_rows,
        test_examples=len(dataset.y_test),
        held_out=plan.held_out,
        batch=config.batch_size,
        steps=plan.steps_per_epoch,
        chunk=plan.chunk,
        order=config.order,
        cut=config.cut,
        draws=config.draws if config.order == "random" else 1,
        kept=plan.kept,
        percentiles=config.percentiles if config.prune else (),
        prune_draws=config.draws if "random" in config.prune else 1,
        mask_after=config.mask_after,
        patience=config.patience or config.epochs,
        least_improvement=config.least_improvement,
        penalty=config.penalty,
        optimiser=config.optimiser,
        precision=config.precision,
        devices=plan.devices,
    )


def float_type(spec: ProgramSpec) -> Any:
    """Return the type of parameters and records."""
    return jnp.float64 if spec.precision == "float64" else jnp.float32


def member_network(bucket: BucketSpec, member: MemberArrays, rows: int) -> Network:
    """Return the network of one member at the padded sizes of its bucket, for `rows` examples a call."""
    modes = Extent(bucket.modes, member.modes) if bucket.modes else 0
    return bucket.network.build(Extent(bucket.width, member.width), modes, rows, member.sparsity)


def features_of(spec: ProgramSpec, x: Array) -> Float[Array, "rows features"]:
    """Turn stored rows into inputs of the network."""
    return x.astype(float_type(spec)) * spec.scale
