import errno
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from modejax.data import list_datasets, load_dataset, preparation, prepare
from modejax.data.originals import Original
from modejax.data.preparation import CIFAR10_FILES, MNIST_FILES
from modejax.errors import InputError


def as_pairs(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, bytes]]:
    """Return examples in an order that does not depend on the order they are stored in."""
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_grey_sets_are_prepared_and_loaded(published, grey_images, tmp_path: Path, name: str):
    seen = []
    folder = prepare(name, data_dir=tmp_path / "sets", progress=lambda *told: seen.append(told))
    assert folder.parent == tmp_path / "sets" / name
    data = load_dataset(name, data_dir=tmp_path / "sets")
    assert (data.name, data.image_shape, data.num_classes, data.scale) == (name, (28, 28), 10, 1 / 255)
    assert as_pairs(data.x_train, data.y_train) == as_pairs(*grey_images["train"])
    assert as_pairs(data.x_test, data.y_test) == as_pairs(*grey_images["test"])
    assert sorted(os.listdir(tmp_path / "sets")) == [name]
    assert {told[0] for told in seen} >= {*MNIST_FILES, "encoding train images", "writing the set"}
    assert seen[-1] == ("writing the set", 80, 80)
    assert "tensorflow" not in sys.modules


def test_cifar10_is_prepared_and_loaded(published, colour_images, tmp_path: Path):
    import tensorflow_datasets as tfds

    folder = prepare("cifar10", data_dir=tmp_path)
    data = load_dataset("cifar10", data_dir=tmp_path)
    assert (data.image_shape, data.x_train.shape) == ((32, 32, 3), (60, 3072))
    assert as_pairs(data.x_train, data.y_train) == as_pairs(*colour_images["train"])
    assert as_pairs(data.x_test, data.y_test) == as_pairs(*colour_images["test"])
    # The set is one of tensorflow-datasets like any other.
    info = tfds.builder_from_directory(folder).info
    assert info.features["label"].names == [f"class{number}" for number in range(10)]  # pyright: ignore
    assert info.splits["train"].num_examples == 60


def test_the_order_depends_on_the_number_of_an_example_only(published, grey_images, tmp_path: Path):
    """As in tensorflow-datasets, so that both tools write the same set."""
    prepare("mnist", data_dir=tmp_path / "a")
    prepare("mnist", data_dir=tmp_path / "b")
    a, b = (load_dataset("mnist", data_dir=tmp_path / one) for one in "ab")
    assert a == b
    assert not np.array_equal(a.y_train, grey_images["train"][1])


def test_a_set_that_is_there_is_left_alone(published, tmp_path: Path):
    folder = prepare("mnist", data_dir=tmp_path)
    asked = len(published.requests)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert prepare("mnist", data_dir=tmp_path) == folder
    assert len(published.requests) == asked
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_the_list_shows_what_was_prepared(published, tmp_path: Path):
    folder = prepare("mnist", data_dir=tmp_path)
    entries = {entry.name: entry for entry in list_datasets(tmp_path)}
    assert entries["mnist"].available
    assert entries["mnist"].where == str(folder)
    assert not entries["cifar10"].available


