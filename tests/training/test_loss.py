import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from modejax.training import LOSSES, count_right, cross_entropy, squared_error, sum_loss

assert cross_entropy.correct is not None
assert squared_error.correct is not None
value, correct = jax.jit(cross_entropy.value), jax.jit(cross_entropy.correct)
# XLA's processors take subnormal numbers for 0.
logits = st.lists(st.floats(-1e4, 1e4, width=32, allow_subnormal=False), min_size=4, max_size=4)


@settings(max_examples=60)
@given(logits=logits, label=st.integers(0, 3))
def test_cross_entropy_is_minus_the_log_probability_of_the_label(logits, label):
    z = np.array(logits, np.float32)
    expected = -log_softmax(z.astype(np.float64))[label]
    # A difference of two numbers as large as the logits.
    rounding = 4 * 2.0**-23 * max(1.0, float(abs(z).max()))
    np.testing.assert_allclose(value(z, np.int32(label)), expected, rtol=1e-6, atol=rounding)


@settings(max_examples=60)
@given(logits=logits, label=st.integers(0, 3))
def test_the_decision_is_the_largest_logit(logits, label):
    z = np.array(logits, np.float32)
    # NumPy's argmax takes the first of equal ones, too.
    assert bool(correct(z, np.int32(label))) == (int(np.argmax(z)) == label)


def test_of_equal_logits_the_first_decides():
    z = jnp.array([1.0, 5.0, 5.0, -2.0])
    assert [bool(cross_entropy.correct(z, jnp.int32(label))) for label in range(4)] == [False, True, False, False]  # pyright: ignore


def test_the_gradient_of_cross_entropy_is_the_error_of_the_probabilities():
    z = jnp.array([0.5, -1.0, 2.0])
    gradient = jax.grad(cross_entropy.value)(z, jnp.int32(1))
    np.testing.assert_allclose(gradient, jax.nn.softmax(z) - jnp.array([0.0, 1.0, 0.0]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("output", "label", "value", "right"),
    [
        (0.25, 1, 0.28125, True),
        (0.25, -1, 0.78125, False),
        (-3.0, -1, 2.0, True),
        (-3.0, 1, 8.0, False),
        (1e-30, 1, 0.5, True),
        (0.0, 1, 0.5, False),
        (0.0, -1, 0.5, False),
        (-0.0, 1, 0.5, False),
        (-0.0, -1, 0.5, False),
    ],
)
def test_squared_error_decides_by_the_sign_and_an_output_of_0_is_wrong(output, label, value, right):
    for dtype in (jnp.int32, jnp.int8):
        z, y = jnp.array([output]), jnp.asarray(label, dtype)
        assert float(squared_error.value(z, y)) == value
        assert bool(squared_error.correct(z, y)) == right  # pyright: ignore


def test_an_output_that_is_no_number_is_wrong():
    nan = jnp.array([jnp.nan])
    assert not any(bool(squared_error.correct(nan, jnp.int32(label))) for label in (-1, 1))  # pyright: ignore


def test_each_kind_of_target_has_its_loss():
    assert (LOSSES["classes"], LOSSES["signs"]) == (cross_entropy, squared_error)
    values = LOSSES["values"]
    assert values.value is squared_error.value
    assert values.correct is None
    assert set(LOSSES) == {"classes", "signs", "values"}


def test_sums_leave_out_the_rows_that_do_not_count():
    outputs = jnp.array([[1.0], [-2.0], [jnp.nan]])
    y, counts = jnp.array([1, 1, 1], jnp.int32), jnp.array([True, True, False])
    assert int(count_right(squared_error, outputs, y, counts)) == 1
    assert float(sum_loss(squared_error, outputs, y, counts)) == 4.5
    assert int(count_right(LOSSES["values"], outputs, y.astype(jnp.float32), counts)) == 0
