"""Learning-rate schedules against closed forms and against optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from modejax.names import SCHEDULES
from modejax.training import Moment, rate_at

EPOCHS, STEPS = 7, 5


def rates(schedule, rate=0.003, every=0, warm_up=None, epochs=EPOCHS, dtype=jnp.float32):
    """Return the rate of every step, all of them from one compiled program with traced numbers."""

    @jax.jit
    def one(epoch, step, every, warm_up):
        return rate_at(
            schedule,
            jnp.asarray(rate, dtype),
            Moment(epoch, step, jnp.int32(epochs)),
            STEPS,
            every=every,
            warm_up=warm_up,
        )

    warm = None if warm_up is None else jnp.asarray(warm_up, dtype)
    return np.array(
        [[one(jnp.int32(e), jnp.int32(s), jnp.int32(every), warm) for s in range(STEPS)] for e in range(epochs)]
    )


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (0, [1, 1, 1, 1, 1, 1, 1]),
        (1, [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64]),
        (2, [1, 1, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 8]),
        (3, [1, 1, 1, 1 / 2, 1 / 2, 1 / 2, 1 / 4]),
        (50, [1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_the_rate_is_halved(every, expected):
    # Halving is exact.
    found = np.float32(0.003) * np.array(expected, np.float32)
    np.testing.assert_array_equal(rates("halving", every=every), found[:, None].repeat(STEPS, axis=1))


def test_a_rate_stays_a_number_after_very_many_halvings():
    moment = Moment(jnp.int32(10_000), jnp.int32(0), jnp.int32(20_000))
    assert float(rate_at("halving", jnp.float32(0.1), moment, 3, every=jnp.int32(1))) == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_at_the_rate_and_is_a_schedule_of_optax(name, float64):
    total = EPOCHS * STEPS
    theirs = {
        "constant": optax.constant_schedule(0.003),
        "halving": optax.exponential_decay(0.003, 2 * STEPS, 0.5, staircase=True),
        "cosine": optax.cosine_decay_schedule(0.003, total),
        "linear": optax.linear_schedule(0.003, 0.0, total),
    }[name]
    found = rates(name, every=2, dtype=jnp.float64).ravel()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = [float(theirs(step)) for step in range(total)]  # pyright: ignore
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found[0] == 0.003


@pytest.mark.parametrize("warm_up", [0.4, 1.0, 2.5, 100.0])
def test_the_warm_up_is_a_straight_line_before_the_schedule(warm_up, float64):
    steps = np.arange(EPOCHS * STEPS)
    rising = np.minimum(1, (steps + 1) / max(1, warm_up * STEPS))
    for name in ("constant", "cosine"):
        plain = rates(name, dtype=jnp.float64).ravel()
        np.testing.assert_allclose(rates(name, warm_up=warm_up, dtype=jnp.float64).ravel(), plain * rising, rtol=1e-12)


def test_a_warm_up_of_no_epochs_is_none():
    np.testing.assert_array_equal(rates("cosine", warm_up=0.0), rates("cosine"))
