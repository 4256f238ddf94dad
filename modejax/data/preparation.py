"""`prepare`: download a set and write it in the form that `load_dataset` reads, without TensorFlow.

tensorflow-datasets knows the addresses and checksums and writes the set; only its unpacking of the published files
needs TensorFlow, so that part is done here. The result is the set that tensorflow-datasets would have written itself,
in the same order, since the order depends only on the index of each example.
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modejax.data.originals import Original, Progress, Split, download, read_cifar10, read_idx
from modejax.data.prepared import PREPARED_SETS, data_folder, find_prepared, unreadable_set
from modejax.errors import InputError, NeedsExtra, choices

__all__ = ["prepare"]

MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
CIFAR10_FILES = ("cifar-10-binary.tar.gz",)


def prepare(name: str, *, data_dir: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Download a set, check it against the checksums of tensorflow-datasets, and write it for `load_dataset`.

    An existing set is left unchanged. Everything is built in a temporary folder beside the result and moved in one
    step, so that a failure or an interruption leaves nothing behind.

    Args:
        name: `"mnist"`, `"fashion_mnist"` or `"cifar10"`.
        data_dir: the folder of prepared sets; None means `MODEJAX_DATA_DIR`, else the default of tensorflow-datasets.
        progress: function that is called with the name of the current task, the amount done, and the total amount.

    Returns:
        The folder of the prepared set.

    Raises:
        InputError: a set that needs no preparing or is unknown, no network, a wrong checksum, or a folder that
            cannot be written.

    Example:
        >>> prepare("digits")
        Traceback (most recent call last):
        modejax.errors.InputError: 'digits' cannot be prepared; allowed: cifar10, fashion_mnist, mnist. ...
    """
    if name not in PREPARED_SETS:
        raise InputError(
            f"{name!r} cannot be prepared; allowed: {choices(PREPARED_SETS)}. "
            "`digits`, `gaussian_mixture` and .npz files need no preparing."
        )
    there = find_prepared(name, data_dir)
    if there is not None:
        return there
    other = unreadable_set(name, data_dir)
    if other is not None:
        raise InputError(
            f"{other} holds {name!r} in a format that needs TensorFlow and is left alone; allowed: a folder without "
            f"it. Choose another folder with --data-dir or MODEJAX_DATA_DIR, and use the same one for loading."
        )
    root = data_folder(data_dir)
    try:
        with (
            _folders(root / name),
            tempfile.TemporaryDirectory(prefix=".modejax-prepare-", dir=root) as temporary,
            _temporary_files_in(temporary),
        ):
            return _build(name, root, Path(temporary), progress or _silent)
    except InputError as error:
        raise InputError(
            f"data set {name!r} could not be prepared: {error}. Nothing was kept. Check the network (the "
            f"variables http_proxy and https_proxy are honoured) and run `modejax data prepare {name}` again, or name "
            "a folder that holds the set with --data-dir or MODEJAX_DATA_DIR. `digits` and `gaussian_mixture` need "
            "no network."
        ) from error
    except OSError as error:
        raise InputError(
            f"data set {name!r} could not be written in {root} ({error}); allowed: a folder with room that you may "
            "write. Nothing was kept. Choose another folder with --data-dir or MODEJAX_DATA_DIR."
        ) from error


def _silent(what: str, done: int, total: int) -> None:
    """Show no progress."""


@contextlib.contextmanager
def _folders(folder: Path) -> Iterator[None]:
    """Make a folder and its parents; after an error remove those that were made and are still empty."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for one in made:
                one.rmdir()
        raise


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Let temporary files be made in this folder: tensorflow-datasets leaves one behind for each builder."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def _build(name: str, root: Path, temporary: Path, progress: Progress) -> Path:
    """Download, write and publish one set; everything before the last step happens in the temporary folder."""
    with NeedsExtra("data"):
        import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=temporary / "set", file_format="array_record")
    files = {}
    for original in _originals(builder, CIFAR10_FILES if name == "cifar10" else MNIST_FILES):
        files[original.file_name] = download(original, temporary, progress)
    try:
        splits, class_names = _read_originals(files)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"the downloaded files cannot be read ({error})") from error
    examples = {part: _encode(part, name == "cifar10", split, progress) for part, split in splits.items()}
    if class_names:
        features: Any = builder.info.features
        features["label"].names = class_names
    _write(builder, examples, temporary, progress)

    built, target = Path(builder.data_dir), root / name / Path(builder.data_dir).name
    try:
        os.rename(built, target)
    except OSError:
        # Another process was faster; its set is equivalent.
        there = find_prepared(name, root)
        if there is None:
            raise
        return there
    return target


def _originals(builder: Any, file_names: tuple[str, ...]) -> list[Original]:
    """Return the published files of a set, with the size and checksum that tensorflow-datasets recorded."""
    by_name = {
        url.rsplit("/", 1)[-1]: Original(url, int(info.size), info.checksum)
        for url, info in (builder.url_infos or {}).items()
    }
    missing = [file_name for file_name in file_names if file_name not in by_name]
    if missing:
        raise InputError(f"the installed tensorflow-datasets records no checksum of {', '.join(missing)}")
    return [by_name[file_name] for file_name in file_names]


def _read_originals(files: dict[str, Path]) -> tuple[dict[str, Split], list[str]]:
    """Return images `(n, height, width[, 3])` and labels `(n,)` of both parts, and the class names if the files say."""
    if set(files) == set(CIFAR10_FILES):
        train, test, class_names = read_cifar10(files[CIFAR10_FILES[0]])
        return {"train": train, "test": test}, class_names
    train_images, train_labels, test_images, test_labels = (read_idx(files[name]) for name in MNIST_FILES)
    return {"train": (train_images, train_labels), "test": (test_images, test_labels)}, []


def _encode(part: str, with_id: bool, split: Split, progress: Progress) -> list[dict[str, Any]]:
    """Return the examples of one part in the form that the features of the set take: images as PNG."""
    from PIL import Image

    images, labels = split
    if len(images) != len(labels):
        raise InputError(f"the downloaded files hold {len(images)} {part} images and {len(labels)} labels")
    examples = []
    for number, (image, label) in enumerate(zip(np.ascontiguousarray(images), labels, strict=True)):
        png = io.BytesIO()
        Image.fromarray(image).save(png, format="PNG")
        example = {"image": png.getvalue(), "label": int(label)}
        examples.append(example | {"id": f"{part}_{number:05d}"} if with_id else example)
        if (number + 1) % 1000 == 0 or number + 1 == len(images):
            progress(f"encoding {part} images", number + 1, len(images))
    return examples


def _write(builder: Any, examples: dict[str, list[dict[str, Any]]], temporary: Path, progress: Progress) -> None:
    """Let tensorflow-datasets write the examples, in its own order and with its own descriptions."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.utils import tqdm_utils

    # Its generator would unpack the published files with TensorFlow; this one yields examples unpacked already.
    builder._split_generators = lambda *_: {part: iter(enumerate(one)) for part, one in examples.items()}
    total = sum(len(one) for one in examples.values())
    progress("writing the set", 0, total)
    bars = getattr(tqdm_utils, "_active", True)
    tfds.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints sizes that it cannot know here
            builder.download_and_prepare(
                download_dir=temporary / "downloads",
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
    except RuntimeError as error:  # how the record writer reports a full disk
        raise OSError(str(error)) from error
    finally:
        tfds.display_progress_bar(bars)
    progress("writing the set", total, total)
