"""Two-sided hinges, redundancies, bounds under displacement, and reports over checkpoints."""

import jax
import numpy as np
import pytest

from modejax import layers, mlp
from modejax.errors import InputError
from modejax.interpolation import (
    CHECKPOINT_FIELDS,
    act_mask,
    build_hinge,
    build_two_sided_hinge,
    checkpoint_reports,
    find_line,
    find_redundancy,
    hidden_units,
    hinge_matrix,
    interp_matrix,
    layer_report,
    layer_reports,
    nrank,
    one_hot,
    outputs,
    sign_classes,
    stability_bound,
)

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((60, 5)), rng.standard_normal((60, 3))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 60])
def test_two_sided_hinges_interpolate_and_span_what_hinges_span(n):
    built = build_two_sided_hinge(X[:n], Y[:n])
    assert built.network.units[1].capacity == n - 1  # pyright: ignore
    assert np.abs(outputs(*built, X[:n]) - Y[:n]).max() < 1e-9
    both = [interp_matrix(hidden_units(*b, X[:n])[0][0].Phi) for b in (built, build_hinge(X[:n], Y[:n]))]
    assert [nrank(G) for G in both] == [n, n]
    # Outside of the points too: beyond t_1 the carrier is off, so only inner points and the right side agree.
    line = find_line(X[:n])
    between = np.linspace(line.t[0], line.t[-1], 50)[:, None] * line.direction
    one = outputs(*build_hinge(X[:n], Y[:n], line.direction), between)
    np.testing.assert_allclose(outputs(*build_two_sided_hinge(X[:n], Y[:n], line.direction), between), one, atol=1e-8)


def test_two_sided_hinges_are_conditioned_three_times_better():
    t = np.linspace(0, 1, 200)[:, None]
    two = interp_matrix(hidden_units(*build_two_sided_hinge(t, t, np.ones(1)), t)[0][0].Phi)
    one = interp_matrix(hinge_matrix(t[:, 0]))
    # The method file has 4.6e4 and 1.5e4.
    assert 2.5 < np.linalg.cond(one) / np.linalg.cond(two) < 3.5


def test_displacements_stay_within_the_bounds():
    Z, C = rng.standard_normal((20, 15)), rng.standard_normal((15, 3))
    Z += np.sign(Z) * 0.01
    delta = 0.0099
    bound = stability_bound(Z, C, delta)
    assert bound.keeps_pattern
    Phi = np.maximum(Z, 0)
    least = np.linalg.svd(interp_matrix(Phi), compute_uv=False)[-1]
    moves = [delta * rng.choice([-1.0, 1.0], Z.shape) for _ in range(200)]
    for move in [*moves, *(delta * np.sign(C[:, k]) * np.ones((20, 1)) for k in range(3))]:
        new = np.maximum(Z + move, 0)
        assert (act_mask(Z + move) == act_mask(Z)).all()
        assert abs(np.linalg.svd(interp_matrix(new), compute_uv=False)[-1] - least) <= bound.sigma
        assert np.abs((new - Phi) @ C).max() <= bound.output
    # Where all units are active, the bound of the outputs is attained.
    k = int(np.abs(C).sum(axis=0).argmax())
    up = np.abs(Z)
    change = np.abs((np.maximum(up + delta * np.sign(C[:, k]), 0) - up) @ C).max()
    assert change == pytest.approx(stability_bound(up, C, delta).output)
    # Beyond the margin one entry flips.
    worst = np.unravel_index(np.abs(Z).argmin(), Z.shape)
    beyond = 1.01 * bound.margin
    assert not stability_bound(Z, C, beyond).keeps_pattern
    new = Z.copy()
    new[worst] -= np.sign(Z[worst]) * beyond
    assert (act_mask(new) != act_mask(Z)).sum() == 1


def test_bounds_refuse_bad_input():
    with pytest.raises(InputError, match="the same number"):
        stability_bound(np.ones((2, 3)), np.ones((2, 1)), 0.1)
    with pytest.raises(InputError, match="delta"):
        stability_bound(np.ones((2, 3)), np.ones((3, 1)), -0.1)


def test_planted_redundancies_are_found():
    W, b = rng.standard_normal((5, 8)), 0.1 * rng.standard_normal(8)
    found = find_redundancy(X @ W + b, X)
    assert found == (0, 8, 0, 0, 8)
    twice = find_redundancy(X @ np.hstack([W, 2 * W[:, :3], W[:, :1]]) + np.hstack([b, 2 * b[:3], b[:1] + 1e-9]), X)
    assert twice.parallel == 4
    dead = find_redundancy(np.hstack([X @ W + b, -np.ones((60, 2))]), X)
    assert dead == (2, 8, 0, 0, 10)
    # Saturated units carry X only when there are as many independent ones as X has dimensions.
    for count, expected in ((4, 0), (5, 5), (7, 5)):
        V = rng.standard_normal((5, count))
        assert find_redundancy(np.hstack([X @ W + b, X @ V + 50]), X).carriers == expected
    assert layer_report(build_hinge(X, Y), X, Y, tolerance=1e-9)[0]["redundancy"] == "o2"
    assert layer_report(build_hinge(X, Y, theta=0.25), X, Y)[0]["redundancy"] == "o2+o5"


@pytest.mark.slow
def test_checkpoints_are_compared_in_a_row():
    points, y = sign_classes(40, 6, 0)
    H = one_hot(y, 4)
    network = mlp([6, 12, 10, 4], layers.Biased(layers.Mode()), 3)
    times = [network.init(jax.random.key(k)) for k in range(3)]
    found = checkpoint_reports(network, times, points, H)
    for k, records in enumerate(found):
        assert all(tuple(sorted(r)) == tuple(sorted(CHECKPOINT_FIELDS)) and r["checkpoint"] == k for r in records)
    first, steps = layer_reports([(network, times[2])] * 2, points, H, starts=[times[0], times[1]])
    for record, far, near in zip(found[2], first, steps, strict=True):
        assert (record["flips"], record["move"]) == pytest.approx((far["flips"], far["move"]), rel=1e-6)
        assert (record["step_flips"], record["step_move"]) == pytest.approx((near["flips"], near["move"]), rel=1e-6)
        assert record["transition"] == near["transition"]
        assert len(near["transition"]) == 3
    assert [r["transition"] for r in found[0]] == ["", ""]
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint_reports(network, [], points, H)


def test_a_change_of_class_is_named():
    network, params = build_hinge(X, Y)
    raised = (params[0]._replace(bias=params[0].bias + 100.0), params[1])
    records = [r for (r,) in checkpoint_reports(network, [params, raised, params], X, Y, tolerance=1e-9)]
    assert [r["transition"] for r in records] == ["", "T>A", "A>T"]
    assert records[2]["flips"] == 0
    assert records[2]["step_flips"] > 0.4
