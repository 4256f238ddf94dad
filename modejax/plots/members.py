"""Which members of a result a table or picture is about, their statistics over seeds, and both in words.

No matplotlib in here, so that tables stay cheap.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.errors import InputError

if TYPE_CHECKING:
    import xarray

__all__ = [
    "BAND",
    "Member",
    "Spread",
    "config_of",
    "diverged_text",
    "headline",
    "pick_pair",
    "place_of",
    "require",
    "seeds_text",
    "spread",
]

BAND = "mean \N{PLUS-MINUS SIGN} 1 standard deviation over seeds"
"""What every band is."""


class Spread(NamedTuple):
    """Statistics over seeds; values that are not finite do not count."""

    mean: np.ndarray  # not a number where count is 0
    sd: np.ndarray  # divided by count - 1; not a number where count is below 2
    count: np.ndarray


def spread(values: xarray.DataArray, scale: float = 1.0) -> Spread:
    """Return mean, standard deviation and number of the finite values over the dimension `seed`.

    Args:
        values: any dimensions, `seed` among them.
        scale: a factor put before the values.

    Returns:
        Arrays with the other dimensions in their order.

    Example:
        >>> import xarray
        >>> found = spread(xarray.DataArray([[1.0, 3.0], [5.0, np.nan]], dims=("width", "seed")))
        >>> found.mean.tolist(), found.count.tolist()
        ([2.0, 5.0], [2, 1])
    """
    array = scale * np.moveaxis(np.asarray(values, np.float64), values.get_axis_num("seed"), -1)
    finite = np.isfinite(array)
    count = finite.sum(-1)
    mean = np.where(finite, array, 0.0).sum(-1) / np.where(count > 0, count, np.nan)
    square = np.where(finite, array - np.where(count > 0, mean, 0.0)[..., None], 0.0) ** 2
    return Spread(mean, np.sqrt(square.sum(-1) / np.where(count > 1, count - 1, np.nan)), count)


def require(result: xarray.Dataset, *names: str, why: str = "") -> None:
    """Check that a result holds some variables.

    Args:
        result: the result.
        names: the variables.
        why: what the user can do where one is missing.

    Raises:
        InputError: if one is missing.
    """
    missing = [name for name in names if name not in result]
    if missing:
        held = ", ".join(sorted(str(name) for name in result.data_vars)) or "none"
        raise InputError(
            f"the result has no {', '.join(missing)}; it holds {held}. {why or 'Give the result of a sweep'}"
        )


def config_of(result: xarray.Dataset) -> dict[str, Any]:
    """Return the config of a result by field; empty where the result carries none."""
    return json.loads(str(result.attrs.get("config", "{}")))


def place_of(result: xarray.Dataset, name: str, value: float) -> int:
    """Return the index of a value along a dimension of the grid."""
    values = result[name].values
    found = np.flatnonzero(np.isclose(values, value, rtol=1e-9, atol=0.0))
    if not found.size:
        allowed = ", ".join(f"{each:g}" for each in values)
        raise InputError(f"the result has no {name} {value!r}; it has {allowed}")
    return int(found[0])


class Member(NamedTuple):
    """The part of a result that has one learning rate and one weight decay, and the first sparsity where it has any."""

    data: xarray.Dataset  # without rate, decay and sparsity; diverged members are not a number
    learning_rate: float
    weight_decay: float
    text: str  # the pair in words, and whether there are others


def pick_pair(result: xarray.Dataset, learning_rate: float | None = None, weight_decay: float | None = None) -> Member:
    """Take one learning rate and one weight decay out of a result, and diverged members out of its statistics.

    The best pair is not looked for: chosen by test accuracy it would flatter the result.

    Args:
        result: the result of a sweep.
        learning_rate: one of its learning rates; the first by default.
        weight_decay: one of its weight decays; the first by default.

    Returns:
        The part of the result.

    Raises:
        InputError: if the result is not that of a sweep, or has no such pair.
    """
    require(result, "test_accuracy", "status")
    rate = 0 if learning_rate is None else place_of(result, "learning_rate", learning_rate)
    decay = 0 if weight_decay is None else place_of(result, "weight_decay", weight_decay)
    data = result.isel(learning_rate=rate, weight_decay=decay)
    sparse = ""
    if "sparsity" in data.dims:
        sparse = f", sparsity {float(data.sparsity[0]):g} %"
        sparse += f" (the first of {data.sizes['sparsity']})" if data.sizes["sparsity"] > 1 else ""
        data = data.isel(sparsity=0)
    fine = {"status": data.status == 0}
    if "baseline_status" in data:
        fine["baseline_status"] = data.baseline_status == 0
    masked = {}
    for name, values in data.data_vars.items():
        status = "baseline_status" if str(name).startswith("baseline_") else "status"
        if "seed" in values.dims and name != status:
            # A mean over fewer and fewer seeds would jump where one drops out, so a diverged member counts nowhere.
            masked[name] = values.where(fine[status])
    rate_value, decay_value = float(data.learning_rate), float(data.weight_decay)
    pairs = result.sizes["learning_rate"] * result.sizes["weight_decay"]
    text = f"learning rate {rate_value:g}, weight decay {decay_value:g}"
    if pairs > 1:
        unasked = learning_rate is None and weight_decay is None
        text += f" ({'the first' if unasked else 'one'} of {pairs} pairs)"
    text += sparse
    return Member(data.assign(masked), rate_value, decay_value, text)


def headline(result: xarray.Dataset) -> str:
    """Return data set, layer and depth as the first words of a title; a dollar sign does not start formulas."""
    config = config_of(result)
    name = str(result.attrs.get("dataset", config.get("dataset", "sweep")))
    parts = [name.replace("$", r"\$")]
    if "layer" in config:
        parts.append(f"{layer_text(config)} layers")
    if "depth" in config:
        parts.append(f"{config['depth'] or 'no'} hidden layer{'' if config['depth'] == 1 else 's'}")
    return ", ".join(parts)


def layer_text(config: dict[str, Any]) -> str:
    """Return the name of a sweep's layer for people, with the variant of a spectral one and the mask of sparse ones.

    Example:
        >>> layer_text({"layer": "tied_mode"}), layer_text({"layer": "spectral", "layer_options": ["variant=svd"]})
        ('tied mode', 'spectral svd')
    """
    name = str(config.get("layer", "layer"))
    if name == "spectral":
        options = dict(str(pair).split("=", 1) for pair in config.get("layer_options", ()))
        name += f" {options.get('variant', 'two_set')}"
        name += " (trained eigenvectors)" if options.get("eigenvectors") == "trained" else ""
    if config.get("mask", "none") != "none":
        name += f", {config['mask']} mask"
    return name.replace("_", " ")


def seeds_text(count: np.ndarray) -> str:
    """Say over how many seeds a figure's means are.

    Example:
        >>> seeds_text(np.array([3, 3])), seeds_text(np.array([1])), seeds_text(np.array([0, 2, 3]))
        ('n = 3 seeds', 'n = 1 seed, no band', 'n = 2 to 3 seeds')
    """
    drawn = count[count > 0]
    if not drawn.size:
        return "no finite value"
    low, high = int(drawn.min()), int(drawn.max())
    if high == 1:
        return "n = 1 seed, no band"
    return f"n = {high} seeds" if low == high else f"n = {low} to {high} seeds"


def diverged_text(status: xarray.DataArray) -> str:
    """Say how many members diverged; empty where none did."""
    failed = int((status != 0).sum())
    if not failed:
        return ""
    return f"{failed} of {status.size} networks diverged (a loss not finite or beyond 1e8) and are left out"