def test_nothing_is_printed(published, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    prepare("mnist", data_dir=tmp_path)
    assert capfd.readouterr() == ("", "")


def test_no_temporary_files_stay(published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    prepare("mnist", data_dir=tmp_path / "sets")
    assert_nothing_stays(tmp_path / "temporary")
    assert tempfile.tempdir == str(tmp_path / "temporary")


def assert_nothing_stays(folder: Path) -> None:
    __tracebackhide__ = True
    assert list(folder.iterdir()) == []


def test_without_a_network(published, tmp_path: Path):
    published.close()
    with pytest.raises(InputError) as caught:
        prepare("mnist", data_dir=tmp_path / "deep" / "sets")
    message = str(caught.value)
    for part in ("could not download http", "Nothing was kept", "modejax data prepare mnist", "--data-dir"):
        assert part in message
    for part in ("MODEJAX_DATA_DIR", "`digits` and `gaussian_mixture` need no network", "https_proxy"):
        assert part in message
    assert_nothing_stays(tmp_path)


def test_with_a_wrong_checksum(published, tmp_path: Path):
    published.files[MNIST_FILES[2]] = published.files[MNIST_FILES[0]]
    with pytest.raises(InputError, match=r"t10k-images.*is not the file that tensorflow-datasets recorded"):
        prepare("mnist", data_dir=tmp_path / "sets")
    assert_nothing_stays(tmp_path)


def test_with_files_that_do_not_fit(published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = [MNIST_FILES[0], MNIST_FILES[3], MNIST_FILES[2], MNIST_FILES[3]]
    published.files |= dict(zip(MNIST_FILES, [published.files[name] for name in names], strict=True))
    monkeypatch.setattr(preparation, "_originals", lambda _, files: [published.original(name) for name in files])
    with pytest.raises(InputError, match=r"hold 60 train images and 20 labels"):
        prepare("mnist", data_dir=tmp_path / "sets")
    published.files[MNIST_FILES[0]] = b"no gzip"
    with pytest.raises(InputError, match=r"the downloaded files cannot be read"):
        prepare("mnist", data_dir=tmp_path / "sets")
    assert_nothing_stays(tmp_path)


def test_a_full_disk(published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(preparation, "_write", full)
    with pytest.raises(InputError, match=r"could not be written in .*No space left.*Choose another folder"):
        prepare("mnist", data_dir=tmp_path / "sets")
    assert_nothing_stays(tmp_path)


def test_a_folder_that_cannot_be_made(published, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"could not be written in .*file.*MODEJAX_DATA_DIR"):
        prepare("mnist", data_dir=tmp_path / "file")
    assert (tmp_path / "file").read_text() == ""


def test_an_interruption(published, tmp_path: Path):
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "writing the set" and done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("mnist", data_dir=tmp_path / "sets", progress=interrupt)
    assert_nothing_stays(tmp_path)
    prepare("mnist", data_dir=tmp_path / "sets")  # and it works afterwards


def test_somebody_else_was_faster(published, tmp_path: Path):
    """The set appears while ours is being written: theirs is used, ours is dropped."""
    theirs = prepare("mnist", data_dir=tmp_path / "other")

    def meanwhile(what: str, done: int, total: int) -> None:
        if what == "writing the set" and done == total:
            os.rename(theirs, tmp_path / "sets" / "mnist" / theirs.name)

    folder = prepare("mnist", data_dir=tmp_path / "sets", progress=meanwhile)
    assert sorted(os.listdir(tmp_path / "sets")) == ["mnist"]
    assert len(load_dataset("mnist", data_dir=tmp_path / "sets").x_train) == 60
    assert folder.is_dir()


def test_a_set_in_another_format_is_left_alone(published, tmp_path: Path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text('{"fileFormat": "tfrecord"}')
    with pytest.raises(InputError, match=r"holds 'mnist' in a format that needs TensorFlow.*another folder"):
        prepare("mnist", data_dir=tmp_path)
    assert [file.name for file in folder.iterdir()] == ["dataset_info.json"]


@pytest.mark.parametrize("name", ["digits", "gaussian_mixture", "imagenet", "mine.npz"])
def test_sets_that_cannot_be_prepared(name: str):
    with pytest.raises(InputError, match=r"cannot be prepared; allowed: cifar10, fashion_mnist, mnist\."):
        prepare(name)


@pytest.mark.parametrize(
    ("name", "files", "checksums"),
    [
        ("mnist", MNIST_FILES, {"440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"}),
        ("fashion_mnist", MNIST_FILES, {"3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"}),
        ("cifar10", CIFAR10_FILES, {"c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}),
    ],
)
def test_the_checksums_are_those_of_tensorflow_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: tuple[str, ...], checksums: set[str]
):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # it leaves an empty folder behind
    builder = tfds.builder(name, data_dir=tmp_path / "sets", file_format="array_record")
    originals = preparation._originals(builder, files)
    assert [original.file_name for original in originals] == list(files)
    assert {original.sha256 for original in originals} >= checksums
    assert all(isinstance(original, Original) and original.size > 1000 for original in originals)
    assert not (tmp_path / "sets").exists()


def test_a_set_without_recorded_checksums_is_refused():
    class Builder:
        url_infos = None

    with pytest.raises(InputError, match=r"records no checksum of cifar-10-binary\.tar\.gz"):
        preparation._originals(Builder(), CIFAR10_FILES)
