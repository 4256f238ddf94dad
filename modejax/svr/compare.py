"""Comparison of two networks: the angles between patterns of corresponding layers, and the edges in common."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from modejax._files import replaced
from modejax.errors import InputError, choices
from modejax.svr.build import svr
from modejax.svr.graph import SVR
from modejax.svr.neurons import SpectralLayer
from modejax.svr.null import level_of_sigma

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare", "kernel_cka", "principal_angles"]


def principal_angles(one: Float[np.ndarray, "c n"], two: Float[np.ndarray, "c m"]) -> Float[np.ndarray, " k"]:
    """Return the principal angles between the spans of two frames, in degrees, in increasing order.

    Args:
        one: orthonormal columns.
        two: orthonormal columns.

    Returns:
        min(n, m) angles in [0, 90].

    References:
        Bjorck and Golub, Numerical methods for computing angles between linear subspaces, Math. Comp. 27 (1973).

    Example:
        >>> principal_angles(np.eye(3)[:, :1], np.eye(3)[:, 1:]).tolist()
        [90.0]
    """
    return np.degrees(np.sort(scipy.linalg.subspace_angles(one, two)))


def kernel_cka(one: Float[np.ndarray, "o i"], two: Float[np.ndarray, "o i"]) -> float:
    """Return the linear similarity of two matrices as maps of white inputs, CKA of W x for x with unit covariance.

    Args:
        one: a kernel as a matrix.
        two: a kernel with as many inputs.

    Returns:
        |A B'|^2 / (|A A'| |B B'|) of Frobenius norms, in [0, 1]; 1 for equal ones up to a rotation of outputs. Not a
        number where a kernel is 0.

    References:
        Kornblith et al., Similarity of Neural Network Representations Revisited, arXiv 1905.00414.

    Example:
        >>> round(kernel_cka(np.eye(2), 3 * np.eye(2)[::-1]), 9)
        1.0
    """
    one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
    size = float(np.linalg.norm(one @ one.T) * np.linalg.norm(two @ two.T))
    return float(np.linalg.norm(one @ two.T) ** 2 / size) if size > 0 else math.nan


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """The comparison of two networks.

    Attributes:
        layers: one row for each pair of corresponding layers.
        edges: one row for each pair of layers that is connected in both networks.
        one: the first network.
        two: the second one.
    """

    layers: pd.DataFrame
    edges: pd.DataFrame
    one: SVR = dataclasses.field(repr=False)
    two: SVR = dataclasses.field(repr=False)

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write `compared-layers.csv` and `compared-edges.csv`, each whole or not at all, and return the files."""
        written = []
        for name, table in (("compared-layers.csv", self.layers), ("compared-edges.csv", self.edges)):
            with replaced(Path(folder) / name) as part:
                table.to_csv(part, index=False)
            written.append(Path(folder) / name)
        return written


def compare(
    one: Any,
    two: Any,
    *,
    leading: int = 10,
    level: float | None = None,
    names: Mapping[str, str] | None = None,
    **options: Any,
) -> Comparison:
    """Compare two networks layer by layer, such as one before and after fine-tuning.

    Args:
        one: a network, or its `SVR`; see `svr`.
        two: another one with layers of the same shapes.
        leading: number of leading neurons whose spans are compared.
        level: probability that an edge passes by chance; by default that of 3 sigma.
        names: a mapping from layer names of the first network to those of the second; by default the same names, or the
            same order if names differ and all shapes agree.
        **options: of `svr`.

    Returns:
        Tables. Of layers: CKA of the kernels, mean principal angle between the spans of the leading output and input
        patterns (degrees), that of random spans of these sizes, and the relative change of the kernel and of its
        largest singular value. Of pairs of layers: significant edges in each network, those in common, and how many
        chance would have in common.

    Raises:
        InputError: networks whose layers do not correspond, or an option that is not allowed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> net = [rng.standard_normal((16, 8)), rng.standard_normal((10, 16))]
        >>> compare(net, net).layers.cka.round(6).tolist()
        [1.0, 1.0]
    """
    import pandas as pd

    if type(leading) is not int or leading < 1:
        raise InputError(f"leading={leading!r}; allowed: an integer of at least 1")
    a, b = (each if isinstance(each, SVR) else svr(each, **options) for each in (one, two))
    match = _matched(a, b, names)
    level = level_of_sigma(3.0) if level is None else level
    layers = pd.DataFrame([_layer_row(a.layers[i], b.layers[j], leading) for i, j in match.items()])
    rows = []
    other = {(pair.writer, pair.reader): pair for pair in b.pairs}
    for pair in a.pairs:
        twin = other.get((match.get(pair.writer, -1), match.get(pair.reader, -1)))
        if twin is None:
            continue
        n, m = (min(p, q) for p, q in zip(pair.E.shape, twin.E.shape, strict=True))
        first, second = pair.significant(level)[:n, :m], twin.significant(level)[:n, :m]
        rows.append(
            {
                "writer": a.layers[pair.writer].name,
                "reader": a.layers[pair.reader].name,
                "edges": n * m,
                "one": int(first.sum()),
                "two": int(second.sum()),
                "common": int((first & second).sum()),
                "by_chance": float(first.sum()) * float(second.sum()) / (n * m),
                "leading_E_one": float(pair.E[0, 0]),
                "leading_E_two": float(twin.E[0, 0]),
            }
        )
    return Comparison(layers, pd.DataFrame(rows), a, b)


