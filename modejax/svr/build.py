"""From a network to its singular value representation."""

from __future__ import annotations

from typing import Any

import numpy as np

from modejax.errors import InputError
from modejax.svr.description import Fold, PairSpec, describe, load_kernel
from modejax.svr.edges import as_positions, edges
from modejax.svr.graph import SVR
from modejax.svr.neurons import Method, SpectralLayer, check_memory, spectral_layer
from modejax.svr.null import NULLS, Null
from modejax.svr.pair import Pair

__all__ = ["svr"]


def svr(
    network: Any,
    *,
    method: Method = "svr",
    max_neurons: int | None = None,
    null: Null = "beta",
    fold: Fold = "none",
    eps: float = 1e-5,
    draws: int = 200,
    seed: int = 0,
    **description: Any,
) -> SVR:
    """Return the singular value representation of a network.

    Args:
        network: a weight file, arrays, a Flax module or a `Description`; see `describe`.
        method: `"svr"`: a neuron reads a bank of spatial filters and writes a channel pattern; `"cosvr"`: the other
            way.
        max_neurons: number of leading neurons of each layer to keep; None for all. Directions that layers hardly write
            (near-kernels) are then missing, which is noted.
        null: null distribution for the p-values: `"beta"` (exact), `"chi2"` (that of the released code),
            `"channel_haar"` (smooth kernels are no evidence), `"rotation"` (drawn; the least p is 1 / (1 + draws x
            writer's neurons)).
        fold: how a norm enters its layer's kernel: `"none"`, `"gamma"`, `"full"`; see `load_kernel`.
        eps: the norm's epsilon.
        draws: number of random rotations of the empirical null.
        seed: seed of rotations and of random vectors.
        **description: options of `describe`: layout, order, groups, norms, flatten, streams, kinds, only, exclude.

    Returns:
        The representation. p-values are computed on demand.

    Raises:
        InputError: an option or the network is not allowed; see `describe` and `spectral_layer`.

    References:
        Meller and Berkouk, Singular Value Representation, AISTATS 2023, arXiv 2302.08183.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = svr([rng.standard_normal((16, 8)), rng.standard_normal((10, 16))])
        >>> found.pairs[0].E.shape, len(found.table(level=1.0))
        ((10, 8), 80)
    """
    if null not in NULLS:
        raise InputError(f"unknown null {null!r}; allowed: {', '.join(NULLS)}")
    if type(draws) is not int or draws < 1:
        raise InputError(f"draws={draws!r}; allowed: an integer of at least 1")
    understood = describe(network, **description)
    if len(understood.layers) < 2:
        raise InputError(f"{understood.weights.source} has one layer, so no edges; allowed: two or more")
    sparse = [layer.name for layer in understood.layers if layer.groups > 1]
    if sparse and (method == "cosvr" or null == "rotation"):
        raise InputError(
            f"{', '.join(sparse)} have groups; allowed with them: the method svr, and the nulls beta, chi2 and "
            "channel_haar"
        )
    for spec in understood.layers:
        check_memory(spec.name, (spec.width_out, spec.width_in, *spec.kernel.shape[2:]), max_neurons)
    layers = tuple(
        spectral_layer(
            load_kernel(understood, i, fold, eps),
            name=understood.layers[i].name,
            method=method,
            max_neurons=max_neurons,
            seed=seed + i,
        )
        for i in range(len(understood.layers))
    )
    pairs, grouped = [], []
    for spec in understood.pairs:
        U, V = _joined(layers, spec)
        law = null
        if understood.layers[spec.reader].groups > 1 and null in ("beta", "chi2"):
            law = "channel_haar"
            grouped.append(layers[spec.reader].name)
        places = U.shape[1] * V.shape[1]
        groups = understood.layers[spec.writer].groups
        E = edges(U, V)
        pairs.append(Pair(spec.writer, spec.reader, E, U.shape[0], places, law, U, V, groups, draws, seed))
    notes = list(understood.notes)
    if grouped:
        notes.append(f"patterns of {', '.join(grouped)} lie in one group each: their edges are tested by channel_haar")
    empty = [layer.name for layer in layers if not layer.S[0] > 0]
    if empty:
        notes.append(f"the kernels of {', '.join(empty)} are 0: their neurons are arbitrary, and so are their edges")
    hidden = [f"{layer.name} ({layer.hidden})" for layer in layers if layer.hidden]
    if hidden:
        notes.append(f"neurons left out, and near-kernels with them: {', '.join(hidden)}")
    poor = [f"{layer.name} ({layer.residual:.1e})" for layer in layers if layer.residual > 1e-3]
    if poor:
        notes.append(f"leading neurons found to a residual of S_0 times: {', '.join(poor)}")
    needed = max((20 * pair.E.shape[0] for pair in pairs), default=0)
    if null == "rotation" and draws < needed:
        notes.append(f"{draws} rotations find no edge that passes a correction for all; {needed} draws could")
    if fold != "none" and not any(layer.norm for layer in understood.layers):
        notes.append(f"fold={fold}, but no norm was found")
    return SVR(layers, tuple(pairs), understood, method, null, fold, tuple(notes))


def _joined(layers: tuple[SpectralLayer, ...], spec: PairSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return the patterns of writer and reader over the channels between them and the flattened positions."""
    U, V = layers[spec.writer].U, layers[spec.reader].V
    return as_positions(U, spec.spread, spec.order), as_positions(V, spec.flattened, spec.order)
