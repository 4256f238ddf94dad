"""A checkpoint is read whole, at the epoch at which it was written, or refused."""

import json

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.sweep import checkpoint

TREE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((0, 2), np.float32), "c": np.int32(4)}
MARK = checkpoint.fingerprint({"widths": [8]})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return checkpoint.save(tmp_path_factory.mktemp("checkpoints"), 60, TREE, MARK)


@pytest.fixture
def manifest(saved):
    """Give the manifest to alter, and put it back."""
    path = saved / "manifest.json"
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def same(found):
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(TREE), strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_was_saved_comes_back(saved):
    epoch, found = checkpoint.restore(saved, TREE, MARK)
    assert epoch == 60
    same(found)


def test_arrays_are_read_whoever_wrote_them(saved):
    with pytest.raises(InputError, match="belongs to another config"):
        checkpoint.restore(saved, TREE, "another")
    same(checkpoint.restore(saved, TREE, None)[1])


@pytest.mark.parametrize(
    ("field", "value"),
    [("epoch", 20), ("epoch", 60.0), ("epoch", True), ("epoch", -1), ("epoch", "60"), ("fingerprint", "x")],
)
def test_an_altered_field_is_refused(saved, manifest, field, value):
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {field: value}))
    for mark in (MARK, None):
        with pytest.raises(InputError, match="does not match its own digest"):
            checkpoint.restore(saved, TREE, mark)
    with pytest.raises(InputError, match="no checkpoint can be used"):
        checkpoint.newest(saved.parent, TREE, MARK)


def test_exchanged_digests_are_refused(saved, manifest):
    content = json.loads(manifest.read_text())
    names = sorted(content["digests"])
    content["digests"][names[0]], content["digests"][names[1]] = (content["digests"][name] for name in names[::-1])
    manifest.write_text(json.dumps(content))
    with pytest.raises(InputError, match="does not match its own digest"):
        checkpoint.restore(saved, TREE, MARK)


def test_other_shapes_and_types_are_refused(saved):
    for like in (TREE | {"a": TREE["a"].T}, TREE | {"a": TREE["a"].astype(np.float64)}, TREE | {"d": np.ones(2)}):
        with pytest.raises(InputError, match=r"holds other networks|does not match its digest"):
            checkpoint.restore(saved, like, MARK)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_as_a_manifest_end_in_one_error(saved, manifest, data):
    manifest.write_bytes(data)
    with pytest.raises(InputError):
        checkpoint.restore(saved, TREE, MARK)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["epoch", "fingerprint", "digests", "seal"]), JSON)
def test_any_field_of_a_manifest_ends_in_one_error(saved, manifest, field, value):
    whole = json.loads(manifest.read_text())
    try:
        manifest.write_text(json.dumps(whole | {field: value}))
        with pytest.raises(InputError):
            checkpoint.restore(saved, TREE, MARK)
    finally:
        manifest.write_text(json.dumps(whole))


@pytest.mark.parametrize("text", ["[" * 100_000, "null", "[]", "{}", '{"epoch": 1}', "NaN", '"text"'])
def test_malformed_manifests_are_refused(saved, manifest, text):
    manifest.write_text(text)
    with pytest.raises(InputError, match="is not readable"):
        checkpoint.restore(saved, TREE, MARK)
    manifest.unlink()
    with pytest.raises(InputError, match="is not readable"):
        checkpoint.restore(saved, TREE, MARK)
