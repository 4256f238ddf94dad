"""Compare checkpoints of one training run layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modejax.errors import InputError
from modejax.interpolation.maps import hidden_units
from modejax.interpolation.points import check_targets
from modejax.interpolation.report import FIELDS, layer_reports, layer_shift
from modejax.networks import Network, Params

__all__ = ["CHECKPOINT_FIELDS", "checkpoint_reports"]

CHECKPOINT_FIELDS = ("checkpoint", *FIELDS, "step_flips", "step_move")
"""The fields of a record: flips and move are against the first checkpoint; step_flips, step_move and transition
(classes, "X>L") against the one before (not a number, and "", at the first)."""


def checkpoint_reports(
    network: Network,
    checkpoints: Sequence[Params],
    X: np.ndarray,
    Y: np.ndarray,
    y: np.ndarray | None = None,
    *,
    limit: int = 1000,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> list[list[dict[str, Any]]]:
    """Report on one network at several times of its training, in one batch.

    Args:
        network: the network.
        checkpoints: its parameters at each time, in order, beginning with the initial ones.
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs).
        y: labels 0..K-1, see `layer_reports`.
        limit: largest number of points, the same points at all times.
        tolerance: rho below which targets count as fitted.
        seed: seed of the subsample.

    Returns:
        For each checkpoint one record (keys `CHECKPOINT_FIELDS`) per hidden layer.

    Raises:
        InputError: no checkpoint, or see `layer_reports`.

    Example:
        >>> from modejax.interpolation.hinge import build_hinge
        >>> X, Y = np.array([[0.0], [1.0], [3.0]]), np.array([[1.0], [0.0], [5.0]])
        >>> network, params = build_hinge(X, Y, np.ones(1))
        >>> found = checkpoint_reports(network, [params, params], X, Y)
        >>> [(r["transition"], r["flips"]) for (r,) in found]
        [('', 0.0), ('T>T', 0.0)]
    """
    if not checkpoints:
        raise InputError("there is no checkpoint; allowed: one or more, the start first")
    X, Y = check_targets(X, Y)
    rows = np.sort(np.random.default_rng(seed).permutation(len(X))[:limit])
    X, Y, y = X[rows], Y[rows], None if y is None else np.asarray(y)[rows]
    reports = layer_reports([(network, p) for p in checkpoints], X, Y, y, limit=limit, tolerance=tolerance)
    layers = [[units.Z for units in hidden_units(network, p, X)[0]] for p in checkpoints]
    found = []
    for time, records in enumerate(reports):
        own = []
        for k, record in enumerate(records):
            flips, move = layer_shift(layers[0][k], layers[time][k])
            step = (float("nan"), float("nan"))
            changed = ""
            if time:
                step = layer_shift(layers[time - 1][k], layers[time][k])
                changed = f"{reports[time - 1][k]['class']}>{record['class']}"
            more = {"flips": flips, "move": move, "transition": changed}
            own.append({"checkpoint": time, **record, **more, "step_flips": step[0], "step_move": step[1]})
        found.append(own)
    return found
