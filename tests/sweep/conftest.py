"""A small data set on which a sweep takes a second."""

import numpy as np
import pytest

from modejax.data import Dataset, from_arrays


@pytest.fixture(scope="session")
def blobs() -> Dataset:
    """Three noisy clusters in 6 dimensions: 240 training and 70 test examples."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6))
    y = rng.integers(0, 3, 310)
    x = (centres[y] + 0.7 * rng.normal(size=(310, 6))).astype(np.float32)
    return from_arrays(x[:240], y[:240], x[240:], y[240:], name="blobs", source="made for this test")
