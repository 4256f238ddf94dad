"""A grid of online learning as labelled arrays."""

import numpy as np
import pytest
import xarray
from online_result import TIMES, made_result

from modejax.errors import InputError
from modejax.online import grid, labelled


def test_arrays_are_at_their_place():
    members = grid(d=(20, 30), units=(3, 2), modes=(1, 2), eta=(1.0, 5.0), teacher=(0, 1), noise=range(3))
    data = labelled(made_result(members=members))
    assert dict(data.theory_error.sizes) == {"d": 2, "units": 2, "modes": 2, "eta": 2, "teacher": 2, "time": 4}
    assert data.simulation_error.dims == ("d", "units", "modes", "eta", "teacher", "seed", "time")
    assert data.theory_M.dims[-3:] == ("time", "student_unit", "teacher_unit")
    assert data.P.dims[-2:] == ("teacher_unit", "teacher_unit_2")
    np.testing.assert_array_equal(data.time, TIMES)
    for i in range(len(members.d)):
        at = {name: getattr(members, name)[i] for name in ("d", "units", "modes", "eta", "teacher")}
        np.testing.assert_allclose(data.theory_error.sel(at), at["eta"] / (1 + TIMES))
        run = data.simulation_error.sel({**at, "seed": members.noise[i]})
        np.testing.assert_allclose(run, (1.01 + 0.01 * members.noise[i]) * at["eta"] / (1 + TIMES))


def test_what_lies_beyond_a_size_is_no_number():
    data = labelled(made_result(units=(3, 2), modes=(1, 2)))
    Q = data.theory_Q.sel(units=2, modes=1).squeeze()
    assert np.isfinite(Q.sel(student_unit=[1, 2], student_unit_2=[1, 2])).all()
    assert np.isnan(Q.sel(student_unit=3)).all()
    assert np.isfinite(data.theory_Q.sel(units=3)).all()
    assert data.rate.sel(modes=1, units=2).squeeze().isnull().values.tolist() == [False, True]


def test_every_array_has_a_name_in_words_and_a_unit():
    data = labelled(made_result(noise=range(2)))
    assert all({"long_name", "units"} <= set(data[name].attrs) for name in data.variables)
    assert data.time.attrs["units"] == "d samples"
    assert data.theory_status.attrs["flag_meanings"] == "finished diverged out_of_steps"
    # Without a test set there is no error on it.
    assert "simulation_test_error" not in data


def test_theory_alone_and_start_seeds():
    data = labelled(made_result(simulation=False))
    assert not [name for name in data if str(name).startswith("simulation")]
    several = labelled(made_result(teacher=(3,), start=(1, 2)))
    assert several.theory_error.dims == ("d", "units", "modes", "eta", "teacher", "start", "time")


def test_xarray_alone_reads_the_file(tmp_path):
    data = labelled(made_result(noise=range(2), diverged_runs=(1,)))
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "a.nc") as found:
        xarray.testing.assert_identical(found.load(), data)


def test_members_that_are_no_grid_are_refused():
    members = grid(eta=(1.0, 5.0), noise=range(2))
    part = members._replace(**{name: value[:3] for name, value in members._asdict().items()})
    with pytest.raises(InputError, match="3 members are not all combinations of"):
        labelled(made_result(members=part))
    turned = members._replace(eta=members.eta[[0, 2, 1, 3]])
    with pytest.raises(InputError, match="in the order of grid"):
        labelled(made_result(members=turned))
