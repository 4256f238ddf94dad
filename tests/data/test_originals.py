import dataclasses
import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from modejax.data.originals import ATTEMPTS, Original, download, read_cifar10, read_idx
from modejax.errors import InputError


def ignore(what: str, done: int, total: int) -> None:
    pass


def test_a_download_is_whole_and_its_progress_told(server, tmp_path: Path):
    server.files["file.bin"] = bytes(range(256)) * 4000
    seen = []
    original = server.original("file.bin")
    path = download(original, tmp_path, lambda *told: seen.append(told))
    assert path.read_bytes() == server.files["file.bin"]
    assert seen[-1] == ("file.bin", 1_024_000, 1_024_000)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_a_broken_transfer_is_tried_again(server, tmp_path: Path):
    server.files["file.bin"] = b"x" * 100_000
    server.cut["file.bin"] = [10, 5000]
    assert download(server.original("file.bin"), tmp_path, ignore).read_bytes() == server.files["file.bin"]
    assert len(server.requests) == 3


def test_a_transfer_that_always_breaks_ends(server, tmp_path: Path):
    server.files["file.bin"] = b"x" * 100_000
    server.cut["file.bin"] = [10] * 10
    with pytest.raises(InputError, match=r"broke off|is not the file"):
        download(server.original("file.bin"), tmp_path, ignore)
    assert len(server.requests) == ATTEMPTS


@pytest.mark.parametrize("content", [b"y" * 1000, b"x" * 999, b"x" * 5_000_000])
def test_another_file_is_refused(server, tmp_path: Path, content: bytes):
    server.files["file.bin"] = b"x" * 1000
    original = server.original("file.bin")
    server.files["file.bin"] = content
    with pytest.raises(InputError, match=r"is not the file that tensorflow-datasets recorded: got \d+ bytes with SHA"):
        download(original, tmp_path, ignore)


def test_an_endless_file_is_not_read_to_its_end(server, tmp_path: Path):
    server.files["file.bin"] = b"x" * 1000
    original = server.original("file.bin")
    server.files["file.bin"] = b"x" * 50_000_000
    with pytest.raises(InputError, match="is not the file"):
        download(original, tmp_path, ignore)
    assert (tmp_path / "file.bin").stat().st_size < 1_000_000


def test_missing_files_and_servers(server, tmp_path: Path):
    server.files["file.bin"] = b"x"
    original = server.original("file.bin")
    gone = dataclasses.replace(original, url=original.url + "x")
    with pytest.raises(InputError, match=r"could not download http.*Not Found"):
        download(gone, tmp_path, ignore)
    server.close()
    with pytest.raises(InputError, match=r"could not download http.*refused"):
        download(original, tmp_path, ignore)
    nowhere = Original("http://modejax.invalid/file.bin", 1, "")
    with pytest.raises(InputError, match=r"could not download http://modejax\.invalid/file\.bin \("):
        download(nowhere, tmp_path, ignore)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def test_idx_files(tmp_path: Path):
    values = bytes(range(24))
    header = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4])
    read = read_idx(write(tmp_path / "good.gz", header + values))
    np.testing.assert_array_equal(read, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not start like an IDX file"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1, 0]), "does not start like an IDX file"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1]), "ends within its header"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]), r"holds 2 values, its header says \(3,\)"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 2]), r"holds 2 values, its header says \(1,\)"),
    ],
)
def test_bad_idx_files(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(ValueError, match=message):
        read_idx(write(tmp_path / "bad.gz", content))


def test_cifar10_planes_become_channels(tmp_path: Path):
    record = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes(range(256)) * 4
    members = {f"data_batch_{number}.bin": record for number in range(1, 6)}
    path = archive(tmp_path, members | {"test_batch.bin": record * 2, "batches.meta.txt": b"cat\ndog\n\n"})
    (images, labels), (test_images, test_labels), names = read_cifar10(path)
    assert images.shape == (5, 32, 32, 3)
    assert test_images.shape == (2, 32, 32, 3)
    assert labels.tolist() == [7] * 5
    assert test_labels.tolist() == [7] * 2
    assert names == ["cat", "dog"]
    assert np.all(images[..., 0] == 1)
    assert np.all(images[..., 1] == 2)
    assert images[0, 1, 5, 2] == 32 + 5  # rows first


def test_bad_cifar10_archives(tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds no file cifar-10-batches-bin/data_batch_1\.bin"):
        read_cifar10(archive(tmp_path, {"readme.txt": b""}))
    members = {f"data_batch_{number}.bin": b"x" * 100 for number in range(1, 6)}
    with pytest.raises(ValueError, match="are no whole number of 3073-byte records"):
        read_cifar10(archive(tmp_path, members))


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as out:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
    return folder / "cifar.tar.gz"
