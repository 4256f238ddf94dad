import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modejax.data import from_arrays, load_dataset, load_npz
from modejax.errors import InputError


def arrays(**changes: Any) -> dict[str, np.ndarray]:
    """Return four correct arrays of 8x8 images in three classes, some of them changed."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (9, 8, 8), dtype=np.uint8),
        "y_train": np.arange(9) % 3,
        "x_test": rng.integers(0, 256, (3, 8, 8), dtype=np.uint8),
        "y_test": np.array([2, 0, 1]),
    } | changes


def save(path: Path, **changes: Any) -> Path:
    np.savez(path, **arrays(**changes))  # pyright: ignore[reportArgumentType]
    return path


def test_round_trip_of_images(tmp_path: Path):
    path = save(tmp_path / "mine.npz")
    data = load_dataset(str(path))
    assert (data.name, data.source, data.num_classes, data.targets) == ("mine", str(path), 3, "classes")
    assert (data.scale, data.image_shape, data.x_train.dtype) == (1 / 255, (8, 8), np.uint8)
    np.testing.assert_array_equal(data.x_train.reshape(9, 8, 8), arrays()["x_train"])
    np.testing.assert_array_equal(data.x_test.reshape(3, 8, 8), arrays()["x_test"])
    np.testing.assert_array_equal(data.y_train, arrays()["y_train"])
    np.testing.assert_array_equal(data.y_test, arrays()["y_test"])


def test_compressed_files_are_read_too(tmp_path: Path):
    np.savez_compressed(tmp_path / "small.npz", **arrays())  # pyright: ignore[reportArgumentType]
    assert load_npz(tmp_path / "small.npz") == load_npz(save(tmp_path / "large.npz"))


def test_floats_stay_as_they_are():
    x = np.linspace(-1, 1, 12).reshape(6, 2)
    data = from_arrays(x, np.arange(6) % 2, x, np.arange(6) % 2)
    assert (data.scale, data.image_shape, data.x_train.dtype) == (1.0, None, np.float32)
    np.testing.assert_array_equal(data.x_train, x.astype(np.float32))


@pytest.mark.parametrize(
    ("x", "advice"),
    [
        (np.arange(0, 252.0, 21).reshape(6, 2), r"divide images by 255"),  # bytes as `fetch_openml` gives them
        (np.linspace(0, 255, 12).reshape(6, 2), r"divide images by 255"),
        (-np.arange(12.0).reshape(6, 2), "diverges; bring each feature to mean 0 and standard deviation 1"),
    ],
)
def test_large_features_are_used_with_a_warning(x, advice):
    with pytest.warns(UserWarning, match=advice):
        data = from_arrays(x, np.arange(6) % 2, x, np.arange(6) % 2)
    np.testing.assert_array_equal(data.x_train, x.astype(np.float32))
    assert data.scale == 1


def test_signs_are_recognised():
    data = from_arrays(np.ones((4, 2)), np.array([-1, 1, 1, -1]), np.ones((2, 2)), np.array([1, 1]))
    assert (data.targets, data.num_outputs, data.num_classes) == ("signs", 1, 2)
    np.testing.assert_array_equal(data.y_train, [-1, 1, 1, -1])


def test_plain_8_bit_features_are_no_image():
    x = arrays()["x_train"].reshape(9, 64)
    assert from_arrays(x, np.arange(9) % 3, x, np.arange(9) % 3).image_shape is None


@pytest.mark.parametrize(("shape", "expected"), [((8, 8, 1), (8, 8)), ((4, 4, 3), (4, 4, 3)), ((2, 2, 2, 2),) * 2])
def test_image_shapes(shape: tuple[int, ...], expected: tuple[int, ...]):
    x = np.zeros((4, *shape), np.uint8)
    data = from_arrays(x, np.arange(4) % 2, x, np.arange(4) % 2)
    assert data.image_shape == expected
    assert data.num_features == int(np.prod(shape))


@settings(max_examples=30)
@given(
    x=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5)),
    classes=st.integers(2, 5),
)
def test_any_images_come_back(x: np.ndarray, classes: int):
    x = np.concatenate([x] * classes)  # enough examples for every class
    y = np.arange(len(x)) % classes
    data = from_arrays(x, y, x[:1], y[:1])
    np.testing.assert_array_equal(data.x_train.reshape(x.shape), x)
    assert data.num_classes == classes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.arange(8) % 3}, r"x_train holds 9 examples and y_train 8 labels"),
        ({"y_train": np.arange(9) % 3 + 1, "y_test": np.array([1, 2, 3])}, r"labels are 1, 2, 3, of which some are"),
        ({"y_train": np.array([0, 5] * 4 + [0])}, r"labels are 0, 1, 2, 5, of which some are out of range.*np\.unique"),
        ({"y_train": np.array([-1, 0, 1] * 3)}, r"labels are -1, 0, 1, 2, of which some are out of range"),
        ({"y_train": np.arange(9) / 3}, r"y_train has type float64; allowed: integers"),
        ({"y_train": np.zeros(9, int), "y_test": np.zeros(3, int)}, r"all labels are 0; allowed: at least 2 classes"),
        ({"x_train": np.full((9, 8, 8), np.nan)}, r"x_train holds 576 values that are NaN"),
        ({"x_test": np.zeros((0, 8, 8), np.uint8), "y_test": np.zeros(0, int)}, r"x_test is empty; allowed: at least"),
        ({"x_test": np.zeros((0, 8, 8), np.uint8), "y_test": np.zeros(0)}, r"x_test is empty"),
        ({"x_test": np.zeros((3, 64), np.uint8)}, r"shape \(8, 8\) in x_train and \(64,\) in x_test"),
        ({"x_test": np.zeros((3, 8, 8))}, r"x_train has type uint8 and x_test float32"),
        ({"x_train": np.array(3.0), "x_test": np.array(3.0)}, r"x_train has shape \(\)"),
        ({"x_train": np.zeros((9, 8, 8), "U1")}, r"x_train has type <U1; allowed: uint8"),
    ],
)
def test_bad_arrays_are_refused_with_the_file_named(tmp_path: Path, changes: dict[str, Any], message: str):
    path = save(tmp_path / "bad.npz", **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(str(path))
    assert str(caught.value).startswith(f"{path}: ")


def test_missing_and_unknown_arrays(tmp_path: Path):
    kept = arrays()
    del kept["y_test"]
    np.savez(tmp_path / "short.npz", **kept)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"allowed: exactly x_train, y_train, x_test, y_test\. Missing: y_test\. Make"):
        load_npz(tmp_path / "short.npz")
    with pytest.raises(InputError, match=r"Unknown: weights\. Make it with np\.savez"):
        load_npz(save(tmp_path / "long.npz", weights=np.ones(3)))


class Bomb:
    """An object whose unpickling is noticed."""

    exploded = False

    def __reduce__(self):
        return setattr, (Bomb, "exploded", True)


def test_pickled_objects_are_refused_and_not_run(tmp_path: Path):
    path = save(tmp_path / "objects.npz", y_test=np.array([Bomb(), Bomb(), Bomb()], dtype=object))
    with pytest.raises(InputError, match=r"objects\.npz holds pickled Python objects .* allowed: arrays of numbers"):
        load_npz(path)
    plain = tmp_path / "plain.npz"
    plain.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"plain\.npz cannot be read as an \.npz archive"):
        load_npz(plain)
    assert not Bomb.exploded


def test_files_that_are_no_archive(tmp_path: Path):
    with pytest.raises(InputError, match=r"there is no file .*nowhere\.npz; allowed: an existing \.npz file"):
        load_dataset(str(tmp_path / "nowhere.npz"))
    text = tmp_path / "text.npz"
    text.write_text("x_train,y_train\n")
    with pytest.raises(InputError, match=r"text\.npz cannot be read as an \.npz archive"):
        load_npz(text)
    single = tmp_path / "single.npz"
    with single.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(InputError, match=r"single\.npz cannot be read as an \.npz archive"):
        load_npz(single)


@pytest.mark.parametrize("keep", [0.3, 0.999])
def test_cut_files(tmp_path: Path, keep: float):
    path = save(tmp_path / "cut.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=r"cannot be read as an \.npz archive"):
        load_npz(path)


def test_damaged_values_are_noticed(tmp_path: Path):
    path = save(tmp_path / "damaged.npz")
    content = bytearray(path.read_bytes())
    content[300] ^= 1  # inside the pixels of x_train
    path.write_bytes(content)
    with pytest.raises(InputError, match="Bad CRC-32"):
        load_npz(path)


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(tmp_path / "mine.npz")
    assert load_dataset("~/mine.npz").name == "mine"
