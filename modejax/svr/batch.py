"""Many networks at once: members of a sweep or checkpoints of a training, counted in one compiled program."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from modejax.errors import InputError
from modejax.svr.description import Description, Fold, PairSpec, describe, load_kernel
from modejax.svr.edges import as_positions, squared_sum
from modejax.svr.null import level_of_sigma, threshold

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MemberEdges", "member_edges", "members"]

_RANK = 1e-5
"""Neurons below this share of the largest singular value are not counted; a mode network has as many neurons as
modes."""


class MemberEdges(NamedTuple):
    """Edges of networks of one shape; the first axis of each array counts members."""

    S: tuple[Float[Array, "members r"], ...]  # of each layer, falling
    neurons: tuple[Float[Array, " members"], ...]  # of each layer: those of the rank
    significant: Float[Array, "members pairs"]  # edges that pass the level
    tested: Float[Array, "members pairs"]  # edges between neurons of the rank
    leading: Float[Array, "members pairs"]  # E between the first neurons
    mean: Float[Array, "members pairs"]  # of c E over the tested edges


def member_edges(
    kernels: Sequence[Float[np.ndarray, "members o i ..."]],
    pairs: Sequence[PairSpec] | None = None,
    *,
    level: float | None = None,
    null: Literal["beta", "channel_haar"] = "beta",
) -> MemberEdges:
    """Decompose networks of one shape and count their significant edges, as one compiled program over the members.

    Singular vectors come from the smaller Gram matrix in float64, which is accurate to 2e-16 (S_0 / S)^2. Neurons below
    1e-5 of the largest singular value count as beyond the rank and are left out of all counts.

    Args:
        kernels: kernels of each layer, shape (members, out, in, *window).
        pairs: writers and readers; by default the chain of the layers.
        level: probability that an edge passes by chance; by default that of 3 sigma.
        null: null distribution of the edges; see `svr.null`.

    Returns:
        Counts and singular values, float64.

    Raises:
        InputError: shapes do not fit, entries are not finite, or an option is not allowed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = member_edges([rng.standard_normal((3, 16, 8)), rng.standard_normal((3, 10, 16))])
        >>> found.tested.tolist(), found.S[0].shape
        ([[80.0], [80.0], [80.0]], (3, 8))
    """
    if null not in ("beta", "channel_haar"):
        raise InputError(f"unknown null {null!r} of a batch; allowed: beta, channel_haar")
    arrays = [np.asarray(each, np.float64) for each in kernels]
    if len(arrays) < 2 or any(each.ndim < 3 or len(each) != len(arrays[0]) for each in arrays):
        raise InputError(
            f"the kernels have shapes {[each.shape for each in arrays]}; allowed: two or more layers of shape "
            "(members, out, in, *window)"
        )
    if not all(np.isfinite(each).all() for each in arrays):
        raise InputError("kernels have entries that are not finite; leave out members whose status is not 0")
    if pairs is None:
        names = {str(i): each[0] for i, each in enumerate(arrays)}
        pairs = describe(names, layout="torch", order=list(names)).pairs
    level = level_of_sigma(3.0) if level is None else level
    cuts = []
    for pair in pairs:
        window = math.prod(arrays[pair.reader].shape[3:])
        if pair.spread > 1:
            raise InputError("a batch takes no matrix before a convolution; use svr for each network")
        cuts.append(threshold(level, arrays[pair.writer].shape[1], window * pair.flattened))
    with jax.enable_x64(True):
        return _program(tuple(arrays), jnp.asarray(cuts), jnp.asarray(level), tuple(pairs), null)


@functools.partial(jax.jit, static_argnames=("pairs", "null"))
def _program(
    kernels: tuple[Array, ...], cuts: Array, level: Array, pairs: tuple[PairSpec, ...], null: str
) -> MemberEdges:
    return jax.vmap(lambda *each: _one(each, cuts, level, pairs, null))(*kernels)


def _one(kernels: tuple[Array, ...], cuts: Array, level: Array, pairs: tuple[PairSpec, ...], null: str) -> MemberEdges:
    alike: dict[tuple[int, ...], list[int]] = {}
    for index, kernel in enumerate(kernels):
        alike.setdefault(kernel.shape, []).append(index)
    found: list[Any] = [None] * len(kernels)
    for indices in alike.values():  # layers of one shape are decomposed together
        stacked = jax.vmap(_neurons)(jnp.stack([kernels[i] for i in indices]))
        for place, index in enumerate(indices):
            found[index] = jax.tree.map(lambda each, place=place: each[place], stacked)
    counts = []
    for index, pair in enumerate(pairs):
        U, _, _, writers = found[pair.writer]
        _, _, V, readers = found[pair.reader]
        V = as_positions(V, pair.flattened, pair.order)
        E = squared_sum(U[:, None, :], V)
        tested = readers[:, None] & writers[None, :]
        passed = (cuts[index] <= E) if null == "beta" else (_haar_p(E, V) <= level)
        counts.append(
            (
                (passed & tested).sum(dtype=float),
                tested.sum(dtype=float),
                E[0, 0],
                U.shape[0] * jnp.where(tested, E, 0).sum() / jnp.maximum(tested.sum(dtype=float), 1),
            )
        )
    return MemberEdges(
        tuple(S for _, S, _, _ in found),
        tuple(active.sum(dtype=float) for *_, active in found),
        *(jnp.stack(each) for each in zip(*counts, strict=True)),
    )


def _neurons(kernel: Float[Array, "o i ..."]) -> tuple[Array, Array, Array, Bool[Array, " r"]]:
    """Return U (out, r), S, V (in, z, r) and which neurons belong to the rank, by the smaller Gram matrix."""
    out, into = kernel.shape[:2]
    A = kernel.reshape(out, -1)
    wide = A.shape[0] <= A.shape[1]
    B = A if wide else A.T
    value, left = jnp.linalg.eigh(B @ B.T)
    S = jnp.sqrt(jnp.maximum(value[::-1], 0))
    left = left[:, ::-1]
    active = _RANK * S[0] < S
    right = (B.T @ left) / jnp.where(active, S, jnp.inf)[None, :]
    U, V = (left, right) if wide else (right, left)
    return U, S, V.reshape(into, -1, V.shape[1]), active


def _haar_p(E: Float[Array, "n m"], V: Float[Array, "c z n"]) -> Float[Array, "n m"]:
    """Return the p-values of `null.channel_haar_log_p` inside a program."""
    c = V.shape[0]
    G = jnp.einsum("cxn,cyn->nxy", V, V)
    variance = 2 * jnp.maximum(c * (G**2).sum((1, 2)) - 1, 0) / (c**2 * (c + 2))
    known = variance > 1e-14 / c**2
    size = (1 / c) * (1 - 1 / c) / jnp.where(known, variance, 1) - 1
    a, b = size / c, size * (1 - 1 / c)
    p = jax.scipy.special.betainc(
        jnp.where(known, b, 1.0)[:, None], jnp.where(known, a, 1.0)[:, None], jnp.clip(1 - E, 0, 1)
    )
    return jnp.where(known[:, None], p, 1.0)


def members(
    networks: Sequence[Any],
    names: Sequence[Mapping[str, Any]] | None = None,
    *,
    level: float | None = None,
    null: Literal["beta", "channel_haar"] = "beta",
    fold: Fold = "none",
    eps: float = 1e-5,
    **description: Any,
) -> pd.DataFrame:
    """Count the significant edges of many networks: the members of a sweep, or checkpoints of a training.

    Networks of one shape run as one program, so that a sweep over widths compiles once per width.

    Args:
        networks: each as `describe` takes it; for a modejax network the list of its kernels.
        names: for each network its distinguishing values by name, such as width, modes, seed, epoch; they become
            columns.
        level: probability that an edge passes by chance; by default that of 3 sigma.
        null: see `member_edges`.
        fold: how norms are folded into kernels; see `load_kernel`.
        eps: the norm's epsilon.
        **description: options of `describe`.

    Returns:
        One row for each network and pair: names, layers, edges tested and significant, share, share expected by chance,
        leading edge, mean of c E, neurons and largest singular value of the writer.

    Raises:
        InputError: see `describe` and `member_edges`; names of another number.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> nets = [[rng.standard_normal((w, 8)), rng.standard_normal((10, w))] for w in (16, 32)]
        >>> members(nets, [{"width": 16}, {"width": 32}])[["width", "tested"]].values.tolist()
        [[16, 80], [32, 80]]
    """
    import pandas as pd

    if names is not None and len(names) != len(networks):
        raise InputError(f"{len(networks)} networks and {len(names)} names; allowed: one for each")
    level = level_of_sigma(3.0) if level is None else level
    understood: list[Description] = [describe(network, **description) for network in networks]
    shapes: dict[Any, list[int]] = {}
    for index, found in enumerate(understood):
        key = (tuple((spec.kernel.shape, spec.groups) for spec in found.layers), found.pairs)
        shapes.setdefault(key, []).append(index)
    rows: dict[int, list[dict[str, Any]]] = {}
    for (_, pairs), indices in shapes.items():
        layers = understood[indices[0]].layers
        if any(spec.groups > 1 for spec in layers):
            raise InputError("a batch takes no grouped convolutions; use svr for each network")
        stacks = [
            np.stack([load_kernel(understood[i], layer, fold, eps) for i in indices]) for layer in range(len(layers))
        ]
        counted = jax.tree.map(np.asarray, member_edges(stacks, pairs, level=level, null=null))
        for place, index in enumerate(indices):
            rows[index] = [
                {
                    **(names[index] if names is not None else {"member": index}),
                    "writer": understood[index].layers[pair.writer].name,
                    "reader": understood[index].layers[pair.reader].name,
                    "pair": k,
                    "tested": int(counted.tested[place, k]),
                    "significant": int(counted.significant[place, k]),
                    "share": float(counted.significant[place, k] / max(counted.tested[place, k], 1)),
                    "by_chance": level,
                    "leading_E": float(counted.leading[place, k]),
                    "mean_cE": float(counted.mean[place, k]),
                    "neurons": int(counted.neurons[pair.writer][place]),
                    "largest_S": float(counted.S[pair.writer][place, 0]),
                }
                for k, pair in enumerate(pairs)
            ]
    return pd.DataFrame([row for index in range(len(networks)) for row in rows[index]])
