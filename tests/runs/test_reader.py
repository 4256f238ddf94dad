"""What is read from an output folder is whole, lies in it and belongs together, or is refused with one error."""

import contextlib
import json
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.runs import MARKER, check_config, output, read_bytes, read_json, read_marker, read_netcdf
from modejax.runs._marker import PART, Marker, Record, load_marker, parse_marker, save_marker

CONFIG = {"widths": [8, 16], "seeds": 3, "rate": 0.01}


def result():
    arm = xarray.Dataset({"accuracy": ("width", np.array([0.5, 0.75]))}, {"width": [8, 16]}, {"config": "{}"})
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs={"config": json.dumps(CONFIG)}), "/mode": arm})


@pytest.fixture
def folder(tmp_path):
    with output(tmp_path / "run", "sweep") as out:
        (out.path / "config.json").write_text(json.dumps(CONFIG))
        result().to_netcdf(out.path / "result.nc", engine="h5netcdf")
        return out.finish(["config.json", "result.nc"])


def finished(path, change):
    """Write a finished folder whose result is what a function makes of it; its checksum fits."""
    with output(path, "sweep") as out:
        result().to_netcdf(out.path / "result.nc", engine="h5netcdf")
        change(out.path / "result.nc")
        return out.finish(["result.nc"])


def test_what_was_written_is_read(folder):
    assert read_json(folder, "config.json") == CONFIG
    tree = read_netcdf(folder)
    assert tree["mode"].accuracy.sel(width=16).item() == 0.75
    check_config(tree.attrs["config"], CONFIG, folder)
    xarray.testing.assert_identical(tree, result())


def test_a_file_without_groups_is_a_data_set(tmp_path):
    plain = result()["mode"].to_dataset()
    with output(tmp_path / "run", "sweep") as out:
        plain.to_netcdf(out.path / "result.nc", engine="h5netcdf")
        out.finish()
    xarray.testing.assert_identical(read_netcdf(tmp_path / "run").to_dataset(), plain)


