import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32
from scipy import special, stats

from modejax.draws import _threefry, normal_matrix, normal_vector, subkey, subkeys, uniform_matrix, uniform_vector
from modejax.errors import InputError
from modejax.extent import Extent

# Each statistical comparison below fails for a correct generator with this probability.
ERROR_RATE = 1e-6
DEVIATIONS = stats.norm.isf(ERROR_RATE / 2)

# Few shapes, so that each is compiled once; the first holds all others.
CAPACITIES = [(40, 48), (1, 48), (7, 5), (40, 1)]

words = st.integers(0, 2**32 - 1)


@functools.partial(jax.jit, static_argnums=(1, 2))
def matrix(key, rows, columns, active):
    return normal_matrix(key, Extent(rows, active[0]), Extent(columns, active[1]))


@functools.partial(jax.jit, static_argnums=1)
def vectors(key, length, active):
    extent = Extent(length, active)
    return normal_vector(key, extent), uniform_vector(key, extent)


def bits(array):
    """Return the bytes as integers, so that -0 and 0 differ."""
    array = np.asarray(array)
    return array.view(np.dtype(f"u{array.itemsize}"))


def test_the_cipher_is_the_one_of_jax_on_random_words():
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 2**32, size=(4, 500), dtype=np.uint32)
    for a, b, i, j in numbers.T[:20]:
        ours = jax.jit(_threefry)((a, b), (i, j))
        theirs = threefry_2x32(jnp.array([a, b]), jnp.array([i, j]))
        np.testing.assert_array_equal(np.stack(ours), theirs)
    # One key for many counters, as matrices use it; the counter's two words are the two halves of one array there.
    a, b = numbers[:2, 0]
    ours = jax.jit(_threefry)((a, b), (numbers[2], numbers[3]))
    theirs = threefry_2x32(jnp.array([a, b]), jnp.concatenate([numbers[2], numbers[3]]))
    np.testing.assert_array_equal(np.concatenate(ours), theirs)


def test_the_cipher_gives_the_published_answers():
    # Test vectors of the Random123 distribution for threefry2x32 with 20 rounds.
    for key, counter, answer in [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]:
        a, b = jax.jit(_threefry)(tuple(map(np.uint32, key)), tuple(map(np.uint32, counter)))
        assert (int(a), int(b)) == answer


@pytest.mark.parametrize("x64", [False, True])
@settings(max_examples=30)
@given(data=st.data(), seed=words, capacity=st.sampled_from(CAPACITIES))
def test_an_entry_depends_on_the_key_and_its_place_only(x64, data, seed, capacity):
    active = [data.draw(st.integers(1, c)) for c in capacity]
    with jax.enable_x64(x64):
        key = jax.random.key(seed)
        largest = np.asarray(matrix(key, *CAPACITIES[0], np.array(CAPACITIES[0], np.int32)))
        drawn = np.asarray(matrix(key, *capacity, np.array(active, np.int32)))
    assert drawn.dtype == (np.float64 if x64 else np.float32)
    assert drawn.shape == capacity
    rows, columns = active
    np.testing.assert_array_equal(drawn[:rows, :columns], largest[:rows, :columns])
    padding = (np.arange(capacity[0])[:, None] >= rows) | (np.arange(capacity[1])[None, :] >= columns)
    assert not bits(drawn)[padding].any(), "padding is not exactly +0"


@pytest.mark.parametrize("x64", [False, True])
@settings(max_examples=25)
@given(data=st.data(), seed=words, capacity=st.sampled_from([1, 30]))
def test_vectors_depend_on_the_key_and_the_place_only(x64, data, seed, capacity):
    active = data.draw(st.integers(1, capacity))
    with jax.enable_x64(x64):
        key = jax.random.key(seed)
        for long, drawn in zip(vectors(key, 30, 30), vectors(key, capacity, active), strict=True):
            np.testing.assert_array_equal(drawn[:active], long[:active])
            assert not bits(drawn[active:]).any()


@settings(max_examples=20)
@given(seed=words)
def test_the_two_float_types_round_the_same_draw(seed):
    shape = CAPACITIES[0]
    key = jax.random.key(seed)
    single = np.asarray(matrix(key, *shape, np.array(shape, np.int32)), dtype=np.float64)
    single_uniform = np.asarray(vectors(key, 30, 30)[1], dtype=np.float64)
    with jax.enable_x64(True):
        key = jax.random.key(seed)
        double = np.asarray(matrix(key, *shape, np.array(shape, np.int32)))
        double_uniform = np.asarray(vectors(key, 30, 30)[1])
    # The normal numbers are compared as quantiles on (-1, 1): float32 takes the middle of a step of 2^-22, and the
    # inverse error function is allowed 4 units of the last place.
    quantiles = abs(special.erf(single / 2**0.5) - special.erf(double / 2**0.5))
    assert quantiles.max() <= 2.0**-23 + 4 * 2.0**-23
    assert abs(single_uniform - double_uniform).max() <= 2.0**-24


