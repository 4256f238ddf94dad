"""Which networks of a result a table or picture is about, their statistics over seeds, and both in words.

No matplotlib in here, so that tables stay cheap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.errors import InputError, choices
from modejax.names import NETWORKS
from modejax.sweep.axes import AXES
from modejax.sweep.select import BASELINE, arm_data, arm_names, best_cells, judge_of

if TYPE_CHECKING:
    import xarray

    from modejax.runs.run import Run

    Result = Run | xarray.DataTree | xarray.Dataset
    """What a plot of a sweep takes: a run, its result, or the data set of one arm."""
else:
    Result = Any

__all__ = [
    "BAND",
    "SIZES",
    "Measure",
    "Member",
    "Result",
    "Spread",
    "arm_config",
    "axis_text",
    "config_of",
    "diverged_text",
    "further_axes",
    "headline",
    "layer_text",
    "measure_of",
    "pairs_of",
    "pick",
    "place_of",
    "require",
    "seeds_text",
    "spread",
]

BAND = "mean \N{PLUS-MINUS SIGN} 1 standard deviation over seeds"
"""What every band is."""

SIZES = ("width", "modes", "seed")
"""The axes that a figure shows; of the others it takes one value."""

_RATES = ("learning_rate", "weight_decay")
_LABELS = {axis.name: axis.label for axis in AXES}


class Spread(NamedTuple):
    """Statistics over seeds; values that are not finite do not count."""

    mean: np.ndarray  # not a number where count is 0
    sd: np.ndarray  # divided by count - 1; not a number where count is below 2
    count: np.ndarray

    def band(self, limits: tuple[float, float] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the two ends of a band: one standard deviation below and above the mean.

        Args:
            limits: the values between which all networks lie, where the band ends; None where there is no end.

        Returns:
            The lower and the upper end.

        Example:
            >>> Spread(np.array([98.0]), np.array([3.0]), np.array([4])).band((0.0, 100.0))
            (array([95.]), array([100.]))
        """
        low, high = self.mean - self.sd, self.mean + self.sd
        return (low, high) if limits is None else (np.clip(low, *limits), np.clip(high, *limits))


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


class Measure(NamedTuple):
    """By what networks are compared: accuracy, or the loss where no answer is right or wrong."""

    what: str  # accuracy or loss
    scale: float  # 100 for percent
    unit: str

    @property
    def test(self) -> str:
        """The variable on the test set."""
        return f"test_{self.what}"

    @property
    def limits(self) -> tuple[float, float] | None:
        """The values between which it lies, whatever a band says; None where there is no end."""
        return (0.0, 100.0) if self.what == "accuracy" else None

    @property
    def label(self) -> str:
        """The label of an axis.

        Example:
            >>> Measure("accuracy", 100.0, "%").label
            'test accuracy (%)'
        """
        return f"test {self.what} ({self.unit})"

    @property
    def text(self) -> str:
        """The start of a caption.

        Example:
            >>> Measure("loss", 1.0, "no unit").text
            'Test loss (no unit)'
        """
        return f"Test {self.what} ({'percent' if self.unit == '%' else self.unit})"


def measure_of(data: xarray.Dataset) -> Measure:
    """Say by what the networks of an arm are compared.

    Args:
        data: the result of an arm.

    Returns:
        Accuracy in percent; the test loss where the targets are real values or no network has an accuracy.
    """
    unit = str(data.test_loss.attrs.get("units", "nat")) if "test_loss" in data else "1"
    loss = Measure("loss", 1.0, "no unit" if unit == "1" else unit)
    if data.attrs.get("targets") == "values":
        return loss
    none = not np.isfinite(data.test_accuracy.values).any()
    some = "test_loss" in data and np.isfinite(data.test_loss.values).any()
    return loss if none and some and bool((data.status == 0).any()) else Measure("accuracy", 100.0, "%")


def require(data: xarray.Dataset, *names: str, why: str = "") -> None:
    """Check that a result holds some variables.

    Args:
        data: the result of an arm.
        names: the variables.
        why: what the user can do where one is missing.

    Raises:
        InputError: if one is missing.
    """
    missing = [name for name in names if name not in data]
    if missing:
        held = ", ".join(sorted(str(name) for name in data.data_vars)) or "none"
        raise InputError(
            f"the result has no {', '.join(missing)}; it holds {held}. {why or 'Give the result of a sweep'}"
        )


