"""How few modes a run needs: the least number of modes at each width of every arm, in numbers and in words.

No matplotlib in here. The definitions and their intervals are those of `modejax.modes.least_modes`.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.errors import InputError
from modejax.modes.least import LeastModes, least_modes
from modejax.plots.chance import chance_limit
from modejax.plots.members import Result, arm_config, arm_data, arm_names, axis_text, further_axes, measure_of
from modejax.sweep.select import BASELINE, best_cells

if TYPE_CHECKING:
    import xarray

__all__ = ["INTERPOLATED", "Answer", "Need", "answers"]

INTERPOLATED = "Values between two numbers of modes that were trained are interpolated in ln P."
"""How a value that was not trained comes about."""

_LEVEL = 1.0  # points
_JUDGE = "validation_accuracy"
_RATES = {"learning_rate": "learning rates", "weight_decay": "weight decays"}
_ENOUGH = 5  # seeds; with fewer, the interval of `least_modes` is the whole range of its resamples


class Need(NamedTuple):
    """The least number of modes at one width."""

    width: int  # 0 without hidden layers
    value: float | None  # interpolated in ln P; None where no number tried reaches the target
    low: float | None  # ends of the bracket; None with one seed
    high: float | None  # None also where resampled seeds do not reach the target
    target: float  # accuracy in percent
    smallest: int  # number of modes tried
    largest: int

    @property
    def reached(self) -> str:
        """Where the value lies: between (the numbers tried), at_smallest, or not_reached.

        Example:
            >>> Need(16, None, 12.0, None, 97.0, 2, 20).reached
            'not_reached'
        """
        if self.value is None:
            return "not_reached"
        return "at_smallest" if self.value <= self.smallest else "between"

    @property
    def text(self) -> str:
        """The value in words.

        Example:
            >>> Need(16, 8.54, 7.6, 9.5, 97.0, 2, 20).text, Need(16, 2.0, 2.0, 2.0, 97.0, 2, 20).text
            ('8.54', 'at most 2 (smallest tried)')
        """
        if self.value is None:
            return f"more than {self.largest} (largest tried)"
        return f"at most {self.smallest} (smallest tried)" if self.value <= self.smallest else f"{self.value:.3g}"

    @property
    def bracket(self) -> str:
        """The bracket in words; empty where there is none, or where it says no more than the value.

        Example:
            >>> Need(16, 8.5, 7.6, 9.5, 97.0, 2, 20).bracket, Need(16, 8.5, 2.0, None, 97.0, 2, 20).bracket
            ('[7.6, 9.5]', '[<=2, >20]')
        """
        if self.low is None or self.low == self.high:
            return ""
        low = f"<={self.smallest}" if self.low <= self.smallest else f"{self.low:.3g}"
        return f"[{low}, {f'>{self.largest}' if self.high is None else f'{self.high:.3g}'}]"


class Answer(NamedTuple):
    """The least numbers of modes of an arm, or what is missing to say them."""

    arm: str
    at: dict[str, float]  # values of further axes, such as sparsity
    several: bool  # whether the run has more than one arm besides the dense baseline
    definition: str  # a name of `modejax.modes.DEFINITIONS`
    seeds: int
    needs: list[Need]
    notes: list[str]  # how the numbers are to be read
    missing: str  # why there are none, and what to do; empty where there are some
    rate_ends: tuple[str, ...] = ()  # "smallest", "largest": where half of the best learning rates or more lie

    @property
    def head(self) -> str:
        """What the numbers are.

        Example:
            >>> Answer("mode", {}, False, "dense", 3, [], [], "").head
            'least modes within 1 point of dense'
        """
        where = [f"of arm {self.arm}"] if self.several else []
        where += [f"at {axis_text(name, value)}" for name, value in self.at.items()]
        rival = "dense" if self.definition == "dense" else "the best number of modes tried"
        return " ".join(["least modes", *where, f"within {_LEVEL:g} point of {rival}"])

    @property
    def cells(self) -> list[str]:
        """The number of each width in words.

        Example:
            >>> need = Need(16, 8.5, 7.6, 9.5, 97.0, 2, 20)
            >>> Answer("mode", {}, False, "dense", 3, [need], [], "").cells
            ['8.5 [7.6, 9.5] at width 16']
        """
        return [
            " ".join(filter(None, [need.text, need.bracket, f"at width {need.width}" if need.width else ""]))
            for need in self.needs
        ]

    def record(self) -> dict[str, Any]:
        """Return the answer as values that JSON knows."""
        return {
            "arm": self.arm,
            "at": self.at,
            "text": self.head,
            "definition": self.definition,
            "level": _LEVEL,
            "seeds": self.seeds,
            "widths": [{**need._asdict(), "reached": need.reached} for need in self.needs],
            "notes": self.notes,
            "missing": self.missing or None,
        }


def answers(result: Result) -> list[Answer]:
    """Say how few modes the networks of a run need, for every arm that has accuracies and several numbers of modes.

    At each width: the least number of modes whose mean accuracy lies within 1 point of the dense network of that
    width, or of the best number of modes where there is no such network. Where an arm has several learning rates or
    weight decays, every cell of the grid is taken at its best ones on held-out data; without held-out data there are no
    numbers, since rates chosen on the test set would flatter the result.

    Args:
        result: a run, its result, or the data set of one arm, which has no baseline.

    Returns:
        One answer an arm, and one for each value of its further axes (such as sparsity). Empty where the targets are
        real values, or no arm has two numbers of modes.

    Raises:
        InputError: if the result is not that of a sweep.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(1, 4), seeds=2, epochs=2, baseline="none"))
        >>> [answer.head for answer in answers(run)]
        ['least modes within 1 point of the best number of modes tried']
    """
    names = arm_names(result)
    own = [name for name in names if name != BASELINE or len(names) == 1]
    rival = arm_data(result, BASELINE) if len(names) > 1 and BASELINE in names else None
    found = []
    for name in own:
        data = arm_data(result, name or None)
        if measure_of(data).what == "accuracy" and data.sizes["modes"] > 1 and int(data.modes.min()) > 0:
            found += _of_arm(data, _fitting(data, rival), name, several=len(own) > 1)
    return found


def _fitting(data: xarray.Dataset, rival: xarray.Dataset | None) -> xarray.Dataset | None:
    """Return the dense baseline where it has the widths, seeds and further axes of an arm."""
    if rival is None:
        return None
    shared = ["width", "seed", *further_axes(rival)]
    same = all(name in data.dims and np.isin(data[name].values, rival[name].values).all() for name in shared)
    return rival if same else None


def _of_arm(data: xarray.Dataset, rival: xarray.Dataset | None, name: str, *, several: bool) -> list[Answer]:
    definition = "best" if rival is None else "dense"
    blank = Answer(name, {}, several, definition, data.sizes["seed"], [], [], "")
    chosen = _several_rates(data, "")
    chosen |= {} if rival is None else _several_rates(rival, " of the dense baseline")
    if chosen and _JUDGE not in data:
        what = " and ".join(chosen)
        advice = "train with one of each" if arm_config(data).get("mask_after") else "add --validation 0.1"
        return [blank._replace(missing=f"no held-out data to choose among the {what}; {advice}")]
    whole, data = data, _at_best(data)
    ends = _rate_ends(whole, data)
    rival = None if rival is None else _at_best(rival)
    blank = blank._replace(rate_ends=tuple(end for end, share in ends.items() if 2 * share[0] >= share[1]))
    found = []
    axes = further_axes(data)
    for place in itertools.product(*(range(data.sizes[axis]) for axis in axes)):
        at = {axis: float(data[axis].values[i]) for axis, i in zip(axes, place, strict=True)}
        dense = None if rival is None else rival.sel({axis: v for axis, v in at.items() if axis in rival.dims})
        one = blank._replace(at={axis: value for axis, value in at.items() if data.sizes[axis] > 1})
        here = data.isel(dict(zip(axes, place, strict=True)))
        found.append(_answer(one, here, dense, [*_chosen_text(chosen), *_ends_text(ends)]))
    return found


def _chosen_text(chosen: dict[str, None]) -> list[str]:
    return [f"each cell at its best of {' and '.join(chosen)}, chosen on held-out data"] if chosen else []


def _rate_ends(whole: xarray.Dataset, best: xarray.Dataset) -> dict[str, tuple[int, int]]:
    """Count the cells whose best learning rate is an end of those tried, so that a better one may lie beyond it.

    Returns:
        By the name of the end: the number of such cells, and of all cells. Ends without such cells are left out.
    """
    if whole.sizes.get("learning_rate", 1) < 2:
        return {}
    tried, rates = whole.learning_rate.values, best.learning_rate.values
    counts = {name: int((rates == end).sum()) for name, end in (("smallest", tried.min()), ("largest", tried.max()))}
    return {name: (count, int(rates.size)) for name, count in counts.items() if count}


def _ends_text(ends: dict[str, tuple[int, int]]) -> list[str]:
    words = [f"the {name} tried in {count} of {cells} cells" for name, (count, cells) in ends.items()]
    return [f"the best learning rate is {' and '.join(words)}: try rates beyond it"] if words else []


def _several_rates(data: xarray.Dataset, whose: str) -> dict[str, None]:
    """Return what a sweep over rates leaves to choose among, in words."""
    return {f"{data.sizes[n]} {text}{whose}": None for n, text in _RATES.items() if data.sizes.get(n, 1) > 1}


def _at_best(data: xarray.Dataset) -> xarray.Dataset:
    """Take every cell at its best rates on held-out data, where there are several."""
    over = [name for name in _RATES if data.sizes.get(name, 1) > 1]
    return best_cells(data, over, _JUDGE) if over else data


def _answer(blank: Answer, data: xarray.Dataset, dense: xarray.Dataset | None, rates: list[str]) -> Answer:
    definition: Any = blank.definition
    widths = [int(n) for n in data.width.values]
    failed = [n for n in widths if dense is not None and bool((dense.status.sel(width=n) == 1).any())]
    guessing = _guessing(data, dense, [n for n in widths if n not in failed])
    left = [n for n in widths if n not in (*failed, *guessing)]
    notes = [f"no dense network to compare with at {_widths_text(failed)}: it diverged"] if failed else []
    if guessing:
        whose = "the dense networks are" if dense is not None else "all networks are"
        notes.append(f"no number at {_widths_text(guessing)}: {whose} at chance level there")
    if not left and guessing:
        return blank._replace(missing=f"{notes[-1]}; train with another learning rate, or for more epochs")
    if not left:
        advice = "train them with smaller --baseline-learning-rates"
        return blank._replace(missing=f"dense networks diverged at every width; {advice}")
    try:
        found = least_modes(data.sel(width=left), definition, _LEVEL, dense=dense)
    except InputError as error:
        return blank._replace(missing=str(error))
    modes = data.modes.values
    needs = [_need(found, index, int(modes.min()), int(modes.max())) for index in range(len(left))]
    return blank._replace(needs=needs, notes=[*notes, *rates, _seeds_text(found.seeds)])


def _widths_text(widths: list[int]) -> str:
    return f"width{'s' * (len(widths) > 1)} {', '.join(map(str, widths))}"


def _guessing(data: xarray.Dataset, dense: xarray.Dataset | None, widths: list[int]) -> list[int]:
    """Return the widths at which the networks that set the target have learnt nothing."""
    limit = chance_limit(data)
    if limit is None or not widths:
        return []
    rival = data if dense is None else dense
    best = (
        rival.test_accuracy.isel(epoch=-1)
        .sel(width=widths)
        .mean("seed")
        .max([n for n in ("modes",) if n in rival.dims])
    )
    return [n for n in widths if float(np.ravel(best.sel(width=n))[0]) <= limit]


def _seeds_text(seeds: int) -> str:
    if seeds == 1:
        return f"one seed, so there are no brackets; --seeds {_ENOUGH} gives some"
    if seeds < _ENOUGH:
        return f"brackets: range over resamples of {seeds} seeds, rough; --seeds {_ENOUGH} gives 95 % intervals"
    return f"brackets: 95 % intervals over {seeds} seeds"


def _need(found: LeastModes, index: int, smallest: int, largest: int) -> Need:
    def finite(values: np.ndarray | None) -> float | None:
        return None if values is None or not math.isfinite(values[index]) else float(values[index])

    return Need(
        int(found.widths[index]),
        finite(found.value),
        finite(found.low),
        finite(found.high),
        100 * float(found.target[index]),
        smallest,
        largest,
    )
