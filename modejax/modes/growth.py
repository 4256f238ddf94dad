"""How the least number of modes depends on the width: fits of four forms, and how well each describes the points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from modejax.errors import InputError
from modejax.modes.bootstrap import interval

if TYPE_CHECKING:
    from modejax.modes.least import LeastModes

__all__ = ["GrowthFit", "growth_fits"]


class GrowthFit(NamedTuple):
    """The fit of one form to the least number of modes against the width."""

    name: str
    formula: str
    parameters: tuple[float, ...]
    chi_square: float
    p_value: float  # probability of a larger chi_square if the form is true and the errors are right
    aic: float  # chi_square + 2 parameters
    weight: float  # Akaike weight among the forms fitted
    aicc: float  # aic with the correction for few points; infinite where the points are no more than parameters + 1
    corrected_weight: float  # weight by aicc
    intervals: tuple[tuple[float, float], ...] | None  # of the parameters, if they could be computed

    def predicted(self, widths: np.ndarray) -> np.ndarray:
        """Return the least number of modes that the fit predicts at some widths."""
        return _FORMS[self.name](np.asarray(widths, float), *self.parameters)


_FORMS: dict[str, Callable[..., np.ndarray]] = {
    "constant": lambda n, a: np.full(np.shape(n), a),
    "logarithm": lambda n, a, b: a + b * np.log(n),
    "power": lambda n, a, b: a * n**b,
    "saturating": lambda n, a, b, n0: a + b * np.log(np.minimum(n, n0)),
}
_FORMULAS = {
    "constant": "a",
    "logarithm": "a + b ln N",
    "power": "a N^b",
    "saturating": "a + b ln min(N, N0)",
}
_PARAMETERS = {"constant": 1, "logarithm": 2, "power": 2, "saturating": 3}
_TRIED = 200  # values of N0
_POWER_RESAMPLES = 400  # a power is fitted by iteration, the others in closed form


def growth_fits(found: LeastModes, *, least_error: float = 0.03, confidence: float = 0.95) -> list[GrowthFit]:
    """Fit the least number of modes against the width: constant, logarithm, power, and logarithm up to N0.

    Weighted least squares; the error of a width is the standard deviation of its resamples, but at least `least_error`
    of the value, for the interpolation between numbers of modes. If chi^2 is far above the number of widths minus the
    number of parameters, a form does not describe the points, even if its weight is large; `p_value` is the
    corresponding probability. AIC = chi^2 + 2 parameters is correct if the errors are known. AICc adds 2 k (k + 1) / (n
    - k - 1) for k parameters and n widths, and was derived for errors that are estimated from the residuals (Hurvich
    and Tsai, Biometrika 76, 297, 1989). Errors from a few seeds are between the two cases, so both weights are given.

    Widths that never reach the target are left out, and so are resamples in which one of the others does not: so the
    error is too small for a width whose interval has no upper end. A form is fitted if more widths are left than it has
    parameters.

    Args:
        found: the record of `least_modes`, with at least two seeds.
        least_error: smallest relative error.
        confidence: confidence level of the intervals of the parameters, from the same resamples.

    Returns:
        One record for each form that could be fitted, with weights relative to each other.

    Raises:
        InputError: if there is one seed only, or fewer than three widths reach the target.

    Example:
        >>> from modejax.modes.least import LeastModes
        >>> widths = np.array([20.0, 50.0, 100.0, 200.0, 400.0])
        >>> value = 2 + 3 * np.log(widths)
        >>> again = value * (1 + 0.01 * np.random.default_rng(0).normal(size=(200, 5)))
        >>> found = LeastModes("fixed", 97.0, widths, value, value, value, None, None, again, 5)
        >>> min(growth_fits(found), key=lambda fit: fit.aic).name
        'logarithm'
    """
    from scipy.stats import chi2

    if found.replicates is None:
        raise InputError("one seed says nothing about the errors of a fit; sweep with two seeds or more")
    # A width of which some resamples do not reach the target has no finite error.
    keep = np.isfinite(found.value)
    if keep.sum() < 3:
        raise InputError(
            f"only {keep.sum()} of {keep.size} widths reach the target ({found.text}); "
            "a fit takes at least 3: sweep more modes, or ask for less"
        )
    n, p = found.widths[keep], found.value[keep]
    again = found.replicates[:, keep]
    again = again[np.isfinite(again).all(axis=1)]
    spread = again.std(axis=0, ddof=1) if len(again) > 1 else np.zeros_like(p)
    error = np.maximum(spread, least_error * p)
    fits = []
    for name in _FORMS:
        count = _PARAMETERS[name]
        if n.size <= count:
            continue
        parameters = tuple(float(each) for each in _solve(name, n, p[None], error)[0])
        chi = float((((p - _FORMS[name](n, *parameters)) / error) ** 2).sum())
        ends = None
        if len(again) > 1:
            drawn = _solve(name, n, again[: _POWER_RESAMPLES if name == "power" else None], error)
            pair = interval(drawn, found.seeds, confidence)
            assert pair is not None
            ends = tuple((float(a), float(b)) for a, b in zip(*pair, strict=True))
        left = n.size - count - 1
        aic = chi + 2 * count
        aicc = aic + 2 * count * (count + 1) / left if left > 0 else math.inf
        fit = GrowthFit(name, _FORMULAS[name], parameters, chi, float(chi2.sf(chi, left + 1)), aic, 0, aicc, 0, ends)
        fits.append(fit)
    weights, corrected = (_weights([getattr(fit, name) for fit in fits]) for name in ("aic", "aicc"))
    return [
        fit._replace(weight=float(w), corrected_weight=float(c))
        for fit, w, c in zip(fits, weights, corrected, strict=True)
    ]


def _weights(criteria: list[float]) -> np.ndarray:
    """Return Akaike weights: exp(-difference to the smallest criterion / 2), with sum 1."""
    share = np.exp(-0.5 * (np.array(criteria) - min(criteria)))
    return share / share.sum()


def _solve(
    name: str,
    n: Float[np.ndarray, " widths"],
    p: Float[np.ndarray, "resamples widths"],
    error: Float[np.ndarray, " widths"],
) -> Float[np.ndarray, "resamples parameters"]:
    """Return the parameters of a form that are nearest to each row of p."""
    log = np.log(n)
    if name == "constant":
        return _linear(np.ones((n.size, 1)), p, error)[0]
    if name == "logarithm":
        return _linear(np.stack([np.ones_like(n), log], 1), p, error)[0]
    if name == "power":
        return np.array([_power(log, row, error) for row in p])
    # Between two widths the error is not convex in N0, so it is searched; at least two widths have to lie below it.
    order = np.sort(n)
    best, least = np.zeros((len(p), 3)), np.full(len(p), np.inf)
    for tried in np.geomspace(order[1], order[-1], _TRIED):
        solution, squared = _linear(np.stack([np.ones_like(n), np.log(np.minimum(n, tried))], 1), p, error)
        better = squared < least
        best[better] = np.column_stack([solution, np.full(len(p), tried)])[better]
        least = np.minimum(squared, least)
    return best


def _linear(columns: np.ndarray, p: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted least-squares solution for each row of p, and its chi^2."""
    solution = (p / error) @ np.linalg.pinv(columns / error[:, None]).T
    return solution, (((p - solution @ columns.T) / error) ** 2).sum(axis=1)


def _power(log: np.ndarray, p: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    from scipy.optimize import least_squares

    slope, start = np.polyfit(log, np.log(p), 1)
    solved = least_squares(lambda v: (p - np.exp(v[0] + v[1] * log)) / error, [start, slope])
    return float(np.exp(solved.x[0])), float(solved.x[1])
