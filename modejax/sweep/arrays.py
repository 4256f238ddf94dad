"""Inputs and outputs of the compiled step, and the static facts for which it is compiled."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from modejax.data import Dataset
from modejax.extent import Extent
from modejax.networks.base import Network
from modejax.sweep.plan import Plan
from modejax.sweep.spec import BucketSpec
from modejax.training.loss import LOSSES, Loss

__all__ = [
    "Blocks",
    "Clock",
    "Data",
    "MemberArrays",
    "ProgramSpec",
    "Records",
    "features_of",
    "float_type",
    "loss_of",
    "member_network",
    "program_spec",
]


class MemberArrays(NamedTuple):
    """The numbers that distinguish the members of a bucket; all are traced, so that new values need no compilation."""

    width: Int[Array, " members"]
    modes: Int[Array, " members"]
    seed: UInt32[Array, "members words"]  # high and low half of the seed
    seed_index: Int[Array, " members"]  # its index among the seeds of the sweep
    learning_rate: Float[Array, " members"]
    weight_decay: Float[Array, " members"]
    numbers: dict[str, Array]  # (members,) each: the further axes of the arm by name

    @property
    def key(self) -> PRNGKeyArray:
        """The key for one member's initial values, equal to `jax.random.key(seed)`; to be used under vmap."""
        return jax.random.wrap_key_data(self.seed, impl="threefry2x32")


class Blocks(NamedTuple):
    """Examples for evaluation, in blocks; the last block is padded with rows that do not count."""

    x: Array  # (blocks, rows, features), as stored
    y: Array  # (blocks, rows, ...); labels, or real values
    counts: Bool[Array, "blocks rows"]


class Data(NamedTuple):
    """The data set on the device."""

    x_train: Array  # (examples, features), as stored
    y_train: Array  # (examples, ...); labels, or real values
    test: Blocks
    held_out: Blocks | None  # examples to choose the best epoch by
    seeds: UInt32[Array, "seeds words"]  # high and low half of each seed of the sweep
    share: Int[Array, "orders examples"] | None  # the first n of an order are the share of n training examples
    noise: Float[Array, "orders examples"] | None  # a label is replaced where this is below the member's noise
    wrong: Array | None  # (orders, examples): what it is replaced by


class Clock(NamedTuple):
    """The position of a call in the run."""

    first: Int[Array, ""]  # number of the first epoch, from 0
    count: Int[Array, ""]  # epochs to run, at most the length of a chunk
    epochs: Int[Array, ""]  # of the whole run
    halve_every: Int[Array, " buckets"]  # of each bucket's arm
    warm_up: Float[Array, " buckets"]  # likewise
    truncate: Bool[Array, ""]  # whether curves are due after the last of these epochs
    key: UInt32[Array, " words"]  # data of the key of the order of examples


class Records(NamedTuple):
    """What a call reports of one bucket; NaN for members that have diverged."""

    train_loss: Float[Array, "epochs members"]  # mean over the epoch's batches, each before its step
    test_loss: Float[Array, "epochs members"]
    test_accuracy: Float[Array, "epochs members"]  # share of 1
    validation: Float[
        Array, "epochs members"
    ]  # accuracy, or loss for real-valued targets; no epochs without held-out data
    layer_curves: Float[Array, "members draws maps kept"]  # test accuracy, share of 1, or mean loss
    together_curves: Float[Array, "members draws kept"]
    importance: Float[Array, "members maps modes"]
    mode_weight: Float[Array, "members maps modes"]
    # Scopes of a percentile: all hidden layers together, and with prune_by_layer also each layer separately.
    pruning_accuracy: Float[Array, "members scopes scores percentiles"]  # test accuracy, share of 1
    pruning_loss: Float[Array, "members scopes scores percentiles"]
    node_score: Float[Array, "members scores hidden units"]  # of the scores that rank nodes
    best_epoch: Int[Array, " members"]  # from 1; 0 without held-out examples
    healthy: Bool[Array, " members"]


@dataclasses.dataclass(frozen=True)
class ProgramSpec:
    """The static facts of a program; equal specs share one executable."""

    buckets: tuple[BucketSpec, ...]
    loss: Loss
    label_type: str
    label_shape: tuple[int, ...]
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
    percentiles: tuple[float, ...]
    prune_draws: int
    prune_by_layer: bool
    patience: int
    least_improvement: float
    precision: str
    devices: int
    seeds: int
    batches: str

    @property
    def held_out_blocks(self) -> int:
        """Number of blocks of held-out examples, of as many rows as a test block."""
        return -(-self.held_out // self.test_rows)

    @property
    def orders(self) -> int:
        """Number of orders of the examples: one for each seed, or one that all members share."""
        return self.seeds if self.batches == "per_seed" else 1

    def uses(self, axis: str) -> bool:
        """Say whether an arm has an axis."""
        return any(axis in bucket.arm.numbers for bucket in self.buckets)


def loss_of(plan: Plan, dataset: Dataset) -> Loss:
    """Return the loss of a sweep: a custom one, or the default for the kind of targets."""
    return LOSSES[dataset.targets] if plan.custom.loss is None else plan.custom.loss


def program_spec(plan: Plan, dataset: Dataset) -> ProgramSpec:
    """Return the static facts of the program that runs a plan on a data set."""
    config = plan.config
    return ProgramSpec(
        buckets=plan.bucket_specs,
        loss=loss_of(plan, dataset),
        label_type="float32" if dataset.targets == "values" else "int32",
        label_shape=dataset.y_train.shape[1:],
        scale=dataset.scale,
        train_examples=len(dataset.y_train) - plan.held_out,
        x_dtype=str(dataset.x_train.dtype),
        features=dataset.num_features,
        test_blocks=plan.test_blocks,
        test_rows=plan.evaluation_rows,
        test_examples=len(dataset.y_test),
        held_out=plan.held_out,
        batch=config.batch_size,
        steps=plan.steps_per_epoch,
        chunk=plan.chunk,
        order=config.order,
        cut=config.cut,
        draws=config.draws if config.order == "random" else 1,
        percentiles=config.percentiles if config.prune else (),
        prune_draws=config.draws if "random" in config.prune else 1,
        prune_by_layer=config.prune_by_layer,
        patience=config.patience or config.epochs,
        least_improvement=config.least_improvement,
        precision=config.precision,
        devices=plan.devices,
        seeds=config.seeds,
        batches=config.batches,
    )


def float_type(spec: ProgramSpec) -> Any:
    """Return the type of parameters and records."""
    return jnp.float64 if spec.precision == "float64" else jnp.float32


def member_network(bucket: BucketSpec, member: MemberArrays) -> Network:
    """Return the network of one member at the padded sizes of its bucket."""
    modes = Extent(bucket.modes, member.modes) if bucket.modes else 0
    numbers = {name: member.numbers[name] for name in bucket.arm.to_network}
    return bucket.arm.network.build(Extent(bucket.width, member.width) if bucket.width else 0, modes, **numbers)


def features_of(spec: ProgramSpec, x: Array) -> Float[Array, "rows features"]:
    """Turn stored rows into inputs of the network."""
    return x.astype(float_type(spec)) * spec.scale
