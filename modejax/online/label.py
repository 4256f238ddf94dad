"""The result of a grid as labelled arrays: a data set of xarray with named dimensions, coordinates and units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.online.solve import DIVERGED, OK, OUT_OF_STEPS
from modejax.online.sweep import SweepResult

if TYPE_CHECKING:
    import xarray

__all__ = ["labelled"]

_AXES = {
    "d": ("input dimension d", "1"),
    "units": ("number of hidden units K", "1"),
    "modes": ("number of modes p", "1"),
    "eta": ("learning rate", "1"),
    "teacher": ("seed of the teacher", "1"),
    "start": ("seed of the student's start", "1"),
    "seed": ("seed of the inputs", "1"),
}
_OTHERS = {
    "time": ("time t = samples / d", "d samples"),
    "student_unit": ("hidden unit of the student", "1"),
    "student_unit_2": ("hidden unit of the student, second index", "1"),
    "teacher_unit": ("hidden unit of the teacher", "1"),
    "teacher_unit_2": ("hidden unit of the teacher, second index", "1"),
    "rate_number": ("number of a relaxation rate, the fastest first", "1"),
    "rate": ("relaxation rates: eigenvalues of R", "1 / (d samples)"),
    "P": ("overlap of two teacher units", "1"),
    "Q": ("overlap of two student units", "1"),
    "M": ("overlap of a student and a teacher unit", "1"),
    "error": ("generalisation error <e^2> / 2", "1"),
    "test_error": ("mean of e^2 / 2 over the finite test set", "1"),
    "status": ("how it ended", "1"),
    "last_good_time": ("last time at which all numbers are good", "d samples"),
    "steps": ("steps of the solver", "1"),
    "measured_time": ("time of the measurement, in whole samples", "d samples"),
}
_INDICES = {
    "Q": ("student_unit", "student_unit_2"),
    "M": ("student_unit", "teacher_unit"),
    "P": ("teacher_unit", "teacher_unit_2"),
}


def labelled(result: SweepResult) -> xarray.Dataset:
    """Return the result of a grid as labelled arrays.

    Dimensions are `d`, `units` (K), `modes` (p), `eta`, `teacher`, `start` (only where it is not the teacher's number)
    and `seed`; then `time`, units of student and teacher, and the number of a rate. Theory does not depend on the seed
    of the inputs and has no such dimension. Entries beyond the K or p of a member are NaN.

    Args:
        result: the result of `run_members` on the members of `grid`.

    Returns:
        Variables `theory_error`, `theory_Q`, `theory_M`, `theory_status`, `theory_last_good_time`, `theory_steps`, the
        same with `simulation_` (without steps, with `simulation_measured_time` and, where there is a test set,
        `simulation_test_error`), `P` and `rate`, as far as they were computed; each with `long_name` and `units`.

    Raises:
        InputError: the members are not all combinations of their values, in the order of `grid`.

    Example:
        >>> from modejax.online import grid, run_members
        >>> found = labelled(run_members(grid(d=(20,), units=(3,), modes=(1, 2), eta=(1.0,)), [0.0, 1.0, 2.0]))
        >>> found.theory_error.sel(modes=2, d=20).squeeze().dims
        ('time',)
    """
    import xarray

    axes = _axes_of(result)
    units, modes = axes["units"], axes["modes"]
    data = xarray.Dataset(coords={name: (name, values) for name, values in axes.items()})
    size = int(units.max())
    data = data.assign_coords({name: np.arange(1, size + 1) for pair in _INDICES.values() for name in pair})
    data = data.assign_coords(rate_number=np.arange(1, int(modes.max()) + 1))
    parts = [(name, part) for name, part in zip(("theory", "simulation"), result[1:3], strict=True) if part is not None]
    for prefix, part in parts:
        dims = tuple(name for name in axes if name != "seed" or prefix == "simulation")
        if prefix == "theory" or result.theory is None:
            data = data.assign_coords(time=np.asarray(part.times[0]))
            data["P"] = _placed(part.P, axes, dims, _INDICES["P"])
        if prefix == "simulation":
            # Whole samples: the same for all members of one d.
            first = np.asarray(part.times).reshape(len(axes["d"]), -1, part.times.shape[-1])[:, 0]
            data["simulation_measured_time"] = (("d", "time"), first)
        for name, value in part._asdict().items():
            untested = name == "test_error" and np.isnan(np.asarray(value)).all()
            if name not in ("times", "P", "state") and not untested:
                rest = ("time", *_INDICES.get(name, ())) if np.ndim(value) > 1 else ()
                data[f"{prefix}_{name}"] = _placed(value, axes, dims, rest)
    cell = tuple(name for name in axes if name != "seed")
    data["rate"] = _placed(result.rates, axes, cell, ("rate_number",)).where(data.rate_number <= data.modes)
    return _described(_without_padding(data))


def _axes_of(result: SweepResult) -> dict[str, np.ndarray]:
    """Return the values of each axis, in the order in which they were given."""
    members = result.members._asdict()
    members["seed"] = members.pop("noise")
    found = {name: np.asarray(members[name]) for name in _AXES}
    if (found["start"] == found["teacher"]).all():
        del found["start"]
    axes = {name: np.asarray(list(dict.fromkeys(values.tolist())), values.dtype) for name, values in found.items()}
    full = np.meshgrid(*axes.values(), indexing="ij")
    same = math.prod(map(len, axes.values())) == len(found["d"])
    if not same or any((a.ravel() != b).any() for a, b in zip(full, found.values(), strict=True)):
        sizes = " x ".join(f"{len(values)} {name}" for name, values in axes.items())
        raise InputError(
            f"the {len(found['d'])} members are not all combinations of {sizes} in the order of grid, each once; make "
            "the members by grid() without repeated values"
        )
    return axes


def _placed(value: Any, axes: dict[str, np.ndarray], dims: tuple[str, ...], rest: tuple[str, ...]) -> xarray.DataArray:
    """Return an array with the members first as one over the axes in `dims`; of the others the first entry is taken."""
    import xarray

    host = np.asarray(value)
    host = host.reshape(*map(len, axes.values()), *host.shape[1:])
    host = host[tuple(slice(None) if name in dims else 0 for name in axes)]
    return xarray.DataArray(host, dims=(*dims, *rest))


def _without_padding(data: xarray.Dataset) -> xarray.Dataset:
    for name, array in data.data_vars.items():
        for index in (str(each) for each in array.dims if "_unit" in str(each)):
            if len(data.units) > 1:
                data[name] = data[name].where(data[index] <= data.units)
        first = [each for each in _AXES if each in array.dims]
        data[name] = data[name].transpose(*first, ...)
    return data


def _described(data: xarray.Dataset) -> xarray.Dataset:
    """Give every array its name in words and its unit."""
    texts = {**_AXES, **_OTHERS}
    for name in map(str, data.variables):
        prefix, _, rest = name.partition("_")
        part = rest if prefix in ("theory", "simulation") else name
        words, unit = texts[part]
        data[name].attrs = {"long_name": f"{prefix}: {words}" if part != name else words, "units": unit}
        if part == "status":
            meanings = "finished diverged out_of_steps"
            data[name].attrs |= {"flag_values": [OK, DIVERGED, OUT_OF_STEPS], "flag_meanings": meanings}
    return data
