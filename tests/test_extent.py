import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.extent import Extent, as_extent


@pytest.mark.parametrize("size", [1, 7, np.int64(7), np.int32(7)])
def test_an_integer_is_an_extent_without_padding(size):
    extent = as_extent(size)
    assert (extent.capacity, extent.active) == (size, size)
    assert type(extent.capacity) is int
    assert type(extent.active) is int


@pytest.mark.parametrize("size", [0, -1, True, False, np.bool_(True), 3.0, np.float32(3), 2.5, "3", None, (3,)])
def test_what_is_no_positive_integer_is_refused(size):
    with pytest.raises(InputError, match="positive integer") as error:
        as_extent(size)
    assert repr(size) in str(error.value)


@pytest.mark.parametrize("active", [0, -1, 5, True, 2.5, np.int64(0), np.int64(5), np.int32(-1)])
def test_an_extent_whose_active_size_is_not_in_its_capacity_is_refused(active):
    with pytest.raises(InputError, match="active"):
        as_extent(Extent(4, active))


@pytest.mark.parametrize("capacity", [0, -3, 4.0, True])
def test_an_extent_of_no_proper_capacity_is_refused(capacity):
    with pytest.raises(InputError):
        as_extent(Extent(capacity, 1))


@pytest.mark.parametrize("active", [1, 3, 4])
def test_mask_and_size_follow_the_active_part(active):
    extent = as_extent(Extent(4, active))
    assert extent.mask.tolist() == [i < active for i in range(4)]
    assert extent.mask.dtype == jnp.bool_
    assert float(extent.size) == active
    assert extent.size.dtype == jnp.float32
    with jax.enable_x64(True):
        assert extent.size.dtype == jnp.float64
        assert extent.mask.tolist() == [i < active for i in range(4)]


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8])
def test_a_traced_size_masks_like_a_known_one(dtype):
    def parts(active):
        extent = as_extent(Extent(5, active))
        return extent.mask, extent.size

    masks, sizes = jax.jit(jax.vmap(parts))(jnp.arange(1, 6, dtype=dtype))
    np.testing.assert_array_equal(masks, np.tri(5, dtype=bool))
    np.testing.assert_array_equal(sizes, np.arange(1, 6, dtype=np.float32))
    assert sizes.dtype == jnp.float32


def test_a_traced_64_bit_size_masks_like_a_known_one():
    with jax.enable_x64(True):
        mask = jax.jit(lambda active: Extent(5, active).mask)(jnp.int64(3))
    assert mask.tolist() == [True, True, True, False, False]


def test_a_size_is_known_outside_a_trace_and_refused_inside():
    assert Extent(4, 3).known("counting") == 3
    assert Extent(4, jnp.int32(3)).known("counting") == 3

    @jax.jit
    def count(active):
        return Extent(4, active).known("counting")

    with pytest.raises(InputError, match=r"counting .* traced size of capacity 4"):
        count(jnp.int32(3))
