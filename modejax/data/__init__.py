"""Data sets: the common class, the embedded sets, the prepared sets, and your own arrays.

Read `dataset` first (the class of every loaded set), then `catalog` (the names), then the sources: `digits`, `mixture`,
`arrays` (a user's `.npz`), `prepared` with `cache` (sets of tensorflow-datasets), and `preparation` with `originals`
(how such a set is made). `checks` holds the conditions on features and labels.

NumPy only: nothing here imports JAX, networks or training, and what imports slowly (scikit-learn,
tensorflow-datasets, Pillow) is imported inside the function that needs it, because the command line imports
this package at every start.
"""

from modejax.data.arrays import from_arrays, load_npz
from modejax.data.catalog import DatasetEntry, dataset_names, list_datasets, load_dataset
from modejax.data.dataset import Dataset, describe
from modejax.data.digits import load_digits, stratified_split
from modejax.data.mixture import bayes_accuracy, gaussian_mixture
from modejax.data.preparation import prepare

__all__ = [
    "Dataset",
    "DatasetEntry",
    "bayes_accuracy",
    "dataset_names",
    "describe",
    "from_arrays",
    "gaussian_mixture",
    "list_datasets",
    "load_dataset",
    "load_digits",
    "load_npz",
    "prepare",
    "stratified_split",
]