def config_of(data: xarray.Dataset | xarray.DataTree) -> dict[str, Any]:
    """Return the config of a sweep by field; empty where the result carries none."""
    return json.loads(str(data.attrs.get("config", "{}")))


def arm_config(data: xarray.Dataset) -> dict[str, Any]:
    """Return the config of an arm by field; empty where the result carries none."""
    return json.loads(str(data.attrs.get("arm_config", "{}")))


def place_of(data: xarray.Dataset, name: str, value: float) -> int:
    """Return the index of a value along a dimension of the grid."""
    values = data[name].values
    found = np.flatnonzero(np.isclose(values, value, rtol=1e-9, atol=0.0))
    if not found.size:
        allowed = ", ".join(f"{each:g}" for each in values)
        raise InputError(f"the result has no {name} {value!r}; it has {allowed}")
    return int(found[0])


def axis_text(name: str, value: float | str) -> str:
    """Write the value of an axis.

    Example:
        >>> axis_text("learning_rate", 0.01), axis_text("sparsity", 50.0), axis_text("gain", 2.0)
        ('learning rate 0.01', 'sparsity 50 %', 'gain 2')
    """
    label, percent, _ = _LABELS.get(name, name).partition(" (%)")
    return f"{label} {value if isinstance(value, str) else f'{value:g}'}{' %' if percent else ''}"


def further_axes(data: xarray.Dataset) -> tuple[str, ...]:
    """Return the axes of an arm besides width, modes, seed, learning rate and weight decay."""
    return tuple(str(name) for name in data.status.dims if name not in (*SIZES, *_RATES))


def pairs_of(data: xarray.Dataset) -> int:
    """Return how many pairs of learning rate and weight decay an arm has."""
    return data.sizes.get("learning_rate", 1) * data.sizes.get("weight_decay", 1)


class Member(NamedTuple):
    """The part of an arm that has one value of every axis but width, modes and seed."""

    data: xarray.Dataset  # without the other axes; networks that diverged are not a number
    dense: xarray.Dataset | None  # the dense baseline at the same widths, without modes; None where there is none
    text: str  # the values in words, and whether there are others
    dense_text: str  # those of the baseline; empty without one
    measure: Measure


def pick(
    result: Result, arm: str | None = None, at: Mapping[str, float] | None = None, keep: Sequence[str] = ()
) -> Member:
    """Take one value of every axis but the sizes out of an arm, and networks that diverged out of its statistics.

    Several learning rates or weight decays: every cell of the grid has its own best pair, by the held-out data where
    the sweep has some, else by the training loss after the last epoch. The best by test accuracy is not looked for: it
    would flatter the result. Of all other axes the first value is taken. The dense baseline has its own rates by the
    same rule.

    Args:
        result: a run, its result, or the data set of one arm, which then has no baseline.
        arm: the name of an arm; the first one by default.
        at: values of axes by name, such as `{"learning_rate": 0.01}`.
        keep: axes that stay, whatever there are.

    Returns:
        The part of the result.

    Raises:
        InputError: if the result is not that of a sweep, or has no such arm, axis or value.
    """
    data = arm_data(result, arm)
    require(data, "test_accuracy", "status")
    names = arm_names(result)
    at = {name: value for name, value in (at or {}).items() if value is not None}
    for name in at:
        if name not in data.status.dims or name in SIZES:
            allowed = choices(str(each) for each in data.status.dims if each not in SIZES)
            raise InputError(f"the result has no axis {name!r} to choose a value of; it has {allowed}")
    found, text = _one_value(data, at, keep)
    dense, dense_text = None, ""
    if len(names) > 1 and BASELINE in names and data.attrs.get("arm") != BASELINE:
        rival = arm_data(result, BASELINE)
        same = {
            name: at.get(name, float(np.ravel(data[name].values)[0]))
            for name in further_axes(data)
            if name in rival.status.dims and name not in keep
        }
        common = np.intersect1d(rival.width.values, data.width.values)
        if common.size and "modes" in rival.status.dims:
            dense, dense_text = _one_value(rival.isel(modes=0, drop=True), same, keep)
            dense = dense.reindex(width=found.width.values)
            dense_text = f"dense: {dense_text}"
    return Member(found, dense, text, dense_text, measure_of(data))


