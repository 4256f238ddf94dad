"""Networks that have learnt nothing: those whose accuracy is that of a guess."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.plots.members import Result, arm_data, arm_names, axis_text
from modejax.sweep.select import BASELINE

if TYPE_CHECKING:
    import xarray

__all__ = ["Chance", "at_chance", "chance_limit"]

_NAMED = 3  # cells of the grid that a text names


class Chance(NamedTuple):
    """The networks of a run at chance level."""

    count: int
    networks: int  # of the run that did not diverge
    limit: float  # percent: at this accuracy or below, a network is at chance level
    cells: list[str]  # where they are in the grid, in words

    @property
    def text(self) -> str:
        """The same in a sentence; empty where there are no such networks.

        Example:
            >>> Chance(2, 45, 13.2, ["mode, width 16, 2 modes, seeds 0, 1"]).text[:49]
            '2 of 45 networks are at chance level (test accura'
        """
        if not self.count:
            return ""
        left = len(self.cells) - _NAMED
        more = f"; and {left} more cell{'s' * (left > 1)}" if left > 0 else ""
        return (
            f"{self.count} of {self.networks} networks are at chance level (test accuracy at most {self.limit:.1f} %): "
            f"{'; '.join(self.cells[:_NAMED])}{more}. Try another learning rate, or more epochs"
        )


def chance_limit(data: xarray.Dataset) -> float | None:
    """Return the accuracy up to which networks of an arm are at chance level, as a share of 1.

    That of always answering the most frequent class of the test set, plus two standard errors over its examples.

    Args:
        data: the result of an arm.

    Returns:
        The share; None where no answer is right or wrong, or the result does not say what its test set holds.

    Example:
        >>> import xarray
        >>> round(chance_limit(xarray.Dataset(attrs={"majority_share": 0.1, "test_examples": 900})), 3)
        0.12
    """
    share, examples = data.attrs.get("majority_share"), data.attrs.get("test_examples")
    if share is None or not examples:
        return None
    return float(share) + 2 * math.sqrt(float(share) * (1 - float(share)) / int(examples))


def at_chance(result: Result) -> Chance:
    """Find the networks of a run whose test accuracy after the last epoch is that of a guess.

    Args:
        result: a run, its result, or the data set of one arm.

    Returns:
        How many there are and where in the grid; networks that diverged do not count.

    Raises:
        InputError: if the result is not that of a sweep.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, learning_rates=(1e-9,), baseline="none")
        >>> at_chance(run_sweep(config)).count
        2
    """
    limit, count, networks, cells = chance_limit(arm_data(result)), 0, 0, []
    if limit is None:
        return Chance(0, 0, math.nan, [])
    for name in arm_names(result):
        data = arm_data(result, name or None)
        fine = data.status == 0
        low = fine & (data.test_accuracy.isel(epoch=-1) <= limit)
        networks += int(fine.sum())
        count += int(low.sum())
        grid = [str(each) for each in data.status.dims if each != "seed"]
        values = low.transpose(*grid, "seed").values
        for place in np.ndindex(*values.shape[:-1]):
            if values[place].any():
                at = {axis: data[axis].values[i] for axis, i in zip(grid, place, strict=True)}
                cells.append(_cell(data, name, at, data.seed.values[values[place]].tolist()))
    return Chance(count, networks, 100 * limit, cells)


def _cell(data: xarray.Dataset, name: str, at: dict[str, Any], seeds: list[int]) -> str:
    words = ["dense" if name == BASELINE else name]
    words += [f"width {at['width']:g}"] if at["width"] else []
    words += [f"{at['modes']:g} mode{'s' if at['modes'] > 1 else ''}"] if at["modes"] else []
    others = [axis_text(n, value) for n, value in at.items() if n not in ("width", "modes") and data.sizes[n] > 1]
    of = "" if len(seeds) == data.sizes["seed"] else f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return ", ".join(filter(None, [*words, *others, of]))
