"""Published files of small image sets, served on loopback in place of the real ones."""

import contextlib
import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from modejax.data.originals import Original
from modejax.data.preparation import CIFAR10_FILES, MNIST_FILES

COUNTS = {"train": 60, "test": 20}


def idx_gz(values: np.ndarray) -> bytes:
    """Return values as a gzipped IDX file of bytes."""
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes())


def cifar10_tar(images: np.ndarray, labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray) -> bytes:
    """Return images (n, 32, 32, 3) and labels as the binary archive of CIFAR-10, training in five batches."""

    def records(x: np.ndarray, y: np.ndarray) -> bytes:
        planes = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        return np.concatenate([y[:, None].astype(np.uint8), planes], axis=1).tobytes()

    members = {"batches.meta.txt": "\n".join(f"class{number}" for number in range(10)).encode() + b"\n\n"}
    for number, rows in enumerate(np.array_split(np.arange(len(images)), 5)):
        members[f"data_batch_{number + 1}.bin"] = records(images[rows], labels[rows])
    members["test_batch.bin"] = records(test_images, test_labels)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class Server:
    """A web server on loopback; `files` maps a file name to its content, `cut` to how much of it is sent at most."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, list[int]] = {}
        self.requests: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                outer.requests.append(name)
                if name not in outer.files:
                    self.send_error(404)
                    return
                content = outer.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                cuts = outer.cut.get(name)
                with contextlib.suppress(ConnectionError):  # the client may have seen enough
                    self.wfile.write(content[: cuts.pop(0)] if cuts else content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = False  # so that closing waits for the answers under way
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def original(self, name: str) -> Original:
        """Return where a served file is and what it must be."""
        content = self.files[name]
        url = f"http://127.0.0.1:{self._http.server_address[1]}/{name}"
        return Original(url, len(content), hashlib.sha256(content).hexdigest())

    def publish(self, name: str, values: np.ndarray) -> None:
        """Serve values as a gzipped IDX file."""
        self.files[name] = idx_gz(values)

    def close(self) -> None:
        """Stop; later requests are refused."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server with nothing on it yet."""
    one = Server()
    yield one
    one.close()


@pytest.fixture
def grey_images() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """28x28 grey images and labels of both parts."""
    rng = np.random.default_rng(3)
    return {
        part: (rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10)
        for part, count in COUNTS.items()
    }


@pytest.fixture
def colour_images() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """32x32 colour images and labels of both parts."""
    rng = np.random.default_rng(4)
    return {
        part: (rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10)
        for part, count in COUNTS.items()
    }


@pytest.fixture
def published(
    server: Server,
    grey_images: dict[str, tuple[np.ndarray, np.ndarray]],
    colour_images: dict[str, tuple[np.ndarray, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> Server:
    """The server with the files of all three sets on it, which `prepare` takes for the published ones."""
    arrays = [array for part in ("train", "test") for array in grey_images[part]]
    for name, array in zip(MNIST_FILES, arrays, strict=True):
        server.publish(name, array)
    server.files[CIFAR10_FILES[0]] = cifar10_tar(*colour_images["train"], *colour_images["test"])
    table = {name: server.original(name) for name in server.files}
    monkeypatch.setattr("modejax.data.preparation._originals", lambda _, names: [table[name] for name in names])
    return server