def _one_value(data: xarray.Dataset, at: Mapping[str, float], keep: Sequence[str]) -> tuple[xarray.Dataset, str]:
    """Reduce an arm to its sizes and the axes kept; say in words what was chosen."""
    free = [str(name) for name in data.status.dims if name not in (*SIZES, *keep)]
    several = [name for name in free if name in _RATES and name not in at and data.sizes[name] > 1]
    judge = judge_of(data)
    best = several if judge else []
    pairs = int(np.prod([data.sizes[name] for name in _RATES if name in free] or [1]))
    words = []
    for name in [each for each in free if each not in best]:
        place = place_of(data, name, at[name]) if name in at else 0
        word, count = axis_text(name, float(data[name][place])), data.sizes[name]
        if count > 1 and name not in _RATES:
            word += f" (one of {count})" if name in at else f" (the first of {count})"
        words.append((name, word))
        data = data.isel({name: place})
    chosen_before = str(data.attrs.get("chosen_over", ""))
    if best:
        data = best_cells(data, best, judge)
        for name in best:
            low, high = float(data[name].min()), float(data[name].max())
            words.append((name, axis_text(name, low if low == high else f"{low:g} to {high:g}")))
    rates = [word for name, word in sorted(words) if name in _RATES]
    if rates and pairs > 1:
        asked = any(name in at for name in _RATES)
        how = "on held-out data" if judge.startswith("validation") else "by training loss"
        which = f"the best of {pairs} pairs {how}" if best else f"the first of {pairs} pairs"
        rates[-1] += f" (one of {pairs} pairs)" if asked and not best else f" ({which})"
    if chosen_before:
        rates.append(f"{chosen_before.replace('_', ' ')} chosen by {data.attrs['chosen_by'].replace('_', ' ')}")
    text = ", ".join([*rates, *(word for name, word in words if name not in _RATES)])
    # A mean over fewer and fewer seeds would jump where one drops out, so a diverged network counts nowhere.
    fine = data.status == 0
    masked = {k: v.where(fine) for k, v in data.data_vars.items() if "seed" in v.dims and k != "status"}
    return data.assign(masked), text


def headline(data: xarray.Dataset) -> str:
    """Return data set, arm, layer and depth as the first words of a title; a dollar sign does not start formulas."""
    config, arm = config_of(data), arm_config(data)
    name = str(data.attrs.get("dataset", config.get("dataset", "sweep")))
    parts = [name.replace("$", r"\$")]
    if arm:
        text = layer_text(arm)
        if NETWORKS.get(str(arm.get("network")), NETWORKS["mlp"]).layers:
            text += " layers"
        if str(arm.get("name", "")).replace("_", " ") not in text:
            text = f"arm {arm['name']}: {text}"
        depth = arm.get("depth", 0)
        parts += [text, f"{depth or 'no'} hidden layer{'' if depth == 1 else 's'}"]
    return ", ".join(parts)


def layer_text(arm: Mapping[str, Any]) -> str:
    """Return the name of an arm's layer for people, with the variant of a spectral one and the mask of sparse ones.

    Args:
        arm: the fields of the arm.

    Returns:
        The name, with that of the network where it is no perceptron.

    Example:
        >>> layer_text({"network": "tied"}), layer_text({"layer": "spectral", "layer_options": ["variant=svd"]})
        ('tied network', 'spectral svd')
    """
    network, name = str(arm.get("network", "mlp")), str(arm.get("layer", "layer"))
    if not NETWORKS.get(network, NETWORKS["mlp"]).layers:
        return f"{network} network"
    if name == "spectral":
        options = dict(str(pair).split("=", 1) for pair in arm.get("layer_options", ()))
        name += f" {options.get('variant', 'two_set')}"
        name += " (trained eigenvectors)" if options.get("eigenvectors") == "trained" else ""
    if network != "mlp":
        name = network if network == "custom" else f"{network} {name}"
    if arm.get("mask", "none") != "none":
        name += f", {arm['mask']} mask"
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
    """Say how many networks diverged; empty where none did."""
    failed = int((status == 1).sum())
    if not failed:
        return ""
    count = int(status.notnull().sum())
    return f"{failed} of {count} networks diverged (a loss not finite or beyond 1e8) and are left out"
