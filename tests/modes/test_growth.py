"""Growth of the least number of modes with the width: the right form, its errors, and what few points can say."""

import math

import numpy as np
import pytest
from scipy.optimize import least_squares

from modejax.modes import growth_fits
from modejax.modes.growth import GrowthFit
from modejax.modes.least import LeastModes


def points(widths, value, again):
    return LeastModes("fixed", 97.0, widths, value, value, value, None, None, again, 5)


@pytest.mark.parametrize(
    ("name", "law", "parameters"),
    [
        ("constant", lambda n: 7.0, (7.0,)),
        ("logarithm", lambda n: 2 + 3 * np.log(n), (2.0, 3.0)),
        ("power", lambda n: 0.8 * n**0.6, (0.8, 0.6)),
        ("saturating", lambda n: -5 + 5 * np.log(min(n, 150)), (-5.0, 5.0, 150.0)),
    ],
)
def test_the_law_that_made_the_points_is_preferred(name, law, parameters):
    widths = np.array([20.0, 50.0, 100.0, 200.0, 400.0, 800.0])
    value = np.array([law(n) for n in widths])
    again = value * (1 + 0.02 * np.random.default_rng(0).normal(size=(500, widths.size)))
    fits = growth_fits(points(widths, value, again))
    best = min(fits, key=lambda fit: fit.aic)
    assert best.name == name
    np.testing.assert_allclose(best.parameters, parameters, rtol=0.03)
    np.testing.assert_allclose(sum(fit.weight for fit in fits), 1.0)
    np.testing.assert_allclose(best.predicted(widths), value, rtol=0.03)
    if best.intervals is not None:
        for (low, high), true in zip(best.intervals, parameters, strict=True):
            assert low <= true <= high


def test_the_saturating_form_is_the_best_of_a_general_search():
    widths = np.geomspace(25, 1600, 7)
    rng = np.random.default_rng(3)
    value = (-5 + 5 * np.log(np.minimum(widths, 150))) * (1 + 0.03 * rng.normal(size=7))
    again = value * (1 + 0.05 * rng.normal(size=(300, 7)))
    fit: GrowthFit = next(f for f in growth_fits(points(widths, value, again)) if f.name == "saturating")
    error = np.maximum(again.std(axis=0, ddof=1), 0.03 * value)

    def residual(v):
        return (value - v[0] - v[1] * np.log(np.minimum(widths, np.exp(v[2])))) / error

    searched = min(least_squares(residual, [0, 3, math.log(start)]).cost for start in (60, 120, 240, 480))
    assert fit.chi_square <= 2 * searched * 1.001
    assert fit.intervals is not None
    low, high = fit.intervals[2]
    assert low <= 150 <= high


def test_a_right_form_is_seldom_rejected_and_a_wrong_one_always():
    # p-values of the true form are uniform: below 0.05 in 5 % of 200 trials, at most 21 of them with chance 5e-4.
    widths = np.geomspace(25, 1600, 7)
    true = 2 + 3 * np.log(widths)
    rng = np.random.default_rng(0)
    rejected = {"logarithm": 0, "constant": 0}
    for _ in range(200):
        value = true * (1 + 0.05 * rng.normal(size=7))
        again = true * (1 + 0.05 * rng.normal(size=(100, 7)))
        for fit in growth_fits(points(widths, value, again)):
            if fit.name in rejected:
                rejected[fit.name] += fit.p_value < 0.05
    assert rejected["logarithm"] <= 21
    assert rejected["constant"] == 200


def test_few_points_cannot_carry_many_parameters():
    widths = np.array([20.0, 60.0, 180.0, 540.0])
    value = 2 + 3 * np.log(widths)
    again = value * (1 + 0.02 * np.random.default_rng(0).normal(size=(50, 4)))
    fits = {fit.name: fit for fit in growth_fits(points(widths, value, again))}
    assert math.isinf(fits["saturating"].aicc)
    assert fits["saturating"].corrected_weight == 0
    assert fits["constant"].aicc == pytest.approx(fits["constant"].aic + 2)
    np.testing.assert_allclose(sum(fit.corrected_weight for fit in fits.values()), 1.0)
