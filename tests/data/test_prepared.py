import json
import os
from pathlib import Path

import numpy as np
import pytest

from modejax.data import cache, load_dataset, prepare, prepared
from modejax.data.prepared import data_folder, find_prepared
from modejax.errors import InputError


@pytest.fixture
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, moved for a test."""
    folder = tmp_path / "user_cache"
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda _: str(folder))
    return folder


@pytest.fixture
def mnist(published, tmp_path: Path, user_cache: Path) -> Path:
    """A small prepared set under the name of MNIST."""
    return prepare("mnist", data_dir=tmp_path / "sets")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by a line each time images are decoded."""
    calls: list[str] = []
    original = prepared._decode_part

    def counting(source, one):
        calls.append(one.name)
        return original(source, one)

    monkeypatch.setattr(prepared, "_decode_part", counting)
    return calls


def load(folder: Path):
    return load_dataset("mnist", data_dir=folder.parents[1])


def test_the_second_start_reads_the_cache(mnist: Path, decoded: list[str], user_cache: Path):
    first = load(mnist)
    assert len(decoded) == 2  # training and test part
    assert (mnist / cache.FILE_NAME).is_file()
    second = load(mnist)
    assert len(decoded) == 2
    assert first == second
    assert second.x_train.dtype == np.uint8
    assert not user_cache.exists()


def test_nothing_but_the_cache_is_left_beside_the_set(mnist: Path):
    before = set(os.listdir(mnist))
    load(mnist)
    assert set(os.listdir(mnist)) == before | {cache.FILE_NAME}


@pytest.mark.parametrize("change", ["time", "new file", "removed file"])
def test_a_changed_set_is_decoded_again(mnist: Path, decoded: list[str], change: str):
    (mnist / "extra.txt").write_text("x")
    load(mnist)
    if change == "time":
        os.utime(mnist / "mnist-train.array_record-00000-of-00001", ns=(1, 1))
    elif change == "new file":
        (mnist / "more.txt").write_text("x")
    else:
        (mnist / "extra.txt").unlink()
    load(mnist)
    assert len(decoded) == 4
    load(mnist)
    assert len(decoded) == 4


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda content: content[:-100],
        lambda content: content[: len(content) // 3],
        lambda _: b"",
        lambda _: b"x" * 99,
    ],
    ids=["one bit", "end cut", "cut", "empty", "no archive"],
)
def test_a_damaged_cache_is_made_again(mnist: Path, decoded: list[str], damage):
    expected = load(mnist).content_hash
    place = mnist / cache.FILE_NAME
    whole = place.read_bytes()
    place.write_bytes(damage(whole))
    assert load(mnist).content_hash == expected
    assert len(decoded) == 4
    load(mnist)
    assert len(decoded) == 4


def test_a_cache_of_other_contents_is_not_used(mnist: Path, decoded: list[str]):
    np.savez(mnist / cache.FILE_NAME, x_train=np.zeros(3))
    assert len(load(mnist).x_train) == 60
    assert len(decoded) == 2


def test_pickles_in_a_cache_are_not_run(mnist: Path, decoded: list[str]):
    np.savez(mnist / cache.FILE_NAME, fingerprint=np.array([{}], dtype=object))
    assert len(load(mnist).x_train) == 60
    assert len(decoded) == 2


def test_a_read_only_folder_is_left_alone(mnist: Path, decoded: list[str], user_cache: Path):
    """Also by the superuser, who could write there."""
    before = set(os.listdir(mnist))
    mnist.chmod(0o555)
    try:
        first = load(mnist)
        assert set(os.listdir(mnist)) == before
        (cached,) = (user_cache / "datasets").iterdir()
        assert cached.name.startswith("mnist-3.")
        assert load(mnist) == first
        assert len(decoded) == 2
    finally:
        mnist.chmod(0o755)


def test_two_sets_of_one_name_do_not_share_a_cache(published, user_cache: Path, tmp_path: Path, decoded: list[str]):
    folders = [prepare("mnist", data_dir=tmp_path / name) for name in "ab"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for folder in folders:
            load(folder)
        assert len(list((user_cache / "datasets").iterdir())) == 2
        assert len(decoded) == 4
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_where_nothing_can_be_written_it_still_loads(mnist: Path, decoded: list[str], user_cache: Path):
    user_cache.write_text("a file where a folder should be")
    mnist.chmod(0o555)
    try:
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match="decoded again at every start"):
                assert len(load(mnist).x_train) == 60
        assert len(decoded) == 4
    finally:
        mnist.chmod(0o755)


def test_a_cache_that_cannot_be_finished_leaves_nothing(mnist: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch):
    before = set(os.listdir(mnist))

    def full(file, **_: object) -> None:
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(cache.np, "savez", full)
    with pytest.warns(RuntimeWarning, match="could not be kept"):
        assert len(load(mnist).x_train) == 60
    assert set(os.listdir(mnist)) == before
    assert list((user_cache / "datasets").iterdir()) == []


