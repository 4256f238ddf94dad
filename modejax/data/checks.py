"""Checks of features and labels, with errors that say what to do."""

from collections.abc import Sequence

import numpy as np

from modejax.errors import InputError

__all__ = ["check_features", "check_integers", "check_label_range", "check_same_length", "check_seed", "check_values"]


def check_features(name: str, given: np.ndarray) -> np.ndarray:
    """Return features that training can use: `(examples, features)`, uint8 or finite float32.

    Args:
        name: the name of the array in error messages, such as `"x_train"`.
        given: the features, `(examples, features)`, 8-bit integers or floats.

    Returns:
        The same features as a contiguous array, `(examples, features)`; 8-bit integers stay 8-bit integers,
        every float becomes float32.

    Raises:
        InputError: wrong rank or type, no examples, no features, or a value that is not finite.

    Example:
        >>> check_features("x_train", np.ones((3, 2), dtype=np.float64)).dtype
        dtype('float32')
    """
    features = np.asarray(given)
    if features.ndim != 2:
        raise InputError(
            f"{name} has shape {features.shape}; allowed: (examples, features). "
            f"Flatten the examples: {name}.reshape(len({name}), -1)."
        )
    if features.shape[0] == 0:
        raise InputError(f"{name} is empty; allowed: at least one example. Check how the split was made.")
    if features.shape[1] == 0:
        raise InputError(f"{name} has shape {features.shape}: no features; allowed: at least one feature.")
    if features.dtype == np.uint8:
        return np.ascontiguousarray(features)
    if not np.issubdtype(features.dtype, np.floating):
        raise InputError(
            f"{name} has type {features.dtype}; allowed: uint8 (8-bit images) or floats. "
            f"Convert it: {name}.astype(np.uint8) or {name}.astype(np.float32)."
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is reported below
        features = np.ascontiguousarray(features, dtype=np.float32)
    finite = np.isfinite(features)
    if not finite.all():
        example, feature = np.argwhere(~finite)[0]
        raise InputError(
            f"{name} holds {int((~finite).sum())} values that are NaN or infinite as float32, the first "
            f"({features[example, feature]}) in example {example}, feature {feature}; allowed: finite values. "
            "Remove or replace them, for example with np.nan_to_num."
        )
    return features


def check_integers(name: str, given: np.ndarray) -> np.ndarray:
    """Return labels as a one-dimensional array of integers, without a change of their integer type.

    Args:
        name: the name of the array in error messages, such as `"y_train"`.
        given: the labels, `(examples,)`, integers.

    Returns:
        The labels, `(examples,)`.

    Raises:
        InputError: wrong rank, or labels that are not integers.

    Example:
        >>> check_integers("y_train", np.array([0, 1, 1]))
        array([0, 1, 1])
    """
    labels = np.asarray(given)
    if labels.ndim != 1:
        advice = (
            f"One-hot labels become integers by {name}.argmax(axis=1)."
            if labels.ndim == 2 and labels.shape[1] > 1
            else f"Flatten it: {name}.ravel()."
        )
        raise InputError(f"{name} has shape {labels.shape}; allowed: (examples,), one integer an example. {advice}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{name} has type {labels.dtype}; allowed: integers. Convert it: {name}.astype(np.int32).")
    return labels


def check_label_range(name: str, labels: np.ndarray, allowed: Sequence[int], described: str) -> np.ndarray:
    """Check the range of the labels and return them as int32.

    Args:
        name: the name of the array in error messages, such as `"y_train"`.
        labels: integers, `(examples,)`.
        allowed: the values that may occur.
        described: the allowed values in words, such as `"0..9"`.

    Returns:
        The labels, `(examples,)` int32.

    Raises:
        InputError: a label that is not allowed.

    Example:
        >>> check_label_range("y_train", np.array([0, 1]), range(2), "0..1").dtype
        dtype('int32')
    """
    bad = ~np.isin(labels, np.asarray(allowed))
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            f"{name} holds {int(bad.sum())} labels out of range, the first ({labels[first]}) at example {first}; "
            f"allowed: {described}. Relabel the classes: "
            f"np.unique({name}, return_inverse=True)[1] counts them from 0."
        )
    return np.ascontiguousarray(labels, dtype=np.int32)


def check_values(name: str, given: np.ndarray) -> np.ndarray:
    """Return real targets as float32.

    Args:
        name: the name of the array in error messages, such as `"y_train"`.
        given: the targets, `(examples,)` or `(examples, outputs)`, finite numbers.

    Returns:
        The targets, of the same shape; `(examples,)` for one output.

    Raises:
        InputError: wrong rank, not numbers, or not finite.

    Example:
        >>> check_values("y_train", np.array([[0.5], [-1.0]])).shape
        (2,)
    """
    values = np.asarray(given)
    numbers = np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)
    if values.ndim not in (1, 2) or not values.shape[-1] or not numbers:
        raise InputError(
            f"{name} has shape {values.shape} and type {values.dtype}; allowed: (examples,) or (examples, outputs), "
            "real numbers. Convert it, or take targets='classes' for labels."
        )
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds values that are no finite float32 numbers. Take them out, or scale them.")
    return values


def check_same_length(x_name: str, x: np.ndarray, y_name: str, y: np.ndarray) -> None:
    """Raise if features and labels do not have the same number of examples.

    Args:
        x_name: the name of the features in error messages.
        x: the features, with examples on the first axis.
        y_name: the name of the labels in error messages.
        y: the labels, with examples on the first axis.

    Raises:
        InputError: two different numbers of examples.

    Example:
        >>> check_same_length("x_train", np.ones((2, 3)), "y_train", np.array([0, 1]))
    """
    if len(x) != len(y):
        raise InputError(
            f"{x_name} holds {len(x)} examples and {y_name} {len(y)} labels; allowed: one label an example. "
            "Check that both come from the same split."
        )


def check_seed(seed: object) -> int:
    """Return a seed as a plain integer.

    Args:
        seed: the value to check.

    Returns:
        The seed, at least 0.

    Raises:
        InputError: not an integer, or a negative one.

    Example:
        >>> check_seed(np.int64(3))
        3
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"the seed is {seed!r}; allowed: an integer of at least 0. Choose another.")
    return int(seed)
