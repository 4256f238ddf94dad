"""Buckets: every size in one of them, and never dearer than one a size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.sweep.arm import Arm
from modejax.sweep.buckets import Cost, arm_buckets, bucket_shapes
from modejax.sweep.members import grid_members


@settings(max_examples=60)
@given(
    sizes=st.dictionaries(
        st.tuples(st.integers(1, 800), st.integers(1, 70)), st.integers(1, 40), min_size=1, max_size=12
    ),
    steps=st.integers(1, 10**6),
)
def test_buckets_hold_every_size_and_never_cost_more_than_one_a_size(sizes, steps):
    step = {
        (w, p): (600.0 * p * (784 + 4 * w + 10) / 1e11, 1e-4)
        for w in {w for w, _ in sizes}
        for p in {p for _, p in sizes}
    }
    cost = Cost(step.__getitem__, steps, 1.0)
    buckets = bucket_shapes(sizes, cost)

    def seconds(buckets):
        return sum(cost.seconds(shape, sum(sizes[size] for size in inside)) for shape, inside in buckets)

    assert sorted(size for _, inside in buckets for size in inside) == sorted(sizes)
    for (width, modes), inside in buckets:
        assert width == max(w for w, _ in inside)
        assert modes == max(p for _, p in inside)
    assert seconds(buckets) <= seconds([(size, [size]) for size in sizes]) * (1 + 1e-12)


def test_members_that_share_devices_are_put_together():
    # Two members on two devices cost as much as one; alone, each would leave a device to copies of itself.
    step = {(320, 1): (3e-2, 1e-9), (640, 1): (4e-2, 1e-9)}
    sizes = {(320, 1): 1, (640, 1): 1}
    assert len(bucket_shapes(sizes, Cost(step.__getitem__, 100, 1e-9, devices=1))) == 2
    assert len(bucket_shapes(sizes, Cost(step.__getitem__, 100, 1e-9, devices=2))) == 1


def test_more_arithmetic_means_more_buckets():
    sizes = {(20, 30): 1, (40, 30): 1, (320, 30): 1, (640, 30): 1}
    step = {(w, 30): (600.0 * 30 * (784 + 4 * w + 10) / 1e11, 1e-4) for w, _ in sizes}
    few, many = (len(bucket_shapes(sizes, Cost(step.__getitem__, steps, 1.0))) for steps in (10, 10**7))
    assert few == 1
    assert many > few


@pytest.mark.parametrize(("how", "count"), [("one", 1), ("each", 4)])
@pytest.mark.parametrize("devices", [1, 2, 8])
def test_members_go_where_they_are_told(how, count, devices):
    members = grid_members(Arm(widths=(8, 16), modes=(2, 3)), (0, 1, 2))
    buckets = arm_buckets(5, members, how, Cost(lambda size: (float(size[0]), 0.0), 10, 0.0, devices))
    assert len(buckets) == count
    assert sorted(m for bucket in buckets for m in bucket.members) == list(range(12))
    for bucket in buckets:
        assert bucket.arm == 5
        assert bucket.capacity % devices == 0
        assert 0 <= bucket.capacity - len(bucket.members) < devices
        sizes = {(int(members["width"][m]), int(members["modes"][m])) for m in bucket.members}
        assert (bucket.width, bucket.modes) == (max(w for w, _ in sizes), max(p for _, p in sizes))
