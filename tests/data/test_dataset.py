import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from modejax.data import Dataset, describe
from modejax.errors import InputError


def fields(**changes: Any) -> dict[str, Any]:
    """Return the fields of a small correct data set, some of them changed."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (6, 4), dtype=np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": rng.integers(0, 256, (3, 4), dtype=np.uint8),
        "y_test": np.array([2, 1, 0]),
        "num_classes": 3,
        "name": "small",
        "source": "a test",
        "scale": 1 / 255,
    } | changes


def floats(**changes: Any) -> dict[str, Any]:
    """Return the fields of a small correct data set of floats."""
    rng = np.random.default_rng(1)
    return fields(x_train=rng.normal(size=(6, 4)), x_test=rng.normal(size=(3, 4)), scale=1.0) | changes


def test_types_and_sizes():
    data = Dataset(**fields(image_shape=(2, 2)))
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    assert (data.num_features, data.num_outputs, data.image_shape) == (4, 3, (2, 2))
    np.testing.assert_array_equal(data.x_train, fields()["x_train"])


def test_floats_become_float32():
    given = floats()
    data = Dataset(**given)
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    np.testing.assert_array_equal(data.x_train, given["x_train"].astype(np.float32))


def test_signs_have_one_output():
    data = Dataset(**floats(y_train=np.array([-1, 1] * 3), y_test=np.array([1, 1, -1]), num_classes=2, targets="signs"))
    assert data.num_outputs == 1
    assert describe(data)["train_label_counts"] == {-1: 3, 1: 3}


def test_it_cannot_be_changed():
    given = fields()
    data = Dataset(**given)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.scale = 1.0  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("x_train", "y_train", "x_test", "y_test"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = 0
    given["x_train"][0, 0] = 0  # the caller's own array stays writable


def test_repr_is_short_and_holds_no_arrays():
    assert repr(Dataset(**fields())) == "Dataset(small: 6 + 3 examples, 4 features uint8, 3 classes)"


def test_equal_content_has_an_equal_hash():
    one, other = Dataset(**floats()), Dataset(**floats(name="other", source="elsewhere"))
    as_float32 = Dataset(**floats(x_train=floats()["x_train"].astype(np.float32)))
    assert one.content_hash == other.content_hash == as_float32.content_hash
    assert one == other
    assert hash(one) == hash(other)
    assert one != "small"
    assert len(one.content_hash) == 64


def test_every_part_of_the_content_changes_the_hash():
    base = fields()
    changed = [fields(scale=1.0), fields(num_classes=4)]
    for name in ("x_train", "y_train", "x_test", "y_test"):
        array = base[name].copy()
        array.flat[0] = 1 if array.flat[0] == 0 else 0
        changed.append(fields(**{name: array}))
    hashes = {Dataset(**one).content_hash for one in [base, *changed]}
    assert len(hashes) == len(changed) + 1


def test_the_hash_of_known_content():
    """Written down once: a stored run must find its data again in every later version."""
    x = np.array([[0, 1], [2, 3]], dtype=np.uint8)
    data = Dataset(x, np.array([0, 1]), x, np.array([1, 0]), num_classes=2, name="a", source="b", scale=0.5)
    assert data.content_hash == "8879f0751b2e0b614dc70e8d22a2110da1f89ce744aeaa1188cb5d3f293c136a"


def test_description_is_plain():
    about = describe(Dataset(**fields(image_shape=(2, 2))))
    assert json.loads(json.dumps(about))["features"] == 4
    assert (about["train_examples"], about["test_examples"], about["classes"]) == (6, 3, 3)
    assert about["train_label_counts"] == {0: 2, 1: 2, 2: 2}
    everything = np.concatenate([fields()["x_train"], fields()["x_test"]])
    assert about["feature_range"] == [everything.min(), everything.max()]
    assert about["content_hash"] == Dataset(**fields()).content_hash


def with_nan(value: float) -> np.ndarray:
    x = floats()["x_train"]
    x[4, 2] = value
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (fields(y_train=np.arange(5) % 3), r"x_train holds 6 examples and y_train 5 labels.*one label an example"),
        (fields(y_test=np.arange(4) % 3), r"x_test holds 3 examples and y_test 4 labels"),
        (fields(y_train=np.array([0, 1, 2, 3, 1, 2])), r"y_train holds 1 labels out of range, the first \(3\) at exam"),
        (fields(y_test=np.array([0, -1, 2])), r"y_test holds 1 labels out of range, the first \(-1\).*allowed: 0..2"),
        (fields(y_train=np.array([0, 1, 2, 0, 1, 2.0])), r"y_train has type float64; allowed: integers.*astype"),
        (fields(y_train=np.array([True] * 6)), r"y_train has type bool; allowed: integers"),
        (fields(y_train=np.eye(6, 3, dtype=int)), r"y_train has shape \(6, 3\).*argmax"),
        (fields(y_train=np.zeros((6, 1), dtype=int)), r"y_train has shape \(6, 1\).*ravel"),
        (
            floats(x_train=with_nan(np.nan)),
            r"x_train holds 1 values that are NaN or infinite.*\(nan\) in example 4, fe",
        ),
        (floats(x_train=with_nan(np.inf)), r"x_train holds 1 values that are NaN or infinite.*feature 2"),
        (floats(x_train=with_nan(1e300)), r"NaN or infinite as float32, the first \(inf\)"),
        (fields(x_train=np.zeros((0, 4), np.uint8), y_train=np.zeros(0, int)), r"x_train is empty; .*at least one"),
        (fields(x_test=np.zeros((0, 4), np.uint8), y_test=np.zeros(0, int)), r"x_test is empty"),
        (fields(x_test=np.zeros((3, 0), np.uint8)), r"x_test has shape \(3, 0\): no features"),
        (fields(x_test=np.zeros((3, 5), np.uint8)), r"x_train has 4 features and x_test 5; allowed: the same number"),
        (fields(x_test=np.zeros((3, 2, 2), np.uint8)), r"x_test has shape \(3, 2, 2\).*reshape"),
        (fields(x_test=np.zeros((3, 4))), r"x_train has type uint8 and x_test float32; allowed: the same type"),
        (fields(x_train=np.zeros((6, 4), np.int64)), r"x_train has type int64; allowed: uint8 .* or floats.*astype"),
        (fields(num_classes=1), r"num_classes is 1; allowed: an integer of at least 2"),
        (fields(num_classes=3.0), r"num_classes is 3\.0"),
        (fields(targets="regression"), r"targets is 'regression'; allowed: 'classes', 'signs', 'values'"),
        (fields(targets="signs"), r"num_classes is 3 for targets 'signs'; allowed: 2"),
        (fields(targets="signs", num_classes=2), r"labels out of range, the first \(0\).*allowed: -1 and \+1"),
        (fields(scale=0.0), r"scale is 0\.0; allowed: a positive finite number"),
        (fields(scale=float("nan")), r"scale is nan"),
        (fields(image_shape=(3, 3)), r"image_shape is \(3, 3\), which is 9 values; allowed: a shape of 4 values"),
    ],
)
def test_bad_fields_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        Dataset(**changes)
