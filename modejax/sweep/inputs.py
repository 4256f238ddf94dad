"""The inputs of the compiled program on the devices: its members, the data set and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modejax.data import Dataset
from modejax.sweep.arrays import Blocks, Clock, Data, MemberArrays
from modejax.sweep.hosts import place
from modejax.sweep.plan import Plan
from modejax.sweep.program import Program

__all__ = ["device_data", "make_clock", "member_arrays", "seed_words"]


def seed_words(seeds: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the high and the low half of each seed, (seeds, 2) uint32: the data of the key `jax.random.key(seed)`.

    Example:
        >>> seed_words([3, 2**32]).tolist()
        [[0, 3], [1, 0]]
    """
    whole = np.array(seeds, np.uint64)
    return np.stack([whole >> np.uint64(32), whole & np.uint64(2**32 - 1)], axis=-1).astype(np.uint32)


def member_arrays(plan: Plan, program: Program, launch: int = 0) -> list[MemberArrays]:
    """Put the members of a launch on their devices; each bucket is padded with copies of a member."""
    dtype = np.float64 if program.spec.precision == "float64" else np.float32
    placed = []
    for bucket, share in zip(plan.buckets, plan.share(launch), strict=True):
        arm = plan.arms[bucket.arm]
        index = np.append(share, np.full(bucket.capacity - len(share), bucket.members[-1], share.dtype))
        own = {name: values[index] for name, values in arm.members.values.items()}
        numbers = {name: own[name].astype(np.int32 if name == "train_examples" else dtype) for name in arm.spec.numbers}
        arrays: Any = (
            own["width"],
            own["modes"],
            seed_words(own["seed"]),
            (own["seed"] - np.uint64(plan.config.first_seed)).astype(np.int32),
            own["learning_rate"].astype(dtype),
            own["weight_decay"].astype(dtype),
            numbers,
        )
        placed.append(place(MemberArrays(*arrays), program.by_member))
    return placed


def device_data(plan: Plan, dataset: Dataset, program: Program) -> Data:
    """Put a data set on the devices: test set and held-out examples, which the shuffle seed draws, in blocks."""
    spec, config = program.spec, plan.config

    def blocks(x: np.ndarray, y: np.ndarray, count: int) -> Blocks:
        shape = (count, spec.test_rows)
        missing = count * spec.test_rows - len(y)
        return Blocks._make(
            (
                np.pad(x, ((0, missing), (0, 0))).reshape(*shape, spec.features),
                np.pad(y, ((0, missing), *((0, 0),) * (y.ndim - 1))).reshape(*shape, *y.shape[1:]),
                (np.arange(count * spec.test_rows) < len(y)).reshape(shape),
            )
        )

    x, y, held_out = dataset.x_train, dataset.y_train, None
    if spec.held_out:
        order = np.random.Generator(np.random.PCG64(config.shuffle_seed)).permutation(len(y))
        aside, rest = np.sort(order[: spec.held_out]), np.sort(order[spec.held_out :])
        held_out = blocks(x[aside], y[aside], spec.held_out_blocks)
        x, y = x[rest], y[rest]
    seeds = config.seed_numbers
    each = [[config.shuffle_seed, seed] for seed in seeds] if spec.batches == "per_seed" else [[config.shuffle_seed]]
    share = noise = wrong = None
    if spec.uses("train_examples"):
        share = np.stack([_rng(words, 1).permutation(len(y)) for words in each]).astype(np.int32)
    if spec.uses("label_noise"):
        noise = np.stack([_rng(words, 2).random(len(y), np.float32) for words in each])
        wrong = np.stack([_wrong(dataset, y, _rng(words, 3)) for words in each]).astype(spec.label_type)
    tests = blocks(dataset.x_test, dataset.y_test, spec.test_blocks)
    arrays: Any = (x, y, tests, held_out, seed_words(seeds), share, noise, wrong)
    return place(Data(*arrays), program.everywhere)


def _rng(words: Sequence[int], stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([*words, stream]))


def _wrong(dataset: Dataset, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a wrong label for each example, drawn uniformly from the other classes."""
    if dataset.targets == "signs":
        return -y
    return (y + rng.integers(1, dataset.num_classes, len(y))) % dataset.num_classes


def make_clock(plan: Plan, program: Program, first: int, count: int, *, truncate: bool) -> Clock:
    """Put the numbers of a call on the devices: its first epoch (from 0), its epochs, whether curves are due."""
    dtype = np.float64 if program.spec.precision == "float64" else np.float32
    arms = [plan.arms[bucket.arm].arm for bucket in plan.buckets]
    numbers: Any = (
        np.int32(first),
        np.int32(count),
        np.int32(plan.config.epochs),
        np.array([arm.halve_every for arm in arms], np.int32),
        np.array([arm.warm_up for arm in arms], dtype),
        np.bool_(truncate),
        seed_words([plan.config.shuffle_seed])[0],
    )
    return place(Clock(*numbers), program.everywhere)