@pytest.mark.parametrize("x64", [False, True])
def test_a_matrix_is_normal_and_a_vector_uniform(x64):
    with jax.enable_x64(x64):
        key = jax.random.key(1)
        normal = np.asarray(jax.jit(lambda k: normal_matrix(k, Extent(400, 400), Extent(500, 500)))(key), np.float64)
        uniform = np.asarray(jax.jit(lambda k: uniform_vector(k, Extent(100_000, 100_000)))(key), np.float64)
    assert stats.kstest(normal.ravel(), "norm").pvalue > ERROR_RATE
    assert stats.kstest(uniform, "uniform").pvalue > ERROR_RATE
    assert 0 < uniform.min() < uniform.max() < 1
    n = normal.size
    # Moments 1 ... 4 of n normal numbers have the variances 1, 2, 15 and 96 over n.
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((normal**power).mean() - moment) < DEVIATIONS * (variance / n) ** 0.5
    # A matrix of independent numbers: no correlation between neighbours in a row, in a column, across the diagonal.
    for one, other in [
        (normal[:, 1:], normal[:, :-1]),
        (normal[1:], normal[:-1]),
        (normal[:, :400], normal[:, :400].T),
    ]:
        # In the last case every product comes twice.
        assert abs((one * other)[one != other].mean()) < DEVIATIONS * (2 / one.size) ** 0.5


def test_the_normal_numbers_are_the_quantiles_of_the_uniform_ones():
    with jax.enable_x64(True):
        normal, uniform = (np.asarray(each) for each in vectors(jax.random.key(8), 2000, 2000))
    np.testing.assert_allclose(normal, special.ndtri(uniform), rtol=1e-12, atol=1e-14)


def test_one_place_is_normal_over_seeds_and_over_subkeys():
    def over_seeds(seed):
        return normal_vector(jax.random.key(seed), Extent(2, 2))

    def over_subkeys(index):
        return normal_vector(subkey(jax.random.key(0), index), Extent(2, 2))

    count = 50_000
    for draw in (over_seeds, over_subkeys):
        numbers = np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(count)), np.float64)
        for column in numbers.T:
            assert stats.kstest(column, "norm").pvalue > ERROR_RATE
            assert abs((column[1:] * column[:-1]).mean()) < DEVIATIONS / (count - 1) ** 0.5
        assert abs(numbers.prod(axis=1).mean()) < DEVIATIONS / count**0.5


def test_streams_are_independent_of_each_other_and_of_their_key():
    shape = Extent(100, 100), Extent(200, 200)

    @jax.jit
    def streams(key):
        keys = [key, *(subkey(key, i) for i in range(3)), subkey(subkey(key, 0), 0), subkey(subkey(key, 1), 0)]
        return jnp.stack([normal_matrix(k, *shape) for k in keys])

    numbers = np.asarray(streams(jax.random.key(5)), np.float64).reshape(6, -1)
    correlations = numbers @ numbers.T / numbers.shape[1]
    off_diagonal = correlations[~np.eye(6, dtype=bool)]
    assert abs(off_diagonal).max() < DEVIATIONS / numbers.shape[1] ** 0.5


def test_subkeys_at_once_are_the_single_ones():
    key = jax.random.key(7)
    at_once = [tuple(jax.random.key_data(each).tolist()) for each in subkeys(key, 5)]
    assert at_once == [tuple(jax.random.key_data(subkey(key, i)).tolist()) for i in range(5)]


def test_subkeys_are_keys_of_their_own():
    def data(key):
        return tuple(np.asarray(jax.random.key_data(key)).tolist())

    key = jax.random.key(11)
    ours = {data(subkey(key, i)) for i in range(5)}
    folded = {data(jax.random.fold_in(key, i)) for i in range(5)}
    parted = {data(k) for k in jax.random.split(key, 5)}
    assert len(ours) == 5
    assert not ours & (folded | parted | {data(key)})
    # A traced index, of any integer type, is the same key.
    for dtype in (jnp.int32, jnp.uint32):
        traced = jax.jit(jax.vmap(lambda i: jax.random.key_data(subkey(key, i))))(jnp.arange(5, dtype=dtype))
        assert [tuple(row) for row in traced.tolist()] == [data(subkey(key, i)) for i in range(5)]


def test_an_old_style_key_of_two_words_draws_the_same():
    new, old = (normal_vector(key, Extent(9, 9)) for key in (jax.random.key(4), jax.random.PRNGKey(4)))
    np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    "key",
    [jax.random.key(0, impl="rbg"), jax.random.key(0, impl="unsafe_rbg"), jax.random.split(jax.random.key(0), 2)],
    ids=["rbg", "unsafe_rbg", "batch"],
)
@pytest.mark.parametrize(
    "draw",
    [
        lambda key: subkey(key, 0),
        lambda key: normal_vector(key, Extent(2, 2)),
        lambda key: normal_matrix(key, Extent(2, 2), Extent(2, 2)),
        lambda key: uniform_vector(key, Extent(2, 2)),
    ],
    ids=["subkey", "normal_vector", "normal_matrix", "uniform_vector"],
)
def test_another_kind_of_key_is_refused(draw, key):
    with pytest.raises(InputError, match=r"scalar threefry key .* got"):
        draw(key)


def test_uniform_matrices_are_centred_and_extend_one_another():
    @jax.jit
    def draw(rows, columns):
        return uniform_matrix(jax.random.key(5), Extent(60, rows), Extent(50, columns))

    small, large = np.array(draw(7, 9)), np.array(draw(60, 50))
    np.testing.assert_array_equal(small[:7, :9], large[:7, :9])
    small[:7, :9] = 0
    assert not small.tobytes().strip(b"\0")
    assert stats.kstest(large.ravel().astype(np.float64), "uniform", args=(-1, 2)).pvalue > ERROR_RATE
