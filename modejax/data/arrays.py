"""A user's own arrays, in memory or in an `.npz` file, as a `Dataset`."""

import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from modejax.data.checks import check_features, check_integers
from modejax.data.dataset import ARRAYS, Dataset
from modejax.data.scales import scale_advice
from modejax.errors import InputError

__all__ = ["from_arrays", "load_npz"]


def from_arrays(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    *,
    name: str = "arrays",
    source: str = "arrays in memory",
    targets: Literal["classes", "signs", "values"] | None = None,
) -> Dataset:
    """Make a data set from arrays; scale, classes and image shape are inferred from the arrays.

    8-bit integers are taken as images of range 0..255 (scale 1/255), floats are not scaled (scale 1). A warning with
    advice is given if floats are much larger than 1 (such as 0..255) or the scales of the features differ by more than
    10 times, because initial weights and usual learning rates suit features of about 1. Integer labels that are all -1
    or +1, with both present, are signs; integers 0..C-1, each present, are C classes; floats are real values.

    Args:
        x_train: training features, `(n_train, ...)`, uint8 or floats; more than two axes are an image each
            and are flattened.
        y_train: training labels, `(n_train,)` integers; or real targets, `(n_train,)` or `(n_train, outputs)` floats.
        x_test: test features, `(n_test, ...)`, of the same type and shape an example.
        y_test: test labels or targets, as for `y_train`.
        name: short name of the data set.
        source: where the arrays come from, for reports.
        targets: kind of the targets, needed if it cannot be inferred: for whole numbers that are real values.

    Returns:
        The checked data set.

    Raises:
        InputError: the arrays are no valid data set; the message says which array and why.

    Example:
        >>> images = np.zeros((4, 8, 8), dtype=np.uint8)
        >>> data = from_arrays(images, np.array([0, 1, 2, 0]), images[:2], np.array([2, 1]))
        >>> data.num_classes, data.image_shape, data.num_features
        (3, (8, 8), 64)
    """
    x_train, x_test = np.asarray(x_train), np.asarray(x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise InputError(
            f"an example has shape {x_train.shape[1:]} in x_train and {x_test.shape[1:]} in x_test; allowed: "
            "the same shape. Check that both were prepared in the same way."
        )
    image_shape = _image_shape(x_train.shape[1:])
    x_train, x_test = check_features("x_train", _flat(x_train)), check_features("x_test", _flat(x_test))
    scale = 1 / 255 if x_train.dtype == np.uint8 else 1.0
    advice = "" if x_train.dtype == np.uint8 else scale_advice(x_train, images=image_shape is not None)
    if advice:
        warnings.warn(advice, stacklevel=3)
    if targets == "values" or (targets is None and _are_values(np.asarray(y_train), np.asarray(y_test))):
        return Dataset(
            x_train,
            y_train,
            x_test,
            y_test,
            num_classes=1,
            name=name,
            source=source,
            scale=scale,
            targets="values",
            image_shape=image_shape,
        )
    y_train, y_test = check_integers("y_train", y_train), check_integers("y_test", y_test)
    labels = np.union1d(y_train.astype(np.int64), y_test.astype(np.int64))
    signs = np.array_equal(labels, [-1, 1])
    if not signs and not np.array_equal(labels, np.arange(len(labels))):
        shown = ", ".join(str(label) for label in labels[:12]) + (", ..." if len(labels) > 12 else "")
        raise InputError(
            f"the labels are {shown}, of which some are out of range; allowed: 0..C-1 with every class present, "
            "or exactly -1 and +1. Relabel the classes: np.unique(y, return_inverse=True)[1] counts them from 0."
        )
    if len(labels) == 1:
        raise InputError("all labels are 0; allowed: at least 2 classes. Check how the labels were made.")
    return Dataset(
        x_train,
        y_train,
        x_test,
        y_test,
        num_classes=len(labels),
        name=name,
        source=source,
        scale=scale,
        targets="signs" if signs else "classes",
        image_shape=image_shape,
    )


def _are_values(*targets: np.ndarray) -> bool:
    """Return whether targets are real values: floats that are not all whole numbers.

    Raises:
        InputError: if they are whole numbers stored as floats, which could also be class labels.
    """
    if not all(np.issubdtype(each.dtype, np.floating) for each in targets):
        return False
    whole = all(each.ndim == 1 and np.isfinite(each).all() and (each == np.round(each)).all() for each in targets)
    if whole and len(np.unique(np.concatenate(targets))) <= 20:
        raise InputError(
            "the labels are whole numbers stored as floats, which may be classes or real targets; for classes store "
            "them as integers (y.astype(np.int32)), for real targets say targets='values' (in an .npz file the array "
            "targets=np.array('values'))"
        )
    return True


def load_npz(path: str | Path) -> Dataset:
    """Load a user's data set from an `.npz` file.

    Args:
        path: a file made by `np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)`, with the arrays that
            `from_arrays` takes, and `targets` if needed. Pickled objects are refused, because reading them can run
            code.

    Returns:
        The checked data set, named after the file.

    Raises:
        InputError: no such file, no `.npz` archive, pickled objects, missing or unknown arrays, or arrays
            that are no data set.

    Example:
        >>> load_npz("nowhere.npz")
        Traceback (most recent call last):
        modejax.errors.InputError: there is no file nowhere.npz; ...
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"there is no file {path}; allowed: an existing .npz file. Check the path.")
    made_by = "Make it with np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."
    try:
        with zipfile.ZipFile(path):
            pass
        with np.load(path, allow_pickle=False) as archive:
            missing, extra = set(ARRAYS) - set(archive.files), set(archive.files) - {*ARRAYS, "targets"}
            if missing or extra:
                found = ", ".join(sorted(archive.files)) or "nothing"
                raise InputError(
                    f"{path} holds {found}; allowed: exactly {', '.join(ARRAYS)}. "
                    + (f"Missing: {', '.join(sorted(missing))}. " if missing else "")
                    + (f"Unknown: {', '.join(sorted(extra))}. " if extra else "")
                    + made_by
                )
            arrays = {name: archive[name] for name in ARRAYS}
            targets = str(archive["targets"]) if "targets" in archive.files else None
    except InputError:
        raise
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        if "pickle" in str(error):
            raise InputError(
                f"{path} holds pickled Python objects (an array of type object); allowed: arrays of numbers, "
                "because reading a pickle can run any code. Convert the arrays with .astype and save them again."
            ) from error
        raise InputError(
            f"{path} cannot be read as an .npz archive ({error}); allowed: a whole file. {made_by}"
        ) from error
    if targets not in (None, "classes", "signs", "values"):
        raise InputError(f"{path}: targets is {targets!r}; allowed: 'classes', 'signs', 'values'. Choose one of them.")
    try:
        return from_arrays(**arrays, name=path.stem, source=str(path), targets=targets)  # pyright: ignore
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _flat(features: np.ndarray) -> np.ndarray:
    """Flatten examples with more than one axis; anything invalid is left to the checks."""
    if features.ndim <= 2:
        return features
    return features.reshape(len(features), int(np.prod(features.shape[1:])))


def _image_shape(example_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of an image, without a channel axis of size 1; None for features that are no image."""
    if len(example_shape) < 2:
        return None
    if len(example_shape) == 3 and example_shape[-1] == 1:
        return example_shape[:-1]
    return example_shape
