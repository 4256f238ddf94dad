"""Random numbers whose value at (i, j) depends on the key and on (i, j) only, never on the padded shape.

So the same seed gives the same network alone, in a sweep and in any bucket, and the initial values of a wide network
extend those of a narrow one. The bits are Threefry-2x32 with 20 rounds, the counter being (i, j): each entry is one
elementwise expression, so the initial values of a network compile in a fraction of the time of nested `jax.random`
calls.

References:
    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Threefry-2x32-20).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from modejax.errors import InputError
from modejax.extent import Extent

__all__ = ["normal_matrix", "normal_vector", "subkey", "subkeys", "uniform_matrix", "uniform_vector"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
# The first word of a subkey's counter, beyond the row of any matrix.
_STREAMS = np.uint32(0xFFFFFFFF)

Words = tuple[UInt32[Array, "..."], UInt32[Array, "..."]]


@jax.jit
def _threefry(key: Words, counter: Words) -> Words:
    """Apply the block cipher to counters; the two words of the key are scalars.

    It is written in lax and jitted, so that it is traced only once per shape; otherwise its rounds would take most of
    the time to trace a sweep.
    """
    schedule = (*key, key[0] ^ key[1] ^ np.uint32(_PARITY))
    a, b = jax.lax.add(counter[0], schedule[0]), jax.lax.add(counter[1], schedule[1])
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            a = jax.lax.add(a, b)
            left = jax.lax.shift_left(b, np.uint32(rotation))
            b = jax.lax.bitwise_or(left, jax.lax.shift_right_logical(b, np.uint32(32 - rotation)))
            b = jax.lax.bitwise_xor(b, a)
        a = jax.lax.add(a, schedule[(group + 1) % 3])
        b = jax.lax.add(b, schedule[(group + 2) % 3] + np.uint32(group + 1))
    return a, b


def _words(key: PRNGKeyArray) -> Words:
    data = jax.random.key_data(key)
    if data.shape != (2,):
        raise InputError(
            f"a scalar threefry key is needed, got key data of shape {data.shape}; "
            "make it with jax.random.key(seed, impl='threefry2x32')"
        )
    return data[0], data[1]


def _bits(key: PRNGKeyArray, rows: int, columns: int) -> Words:
    i = jax.lax.broadcasted_iota(jnp.uint32, (rows, columns), 0)
    j = jax.lax.broadcasted_iota(jnp.uint32, (rows, columns), 1)
    return _threefry(_words(key), (i, j))


def _centred(bits: Words) -> Float[Array, "rows columns"]:
    """Return numbers in (-1, 1), symmetric about 0 and never -1 or 1; exact in the default float type."""
    dtype = jnp.result_type(float)
    if dtype == jnp.float64:
        many = (bits[0].astype(jnp.uint64) << 20) | (bits[1].astype(jnp.uint64) >> 12)
        return (many.astype(dtype) + 0.5) * 2.0**-51 - 1
    return ((bits[0] >> 9).astype(dtype) + 0.5) * 2.0**-22 - 1


def subkey(key: PRNGKeyArray, index: int | Int[Array, ""]) -> PRNGKeyArray:
    """Return a key derived from a key and an index, for one of several independent streams.

    Args:
        key: a scalar threefry key.
        index: 0 or more.

    Returns:
        A scalar key, unlike those of `jax.random.fold_in` and `jax.random.split`.

    Example:
        >>> key = jax.random.key(0)
        >>> bool(jax.random.key_data(subkey(key, 0))[0] == jax.random.key_data(subkey(key, 1))[0])
        False
    """
    words = _threefry(_words(key), (_STREAMS, jnp.asarray(index).astype(jnp.uint32)))
    return jax.random.wrap_key_data(jnp.stack(words), impl="threefry2x32")


def subkeys(key: PRNGKeyArray, count: int) -> tuple[PRNGKeyArray, ...]:
    """Return the derived keys with the indices 0 to `count` - 1.

    All are made by one application of the cipher: single subkeys were half the operations of drawing a network.

    Args:
        key: a scalar threefry key.
        count: 1 or more.

    Returns:
        The scalar keys `subkey(key, 0)` to `subkey(key, count - 1)`.

    Example:
        >>> first, second = subkeys(jax.random.key(0), 2)
        >>> bool(second == subkey(jax.random.key(0), 1))
        True
    """
    words = _threefry(_words(key), (jnp.full(count, _STREAMS), jnp.arange(count, dtype=jnp.uint32)))
    data = jnp.stack(words, axis=1)
    return tuple(jax.random.wrap_key_data(data[index], impl="threefry2x32") for index in range(count))


def normal_matrix(key: PRNGKeyArray, rows: Extent, columns: Extent) -> Float[Array, "rows columns"]:
    """Draw a matrix of standard normal numbers; padding is 0.

    The numbers are sqrt(2) erfinv(u) with u uniform on (-1, 1) in steps of 2^-22 (float32, so that none is beyond
    5.2) or 2^-51 (float64); both types round the same bits.

    Args:
        key: a scalar threefry key.
        rows: the extent of the first axis.
        columns: the extent of the second axis.

    Returns:
        Shape (rows.capacity, columns.capacity); entry (i, j) depends on `key`, i and j only.

    Example:
        >>> key = jax.random.key(0)
        >>> small = normal_matrix(key, Extent(2, 2), Extent(3, 3))
        >>> large = normal_matrix(key, Extent(5, 2), Extent(7, 3))
        >>> bool((small == large[:2, :3]).all()), float(abs(large[2:]).sum())
        (True, 0.0)
    """
    values = 2**0.5 * jax.lax.erf_inv(_centred(_bits(key, rows.capacity, columns.capacity)))
    return jnp.where(rows.mask[:, None] & columns.mask[None, :], values, 0)


def normal_vector(key: PRNGKeyArray, length: Extent) -> Float[Array, " length"]:
    """Draw a vector of standard normal numbers; padding is 0.

    Args:
        key: a scalar threefry key.
        length: the extent of the vector.

    Returns:
        Shape (length.capacity,); entry j depends on `key` and j only.
    """
    return normal_matrix(key, Extent(1, 1), length)[0]


def uniform_matrix(key: PRNGKeyArray, rows: Extent, columns: Extent) -> Float[Array, "rows columns"]:
    """Draw a matrix of numbers uniform on (-1, 1); padding is 0.

    Args:
        key: a scalar threefry key.
        rows: the extent of the first axis.
        columns: the extent of the second axis.

    Returns:
        Shape (rows.capacity, columns.capacity); entry (i, j) depends on `key`, i and j only.

    Example:
        >>> float(abs(uniform_matrix(jax.random.key(0), Extent(9, 9), Extent(9, 9))).max()) < 1
        True
    """
    values = _centred(_bits(key, rows.capacity, columns.capacity))
    return jnp.where(rows.mask[:, None] & columns.mask[None, :], values, 0)


def uniform_vector(key: PRNGKeyArray, length: Extent) -> Float[Array, " length"]:
    """Draw a vector of numbers uniform on (0, 1); padding is 0.

    Args:
        key: a scalar threefry key.
        length: the extent of the vector.

    Returns:
        Shape (length.capacity,); entry j depends on `key` and j only.
    """
    return jnp.where(length.mask, 0.5 * (_centred(_bits(key, 1, length.capacity))[0] + 1), 0)
