"""The best learning rate of each width, and how it moves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.modes import best_rates

RATES = 0.01 * 2.0 ** np.arange(9)
WIDTHS = np.array([16.0, 64.0, 256.0])


def bowl(best, noise=0.0, seeds=1):
    rng = np.random.default_rng(0)
    clean = 0.1 * np.log(RATES / np.asarray(best)[:, None]) ** 2
    return np.exp(clean + noise * rng.normal(size=(seeds, len(clean), len(RATES))))


@settings(max_examples=25)
@given(st.floats(-0.3, 0.3), st.floats(0.06, 0.4))
def test_a_power_law_is_found(power, first):
    best = first * (WIDTHS / WIDTHS[1]) ** power
    found = best_rates(RATES, WIDTHS, bowl(best))
    np.testing.assert_allclose(found.rate, best, rtol=1e-9)
    assert found.power == pytest.approx(power, abs=1e-9)
    assert found.drift == pytest.approx(16 ** abs(power))
    assert found.spread == pytest.approx(16 ** abs(power))


def test_intervals_hold_the_truth_and_shrink_with_the_noise():
    best = np.array([0.1, 0.1, 0.1])
    wide, narrow = (best_rates(RATES, WIDTHS, bowl(best, noise, 6)) for noise in (0.1, 0.01))
    for found in (wide, narrow):
        assert found.power_interval is not None
        assert found.low is not None
        assert found.high is not None
        assert (found.low < found.rate).all()
        assert (found.rate < found.high).all()
        assert found.power_interval[0] < 0 < found.power_interval[1]
    short, long = (found.power_interval or (0.0, 0.0) for found in (narrow, wide))
    assert 0 < short[1] - short[0] < (long[1] - long[0]) / 3


def test_networks_that_diverged_are_infinitely_bad():
    error = bowl([0.08, 0.08, 0.08])
    error[0, :, 6:] = np.nan
    np.testing.assert_allclose(best_rates(RATES, WIDTHS, error).rate, 0.08, rtol=1e-9)


def test_a_best_rate_at_the_end_is_told():
    found = best_rates(RATES, WIDTHS, bowl([0.001, 0.1, 100.0]))
    assert found.at_end.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("rates", "error", "message"),
    [
        (RATES[:2], np.ones((1, 3, 2)), "2 rates"),
        (RATES, np.ones((1, 2, 9)), "errors of shape"),
        (RATES, np.full((1, 3, 9), np.nan), "no rate at which every seed has an error"),
    ],
)
def test_what_is_refused(rates, error, message):
    with pytest.raises(InputError, match=message):
        best_rates(rates, WIDTHS, error)
