"""`gaussian_mixture`: four Gaussian clusters in the plane, labelled like the XOR function."""

import math

import numpy as np

from modejax.data.checks import check_seed
from modejax.data.dataset import Dataset
from modejax.errors import InputError

__all__ = ["bayes_accuracy", "gaussian_mixture"]

SEPARATION = 0.5
VARIANCE = 0.05
MEANS = SEPARATION * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])


def gaussian_mixture(seed: int = 0, *, n_train: int = 100_000, n_test: int = 10_000) -> Dataset:
    """Draw the Gaussian mixture: means (+-1/2, +-1/2), covariance 0.05 I, label = sign of the means' product.

    Example i belongs to cluster i modulo 4, so that any four consecutive examples have each cluster once. No network
    without biases and with fewer than four ReLU units can solve it: a unit is active on at most one of two opposite
    means.

    Args:
        seed: seed of the noise, a non-negative integer.
        n_train: number of training points.
        n_test: number of test points.

    Returns:
        The data set; features float32, labels -1 and +1 (`targets="signs"`).

    Raises:
        InputError: a negative seed or no points.

    References:
        C. Li, H. Huang, *Emergence of hierarchical modes from deep learning*, arXiv:2208.09859, Physical
        Review Research 5, L022011 (2023), Fig. 1 and the code that came with it.

    Example:
        >>> gaussian_mixture(seed=1)
        Dataset(gaussian_mixture: 100000 + 10000 examples, 2 features float32, signs)
    """
    seed = check_seed(seed)
    for name, count in (("n_train", n_train), ("n_test", n_test)):
        if count < 1:
            raise InputError(f"{name} is {count}; allowed: at least 1 point. Choose another.")
    rng = np.random.Generator(np.random.PCG64(seed))
    x_train, y_train = _draw(rng, n_train)
    x_test, y_test = _draw(rng, n_test)
    return Dataset(
        x_train,
        y_train,
        x_test,
        y_test,
        num_classes=2,
        name="gaussian_mixture",
        source=f"four Gaussian clusters, means (+-{SEPARATION}, +-{SEPARATION}), variance {VARIANCE}, seed {seed}",
        targets="signs",
    )


def bayes_accuracy(separation: float = SEPARATION, variance: float = VARIANCE) -> float:
    """Return the best accuracy any classifier can reach on the Gaussian mixture.

    The best guess is the sign of x1 x2. It fails when exactly one coordinate has crossed its axis, so the
    accuracy is 1 - 2 q (1 - q) with q = Phi(-separation / sqrt(variance)), Phi the normal distribution function.

    Args:
        separation: distance of each mean from both axes.
        variance: variance of each coordinate around its mean.

    Returns:
        The accuracy, between 1/2 and 1.

    Example:
        >>> round(bayes_accuracy(), 4)
        0.975
    """
    crossed = 0.5 * math.erfc(separation / math.sqrt(2 * variance))
    return 1 - 2 * crossed * (1 - crossed)


def _draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points `(count, 2)` float32 and labels `(count,)` int32."""
    means = MEANS[np.arange(count) % len(MEANS)]
    points = means + math.sqrt(VARIANCE) * rng.standard_normal((count, 2))
    return points.astype(np.float32), np.sign(means.prod(axis=1)).astype(np.int32)
