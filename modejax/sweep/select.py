"""Select arms of the result of a sweep, and the best cells of an arm. Nothing here imports JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError, choices

if TYPE_CHECKING:
    import xarray

__all__ = ["BASELINE", "arm_data", "arm_names", "best_cells", "final_scores", "first_pair", "judge_of"]

BASELINE = "baseline"
"""The name of the arm of dense networks that a sweep trains by default."""

_RATES = ("learning_rate", "weight_decay")


def _tree(result: Any) -> xarray.DataTree | xarray.Dataset:
    import xarray

    found = getattr(result, "result", result) if not isinstance(result, xarray.Dataset | xarray.DataTree) else result
    if isinstance(found, xarray.DataTree):
        return found if found.children else found.to_dataset()
    if not isinstance(found, xarray.Dataset):
        raise InputError(
            f"this is no result of a sweep: {type(result).__name__}; give what run_sweep or open_run returned, its "
            "result, or the data set of one arm"
        )
    return found


def arm_names(result: Any) -> tuple[str, ...]:
    """Return the names of the arms of a result, the first one first.

    Args:
        result: a run, its tree of labelled arrays, or the data set of one arm.

    Returns:
        The names; for a single data set, the name stored in it.

    Raises:
        InputError: if `result` is none of these.

    Example:
        >>> import xarray
        >>> arm_names(xarray.DataTree(children={"mode": xarray.DataTree(), "baseline": xarray.DataTree()}))
        ('mode', 'baseline')
    """
    tree = _tree(result)
    children = getattr(tree, "children", None)
    return tuple(children) if children else (str(tree.attrs.get("arm", "")),)


def arm_data(result: Any, arm: str | None = None) -> xarray.Dataset:
    """Return the labelled arrays of one arm.

    Args:
        result: a run, its tree of labelled arrays, or the data set of one arm.
        arm: its name; the first one by default.

    Returns:
        The data set.

    Raises:
        InputError: if there is no such arm, or `result` is no result.

    Example:
        >>> import xarray
        >>> node = xarray.DataTree(xarray.Dataset(attrs={"arm": "mode"}))
        >>> arm_data(xarray.DataTree(children={"mode": node})).attrs["arm"]
        'mode'
    """
    tree, names = _tree(result), arm_names(result)
    if arm is not None and arm not in names:
        raise InputError(f"the result has no arm {arm!r}; allowed: {choices(names)}")
    if getattr(tree, "children", None):
        return tree[names[0] if arm is None else arm].to_dataset()  # pyright: ignore
    return tree  # pyright: ignore[reportReturnType]


def final_scores(data: xarray.Dataset, by: str) -> xarray.DataArray:
    """Return the final score of each network: that of its best epoch with held-out data, else of the last epoch.

    Args:
        data: the result of an arm.
        by: a variable with the dimension `epoch`, such as `validation_accuracy`.

    Returns:
        One value for each network; NaN for networks that diverged.
    """
    if by.startswith("validation_") and "best_epoch" in data:
        at = data.best_epoch.fillna(1).astype(int).clip(min=1)
        scores = data[by].sel(epoch=at).drop_vars("epoch", errors="ignore")
    else:
        scores = data[by].isel(epoch=-1, drop=True)
    return scores.where(data.status == 0)


def best_cells(data: xarray.Dataset, over: str | Sequence[str], by: str, *, allow_test: bool = False) -> xarray.Dataset:
    """Choose the best value of an axis for every cell of the grid of an arm; see `modejax.Run.best`.

    Args:
        data: the result of the arm.
        over: name of the axis to choose on, or names of several axes.
        by: name of the variable to choose by, averaged over seeds; the largest accuracy or the smallest loss is best.
        allow_test: whether `by` may be a variable of the test set.

    Returns:
        The result without the axes in `over`; they become coordinates that hold the chosen values.

    Raises:
        InputError: if there is no such axis or variable, or the variable is one of the test set and `allow_test` is
            False.
    """
    axes = [over] if isinstance(over, str) else list(over)
    grid = list(data.status.dims)
    for name in axes:
        if name not in grid or name == "seed":
            allowed = choices(str(each) for each in grid if each != "seed")
            raise InputError(f"there is no axis {name!r} to choose over; allowed: {allowed}")
    judges = [str(name) for name in data.data_vars if str(name).startswith(("validation_", "test_", "train_"))]
    if by not in judges:
        hint = ""
        if by.startswith("validation"):
            hint = "; a sweep with validation=0.1, for example, holds out a share of the training set to choose by"
        raise InputError(f"the result has no {by!r} to choose by; it has {choices(judges)}{hint}")
    if by.startswith("test_") and not allow_test:
        raise InputError(
            f"{by} is measured on the test set: chosen by it, the result flatters itself; choose by a validation "
            "variable, or say allow_test=True"
        )
    scores = final_scores(data, by).mean("seed", skipna=False)
    sign = -1.0 if by.endswith("loss") else 1.0
    scores = (sign * scores).fillna(-np.inf).stack(_choice=axes)
    chosen = scores.argmax("_choice")
    found = data.stack(_choice=axes).isel(_choice=chosen)
    coordinates = {name: found[name].drop_vars("_choice", errors="ignore") for name in axes}
    found = found.drop_vars(["_choice", *axes], errors="ignore").assign_coords(coordinates)
    return found.assign_attrs(data.attrs | {"chosen_by": by, "chosen_over": ", ".join(axes)})


def judge_of(data: xarray.Dataset) -> str:
    """Return the name of the variable by which learning rates and weight decays of an arm are chosen.

    Args:
        data: the result of an arm.

    Returns:
        The accuracy (or loss) on held-out data if the sweep has them, else the training loss, never a variable of the
        test set; an empty text without either.
    """
    names = ("validation_accuracy", "validation_loss", "train_loss")
    return next((name for name in names if name in data), "")


def first_pair(data: xarray.Dataset) -> dict[str, float]:
    """Return the first pair of learning rate and weight decay for which not all networks of an arm diverged.

    Args:
        data: the result of an arm.

    Returns:
        The pair, by the names of its axes; empty if the arm has only one pair, or if every network diverged.
    """
    if not set(_RATES) <= set(data.status.dims) or all(data.sizes[name] == 1 for name in _RATES):
        return {}
    for rate in range(data.sizes["learning_rate"]):
        for decay in range(data.sizes["weight_decay"]):
            if bool((data.status.isel(learning_rate=rate, weight_decay=decay) == 0).any()):
                rates = data.learning_rate[rate], data.weight_decay[decay]
                return {name: float(value) for name, value in zip(_RATES, rates, strict=True)}
    return {}
