"""Sets prepared by tensorflow-datasets: how they are found, and how they are read without TensorFlow."""

import dataclasses
import io
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from modejax.data.cache import Arrays, cached_arrays
from modejax.data.dataset import Dataset
from modejax.errors import InputError, NeedsExtra

__all__ = ["PREPARED_SETS", "PreparedSet", "data_folder", "find_prepared", "load_prepared", "unreadable_set"]

CHUNK = 10_000


@dataclasses.dataclass(frozen=True)
class PreparedSet:
    """A set of tensorflow-datasets that can be loaded by name.

    Attributes:
        name: its name, in tensorflow-datasets and in modejax.
        description: one line for lists.
        image_shape: shape of an image, without a channel axis of size 1.
        num_classes: number of classes.
        download: size of what `prepare` downloads, for messages.
    """

    name: str
    description: str
    image_shape: tuple[int, ...]
    num_classes: int
    download: str


PREPARED_SETS = {
    one.name: one
    for one in (
        PreparedSet("mnist", "handwritten digits, 28x28 grey, 60,000 + 10,000", (28, 28), 10, "12 MB"),
        PreparedSet("fashion_mnist", "articles of clothing, 28x28 grey, 60,000 + 10,000", (28, 28), 10, "31 MB"),
        PreparedSet("cifar10", "small photographs, 32x32 RGB, 50,000 + 10,000", (32, 32, 3), 10, "170 MB"),
    )
}


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Return the folder that holds the prepared sets.

    Args:
        data_dir: the folder; None means the environment variable `MODEJAX_DATA_DIR`, else `TFDS_DATA_DIR`
            (the one of tensorflow-datasets), else `~/tensorflow_datasets`.

    Returns:
        The folder; it need not exist.

    Raises:
        InputError: an empty name.

    Example:
        >>> data_folder("sets").name
        'sets'
    """
    if data_dir is None:
        data_dir = os.environ.get("MODEJAX_DATA_DIR") or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if not str(data_dir).strip():
        raise InputError("the data folder has an empty name; allowed: a folder. Leave it out for the default.")
    return Path(data_dir).expanduser()


def find_prepared(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Return the folder of the newest version of a prepared set that can be read, or None.

    Args:
        name: name of the set in tensorflow-datasets.
        data_dir: as in `data_folder`.

    Returns:
        The folder `<data folder>/<name>/<version>`, or None.

    Example:
        >>> find_prepared("mnist", "nowhere") is None
        True
    """
    readable = [folder for folder in _versions(name, data_dir) if _file_format(folder) == "array_record"]
    return readable[-1] if readable else None


def unreadable_set(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Return the folder of a set that exists, but in a format that only TensorFlow reads; else None.

    Args:
        name: name of the set in tensorflow-datasets.
        data_dir: as in `data_folder`.

    Returns:
        The folder of its newest version, or None.

    Example:
        >>> unreadable_set("mnist", "nowhere") is None
        True
    """
    others = [folder for folder in _versions(name, data_dir) if _file_format(folder) != "array_record"]
    return others[-1] if others else None


def load_prepared(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Load a prepared set; its images are decoded the first time, and later read from the cache.

    Args:
        name: a name of `PREPARED_SETS`.
        data_dir: as in `data_folder`.

    Returns:
        The data set; images flattened row by row, channels last, uint8, `scale` 1/255.

    Raises:
        InputError: the set is missing (the message says how to get it) or cannot be read.

    Example:
        >>> load_prepared("mnist", data_dir="nowhere")
        Traceback (most recent call last):
        modejax.errors.InputError: data set 'mnist' is not in nowhere. Get it with `modejax data prepare mnist` ...
    """
    prepared = PREPARED_SETS[name]
    folder = find_prepared(name, data_dir)
    if folder is None:
        raise InputError(_how_to_get(prepared, data_dir))
    arrays = cached_arrays(folder, lambda: _decode(folder, prepared))
    return Dataset(
        x_train=arrays["x_train"],
        y_train=arrays["y_train"],
        x_test=arrays["x_test"],
        y_test=arrays["y_test"],
        num_classes=prepared.num_classes,
        name=name,
        source=f"tensorflow-datasets {name} {folder.name}",
        scale=1 / 255,
        image_shape=prepared.image_shape,
    )


def _versions(name: str, data_dir: str | Path | None) -> list[Path]:
    """Return the version folders of a set, oldest first."""
    root = data_folder(data_dir) / name
    try:
        folders = [folder for folder in root.iterdir() if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)]
    except OSError:
        return []
    with_info = [folder for folder in folders if (folder / "dataset_info.json").is_file()]
    return sorted(with_info, key=lambda folder: [int(number) for number in folder.name.split(".")])


def _file_format(folder: Path) -> str:
    """Return the format the records of a set are stored in."""
    try:
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        return str(info.get("fileFormat", "tfrecord"))  # sets older than the entry are tfrecord
    except (OSError, ValueError, AttributeError):
        return "unknown"


def _how_to_get(prepared: PreparedSet, data_dir: str | Path | None) -> str:
    """Return the message for a set that is missing."""
    name, root = prepared.name, data_folder(data_dir)
    other = unreadable_set(name, data_dir)
    if other is None:
        found = f"data set {name!r} is not in {root}. Get it with"
    else:
        found = (
            f"data set {name!r} lies in {other} in the format {_file_format(other)!r}; allowed: 'array_record', "
            "which is read without TensorFlow. Get it into another folder (--data-dir) with"
        )
    return (
        f"{found} `modejax data prepare {name}` (downloads {prepared.download}, needs a network), or name the "
        "folder that holds it with --data-dir or the environment variable MODEJAX_DATA_DIR. "
        "The data sets `digits` and `gaussian_mixture` always work."
    )


def _decode(folder: Path, prepared: PreparedSet) -> Arrays:
    """Decode all images and labels of a prepared set."""
    with NeedsExtra("data"):
        import tensorflow_datasets as tfds

    arrays: Arrays = {}
    try:
        # The builder that its files describe reads any version, and asks neither network nor TensorFlow.
        builder = tfds.builder_from_directory(folder)
        # Taking the encoded images and decoding them here is several times faster than its own decoding.
        sources: Any = builder.as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
        for part in ("train", "test"):
            arrays[f"x_{part}"], arrays[f"y_{part}"] = _decode_part(sources[part], prepared)
    except Exception as error:  # any error that the readers raise for a damaged file
        raise InputError(
            f"data set {prepared.name!r} in {folder} cannot be read ({type(error).__name__}: {error}); allowed: a "
            f"whole array_record set. Remove that folder and run `modejax data prepare {prepared.name}` again."
        ) from error
    return arrays


def _decode_part(source: Any, prepared: PreparedSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the images `(examples, features)` uint8 and labels `(examples,)` int32 of one part."""
    from PIL import Image

    count = len(source)
    images = np.empty((count, math.prod(prepared.image_shape)), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int32)
    mode = "RGB" if len(prepared.image_shape) == 3 else "L"
    for start in range(0, count, CHUNK):
        rows = range(start, min(start + CHUNK, count))
        for row, example in zip(rows, source.__getitems__(list(rows)), strict=True):
            with Image.open(io.BytesIO(example["image"]), formats=("PNG",)) as image:
                if image.mode != mode or image.size != prepared.image_shape[1::-1]:
                    raise ValueError(f"image {row} is {image.mode} {image.size}, not {mode} {prepared.image_shape}")
                images[row] = np.frombuffer(image.tobytes(), dtype=np.uint8)
            labels[row] = example["label"]
    return images, labels