def _matched(a: SVR, b: SVR, names: Mapping[str, str] | None) -> dict[int, int]:
    """Return for layers of one network those of the other."""
    place = {layer.name: j for j, layer in enumerate(b.layers)}
    if names is not None:
        known = {layer.name for layer in a.layers}
        wrong = [one for one, two in names.items() if one not in known or two not in place]
        if wrong:
            raise InputError(f"names {choices(wrong)} are no layers of both networks; give names of layers of both")
        match = {i: place[names[layer.name]] for i, layer in enumerate(a.layers) if layer.name in names}
    else:
        match = {i: place[layer.name] for i, layer in enumerate(a.layers) if layer.name in place}
        if not match and len(a.layers) == len(b.layers):
            match = {i: i for i in range(len(a.layers))}
    bad = [
        f"{a.layers[i].name} {_shape(a.layers[i])} and {_shape(b.layers[j])}"
        for i, j in match.items()
        if _shape(a.layers[i]) != _shape(b.layers[j])
    ]
    if bad or not match:
        raise InputError(
            f"the networks do not correspond: {'; '.join(bad[:3]) or 'no layer has the same name'}; allowed: layers of "
            "the same shapes. Give names={layer: layer}"
        )
    return match


def _shape(layer: SpectralLayer) -> tuple[int, ...]:
    return (layer.U.shape[0], layer.V.shape[0], *layer.window)


def _flat(patterns: np.ndarray) -> np.ndarray:
    return patterns.reshape(-1, patterns.shape[-1])


def _layer_row(one: SpectralLayer, two: SpectralLayer, leading: int) -> dict[str, Any]:
    k = min(leading, len(one.S), len(two.S))
    (U, S, V), (P, T, Q) = ((_flat(each.U), np.asarray(each.S, np.float64), _flat(each.V)) for each in (one, two))
    # Kernels are written as U S V': products of factors are cheaper than the kernels, and the norms are the same.
    across = (S[:, None] * (V.T @ Q)) * T[None, :]
    size = float(np.linalg.norm(S**2) * np.linalg.norm(T**2))
    inner = float(((U.T @ P) * across).sum())
    total = float((S**2).sum() + (T**2).sum() - 2 * inner)
    change = math.sqrt(max(total, 0.0)) / math.sqrt(float((S**2).sum())) if S[0] > 0 else math.nan
    out, into = principal_angles(U[:, :k], P[:, :k]), principal_angles(V[:, :k], Q[:, :k])
    return {
        "layer": one.name,
        "cka": float(np.linalg.norm(across) ** 2 / size) if size > 0 else math.nan,
        "leading": k,
        "angle_out": float(out.mean()),
        "angle_in": float(into.mean()),
        "random_out": _random_angle(len(U), k),
        "random_in": _random_angle(len(V), k),
        "change": change,
        "norm_ratio": float(T[0] / S[0]) if S[0] > 0 else math.nan,
    }


def _random_angle(dimensions: int, count: int) -> float:
    """Return the mean principal angle between two random spans, from five draws."""
    from modejax.svr.neurons import haar

    rng = np.random.default_rng(0)
    pairs = [(haar(rng, dimensions, count), haar(rng, dimensions, count)) for _ in range(5)]
    return float(np.mean([principal_angles(a, b).mean() for a, b in pairs]))
