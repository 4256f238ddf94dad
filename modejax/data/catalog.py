"""The data sets by name: load one, list them all."""

import dataclasses
import difflib
from pathlib import Path

from modejax.data.arrays import load_npz
from modejax.data.dataset import Dataset
from modejax.data.digits import load_digits
from modejax.data.mixture import gaussian_mixture
from modejax.data.prepared import PREPARED_SETS, data_folder, find_prepared, load_prepared, unreadable_set
from modejax.errors import InputError, choices

__all__ = ["DatasetEntry", "dataset_names", "list_datasets", "load_dataset"]

MADE_HERE = {
    "digits": ("handwritten digits, 8x8 grey, 1,438 + 359", "embedded"),
    "gaussian_mixture": ("four Gaussian clusters labelled like XOR, 100,000 + 10,000", "generated"),
}


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """One line of the list of data sets.

    Attributes:
        name: the name that `load_dataset` takes.
        available: whether it can be loaded now.
        where: the folder of the set, or the folder in which it was looked for, or a note that it needs none.
        description: a short description with the numbers of training and test examples.
    """

    name: str
    available: bool
    where: str
    description: str


def dataset_names() -> tuple[str, ...]:
    """Return the names of the data sets, in the order of `list_datasets`.

    Example:
        >>> dataset_names()
        ('digits', 'gaussian_mixture', 'mnist', 'fashion_mnist', 'cifar10')
    """
    return (*MADE_HERE, *PREPARED_SETS)


def load_dataset(name: str, *, data_dir: str | Path | None = None, seed: int = 0) -> Dataset:
    """Load a data set by name, or your own from an `.npz` file.

    Args:
        name: `"digits"`, `"gaussian_mixture"`, `"mnist"`, `"fashion_mnist"`, `"cifar10"`, or a path that ends
            in `.npz` (arrays `x_train, y_train, x_test, y_test`).
        data_dir: the folder of the prepared sets of tensorflow-datasets; None means the environment variable
            `MODEJAX_DATA_DIR`, else the default of tensorflow-datasets. Other sets do not need it.
        seed: seed of the split of `digits` and of the points of `gaussian_mixture`; the other sets have a fixed split.

    Returns:
        The data set, checked, in memory.

    Raises:
        InputError: an unknown name, a missing set (the message says how to get it), or arrays that are no valid data
            set.

    Example:
        >>> load_dataset("digits")
        Dataset(digits: 1438 + 359 examples, 64 features uint8, 10 classes)
    """
    name = str(name)
    if name == "digits":
        return load_digits(seed)
    if name == "gaussian_mixture":
        return gaussian_mixture(seed)
    if name in PREPARED_SETS:
        return load_prepared(name, data_dir)
    if name.lower().endswith(".npz"):
        return load_npz(name)
    near = difflib.get_close_matches(name.lower().replace("-", "_"), dataset_names(), n=1)
    meant = f" Did you mean {near[0]!r}?" if near else " `modejax data list` shows them."
    raise InputError(
        f"there is no data set {name!r}; allowed: {choices(dataset_names())}, or a path that ends in .npz.{meant}"
    )


def list_datasets(data_dir: str | Path | None = None) -> list[DatasetEntry]:
    """List the data sets, and whether each can be loaded now.

    Args:
        data_dir: as in `load_dataset`.

    Returns:
        One entry for each data set.

    Example:
        >>> [entry.name for entry in list_datasets("nowhere") if entry.available]
        ['digits', 'gaussian_mixture']
    """
    entries = [
        DatasetEntry(name, available=True, where=where, description=description)
        for name, (description, where) in MADE_HERE.items()
    ]
    for name, prepared in PREPARED_SETS.items():
        folder = find_prepared(name, data_dir)
        other = unreadable_set(name, data_dir)
        if folder is not None:
            where = str(folder)
        elif other is not None:
            where = f"{other} (not array_record: needs TensorFlow)"
        else:
            where = f"not in {data_folder(data_dir)}"
        entries.append(DatasetEntry(name, folder is not None, where, prepared.description))
    return entries
