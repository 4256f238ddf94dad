import math

import numpy as np
import pytest
from scipy import stats

from modejax.data import bayes_accuracy, gaussian_mixture, load_dataset
from modejax.data.mixture import MEANS
from modejax.errors import InputError

# Every statistical bound below is five standard deviations of the statistic: a correct sampler fails one such
# comparison with probability 6e-7, and there are about twenty of them.
DEVIATIONS = 5


@pytest.fixture(scope="module")
def data():
    return load_dataset("gaussian_mixture", seed=7)


def test_facts(data):
    assert data.x_train.shape == (100_000, 2)
    assert data.x_test.shape == (10_000, 2)
    assert data.x_train.dtype == np.float32
    assert (data.targets, data.num_outputs, data.scale, data.image_shape) == ("signs", 1, 1.0, None)
    assert set(np.unique(data.y_train)) == {-1, 1}


def test_each_cluster_has_its_quarter_mean_covariance_and_label(data):
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        n = len(x) // 4
        for cluster, mean in enumerate(MEANS):
            points, labels = x[cluster::4].astype(np.float64), y[cluster::4]
            assert len(points) == n
            assert np.all(labels == np.sign(mean[0] * mean[1]))
            noise = points - mean
            assert abs(noise.mean(axis=0)).max() < DEVIATIONS * math.sqrt(0.05 / n)
            covariance = noise.T @ noise / n
            # An estimated variance v deviates by v sqrt(2/n), the covariance of independent ones by v/sqrt(n).
            assert abs(np.diag(covariance) - 0.05).max() < DEVIATIONS * 0.05 * math.sqrt(2 / n)
            assert abs(covariance[0, 1]) < DEVIATIONS * 0.05 / math.sqrt(n)


def test_the_noise_is_normal(data):
    noise = (data.x_train - MEANS[np.arange(100_000) % 4]).ravel() / math.sqrt(0.05)
    # Kolmogorov-Smirnov: a false alarm has probability 1e-6.
    assert stats.kstest(noise, "norm").pvalue > 1e-6  # pyright: ignore[reportAttributeAccessIssue]


def test_the_best_guess_reaches_the_bayes_accuracy(data):
    accuracy = np.mean(np.sign(data.x_test.prod(axis=1)) == data.y_test)
    expected = bayes_accuracy()
    assert abs(accuracy - expected) < DEVIATIONS * math.sqrt(expected * (1 - expected) / 10_000)


def test_bayes_accuracy():
    crossed = float(stats.norm.cdf(-0.5 / math.sqrt(0.05)))
    assert crossed == pytest.approx(0.0127, abs=5e-5)
    assert bayes_accuracy() == pytest.approx(1 - 2 * crossed * (1 - crossed), abs=1e-15)
    assert round(100 * bayes_accuracy(), 1) == 97.5
    assert bayes_accuracy(separation=0.0) == 0.5
    assert bayes_accuracy(separation=50.0) == 1.0


def test_the_seed_chooses_the_points():
    small = [gaussian_mixture(seed, n_train=8, n_test=4) for seed in (0, 0, 1)]
    assert small[0] == small[1]
    assert small[0] != small[2]
    assert not np.isin(small[0].x_test, small[0].x_train).any()  # the test points are new ones


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, r"the seed is -1; allowed: an integer of at least 0"),
        ({"n_train": 0}, r"n_train is 0; allowed: at least 1 point"),
        ({"n_test": -3}, r"n_test is -3; allowed: at least 1 point"),
    ],
)
def test_bad_arguments(arguments: dict[str, int], message: str):
    with pytest.raises(InputError, match=message):
        gaussian_mixture(**arguments)  # pyright: ignore[reportArgumentType]
