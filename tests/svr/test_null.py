"""Null distributions against draws of random frames, and p-values against known tails."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from modejax.errors import InputError
from modejax.svr import edges, haar, spectral_layer
from modejax.svr.null import (
    benjamini_hochberg,
    beta_log_p,
    bonferroni,
    channel_haar_log_p,
    chi2_log_p,
    detection_limit,
    level_of_sigma,
    threshold,
)
from modejax.svr.rotation import rotation_log_p
from modejax.svr.tails import beta_log_tail, chi2_log_tail

LEVEL = level_of_sigma(3.0)


def frames(c: int, z: int, n: int, m: int, draws: int, seed: int = 0) -> np.ndarray:
    """Edges between independent Haar frames, shape (draws, n, m)."""
    rng = np.random.default_rng(seed)
    found = np.empty((draws, n, m))
    for each in found:
        U, V = haar(rng, c, m), haar(rng, c * z, n).reshape(c, z, n)
        each[:] = np.sum([(V[:, x].T @ U) ** 2 for x in range(z)], axis=0)
    return found


@pytest.mark.parametrize(
    ("c", "z", "n", "m", "draws"), [(16, 1, 16, 16, 400), (64, 1, 32, 32, 100), (64, 9, 64, 32, 50), (5, 9, 32, 5, 640)]
)
def test_edges_of_haar_frames_follow_the_beta_law_and_chi_square_is_too_strict(c, z, n, m, draws):
    E = frames(c, z, n, m, draws).ravel()
    assert E.size >= 100_000
    # A test of 1 % (1.63) over pooled entries, which depend weakly on one another.
    assert stats.kstest(E, stats.beta(z / 2, z * (c - 1) / 2).cdf).statistic < 1.63 / math.sqrt(E.size)
    error = 4 * math.sqrt(LEVEL * (1 - LEVEL) / E.size)
    assert abs((beta_log_p(E, c, z) <= math.log(LEVEL)).mean() - LEVEL) < error
    # What the chi-square threshold lets through is what the Beta law says of it.
    expected = math.exp(float(beta_log_p(min(threshold(LEVEL, c, z, "chi2"), 1.0), c, z)))
    found = (chi2_log_p(E, c, z) <= math.log(LEVEL)).mean()
    assert abs(found - expected) < 4 * math.sqrt(max(expected, 1 / E.size) / E.size)
    assert expected < LEVEL


def test_thresholds_are_those_of_the_tables():
    table = {
        (64, 1): (1.51550772e-1, 1.60515907e-1),
        (512, 1): (1.99222768e-2, 2.00644884e-2),
        (4096, 1): (2.50583493e-3, 2.50806105e-3),
        (64, 9): (4.63820084e-2, 4.70370263e-2),
        (512, 9): (5.86936513e-3, 5.87962829e-3),
        (512, 49): (3.34891323e-3, 3.35112236e-3),
    }
    for (c, z), (beta, chi2) in table.items():
        np.testing.assert_allclose(threshold(LEVEL, c, z), beta, rtol=1e-8)
        np.testing.assert_allclose(threshold(LEVEL, c, z, "chi2"), chi2, rtol=1e-8)
    assert threshold(LEVEL, 3, 9, "chi2") > 1  # it can never fire


@settings(max_examples=40)
@given(st.integers(3, 600), st.integers(1, 49), st.floats(1e-6, 0.5))
def test_a_threshold_is_the_inverse_of_the_tail(c, z, level):
    np.testing.assert_allclose(beta_log_p(threshold(level, c, z), c, z), math.log(level), rtol=1e-7, atol=1e-9)


def test_tails_far_below_the_smallest_float_agree_with_long_arithmetic():
    # Logarithms from 60 digits (mpmath).
    for x, a, b, expected in (
        (0.5, 0.5, 2047.5, -1423.2571359394187),
        (0.3, 4.5, 2300, -799.9207132349543),
        (0.9, 24.5, 12000, -27465.93583604422),
        (0.05, 4.5, 18427.5, -923.7663453322132),
        (0.2, 4.5, 2299.5, -494.10428484230107),
    ):
        np.testing.assert_allclose(beta_log_tail(x, a, b), expected, rtol=1e-12)
    for x, freedom, expected in (
        (2000, 1, -1004.0267419589519),
        (1400, 9, -679.5199500504345),
        (50000, 49, -24815.213723181278),
    ):
        np.testing.assert_allclose(chi2_log_tail(x, freedom), expected, rtol=1e-12)
    assert beta_log_tail(0.0, 0.5, 3.0) == 0
    assert beta_log_tail(1.0, 0.5, 3.0) == -math.inf
    # No step where the series takes over.
    x = np.linspace(0.26, 0.3, 400)
    assert (np.diff(np.diff(beta_log_tail(x, 4.5, 2000))) < 1e-3).all()


def smooth(kind: str, rng: np.random.Generator, out: int = 64, c: int = 64) -> np.ndarray:
    """Kernels of 3 x 3 positions with independent channels."""
    if kind == "isotropic":
        return rng.standard_normal((out, c, 3, 3))
    places = np.stack(np.meshgrid(range(3), range(3)), -1).reshape(9, 2)
    distance = np.abs(places[:, None] - places[None]).sum(-1)
    root = np.linalg.cholesky((0.8 if kind == "correlated" else 1 - 1e-6) ** distance)
    return (rng.standard_normal((out, c, 9)) @ root.T).reshape(out, c, 3, 3)


@pytest.mark.parametrize(("kind", "loose"), [("isotropic", False), ("correlated", True), ("constant", True)])
def test_smooth_kernels_fool_the_isotropic_null_but_not_the_channel_null(kind, loose):
    rng = np.random.default_rng(0)
    plain, haared, count = 0, 0, 0
    for _ in range(25):
        V = spectral_layer(smooth(kind, rng)).V
        U = haar(rng, 64, 64)[:, None, :]
        E = edges(U, V)
        plain += int((beta_log_p(E, 64, 9) <= math.log(LEVEL)).sum())
        haared += int((channel_haar_log_p(E, V) <= math.log(LEVEL)).sum())
        count += E.size
    assert count >= 100_000
    assert plain / count >= 3e-2 if loose else abs(plain / count - LEVEL) < 4 * math.sqrt(LEVEL / count)
    assert haared / count <= 3e-3


def test_the_rotation_null_agrees_with_the_channel_null_and_the_exact_one():
    rng = np.random.default_rng(0)
    V = spectral_layer(smooth("correlated", rng, 12, 12)).V
    U = haar(rng, 12, 12)[:, None, :]
    E = edges(U, V)
    drawn = np.exp(rotation_log_p(E, U, V, draws=400))
    assert np.abs(drawn - np.exp(channel_haar_log_p(E, V))).max() < 0.12  # the matched law is off in the body
    V1 = haar(rng, 12, 12)[:, None, :]
    E1 = edges(U, V1)
    error = np.abs(np.exp(rotation_log_p(E1, U, V1, draws=400)) - np.exp(beta_log_p(E1, 12)))
    assert error.max() < 5 * 0.5 / math.sqrt(400 * 12) + 0.01
    one = np.exp(rotation_log_p(E[:, :1], U[:, :, :1], V, draws=50))
    assert one.min() >= 1 / 51


def test_writers_with_positions_are_compared_one_neuron_at_a_time():
    rng = np.random.default_rng(1)
    U, V = haar(rng, 8 * 4, 5).reshape(8, 4, 5), haar(rng, 8, 6)[:, None, :]
    E = edges(U, V)
    drawn = np.exp(rotation_log_p(E, U, V, draws=300))
    expected = np.exp(channel_haar_log_p(E.T, U).T)
    assert np.abs(drawn - expected).max() < 0.15


def test_corrections():
    log_p = np.log(np.array([[0.001, 0.02], [0.03, 0.9]]))
    np.testing.assert_allclose(np.exp(bonferroni(log_p)), [[0.004, 0.08], [0.12, 1.0]])
    np.testing.assert_allclose(
        np.exp(benjamini_hochberg(log_p)).ravel(), stats.false_discovery_control([0.001, 0.02, 0.03, 0.9])
    )
    assert benjamini_hochberg(np.full(3, -1e5)).tolist() == [-1e5] * 3


def test_family_wise_error_under_the_null():
    rejected = [
        [(adjust(beta_log_p(E, 32)) <= math.log(0.05)).any() for E in frames(32, 1, 32, 32, 400, seed=3)]
        for adjust in (bonferroni, benjamini_hochberg)
    ]
    # 400 pairs at 5 %: 20 expected; 4 standard errors are 17. Dependence within rows is weak.
    for each in rejected:
        assert 3 <= sum(each) <= 37


def test_planted_connections_are_found_down_to_the_detection_limit():
    rng = np.random.default_rng(0)
    limit = math.log(0.05)
    found, weak = 0, 0
    for _ in range(200):
        U = haar(rng, 128)
        for cosine in (0.5, 0.3):
            rest = rng.standard_normal(128)
            rest -= U[:, 0] * (U[:, 0] @ rest)
            v = cosine * U[:, 0] + math.sqrt(1 - cosine**2) * rest / np.linalg.norm(rest)
            row = bonferroni(beta_log_p((v @ U) ** 2, 128), 128 * 128) <= limit
            if cosine == 0.5:
                found += bool(row[0] and row.sum() == 1)
            else:
                weak += bool(row[0])
    assert found >= 195
    assert weak == 0
    assert detection_limit(128, tests=128 * 128).cosine == pytest.approx(0.398, abs=1e-3)


def test_one_channel_and_isotropic_patterns_are_never_significant():
    assert beta_log_p(np.ones((2, 2)), 1, 9).tolist() == [[0, 0], [0, 0]]
    assert threshold(0.01, 1) == math.inf
    assert channel_haar_log_p(np.ones((1, 1)), np.ones((1, 4, 1)) / 2).tolist() == [[0.0]]
    flat = np.eye(4).reshape(4, 4, 1) / 2  # V V' is a multiple of the identity: E cannot vary
    assert channel_haar_log_p(np.array([[0.25]]), flat).tolist() == [[0.0]]


def test_bad_options_say_what_is_allowed():
    for call in (
        lambda: beta_log_p([0.1], 0),
        lambda: chi2_log_p([0.1], 4, 0),
        lambda: threshold(0.0, 4),
        lambda: threshold(0.1, 4, null="rotation"),  # pyright: ignore[reportArgumentType]
        lambda: level_of_sigma(float("nan")),
        lambda: detection_limit(4, tests=0),
        lambda: channel_haar_log_p(np.ones((2, 2)), np.ones((4, 1, 3))),
        lambda: rotation_log_p(np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1)), draws=0),
        lambda: edges(np.ones((3, 1, 2)), np.ones((1, 1, 2))),
    ):
        with pytest.raises(InputError):
            call()
