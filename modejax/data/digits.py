"""`digits`: the 1,797 handwritten 8x8 digits included in scikit-learn, split by seed."""

import importlib.metadata
from pathlib import Path

import numpy as np

from modejax.data.checks import check_seed
from modejax.data.dataset import Dataset

__all__ = ["load_digits", "stratified_split"]

TEST_SHARE = 0.2


def load_digits(seed: int = 0) -> Dataset:
    """Load the embedded digits: 8x8 images of values 0..16 in ten classes, 1,438 for training, 359 for tests.

    Args:
        seed: seed of the split; the same seed gives the same split on every machine.

    Returns:
        The data set; features uint8, `scale` 1/16.

    Raises:
        InputError: a negative seed.

    References:
        Alpaydin, Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, 1998
        (its test set, as it is distributed with scikit-learn).

    Example:
        >>> load_digits()
        Dataset(digits: 1438 + 359 examples, 64 features uint8, 10 classes)
    """
    images, labels = _read()
    train, test = stratified_split(labels, TEST_SHARE, seed)
    return Dataset(
        images[train],
        labels[train],
        images[test],
        labels[test],
        num_classes=10,
        name="digits",
        source="UCI optical recognition of handwritten digits, as shipped with scikit-learn",
        scale=1 / 16,
        image_shape=(8, 8),
    )


def stratified_split(labels: np.ndarray, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the examples of each class in the same proportion.

    Every example draws one raw 64-bit number from PCG64, whose stream NumPy keeps the same in all versions
    (unlike that of `Generator.permutation`); the `round(test_share * n_class)` examples of a class with the
    smallest numbers are its test examples.

    Args:
        labels: class of each example, `(examples,)`.
        test_share: share of the examples of each class in the test set, between 0 and 1.
        seed: seed of the split, a non-negative integer.

    Returns:
        The indices of the training and of the test examples, both in increasing order.

    Raises:
        InputError: a negative seed or one that is not an integer.

    Example:
        >>> train, test = stratified_split(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
        >>> len(train), len(test)
        (6, 2)
    """
    draws = np.random.PCG64(check_seed(seed)).random_raw(len(labels))
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = members[np.argsort(draws[members], kind="stable")]
        is_test[order[: round(test_share * len(members))]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Return images `(1797, 64)` uint8 and labels `(1797,)` int32, in scikit-learn's order."""
    # Importing sklearn.datasets costs seconds; the file it would read costs milliseconds.
    try:
        distribution = importlib.metadata.distribution("scikit-learn")
        path = Path(str(distribution.locate_file("sklearn/datasets/data/digits.csv.gz")))
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        from sklearn.datasets import load_digits as sklearn_digits

        bunch = sklearn_digits()
        return np.asarray(bunch.data, dtype=np.uint8), np.asarray(bunch.target, dtype=np.int32)  # pyright: ignore
    return table[:, :-1], table[:, -1].astype(np.int32)
