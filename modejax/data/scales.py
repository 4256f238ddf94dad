"""The scales of features: advice for data on which networks would train slowly."""

import math

import numpy as np

__all__ = ["scale_advice"]

_USUAL_SIZE = 5.0
"""The largest root mean square of features without advice; scaled images and features have 1 or less."""

_USUAL_RATIO = 10.0
"""The largest ratio between the scales of two features without advice."""

_PIXELS = 64  # from this many features on, those that share their smallest value are taken for images
_STANDARDISE = (
    "mean, sd = x_train.mean(0), x_train.std(0); sd[sd == 0] = 1; "
    "x_train, x_test = (x_train - mean) / sd, (x_test - mean) / sd"
)


def scale_advice(features: np.ndarray, *, images: bool = False) -> str:
    """Describe unusual scales of features that are not scaled, and give advice.

    Initial weights and usual learning rates suit features of about 1 and of equal scale. Pixels count as features of
    equal scale, even if the edges of all images are dark, and so do features with two values.

    Args:
        features: training features, shape (examples, features), finite floats.
        images: whether they are pixels; features that look like pixels are also taken as pixels.

    Returns:
        One or two sentences; empty if nothing is unusual.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 1.0, 0.01]
        >>> scale_advice(x).partition(":")[0]
        'the scales of the features differ 130 times'
        >>> scale_advice(x / x.std(axis=0))
        ''
    """
    low, high = float(features.min()), float(features.max())
    size = float(np.linalg.norm(features.ravel())) / math.sqrt(features.size)  # without a copy of them
    if size > _USUAL_SIZE:
        advice = f"bring each feature to mean 0 and standard deviation 1: {_STANDARDISE}"
        if low >= 0 and high <= 255:
            largest = "255" if high > 127 else f"{high:g}"
            divide = f"divide images by {largest}: x_train, x_test = x_train / {largest}, x_test / {largest}"
            bytes_too = " (bytes, x.astype(np.uint8), are divided here)" if largest == "255" else ""
            advice = f"{divide}{bytes_too}" + ("" if images else f"; of other features {advice}")
        return (
            f"the features go from {low:.6g} to {high:.6g} (root mean square {size:.3g}) and are used as they are; "
            f"networks start, and learning rates are usual, for about 1: training is slower or diverges; {advice}"
        )
    if images or _look_like_pixels(features):
        return ""
    scale = _scales(features)
    varying = np.flatnonzero(scale > 0)
    if not varying.size:
        return ""
    least, most = varying[np.argmin(scale[varying])], varying[np.argmax(scale[varying])]
    ratio = scale[most] / scale[least]
    if ratio <= _USUAL_RATIO:
        return ""
    return (
        f"the scales of the features differ {ratio:.3g} times: feature {least} has a standard deviation of "
        f"{scale[least]:.3g}, feature {most} of {scale[most]:.3g} (counted from 0); networks hardly use the small "
        f"ones; bring each feature to mean 0 and standard deviation 1: {_STANDARDISE}"
    )


def _look_like_pixels(features: np.ndarray) -> bool:
    """Return whether there are many features of which nearly all have the same smallest value, as dark pixels do."""
    if features.shape[1] < _PIXELS:
        return False
    lowest = features.min(axis=0)
    return bool(np.mean(lowest == np.median(lowest)) >= 0.9)


def _scales(features: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each feature, half the range for those of two values; without a copy."""
    mean = features.mean(axis=0, dtype=np.float64)
    square = np.einsum("ij,ij->j", features, features, dtype=np.float64) / len(features)
    low, high = features.min(axis=0), features.max(axis=0)
    scale = np.sqrt(np.maximum(square - mean**2, 0.0))
    scale[low == high] = 0.0
    for index in np.flatnonzero(scale < scale.max(initial=0.0) / _USUAL_RATIO):
        values = features[:, index]
        if bool(((values == low[index]) | (values == high[index])).all()):
            scale[index] = (float(high[index]) - float(low[index])) / 2
    return scale
