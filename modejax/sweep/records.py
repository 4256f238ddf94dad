"""What a sweep keeps on the host of all its members, filled call by call."""

from __future__ import annotations

import jax
import numpy as np

from modejax.sweep.arrays import Records
from modejax.sweep.plan import Plan
from modejax.sweep.result import GroupRecord

__all__ = ["empty_records", "part_of", "rows_of", "take"]


def empty_records(plan: Plan) -> list[GroupRecord]:
    """Return records of all groups in which nothing has been measured yet."""
    found, config = [], plan.config
    for index, group in enumerate(plan.groups):
        members, epochs = len(group.members), config.epochs
        cuts = (0, 0, 0, 0, 0)
        if index == 0 and plan.kept:
            draws = plan.config.draws if plan.config.order == "random" else 1
            cuts = (len(plan.truncation_epochs), draws, plan.config.depth + 1, len(plan.kept), _most_modes(plan))
        ends, draws, maps, kept, modes = cuts
        shape, ranks = (0, 0, 0), (0, 0, 0, 0)
        if config.prune:
            shape = (len(plan.truncation_epochs), len(config.prune), len(config.percentiles))
            ranks = (shape[0], len(_scores(plan, index, ranked=True)), config.depth, int(group.members.width.max()))
        dtype = np.float64 if plan.config.precision == "float64" else np.float32

        def nan(*shape: int, dtype: type = dtype) -> np.ndarray:
            return np.full(shape, np.nan, dtype)

        found.append(
            GroupRecord(
                nan(members, epochs),
                nan(members, epochs),
                nan(members, epochs),
                nan(members, epochs if plan.held_out else 0),
                nan(members, ends, draws, maps, kept),
                nan(members, ends, draws, kept),
                nan(members, ends, maps, modes),
                nan(members, ends, maps, modes),
                nan(members, *shape),
                nan(members, *shape),
                nan(members, *ranks),
                np.zeros(members, np.int32),
                np.ones(members, bool),
            )
        )
    return found


def _scores(plan: Plan, group: int, *, ranked: bool = False) -> list[int]:
    """Return which scores of the config are taken of a group, or (`ranked`) recorded node by node."""
    left_out = {"random", "weights"} if ranked else set()
    # The baseline has no eigenvalues.
    left_out |= {"eigenvalue", "eigenvector"} if group else set()
    if ranked and group:
        return []
    return [index for index, name in enumerate(plan.config.prune) if name not in left_out]


def _most_modes(plan: Plan) -> int:
    """Return the largest number of modes that a map of the sweep's own networks has, padding included."""
    most = 0
    for bucket in plan.buckets:
        if bucket.group == 0:
            network = plan.groups[0].spec.build(bucket.width, bucket.modes, 1)
            shapes = jax.eval_shape(lambda network=network: network.modes(network.init(jax.random.key(0))))
            most = max([most, *(each.weight.shape[0] for each in shapes if each is not None)])
    return most


def take(
    records: list[GroupRecord], plan: Plan, launch: int, call: tuple[int, int, bool], reported: list[Records]
) -> None:
    """Write what a call reported into the records, each member at its place in the grid."""
    first, count, truncated = call
    for bucket, members, report in zip(plan.buckets, plan.share(launch), reported, strict=True):
        record, here = records[bucket.group], slice(0, len(members))
        names = ("train_loss", "test_loss", "test_accuracy", *(("validation",) if plan.held_out else ()))
        for name in names:
            getattr(record, name)[members, first : first + count] = getattr(report, name)[:count, here].T
        record.healthy[members] = report.healthy[here]
        record.best_epoch[members] = report.best_epoch[here]
        if not truncated:
            continue
        end = plan.truncation_epochs.index(first + count)
        if _scores(plan, bucket.group):
            for name in ("pruning_accuracy", "pruning_loss"):
                getattr(record, name)[members[:, None], end, _scores(plan, bucket.group)] = getattr(report, name)[here]
            record.node_score[members, end, ..., : report.node_score.shape[-1]] = report.node_score[here]
        if plan.kept and bucket.group == 0:
            record.layer_curves[members, end] = report.layer_curves[here]
            record.together_curves[members, end] = report.together_curves[here]
            modes = report.importance.shape[-1]
            record.importance[members, end, :, :modes] = report.importance[here]
            record.mode_weight[members, end, :, :modes] = report.mode_weight[here]


def rows_of(plan: Plan, launch: int) -> list[np.ndarray]:
    """Return the members of each group that run in a launch."""
    shares = list(zip(plan.buckets, plan.share(launch), strict=True))
    return [
        np.sort(np.concatenate([share for bucket, share in shares if bucket.group == index]))
        for index in range(len(plan.groups))
    ]


def part_of(records: list[GroupRecord], rows: list[np.ndarray]) -> list[GroupRecord]:
    """Return the records of some members of each group, as `rows_of` names them."""
    pairs = zip(records, rows, strict=True)
    return [GroupRecord._make(values[members] for values in record) for record, members in pairs]
