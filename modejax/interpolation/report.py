"""Diagnose a trained ReLU network layer by layer: one flat record per hidden layer.

Forward passes and counts run on the device in float64, with all members of one shape in one program. Singular values
stay on the host: batched LAPACK calls in one CPU program can hang (jax 0.10.1), and ranks at 1e-10 need float64 and no
Gram matrices. Matchings and peeling are host work by nature.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from threadpoolctl import threadpool_limits

from modejax.errors import InputError
from modejax.interpolation.classes import class_from, classify
from modejax.interpolation.maps import affine_maps, lifted, outputs
from modejax.interpolation.matrices import CUTS, interp_matrix, rho, spectrum
from modejax.interpolation.patterns import linear_regions, sprank, tri_rank
from modejax.interpolation.points import _groups, check_targets, one_hot
from modejax.interpolation.redundancy import find_redundancy
from modejax.networks import Chain, Network, Params

__all__ = ["FIELDS", "Loss", "layer_report", "layer_reports", "layer_shift", "loss_split"]

FIELDS = (
    "layer",
    "n",
    "m",
    *(f"rank_{cut:.0e}" for cut in CUTS),
    "cond",
    "eff_rank",
    "alpha",
    "dead_units",
    "sat_units",
    "dead_rows",
    "rows_A",
    "rows_Phi",
    "tau",
    "sprank",
    "blocks",
    "class",
    "triangular",
    "redundancy",
    "rho",
    "beta",
    "margin",
    "flips",
    "move",
    "transition",
    "loss_feat",
    "loss_readout",
)
"""The fields of a record. Ranks, cond (s_1 / s_r), eff_rank, tau, sprank and blocks are of [Phi, 1]; alpha is the
share of active entries; rho the share of the targets that no readout of the layer fits; beta the off-block energy;
margin min |Z|; redundancy the types present ("o1+o2", see `find_redundancy`); flips, move and transition (classes,
"X>L") are against the parameters at the start; the loss (sum of squares) is split on the last layer only."""


class Loss(NamedTuple):
    """||Y - out||^2 = features + readout, exactly."""

    features: float  # ||(I - Pi) Y||^2: what no readout of the last layer fits
    readout: float  # ||Pi Y - out||^2: what a better readout would gain


def loss_split(Phi: np.ndarray, Y: np.ndarray, out: np.ndarray, cut: float = 1e-10) -> Loss:
    """Split the sum of squares of a network with an affine readout into features and readout parts (Pythagoras).

    Args:
        Phi: last hidden activations, shape (rows, units).
        Y: targets, shape (rows, outputs).
        out: outputs, shape (rows, outputs), in the span of [Phi, 1].
        cut: the cut of the numerical rank.

    Returns:
        Both parts.

    Example:
        >>> loss_split(np.array([[1.0], [1.0]]), np.array([[0.0], [2.0]]), np.array([[3.0], [3.0]]))
        Loss(features=2.0, readout=8.0)
    """
    Y = np.asarray(Y, np.float64)
    left = spectrum(interp_matrix(Phi))
    basis = left.left[:, : int((left.values > cut * left.values[0]).sum())]
    fitted = basis @ (basis.T @ Y)
    parts = [float(np.round(((a - b) ** 2).sum(), 14)) for a, b in ((Y, fitted), (fitted, out))]
    return Loss(*parts)


def layer_shift(before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """Return the share of flipped entries of A and ||Phi' - Phi|| / ||Phi|| between two pre-activations of a layer.

    Example:
        >>> layer_shift(np.array([[3.0, -1.0]]), np.array([[3.0, 3.0]]))
        (0.5, 1.0)
    """
    old = np.maximum(before, 0.0)
    size = float(np.linalg.norm(old))
    move = float(np.linalg.norm(np.maximum(now, 0.0) - old)) / size if size else float("nan")
    return float(((before > 0) != (now > 0)).mean()), move


class _Counts(NamedTuple):
    """What is counted of one layer on the device, members leading."""

    alpha: Array
    dead_units: Array
    sat_units: Array
    dead_rows: Array
    beta: Array
    margin: Array
    Z: Array
    A: Array


@jax.jit
def _pass(maps: list[tuple[Array, Array]], X: Array, H: Array) -> tuple[list[_Counts], Array]:
    """Run members (leading axis of maps and X) through their hidden layers; one program for all of one shape."""

    def member(maps: list[tuple[Array, Array]], h: Array, H: Array) -> tuple[list[_Counts], Array]:
        found = []
        for W, b in maps[:-1]:
            Z = h @ W + b[None, :]
            tol = 64 * jnp.finfo(Z.dtype).eps * jnp.max(jnp.abs(Z))
            A, h = tol < Z, jnp.maximum(Z, 0)
            energy = H.T @ (h * h)
            total = jnp.sum(energy)
            off = jnp.sum(jnp.sum(energy, axis=0) - jnp.max(energy, axis=0))
            beta = jnp.where(total > 0, off / jnp.where(total > 0, total, 1), 0)
            per_unit, per_row = jnp.sum(A, axis=0), jnp.sum(A, axis=1)
            found.append(
                _Counts(
                    jnp.mean(A.astype(Z.dtype)),
                    jnp.sum(per_unit == 0),
                    jnp.sum(per_unit == len(A)),
                    jnp.sum(per_row == 0),
                    beta,
                    jnp.min(jnp.abs(Z)),
                    Z,
                    A,
                )
            )
        return found, h @ maps[-1][0] + maps[-1][1][None, :]

    return jax.vmap(member)(maps, X, H)


Member = tuple[Network, Params]


def _prepared(
    network: Network, params: Params, X: np.ndarray
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    maps = affine_maps(network, params)
    if len(maps) < 2:
        raise InputError("the network has no hidden layer; allowed: at least one")
    assert isinstance(network, Chain)
    if network.units[0].capacity != X.shape[1]:
        raise InputError(f"X has {X.shape[1]} columns and the network {network.units[0].capacity} inputs")
    return maps, X if len(maps[0][0]) == X.shape[1] else lifted(X, params[0])


def layer_reports(
    members: Sequence[Member],
    X: np.ndarray | Sequence[np.ndarray],
    Y: np.ndarray | Sequence[np.ndarray],
    y: np.ndarray | Sequence[np.ndarray] | None = None,
    *,
    starts: Sequence[Params] | None = None,
    limit: int = 1000,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> list[list[dict[str, Any]]]:
    """Report on many networks; those of one shape pass through the device together.

    Args:
        members: networks and parameters.
        X: points of all members (rows, features), or a list with the points of each.
        Y: targets likewise, (rows, outputs).
        y: labels 0..K-1 likewise, for beta; None omits beta (NaN) except for one-hot targets.
        starts: parameters at the start of training, for flips, move and transition.
        limit: largest number of points; more are subsampled (the same rows for all members).
        tolerance: rho below which targets count as fitted.
        seed: seed of the subsample.

    Returns:
        For each member one record (keys `FIELDS`) per hidden layer.

    Raises:
        InputError: bad arrays, networks without hidden layers, or layers that are not affine maps with ReLU.
    """
    shared = not isinstance(X, list | tuple)
    Xs: list[Any] = [X] * len(members) if shared else list(X)
    Ys: list[Any] = [Y] * len(members) if not isinstance(Y, list | tuple) else list(Y)
    ys: list[Any] = [y] * len(members) if not isinstance(y, list | tuple) else list(y)
    jobs: dict[Any, list[int]] = {}
    inputs: list[Any] = []
    for index, (network, params) in enumerate(members):
        own_X, own_Y = check_targets(Xs[index], Ys[index])
        rows = np.sort(np.random.default_rng(seed).permutation(len(own_X))[:limit])
        own_X, own_Y = own_X[rows], own_Y[rows]
        maps, h = _prepared(network, params, own_X)
        if not _is_relu(network, params):
            raise InputError("the network's activation is not ReLU; allowed: ReLU, whose zeros the reports count")
        labels = None if ys[index] is None else np.asarray(ys[index])[rows]
        if labels is None and set(np.unique(own_Y)) <= {0.0, 1.0} and (own_Y.sum(axis=1) == 1).all():
            labels = own_Y.argmax(axis=1)
        begin = None if starts is None else _prepared(network, starts[index], own_X)
        K = 1 if labels is None else int(labels.max()) + 1
        H = one_hot(np.zeros(len(h), int) if labels is None else labels, K)
        inputs.append((maps, h, own_X, own_Y, labels, begin, H))
        jobs.setdefault((tuple(W.shape for W, _ in maps), h.shape, K), []).append(index)
    found: dict[int, list[dict[str, Any]]] = {}
    waiting: list[tuple[int, tuple[Any, ...]]] = []
    for group in jobs.values():
        now = _on_device([inputs[i][0] for i in group], [inputs[i][1] for i in group], [inputs[i][6] for i in group])
        then = None
        if starts is not None:
            begins = [inputs[i][5] for i in group]
            then = _on_device([b[0] for b in begins], [b[1] for b in begins], [inputs[i][6] for i in group])
        for place, index in enumerate(group):
            _, h, own_X, own_Y, labels, _, _ = inputs[index]
            network, params = members[index]
            out = now[1][place]
            expected = outputs(network, params, own_X[:3])
            if not np.allclose(out[:3], expected, rtol=1e-6, atol=1e-6 * (1 + np.abs(expected).max())):
                raise InputError(
                    "the outputs are not those of affine maps with ReLU between them; allowed: ReLU networks without "
                    "skips, norms or other layers"
                )
            layers = [_Counts._make(values[place] for values in layer) for layer in now[0]]
            before = None if then is None else [layer.Z[place] for layer in then[0]]
            waiting.append((index, (layers, before, h, own_Y, out, labels is not None, tolerance)))
    # One thread a decomposition: threads of one decomposition wait for each other where cores are shared.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(lambda job: _record(*job), [(i, *args) for _, args in waiting for i in range(len(args[0]))])
        for index, args in waiting:
            found[index] = [next(parts) for _ in args[0]]
    return [found[index] for index in range(len(members))]


def _is_relu(network: Network, params: Params) -> bool:
    """Probe what is behind the first map at numbers on both sides of 0."""
    assert isinstance(network, Chain)
    features, width = (each.capacity for each in network.units[:2])
    probe = jnp.full(width, -1.0), jnp.full(width, 2.0)
    below, above = (np.asarray(network.finish(params, z, jnp.zeros(features), 0)) for z in probe)
    return bool((below == 0).all() and (above == 2).all())


def _on_device(maps: list[Any], points: list[np.ndarray], labels: list[np.ndarray]) -> tuple[list[_Counts], np.ndarray]:
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        stacked = [
            (jnp.asarray(np.stack([m[i][0] for m in maps])), jnp.asarray(np.stack([m[i][1] for m in maps])))
            for i in range(len(maps[0]))
        ]
        layers, out = _pass(stacked, jnp.asarray(np.stack(points)), jnp.asarray(np.stack(labels)))
        return [_Counts._make(np.asarray(each) for each in layer) for layer in layers], np.asarray(out)


def _record(
    index: int,
    layers: list[_Counts],
    before: list[np.ndarray] | None,
    h: np.ndarray,
    Y: np.ndarray,
    out: np.ndarray,
    labelled: bool,
    tol: float,
) -> dict[str, Any]:
    """Make the record of one layer from what was counted on the device."""
    layer = layers[index]
    Phi, A = np.maximum(layer.Z, 0.0), np.asarray(layer.A)
    found = spectrum(interp_matrix(Phi))
    share = rho(found, Y)
    pattern = np.hstack([A, np.ones((len(A), 1), bool)])
    kind = class_from(Phi, A, found.rank, share, tolerance=tol)
    flips = move = float("nan")
    transition = ""
    previous = np.maximum(np.asarray(layers[index - 1].Z), 0.0) if index else h
    if before is not None:
        flips, move = layer_shift(before[index], np.asarray(layer.Z))
        transition = f"{classify(before[index], Y, tolerance=tol).letter}>{kind.letter}"
    loss = Loss(float("nan"), float("nan"))
    if index == len(layers) - 1:
        basis = found.left[:, : found.rank]
        fitted = basis @ (basis.T @ Y)
        loss = Loss(float(((Y - fitted) ** 2).sum()), float(((fitted - out) ** 2).sum()))
    values: tuple[Any, ...] = (
        index + 1,
        *A.shape,
        *(found.ranks[cut] for cut in CUTS),
        found.condition,
        found.effective_rank,
        float(layer.alpha),
        int(layer.dead_units),
        int(layer.sat_units),
        int(layer.dead_rows),
        linear_regions(A),
        len(_groups(Phi)[1]),
        tri_rank(pattern),
        sprank(pattern),
        "x".join(str(size) for size in kind.blocks) if len(kind.blocks) <= 8 else f"{len(kind.blocks)} blocks",
        kind.letter,
        kind.triangular,
        "+".join(find_redundancy(np.asarray(layer.Z), previous, rank=found.rank).tags),
        share,
        float(layer.beta) if labelled else float("nan"),
        float(layer.margin),
        flips,
        move,
        transition,
        *loss,
    )
    return dict(zip(FIELDS, values, strict=True))


def layer_report(
    member: Member,
    X: np.ndarray,
    Y: np.ndarray,
    y: np.ndarray | None = None,
    *,
    start: Params | None = None,
    limit: int = 1000,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Report on one network: one flat record per hidden layer (see `FIELDS`).

    Args:
        member: a ReLU network of affine maps and its parameters.
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs) or (rows,).
        y: labels 0..K-1 for the off-block energy; by default taken from one-hot targets.
        start: parameters at the start of training, for flips, move and transition.
        limit: at most this many points; more are subsampled.
        tolerance: rho below which targets count as fitted: 1e-3 for trained, 1e-9 for constructed networks.
        seed: seed of the subsample.

    Returns:
        The records, next to the input first.

    Raises:
        InputError: see `layer_reports`.

    Example:
        >>> from modejax.interpolation.hinge import build_hinge
        >>> X = np.arange(5.0)[:, None]
        >>> record = layer_report(build_hinge(X, X**2), X, X**2)[0]
        >>> record["class"], record["rank_1e-10"], record["tau"], record["alpha"]
        ('T', 5, 5, 0.5)
    """
    starts = None if start is None else [start]
    return layer_reports([member], X, Y, y, starts=starts, limit=limit, tolerance=tolerance, seed=seed)[0]
