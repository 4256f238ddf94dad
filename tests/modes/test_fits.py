"""Piecewise power laws: exact against brute force, batches, comparison of forms, intervals and bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.modes import compare_fits, interval, power_law, resamples, segmented_fit

RANK = np.arange(1, 31)


def brute_force(curve, least=3):
    x, y = np.log(np.arange(1, curve.size + 1)), np.log(curve)
    found = []
    for last in range(least, curve.size - least + 1):
        pieces = [np.polyfit(x[s], y[s], 1, full=True) for s in (slice(None, last), slice(last, None))]
        error = sum(
            float(((np.polyval(c[0], x[s]) - y[s]) ** 2).sum())
            for c, s in zip(pieces, (slice(None, last), slice(last, None)), strict=True)
        )
        found.append((error, last, [c[0][0] for c in pieces]))
    return min(found, key=lambda each: each[0])


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(8, 40))
def test_the_free_break_is_that_of_a_brute_force_search(seed, count):
    rng = np.random.default_rng(seed)
    curve = np.sort(rng.lognormal(0, 1, count))[::-1]
    error, last, slopes = brute_force(curve)
    fit = segmented_fit(curve)
    assert int(fit.last) == last
    np.testing.assert_allclose(fit.slopes, slopes, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.squared_error, error, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        ((np.log(fit.predicted(count)) - np.log(curve)) ** 2).sum(), error, rtol=1e-7, atol=1e-12
    )


def test_a_batch_gives_what_each_curve_gives():
    curves = np.sort(np.random.default_rng(0).lognormal(0, 0.5, (2, 3, 20)))[..., ::-1]
    for last in (None, 7):
        together = segmented_fit(curves, last)
        for i in range(2):
            for j in range(3):
                alone = segmented_fit(curves[i, j], last)
                for a, b in zip(together, alone, strict=True):
                    np.testing.assert_allclose(a[i, j], b, rtol=1e-12)
    for all_curves, one in zip(compare_fits(curves, 7), compare_fits(curves[1, 2], 7), strict=True):
        np.testing.assert_allclose(all_curves.aic[1, 2], one.aic, rtol=1e-9)
        np.testing.assert_allclose(all_curves.predicted[1, 2], one.predicted, rtol=1e-9)


def test_a_constant_factor_moves_no_slope():
    curve = np.sort(np.random.default_rng(1).lognormal(0, 0.5, 25))[::-1]
    np.testing.assert_allclose(segmented_fit(curve).slopes, segmented_fit(1e-4 * curve).slopes, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "curve"),
    [
        ("power law", 2 * RANK**-0.7),
        ("exponential", 3 * np.exp(-0.11 * RANK)),
        ("stretched exponential", np.exp(-0.4 * RANK**0.6)),
        ("two power laws, break at 10", np.where(RANK <= 10, RANK**-0.1, 7.0 * RANK**-1.0)),
        ("two power laws, free break", np.where(RANK <= 18, RANK**-0.1, 7.0 * RANK**-1.0)),
    ],
)
def test_the_form_that_made_a_curve_is_preferred(name, curve):
    # AIC keeps a form with spare parameters now and then, so it is asked for in most of 40 noisy copies, not in all.
    noise = np.random.default_rng(3).normal(0, 0.01, (40, curve.size))
    fits = compare_fits(curve * np.exp(noise), 10)
    np.testing.assert_allclose(sum(fit.weight for fit in fits), 1.0)
    if name == "power law":
        fits = fits[:-1]  # the search for a free break costs AIC nothing, so it often finds one in noise
    best = np.argmin([fit.aic for fit in fits], axis=0)
    assert np.mean([fits[i].name == name for i in best]) > 0.6


def test_intervals_hold_the_truth_as_often_as_they_say():
    # Means of 5 normal numbers, 4000 times; the binomial error of the rate is 0.0035.
    values = np.random.default_rng(0).normal(size=(5, 4000))
    found = interval(values[resamples(5, 2000)].mean(axis=1), 5)
    assert found is not None
    covered = float(((found[0] <= 0) & (found[1] >= 0)).mean())
    assert 0.90 < covered < 0.97


def test_slopes_lie_in_their_interval_and_one_seed_has_none():
    rng = np.random.default_rng(5)
    curves = np.where(RANK <= 10, RANK**-0.1, 10**0.9 * RANK**-1.0) * np.exp(rng.normal(0, 0.02, (6, RANK.size)))
    law = power_law(curves, 10)
    assert law.slopes_interval is not None
    for i, true in enumerate((-0.1, -1.0)):
        low, slope, high = law.slopes_interval[0][i], law.fit.slopes[i], law.slopes_interval[1][i]
        assert low <= slope <= high
        assert low <= true <= high
    alone = power_law(curves[:1], 10)
    assert alone.slopes_interval is None
    assert alone.last_interval is None
    np.testing.assert_allclose(alone.fit.slopes, segmented_fit(curves[0], 10).slopes)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: segmented_fit(np.ones(4), 2), "4 parameters and takes more points|parameters and takes more points"),
        (lambda: segmented_fit(np.ones(5)), "takes more points than that, got 5"),
        (lambda: segmented_fit(np.array([3.0, 2, 1, 0, 1, 1, 1, 1])), "above 0, got 1 others .first at rank 4"),
        (lambda: segmented_fit(np.array([3.0, 2, 1, np.nan, 1, 1, 1, 1])), "above 0, got 1 others"),
        (lambda: segmented_fit(np.ones(20), 19), "leaves fewer than 3 of 20 ranks on a side; allowed: 3 to 17"),
        (lambda: segmented_fit(np.ones(20), least_points=2), "least_points must be at least 3"),
        (lambda: compare_fits(-np.ones(20)), "finite values above 0, got 20 others"),
        (lambda: power_law(np.ones(20)), "axes seeds and ranks"),
        (lambda: interval(np.array([1.0, np.nan]), 2), "not a number"),
        (lambda: interval(np.ones(3), 2, level=1.0), "between 0 and 1"),
        (lambda: resamples(0), "1 or more seeds"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_a_flat_curve_is_a_power_law_with_slope_0():
    fit = segmented_fit(np.ones(12))
    np.testing.assert_allclose(fit.slopes, 0.0, atol=1e-12)
    assert int(fit.last) == 3  # all breaks fit equally; the smallest is taken
    assert all(np.isfinite(each.aic) for each in compare_fits(np.ones(12), 5))
