"""The measurements of all members of a sweep, kept on the host and filled call by call."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modejax.sweep.arrays import Records
from modejax.sweep.cost import longest_modes
from modejax.sweep.plan import Plan

__all__ = ["ArmRecord", "empty_records", "part_of", "rows_of", "take"]


class ArmRecord(NamedTuple):
    """The measurements of one arm, with members in the order of its grid."""

    train_loss: np.ndarray  # (members, epochs)
    test_loss: np.ndarray  # (members, epochs)
    test_accuracy: np.ndarray  # (members, epochs)
    validation: np.ndarray  # (members, epochs): accuracy, or loss for real values; no epochs without held-out data
    layer_curves: np.ndarray  # (members, truncation_epochs, draws, maps, kept)
    together_curves: np.ndarray  # (members, truncation_epochs, draws, kept)
    importance: np.ndarray  # (members, truncation_epochs, maps, modes)
    mode_weight: np.ndarray  # (members, truncation_epochs, maps, modes)
    pruning_accuracy: np.ndarray  # (members, truncation_epochs, scopes of a percentile, scores, percentiles)
    pruning_loss: np.ndarray  # (members, truncation_epochs, scopes of a percentile, scores, percentiles)
    node_score: np.ndarray  # (members, truncation_epochs, scores that rank nodes, hidden layers, nodes)
    best_epoch: np.ndarray  # (members,)
    healthy: np.ndarray  # (members,)


def empty_records(plan: Plan) -> list[ArmRecord]:
    """Return records of all arms in which nothing has been measured yet."""
    found, config = [], plan.config
    dtype = np.float64 if config.precision == "float64" else np.float32
    ends, draws = len(plan.truncation_epochs), config.draws if config.order == "random" else 1

    def nan(*shape: int) -> np.ndarray:
        return np.full(shape, np.nan, dtype)

    for arm in plan.arms:
        members, epochs, spec = len(arm.members), config.epochs, arm.spec
        cuts, shape, ranks = (0, 0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)
        if spec.kept:
            size = max(arm.arm.widths), max(arm.arm.modes or (0,))
            network = spec.network.build(*size, **dict(spec.example_numbers))
            most = longest_modes(spec.network, *size, spec.example_numbers)
            cuts = (ends, draws, len(network.map_names), len(spec.kept), most)
        if spec.pruned:
            shape = (ends, 2 if config.prune_by_layer else 1, len(spec.pruned), len(config.percentiles))
            ranking = [name for name in spec.pruned if name not in ("random", "weights")] if spec.ranked else []
            ranks = (ends, len(ranking), arm.arm.depth, max(arm.arm.widths))
        found.append(
            ArmRecord(
                nan(members, epochs),
                nan(members, epochs),
                nan(members, epochs),
                nan(members, epochs if plan.held_out else 0),
                nan(members, *cuts[:4]),
                nan(members, *cuts[:2], cuts[3]),
                nan(members, cuts[0], cuts[2], cuts[4]),
                nan(members, cuts[0], cuts[2], cuts[4]),
                nan(members, *shape),
                nan(members, *shape),
                nan(members, *ranks),
                np.zeros(members, np.int32),
                np.ones(members, bool),
            )
        )
    return found


def take(
    records: list[ArmRecord], plan: Plan, launch: int, call: tuple[int, int, bool], reported: list[Records]
) -> None:
    """Write the values that a call reported into the records, each member at its index in the grid."""
    first, count, truncated = call
    for bucket, members, report in zip(plan.buckets, plan.share(launch), reported, strict=True):
        record, here, spec = records[bucket.arm], slice(0, len(members)), plan.arms[bucket.arm].spec
        names = ("train_loss", "test_loss", "test_accuracy", *(("validation",) if plan.held_out else ()))
        for name in names:
            getattr(record, name)[members, first : first + count] = getattr(report, name)[:count, here].T
        record.healthy[members] = report.healthy[here]
        record.best_epoch[members] = report.best_epoch[here]
        if not truncated:
            continue
        end = plan.truncation_epochs.index(first + count)
        if spec.pruned:
            for name in ("pruning_accuracy", "pruning_loss"):
                getattr(record, name)[members, end] = getattr(report, name)[here]
            record.node_score[members, end, ..., : report.node_score.shape[-1]] = report.node_score[here]
        if spec.kept:
            record.layer_curves[members, end] = report.layer_curves[here]
            record.together_curves[members, end] = report.together_curves[here]
            modes = report.importance.shape[-1]
            record.importance[members, end, :, :modes] = report.importance[here]
            record.mode_weight[members, end, :, :modes] = report.mode_weight[here]


def rows_of(plan: Plan, launch: int) -> list[np.ndarray]:
    """Return the indices of the members of each arm that run in a launch."""
    shares = list(zip(plan.buckets, plan.share(launch), strict=True))
    return [
        np.sort(np.concatenate([share for bucket, share in shares if bucket.arm == index]))
        for index in range(len(plan.arms))
    ]


def part_of(records: list[ArmRecord], rows: list[np.ndarray]) -> list[ArmRecord]:
    """Return the records of some members of each arm, given by their indices as in `rows_of`."""
    pairs = zip(records, rows, strict=True)
    return [ArmRecord._make(values[members] for values in record) for record, members in pairs]
