"""`Dataset`: the class of all loaded data sets, from any source."""

import dataclasses
import hashlib
import math
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from modejax.data.checks import check_features, check_integers, check_label_range, check_same_length, check_values
from modejax.errors import InputError

__all__ = ["Dataset", "describe"]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A training set and a test set in memory, checked on construction.

    The features keep their type (8-bit images stay 8-bit) and are multiplied by `scale` inside the training step, so
    that images take four times less memory on the device. The arrays are read-only views. Two data sets are equal when
    their `content_hash` is.

    Attributes:
        x_train: training features, `(n_train, features)`, uint8 or float32.
        y_train: training labels, `(n_train,)` int32; for values float32, `(n_train,)` or `(n_train, outputs)`.
        x_test: test features, `(n_test, features)`, of the same type as `x_train`.
        y_test: test labels, of the same type and outputs as `y_train`.
        num_classes: number of classes (2 for signs, 1 for values).
        name: short name, as given to `load_dataset`.
        source: where the data come from, for reports.
        scale: factor by which the features are multiplied inside the training step: 1/255 for 8-bit images, 1/16 for
            digits, 1 for floats.
        targets: `"classes"` (labels 0..num_classes-1, softmax cross-entropy) or `"signs"` (labels -1 and +1, one
            output, squared error), or `"values"` (real numbers, one output or several, squared error; answers are not
            right or wrong, so accuracies are NaN).
        image_shape: the shape an example had before it was flattened, such as `(28, 28)`; None if the
            features are no image.

    Raises:
        InputError: features and labels of different length, labels out of range or not integers, features
            that are NaN or infinite, an empty set, or training and test sets that do not fit together.

    Example:
        >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> tiny = Dataset(x, np.array([0, 1]), x, np.array([0, 1]), num_classes=2, name="tiny", source="doctest")
        >>> tiny
        Dataset(tiny: 2 + 2 examples, 2 features float32, 2 classes)
        >>> tiny.num_outputs
        2
    """

    x_train: UInt8[np.ndarray, "n_train features"] | Float32[np.ndarray, "n_train features"]
    y_train: Int32[np.ndarray, " n_train"] | Float32[np.ndarray, "n_train ..."]
    x_test: UInt8[np.ndarray, "n_test features"] | Float32[np.ndarray, "n_test features"]
    y_test: Int32[np.ndarray, " n_test"] | Float32[np.ndarray, "n_test ..."]
    num_classes: int
    name: str
    source: str
    scale: float = 1.0
    targets: Literal["classes", "signs", "values"] = "classes"
    image_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the values and store them in the types the attributes promise."""
        for name, value in validate(self).items():
            if isinstance(value, np.ndarray):
                value = value.view()
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of the arrays, their types and shapes, the scale and what the labels mean."""
        digest = hashlib.sha256()
        for name in ARRAYS:
            array = getattr(self, name)
            digest.update(f"{name} {array.dtype.name} {array.shape};".encode())
            digest.update(array.data)
        digest.update(f"{float(self.scale).hex()} {self.targets} {self.num_classes}".encode())
        return digest.hexdigest()

    @property
    def num_features(self) -> int:
        """Number of features of an example."""
        return int(self.x_train.shape[1])

    @property
    def num_outputs(self) -> int:
        """Number of outputs that a network needs: one for each class, 1 for signs, and one for each target value."""
        if self.targets == "classes":
            return self.num_classes
        return int(self.y_train.shape[1]) if self.y_train.ndim == 2 else 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __repr__(self) -> str:
        labels = f"{self.num_classes} classes" if self.targets == "classes" else self.targets
        return (
            f"Dataset({self.name}: {len(self.x_train)} + {len(self.x_test)} examples, "
            f"{self.num_features} features {self.x_train.dtype.name}, {labels})"
        )


def validate(dataset: Dataset) -> dict[str, Any]:
    """Check the fields of a data set and return them in the types a `Dataset` promises.

    Args:
        dataset: the data set, with unconverted fields.

    Returns:
        The fields that change type: the four arrays, `num_classes`, `scale`, `image_shape`.

    Raises:
        InputError: as in `Dataset`.
    """
    if dataset.targets not in ("classes", "signs", "values"):
        raise InputError(f"targets is {dataset.targets!r}; allowed: 'classes', 'signs', 'values'. Choose one of them.")
    num_classes = _check_num_classes(dataset.num_classes, dataset.targets)
    allowed = (-1, 1) if dataset.targets == "signs" else range(num_classes)
    described = "-1 and +1" if dataset.targets == "signs" else f"0..{num_classes - 1}"

    fields: dict[str, Any] = {"num_classes": num_classes, "scale": _check_scale(dataset.scale)}
    for part in ("train", "test"):
        x_name, y_name = f"x_{part}", f"y_{part}"
        x, y = check_features(x_name, getattr(dataset, x_name)), getattr(dataset, y_name)
        if dataset.targets == "values":
            y = check_values(y_name, y)
        else:
            y = check_label_range(y_name, check_integers(y_name, y), allowed, described)
        check_same_length(x_name, x, y_name, y)
        fields |= {x_name: x, y_name: y}

    x_train, x_test = fields["x_train"], fields["x_test"]
    if fields["y_train"].shape[1:] != fields["y_test"].shape[1:]:
        raise InputError(
            f"y_train has the shape {fields['y_train'].shape} and y_test {fields['y_test'].shape}; allowed: the same "
            "number of outputs. Check that both were prepared in the same way."
        )
    if x_train.shape[1] != x_test.shape[1]:
        raise InputError(
            f"x_train has {x_train.shape[1]} features and x_test {x_test.shape[1]}; allowed: the same number. "
            "Check that both were prepared in the same way."
        )
    if x_train.dtype != x_test.dtype:
        raise InputError(
            f"x_train has type {x_train.dtype} and x_test {x_test.dtype}; allowed: the same type, because both "
            "are multiplied by the same scale. Convert one of them."
        )
    shape = dataset.image_shape
    if shape is not None:
        shape = tuple(int(size) for size in shape)
        if math.prod(shape) != x_train.shape[1]:
            raise InputError(
                f"image_shape is {shape}, which is {math.prod(shape)} values; allowed: a shape of "
                f"{x_train.shape[1]} values, as many as there are features. Correct it or leave it out."
            )
    return fields | {"image_shape": shape}


def _check_num_classes(num_classes: object, targets: str) -> int:
    """Return a number of classes that fits the targets."""
    if targets == "values":
        if num_classes != 1:
            raise InputError(f"num_classes is {num_classes!r} for targets 'values'; allowed: 1. There are no classes.")
        return 1
    if not isinstance(num_classes, int | np.integer) or isinstance(num_classes, bool) or num_classes < 2:
        raise InputError(f"num_classes is {num_classes!r}; allowed: an integer of at least 2. Count the classes.")
    if targets == "signs" and num_classes != 2:
        raise InputError(f"num_classes is {num_classes} for targets 'signs'; allowed: 2 (the labels -1 and +1).")
    return int(num_classes)


def _check_scale(scale: float) -> float:
    """Return a scale that is a positive number."""
    if not isinstance(scale, int | float | np.number) or not math.isfinite(scale) or scale <= 0:
        raise InputError(f"scale is {scale!r}; allowed: a positive finite number, such as 1/255. Correct it.")
    return float(scale)


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return a summary of a data set as JSON-compatible values.

    Args:
        dataset: a loaded data set.

    Returns:
        Name and source, numbers of examples, features, classes and outputs, the counts of each label in both
        parts, the range of the raw features, their type, scale and image shape, and the content hash.

    Example:
        >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> tiny = Dataset(x, np.array([0, 1]), x, np.array([0, 1]), num_classes=2, name="tiny", source="doctest")
        >>> describe(tiny)["train_label_counts"]
        {0: 1, 1: 1}
    """
    low = min(dataset.x_train.min(), dataset.x_test.min()).item()
    high = max(dataset.x_train.max(), dataset.x_test.max()).item()
    return {
        "name": dataset.name,
        "source": dataset.source,
        "train_examples": len(dataset.x_train),
        "test_examples": len(dataset.x_test),
        "features": dataset.num_features,
        "image_shape": None if dataset.image_shape is None else list(dataset.image_shape),
        "targets": dataset.targets,
        "classes": dataset.num_classes,
        "outputs": dataset.num_outputs,
        "train_label_counts": _label_counts(dataset, dataset.y_train),
        "test_label_counts": _label_counts(dataset, dataset.y_test),
        "feature_type": dataset.x_train.dtype.name,
        "feature_range": [low, high],
        "scale": dataset.scale,
        "content_hash": dataset.content_hash,
    }


def _label_counts(dataset: Dataset, labels: np.ndarray) -> dict[int, int]:
    """Count every allowed label, also those that do not occur; empty for values."""
    if dataset.targets == "values":
        return {}
    allowed = (-1, 1) if dataset.targets == "signs" else range(dataset.num_classes)
    return {label: int(np.count_nonzero(labels == label)) for label in allowed}
