"""The published files of the image sets: download, check and read them."""

import dataclasses
import gzip
import hashlib
import http.client
import math
import struct
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np

from modejax.errors import InputError

__all__ = ["Original", "Progress", "Split", "download", "read_cifar10", "read_idx"]

Progress = Callable[[str, int, int], None]
Split = tuple[np.ndarray, np.ndarray]

TIMEOUT = 30.0  # seconds without any answer
BLOCK = 1 << 18  # bytes
ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Original:
    """A published file, with the size and checksum that it must have.

    Attributes:
        url: its address.
        size: its size in bytes.
        sha256: its checksum (hex).
    """

    url: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]


def download(original: Original, folder: Path, progress: Progress) -> Path:
    """Download one file and check its size and checksum.

    A transfer that breaks off is tried again twice; an address that cannot be reached is not.

    Args:
        original: the file to download.
        folder: an existing folder for the file.
        progress: function that is called with the file's name, the bytes so far and the total bytes.

    Returns:
        The path of the checked file.

    Raises:
        InputError: no network, a server's refusal, or a file of the wrong size or checksum.
        OSError: the file cannot be written.
    """
    path = folder / original.file_name
    for attempt in range(1, ATTEMPTS + 1):
        try:
            response = urllib.request.urlopen(original.url, timeout=TIMEOUT)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise InputError(f"could not download {original.url} ({reason})") from error
        with response, path.open("wb") as file:
            digest, done = hashlib.sha256(), 0
            try:
                # One block more than expected is enough to know that the file is not the right one.
                while done <= original.size and (block := response.read(BLOCK)):
                    file.write(block)
                    digest.update(block)
                    done += len(block)
                    progress(original.file_name, done, original.size)
            except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
                if attempt == ATTEMPTS:
                    raise InputError(f"the download of {original.url} broke off ({error!r})") from error
                continue
        if done < original.size and attempt < ATTEMPTS:
            continue
        if done != original.size or digest.hexdigest() != original.sha256:
            raise InputError(
                f"{original.url} is not the file that tensorflow-datasets recorded: got {done} bytes with SHA-256 "
                f"{digest.hexdigest()}; allowed: {original.size} bytes with {original.sha256}"
            )
        return path
    raise AssertionError("unreachable: the last attempt returns or raises")


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of bytes.

    Args:
        path: the file: two zero bytes, the type (8: unsigned bytes), the number of axes, each axis as a
            big-endian 32-bit integer, then the values, last axis fastest.

    Returns:
        The values, uint8, in the shape the file states.

    Raises:
        ValueError: the type is another one, or the number of values does not fit the shape.

    References:
        Y. LeCun, C. Cortes, C. Burges, *The MNIST database*, section on file formats.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "labels.gz")
        ...     _ = path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4])))
        ...     read_idx(path)
        array([5, 0, 4], dtype=uint8)
    """
    content = gzip.decompress(path.read_bytes())
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name} does not start like an IDX file of bytes")
    rank = content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise ValueError(f"{path.name} ends within its header")
    shape = struct.unpack(f">{rank}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(f"{path.name} holds {len(content) - start} values, its header says {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_cifar10(path: Path) -> tuple[Split, Split, list[str]]:
    """Read the binary version of CIFAR-10 out of its archive, without unpacking it to disk.

    Args:
        path: the `.tar.gz`: in each batch file a record is one label byte and 3072 bytes of red, green and
            blue planes, row by row.

    Returns:
        Training images `(n, 32, 32, 3)` uint8 and labels `(n,)` uint8, the same for tests, and the class names.

    Raises:
        ValueError: a file is missing or is no whole number of records.

    References:
        A. Krizhevsky, *Learning multiple layers of features from tiny images*, 2009, and the description that
        goes with the archive.
    """
    record = 1 + 3 * 32 * 32
    with tarfile.open(path, "r:gz") as archive:

        def member(name: str) -> bytes:
            try:
                file = archive.extractfile(f"cifar-10-batches-bin/{name}")
            except KeyError:
                file = None
            if file is None:
                raise ValueError(f"{path.name} holds no file cifar-10-batches-bin/{name}")
            return file.read()

        def split(names: list[str]) -> Split:
            content = b"".join(member(name) for name in names)
            if not content or len(content) % record:
                raise ValueError(f"{path.name}: {', '.join(names)} are no whole number of {record}-byte records")
            table = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
            return table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), table[:, 0]

        train = split([f"data_batch_{number}.bin" for number in range(1, 6)])
        test = split(["test_batch.bin"])
        class_names = member("batches.meta.txt").decode().split()
    return train, test, class_names
