"""The least number of modes: definitions on made results, intervals, bad input."""

from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.modes import growth_fits, least_modes
from modejax.modes.least import crossing

WIDTHS, MODES = (20, 50, 100, 200, 400, 800), (1, 2, 4, 8, 16, 32)


def made(least, seeds=5, noise=0.002, baseline=True, top=0.97, drop=0.2):
    """Make a result in which accuracy reaches `top` at P = least(N) and is flat beyond."""
    rng = np.random.default_rng(0)
    need = np.array([least(n) for n in WIDTHS])
    below = np.log(need[:, None] / np.array(MODES)).clip(0)
    accuracy = top - drop * below + noise * rng.normal(size=(seeds, len(WIDTHS), len(MODES)))
    grid = ("seed", "width", "modes", "learning_rate", "weight_decay", "epoch")

    def node(name, accuracy, modes):
        values = {
            "test_accuracy": (grid, accuracy[..., None, None, None]),
            "status": (grid[:-1], np.zeros((*accuracy.shape, 1, 1), int)),
        }
        coords = {"width": list(WIDTHS), "modes": list(modes), "seed": np.arange(seeds)}
        return xarray.DataTree(xarray.Dataset(values, coords=coords, attrs={"arm": name}))

    nodes = {"mode": node("mode", accuracy, MODES)}
    if baseline:
        nodes["baseline"] = node("baseline", np.full((seeds, len(WIDTHS), 1), top + 0.01), (0,))
    return xarray.DataTree(children=nodes)


def changed(change, arm="mode"):
    """Return a function that changes one arm of a result."""

    def apply(result):
        nodes = {name: xarray.DataTree(node.to_dataset()) for name, node in result.children.items()}
        nodes[arm] = xarray.DataTree(change(nodes[arm].to_dataset()))
        return xarray.DataTree(children=nodes)

    return apply


@settings(max_examples=20)
@example([0.5, 0.5, 0.5, 0.5, 0.75], 0.75)
@given(st.lists(st.floats(0.1, 0.9), min_size=5, max_size=5), st.floats(0.1, 0.95))
def test_crossings_are_those_of_a_walk_from_the_left(accuracy, target):
    modes = np.array([1.0, 2.0, 5.0, 10.0, 30.0])
    grid, place = crossing(modes, np.array(accuracy), np.array(target))
    expected = next((m for m, a in zip(modes, accuracy, strict=True) if a >= target), np.inf)
    assert float(grid) == expected
    assert float(place) <= expected
    if np.isfinite(expected) and expected > 1:
        there = np.interp(np.log(float(place)), np.log(modes), accuracy)
        np.testing.assert_allclose(there, target, rtol=1e-9)


def test_each_definition_finds_the_target_it_names():
    result = made(lambda n: 2 + 2 * np.log(n), noise=0.0, seeds=2)
    reach: list[Any] = [("dense", 1.0), ("fixed", 97.0), ("best", 0.0)]
    for definition, level in reach:
        found = least_modes(result, definition, level)
        np.testing.assert_allclose(found.target, 0.97, rtol=1e-12, err_msg=definition)
        assert (found.value <= found.on_grid).all()
        assert (found.value > found.on_grid / 2).all()
    # A target on the falling part is read off exactly: the curve is straight in ln P there.
    lower = least_modes(result, "fixed", 97 - 20 * np.log(2))
    np.testing.assert_allclose(lower.value, (2 + 2 * np.log(np.array(WIDTHS))) / 2, rtol=0.02)


def test_intervals_widen_with_the_noise_and_need_two_seeds():
    quiet, loud = (least_modes(made(lambda n: 6.0, noise=noise), "fixed", 90.0) for noise in (0.001, 0.02))
    assert quiet.low is not None
    assert quiet.high is not None
    assert loud.low is not None
    assert loud.high is not None
    assert (quiet.low <= quiet.value).all()
    assert (quiet.value <= quiet.high).all()
    assert (loud.high - loud.low).mean() > 3 * (quiet.high - quiet.low).mean()
    alone = least_modes(made(lambda n: 6.0, seeds=1), "fixed", 90.0)
    assert alone.low is None
    with pytest.raises(InputError, match="one seed says nothing about the errors"):
        growth_fits(alone)


def test_a_target_out_of_reach_is_infinite_and_a_diverged_network_does_not_reach_it():
    result = made(lambda n: 6.0)
    found = least_modes(result, "fixed", 99.9)
    assert np.isinf(found.value).all()
    with pytest.raises(InputError, match=r"only 0 of 6 widths reach the target .at least 99.9 % test accuracy"):
        growth_fits(found)
    result["mode"].test_accuracy[:, 0, :] = np.nan
    with pytest.raises(InputError, match="networks without an accuracy"):
        least_modes(result, "fixed", 50.0)
    result["mode"].status[:, 0, :] = 1
    assert np.isinf(least_modes(result, "fixed", 50.0).value[0])


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        (lambda r: r, ("mean", 1.0), "unknown definition 'mean'; allowed: best, dense, fixed"),
        (lambda r: r, ("fixed", 101.0), "between 0 and 100"),
        (changed(lambda d: d.isel(modes=[0])), ("fixed", 90.0), "has 1 numbers of modes; sweep at least 2"),
        (lambda r: r["mode"].to_dataset(), ("dense", 1.0), "no dense baseline"),
        (changed(lambda d: d.isel(learning_rate=[0, 0])), ("fixed", 90.0), "one for each learning rate"),
        (changed(lambda d: d.isel(weight_decay=[0, 0]), "baseline"), ("dense", 1.0), "the dense baseline has several"),
        (
            changed(lambda d: d.assign(status=d.status + 1), "baseline"),
            ("dense", 1.0),
            "a dense network of the baseline diverged",
        ),
    ],
)
def test_bad_input_is_told(change, arguments, words):
    with pytest.raises(InputError, match=words):
        least_modes(change(made(lambda n: 6.0)), *arguments)
