import importlib.metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.data import load_dataset, load_digits, stratified_split
from modejax.errors import InputError


def sorted_rows(*parts: np.ndarray) -> np.ndarray:
    rows = np.concatenate(parts)
    return rows[np.lexsort(rows.T)]


def test_facts():
    data = load_dataset("digits")
    assert data.x_train.shape == (1438, 64)
    assert data.x_test.shape == (359, 64)
    assert (data.x_train.dtype, data.scale, data.image_shape) == (np.uint8, 1 / 16, (8, 8))
    assert (data.num_classes, data.targets) == (10, "classes")
    assert (data.x_train.min(), data.x_train.max()) == (0, 16)


def test_it_is_the_set_of_scikit_learn():
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    data = load_dataset("digits")
    images = np.asarray(bunch.data, np.uint8)  # pyright: ignore[reportAttributeAccessIssue]
    labels = np.asarray(bunch.target, np.uint8)  # pyright: ignore[reportAttributeAccessIssue]
    ours = [
        np.column_stack([x, y.astype(np.uint8)]) for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test))
    ]
    np.testing.assert_array_equal(sorted_rows(*ours), sorted_rows(np.column_stack([images, labels])))


def test_it_falls_back_on_scikit_learn_itself(monkeypatch: pytest.MonkeyPatch):
    expected = load_dataset("digits", seed=3).content_hash

    def missing(_: str) -> None:
        raise importlib.metadata.PackageNotFoundError("scikit-learn")

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert load_dataset("digits", seed=3).content_hash == expected


def test_the_split_is_stratified():
    data = load_dataset("digits")
    train, test = np.bincount(data.y_train), np.bincount(data.y_test)
    np.testing.assert_array_equal(test, np.round(0.2 * (train + test)))


def test_the_seed_chooses_the_split():
    assert load_dataset("digits", seed=1) == load_dataset("digits", seed=1)
    hashes = {load_dataset("digits", seed=seed).content_hash for seed in range(5)}
    assert len(hashes) == 5


def test_the_split_of_seed_0_is_the_same_everywhere():
    """Written down once; the raw stream of PCG64 is the same in all versions of NumPy."""
    _, test = stratified_split(np.arange(20) % 2, 0.3, seed=0)
    assert test.tolist() == [2, 3, 8, 11, 13, 18]
    assert load_dataset("digits").content_hash == "e89ff95bbfd1287edf608ffd02f498623ac3c6888bfcfe20861568969c777589"


@settings(max_examples=50)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**40),
)
def test_any_split_is_stratified_and_disjoint(labels: list[int], share: float, seed: int):
    y = np.array(labels)
    train, test = stratified_split(y, share, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(test) > 0)
    for label in set(labels):
        assert np.count_nonzero(y[test] == label) == round(share * labels.count(label))


def test_each_example_is_tested_equally_often():
    """Over 400 seeds each of 100 examples is a test example 80 times, +-8 (binomial): five deviations allowed."""
    y = np.arange(100) % 2
    counts = np.zeros(100)
    for seed in range(400):
        counts[stratified_split(y, 0.2, seed)[1]] += 1
    assert abs(counts - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_bad_seeds(seed: object):
    with pytest.raises(InputError, match=r"the seed is .*; allowed: an integer of at least 0"):
        load_digits(seed)  # pyright: ignore[reportArgumentType]
