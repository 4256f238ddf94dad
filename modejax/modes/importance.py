"""Measures of the size of the modes of trained networks, gauge-dependent ones and a gauge-free one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float

from modejax.errors import InputError, choices

if TYPE_CHECKING:
    import xarray

    from modejax.networks import Network

__all__ = ["MEASURES", "ModeMember", "mode_measures", "rank_correlations", "ranked_curves"]

MEASURES = ("importance", "weight", "size")
"""The measures that `rank_correlations` compares: tau, |Sigma| and the gauge-free size, one value per mode."""


class ModeMember(Protocol):
    """A trained network, as `modejax.Run.networks` returns it."""

    @property
    def network(self) -> Network:
        """The network."""
        ...

    @property
    def params(self) -> Any:
        """Its parameters."""
        ...


def mode_measures(members: Iterable[ModeMember]) -> xarray.Dataset:
    """Measure every mode of trained networks.

    `importance` is tau = gamma (||xi_out|| + ||xi_in||) + |Sigma| and `weight` |Sigma|: both change when a mode's scale
    is moved between its factors. `size` = |Sigma| ||xi_out|| ||xi_in||, the norm of the mode's own matrix, and
    `singular_value` do not; singular values belong to the kernel, not to single modes, as modes are not orthogonal.
    `out_norm` and `in_norm` are the lengths of the patterns.

    Args:
        members: the networks; maps without modes are NaN, but every network needs at least one map with modes.

    Returns:
        Dimensions `member`, `layer` (from 1, next to the input) and `mode`; NaN beyond a map's number of modes.
        Singular values are in descending order, the other measures in the order of the parameters. float64.

    Raises:
        InputError: if there are no members, their depths differ, or one has no modes.

    References:
        tau: Li and Huang, arXiv 2208.09859, and the code released with it (Fig3/fig3.ipynb).

    Example:
        >>> import jax
        >>> from types import SimpleNamespace
        >>> from modejax import layers, mlp
        >>> network = mlp([6, 5, 3], layers.Mode(), 4)
        >>> member = SimpleNamespace(network=network, params=network.init(jax.random.key(0)))
        >>> measures = mode_measures([member, member])
        >>> dict(measures.sizes), sorted(measures.data_vars)[:3]
        ({'member': 2, 'layer': 2, 'mode': 4}, ['importance', 'in_norm', 'out_norm'])
    """
    import xarray

    rows = [_of_member(member) for member in members]
    if not rows:
        raise InputError("there are no networks to measure; give at least one")
    depths = {len(row) for row in rows}
    if len(depths) > 1:
        raise InputError(f"the networks have {sorted(depths)} maps; measure networks of one depth together")
    longest = max((values.size for row in rows for found in row for values in found.values()), default=0)
    if not longest or any(not any(row) for row in rows):
        raise InputError("a network without modes (dense) has no mode to measure; give networks of layers with modes")
    names = ("importance", "weight", "size", "out_norm", "in_norm", "singular_value")
    data = {name: np.full((len(rows), len(rows[0]), longest), np.nan) for name in names}
    for i, row in enumerate(rows):
        for j, found in enumerate(row):
            for name, values in found.items():
                data[name][i, j, : values.size] = values
    dims = ("member", "layer", "mode")
    coordinates = {"layer": np.arange(1, len(rows[0]) + 1), "mode": np.arange(1, longest + 1)}
    return xarray.Dataset({name: (dims, values) for name, values in data.items()}, coords=coordinates)


def _of_member(member: ModeMember) -> list[dict[str, np.ndarray]]:
    """Return the measures of each map; nothing for a map without modes."""
    found = []
    for modes in member.network.modes(member.params):
        if modes is None:
            found.append({})
            continue
        active = np.asarray(modes.active)
        out = np.asarray(modes.xi_out, np.float64)[:, active]
        weight = np.asarray(modes.weight, np.float64)[active]
        into = np.asarray(modes.xi_in, np.float64)[active]
        out_norm, in_norm = np.linalg.norm(out, axis=0), np.linalg.norm(into, axis=1)
        total = (out_norm + in_norm).sum()
        gamma = np.abs(weight).sum() / total if total > 0 else 0.0
        values = np.linalg.svd((out * weight) @ into, compute_uv=False)
        found.append(
            {
                "importance": gamma * (out_norm + in_norm) + np.abs(weight),
                "weight": np.abs(weight),
                "size": np.abs(weight) * out_norm * in_norm,
                "out_norm": out_norm,
                "in_norm": in_norm,
                # The kernel's rank is at most the number of modes; further singular values are rounding errors.
                "singular_value": values[: min(values.size, weight.size)],
            }
        )
    return found


def ranked_curves(values: Float[np.ndarray, "... modes"]) -> Float[np.ndarray, "... modes"]:
    """Sort each curve in descending order, NaN last: rank 1 is the leading mode of each network.

    Args:
        values: one value per mode, on the last axis.

    Returns:
        The same values, sorted along the last axis.

    Example:
        >>> ranked_curves(np.array([[1.0, 3.0, np.nan, 2.0]])).tolist()
        [[3.0, 2.0, 1.0, nan]]
    """
    return -np.sort(-np.asarray(values, np.float64), axis=-1)


def rank_correlations(measures: xarray.Dataset, names: tuple[str, ...] = MEASURES) -> xarray.DataArray:
    """Return Spearman's rank correlations between measures of the modes, for each member and map.

    Equal values share the mean of their ranks.

    Args:
        measures: the result of `mode_measures`.
        names: the measures to compare.

    Returns:
        Dimensions `member`, `layer`, `first`, `second`; NaN for a map without modes.

    Raises:
        InputError: if a measure is unknown, or is equal for all modes of a map, so that there are no ranks.

    Example:
        >>> import xarray
        >>> dims = ("member", "layer", "mode")
        >>> data = {"weight": (dims, [[[1.0, 2.0, 3.0]]]), "size": (dims, [[[1.0, 4.0, 2.0]]])}
        >>> found = rank_correlations(xarray.Dataset(data), ("weight", "size"))
        >>> round(found.sel(first="weight", second="size").item(), 6)
        0.5
    """
    import xarray
    from scipy.stats import rankdata

    for name in names:
        if name not in measures:
            raise InputError(f"unknown measure {name!r}; allowed: {choices(map(str, measures.data_vars))}")
    stacked = np.stack([measures[name].values for name in names], axis=-2)  # member, layer, measure, mode
    found = np.full((*stacked.shape[:2], len(names), len(names)), np.nan)
    for i, j in np.ndindex(*stacked.shape[:2]):
        values = stacked[i, j][:, np.isfinite(stacked[i, j]).all(axis=0)]
        if not values.size:
            continue
        ranks = rankdata(values, axis=-1)
        ranks -= ranks.mean(axis=-1, keepdims=True)
        length = np.linalg.norm(ranks, axis=-1)
        if (length == 0).any():
            same = names[int(np.argmin(length))]
            raise InputError(
                f"all {values.shape[1]} modes of map {j + 1} of network {i} have the same {same}: ties have no ranks; "
                "leave this measure or map out"
            )
        found[i, j] = (ranks @ ranks.T) / np.outer(length, length)
    coordinates = {"first": list(names), "second": list(names)}
    if "layer" in measures.coords:
        coordinates["layer"] = measures.layer.values
    return xarray.DataArray(found, dims=("member", "layer", "first", "second"), coords=coordinates)