@pytest.mark.parametrize("name", ["config.json", "result.nc"])
@pytest.mark.parametrize("harm", ["cut", "grown", "altered", "emptied", "removed", "folder"])
def test_a_file_that_is_not_as_it_was_written_is_refused(folder, name, harm):
    path = folder / name
    data = path.read_bytes()
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm != "removed":
        middle = bytes([data[len(data) // 2] ^ 1])
        altered = data[: len(data) // 2] + middle + data[len(data) // 2 + 1 :]
        path.write_bytes({"cut": data[:-1], "grown": data + b" ", "altered": altered, "emptied": b""}[harm])
    with pytest.raises(InputError, match=r"is damaged|cannot be read|is not a file"):
        read_netcdf(folder) if name == "result.nc" else read_json(folder, name)


def test_a_file_that_the_marker_does_not_list_is_refused(folder):
    (folder / "members.json").write_text("{}")
    with pytest.raises(InputError, match=r"no members\.json among its data; its marker lists config\.json, result\.nc"):
        read_json(folder, "members.json")


def test_folders_that_are_not_ours_are_refused(tmp_path, folder):
    (tmp_path / "config.json").write_text("{}")
    for path, message in (
        (tmp_path, "was not made by modejax"),
        (tmp_path / "none", "does not exist"),
        (folder / "result.nc", "is a file"),
        ("a\0b", "cannot be read"),
        ("x" * 300, "cannot be read"),
    ):
        for read in (read_marker, read_json, read_netcdf):
            with pytest.raises(InputError, match=message):
                read(path)
    with pytest.raises(InputError, match=r"output of another command \(sweep\); allowed: one of svr"):
        read_marker(folder, "svr")


@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual", "cycle"])
def test_what_lies_in_another_file_is_refused(tmp_path, kind):
    other = tmp_path / "other.nc"
    with h5py.File(other, "w") as file:
        file["accuracy"] = np.ones(2)

    def change(path):
        with h5py.File(path, "a") as file:
            group: Any = file["mode"]
            if kind == "external link":
                group["stolen"] = h5py.ExternalLink(str(other), "accuracy")
            elif kind == "soft link":
                group["stolen"] = h5py.SoftLink("/mode/accuracy")
            elif kind == "external storage":
                group.create_dataset("stolen", shape=(2,), dtype="f8", external=[(str(other), 0, 16)])
            elif kind == "virtual":
                layout = h5py.VirtualLayout(shape=(2,), dtype="f8")
                layout[:] = h5py.VirtualSource(str(other), "accuracy", shape=(2,))
                group.create_virtual_dataset("stolen", layout)
            else:
                group["stolen"] = file["mode"]

    with pytest.raises(InputError, match=r"stolen (is a link|lie in|has two names)"):
        read_netcdf(finished(tmp_path / "run", change))


def test_what_is_no_netcdf_file_is_refused(tmp_path):
    for number, data in enumerate((b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(100), b"CDF\x01" + bytes(50))):
        folder = finished(tmp_path / str(number), lambda path, data=data: path.write_bytes(data))
        with pytest.raises(InputError, match=r"no readable NetCDF-4 file"):
            read_netcdf(folder)


def test_malformed_arrays_and_attributes_are_refused(tmp_path):
    def size(file: Any):  # a scale of a dimension that does not fit
        del file["mode"]["width"]
        file["mode"]["width"] = np.zeros((3, 3))

    def time(file: Any):
        file["mode"]["accuracy"].attrs["units"] = "days since never"

    def dimensions(file: Any):
        file["mode"]["accuracy"].attrs["DIMENSION_LIST"] = 3

    def scale(file: Any):
        file["mode"]["accuracy"].attrs["scale_factor"] = "x"

    for change in (size, time, dimensions, scale):

        def apply(path, change=change):
            with h5py.File(path, "a") as file:
                change(file)

        folder = finished(tmp_path / change.__name__, apply)
        with pytest.raises(InputError, match=r"is not a readable result"):
            read_netcdf(folder)


def test_a_result_is_checked_against_its_config():
    check_config(json.dumps(CONFIG, indent=3), dict(reversed(CONFIG.items())), "run")
    with pytest.raises(InputError, match=r"made with another config .*\(they differ in seeds, widths\)"):
        check_config(json.dumps(CONFIG), CONFIG | {"seeds": 4, "widths": [8]}, "run")
    with pytest.raises(InputError, match="differ in more"):
        check_config(json.dumps(CONFIG), CONFIG | {"more": None}, "run")
    for stored in (None, 3, b"{}", np.float64(1.0)):
        with pytest.raises(InputError, match="does not say"):
            check_config(stored, CONFIG, "run")
    for stored, message in (("{", "no JSON"), ("[1]", "holds a list"), ("[" * 100_000, "no JSON")):
        with pytest.raises(InputError, match=message):
            check_config(stored, CONFIG, "run")


def test_a_marker_comes_back(tmp_path):
    marker = Marker("svr", "finished", "1.2", {"a/b.csv": Record("0" * 64, 3)}, ("a", "figures"))
    save_marker(tmp_path, marker)
    assert load_marker(tmp_path) == marker
    assert not (tmp_path / PART).exists()


WHOLE = {
    "modejax": 1,
    "kind": "sweep",
    "state": "finished",
    "version": "0.1",
    "files": {"a": {"sha256": "0" * 64, "size": 1}},
    "entries": ["a"],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_malformed_markers_are_refused(tmp_path):
    assert parse_marker(json.dumps(WHOLE).encode(), tmp_path).state == "finished"
    record = {"sha256": "0" * 64, "size": 1}
    for changed in (
        {"modejax": 2},
        {"modejax": True},
        {"kind": "thesis"},
        {"kind": ["sweep"]},
        {"state": "done"},
        {"version": 1},
        {"entries": "a"},
        {"entries": [1]},
        {"files": []},
        {"files": {"../a": record}},
        {"files": {"/a": record}},
        {"files": {"": record}},
        {"files": {"a": record | {"size": -1}}},
        {"files": {"a": record | {"size": 1.0}}},
        {"files": {"a": record | {"sha256": "0" * 63}}},
        {"files": {"a": record | {"sha256": "G" * 64}}},
        {"files": {"a": {"size": 1}}},
        {"more": 1},
    ):
        with pytest.raises(InputError, match=r"malformed.*restore"):
            parse_marker(json.dumps(WHOLE | changed).encode(), tmp_path)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_as_a_marker_end_in_one_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    (folder / MARKER).write_bytes(data)
    for read in (read_marker, read_json, read_netcdf):
        with pytest.raises(InputError):
            read(folder)
    with pytest.raises(InputError), output(folder, "sweep", overwrite=True):
        pytest.fail("it was given")
    assert (folder / MARKER).read_bytes() == data


@given(st.sampled_from(sorted(WHOLE)), JSON)
def test_any_field_of_a_marker_is_read_or_refused(tmp_path_factory, field, value):
    folder = tmp_path_factory.mktemp("run")
    (folder / MARKER).write_text(json.dumps(WHOLE | {field: value}))
    with contextlib.suppress(InputError):
        assert read_marker(folder).kind == "sweep"
    with pytest.raises(InputError):  # its file is not there
        read_bytes(folder, "a")


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_as_a_config_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with output(folder, "sweep") as out:
        (out.path / "config.json").write_bytes(data)
        for _ in range(2):  # while it runs, and when it is finished
            with contextlib.suppress(InputError):
                assert isinstance(read_json(folder), dict)
            out.finish()