def test_the_old_cache_survives_a_failed_new_one(mnist: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch):
    load(mnist)
    old = (mnist / cache.FILE_NAME).read_bytes()
    os.utime(mnist / "features.json", ns=(1, 1))

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(mnist)
    assert (mnist / cache.FILE_NAME).read_bytes() == old
    assert not [name for name in os.listdir(mnist) if name.startswith(".modejax")]


def test_a_damaged_set_is_an_error(mnist: Path):
    train = mnist / "mnist-train.array_record-00000-of-00001"
    train.write_bytes(train.read_bytes()[:200])
    with pytest.raises(InputError, match=r"data set 'mnist' in .* cannot be read .*modejax data prepare mnist"):
        load(mnist)
    assert not (mnist / cache.FILE_NAME).exists()


def test_a_missing_set_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        load_dataset("cifar10", data_dir=tmp_path)
    message = str(caught.value)
    for part in (str(tmp_path), "modejax data prepare cifar10", "--data-dir", "MODEJAX_DATA_DIR", "170 MB"):
        assert part in message
    assert "`digits` and `gaussian_mixture` always work" in message
    assert list(tmp_path.iterdir()) == []


def test_a_set_in_another_format_says_what_is_read(tmp_path: Path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    for content, named in (("{}", "tfrecord"), ('{"fileFormat": "riegeli"}', "riegeli"), ("no json", "unknown")):
        (folder / "dataset_info.json").write_text(content)
        with pytest.raises(InputError, match=rf"in the format '{named}'; allowed: 'array_record'.*another folder"):
            load_dataset("mnist", data_dir=tmp_path)


def test_the_newest_readable_version_is_taken(tmp_path: Path):
    for version, file_format in (("3.0.2", "array_record"), ("3.0.10", "array_record"), ("4.0.0", "tfrecord")):
        folder = tmp_path / "mnist" / version
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").write_text(json.dumps({"fileFormat": file_format}))
    (tmp_path / "mnist" / "3.0.9").mkdir()  # unfinished: no description
    (tmp_path / "mnist" / "5.0.0.incomplete").mkdir()
    assert find_prepared("mnist", tmp_path) == tmp_path / "mnist" / "3.0.10"


def test_where_sets_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("MODEJAX_DATA_DIR", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert data_folder() == tmp_path / "home" / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", "theirs")
    assert data_folder() == Path("theirs")
    monkeypatch.setenv("MODEJAX_DATA_DIR", "ours")
    assert data_folder() == Path("ours")
    assert data_folder("given") == Path("given")
    assert data_folder("~/given") == tmp_path / "home" / "given"
    monkeypatch.setenv("MODEJAX_DATA_DIR", "")
    assert data_folder() == Path("theirs")
    with pytest.raises(InputError, match="the data folder has an empty name"):
        data_folder("")


needs_mnist = pytest.mark.skipif(
    find_prepared("mnist") is None, reason="no prepared MNIST: set MODEJAX_DATA_DIR to a folder that holds it"
)


@needs_mnist
@pytest.mark.slow
def test_real_mnist(user_cache: Path):
    data = load_dataset("mnist")
    assert data.x_train.shape == (60_000, 784)
    assert data.x_test.shape == (10_000, 784)
    assert data.x_train.dtype == np.uint8
    assert np.mean(data.x_train) == pytest.approx(33.318421, abs=1e-6)
    assert np.mean(data.x_test) == pytest.approx(33.791225, abs=1e-6)
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@needs_mnist
@pytest.mark.slow
def test_real_mnist_is_prepared_as_tensorflow_datasets_does(
    published, tmp_path: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its published files, rebuilt from the prepared set, give the same set again: images, labels and order."""
    from tensorflow_datasets.core import hashing

    from modejax.data import preparation
    from modejax.data.preparation import MNIST_FILES

    expected = load_dataset("mnist")
    parts = {}
    for part in ("train", "test"):
        x, y = getattr(expected, f"x_{part}"), getattr(expected, f"y_{part}")
        hasher = hashing.Hasher(part)
        order = np.argsort([hasher.hash_key(number) for number in range(len(y))])  # as the writer sorts
        images, labels = np.empty_like(x), np.empty_like(y)
        images[order], labels[order] = x, y
        parts[part] = images.reshape(-1, 28, 28), labels
    assert parts["train"][1][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # how the published file starts
    for name, array in zip(MNIST_FILES, [*parts["train"], *parts["test"]], strict=True):
        published.publish(name, array)
    monkeypatch.setattr(preparation, "_originals", lambda _, files: [published.original(name) for name in files])
    prepare("mnist", data_dir=tmp_path / "sets")
    assert load_dataset("mnist", data_dir=tmp_path / "sets") == expected
