"""The study of least modes against training examples: its sweep, and what it reads off made results."""

import csv

import numpy as np
import pytest
import xarray

from modejax.studies import mdl_examples
from modejax.studies.mdl_examples import measure, run, settings

EXAMPLES, MODES, WIDTHS = (100, 1000, 10_000, 50_000), (1, 2, 4, 8, 16, 32), (10, 40)


def made(need):
    """Make accuracies that reach 97 % at P = need(examples), flat beyond; dense networks have 98 %."""
    grid = ("seed", "width", "train_examples", "modes")
    below = np.log(np.array([need(n) for n in EXAMPLES])[:, None] / np.array(MODES)).clip(0)
    accuracy = 0.97 - 0.1 * np.broadcast_to(below, (3, len(WIDTHS), *below.shape))
    accuracy = accuracy + 0.001 * np.random.default_rng(0).normal(size=accuracy.shape)
    coords = {"seed": range(3), "width": list(WIDTHS), "train_examples": list(EXAMPLES)}

    def data(values, modes):
        arrays = {"test_accuracy": ((*grid, "epoch"), values[..., None]), "status": (grid, np.zeros(values.shape, int))}
        return xarray.Dataset(arrays, coords=coords | {"modes": list(modes)}, attrs={"arm": "mode"})

    return data(accuracy, MODES), data(np.full((3, len(WIDTHS), len(EXAMPLES), 1), 0.98), (0,))


def test_growth_with_the_examples_is_found_at_every_width():
    data, dense = made(lambda n: 2 * np.log(n))
    # A target so low that the numbers of modes on both sides of the crossing lie on the straight part of the curves.
    below = np.log(2) + 0.05
    found = measure(data, dense, "dense", 1 + 10 * below)
    assert [each.width for each in found] == list(WIDTHS)
    for each in found:
        np.testing.assert_array_equal(each.found.widths, EXAMPLES)
        np.testing.assert_allclose(each.found.value, 2 * np.log(EXAMPLES) * np.exp(-below), rtol=0.05)
        slope = next(fit for fit in each.fits if fit.name == "logarithm").parameters[1]
        assert slope == pytest.approx(2 * np.exp(-below), rel=0.15)


def test_a_target_that_nobody_reaches_is_told():
    data, dense = made(lambda n: 1000.0)
    each = measure(data, dense, "dense", 1.0)[0]
    assert np.isinf(each.found.value).all()
    assert "widths reach the target" in each.why


def test_the_sweep_chooses_rates_on_held_out_data_and_draws_an_order_a_seed():
    for quick in (True, False):
        config = settings(quick, 2)
        assert config.validation > 0
        assert config.batches == "per_seed"
        assert len(config.learning_rates) > 1
        assert len(config.baseline_learning_rates) == len(config.learning_rates)


@pytest.mark.slow
def test_the_whole_study_at_tiny_size(tmp_path, monkeypatch):
    import dataclasses

    small = dataclasses.replace(
        settings(True, 2), widths=(8,), modes=(1, 4, 8), train_examples=(100, 200, 400), epochs=4, batch_size=20
    )
    monkeypatch.setattr(mdl_examples, "settings", lambda quick, seeds: small)
    folder = run(tmp_path / "study", quick=True, seeds=2, report=lambda _: None)
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert {row["train_examples"] for row in rows} == {"100", "200", "400"}
    page = (folder / "results.md").read_text()
    assert "## Learning rates chosen" in page
    assert "nan" not in page.lower().split()
    assert {path.name for path in (folder / "figures").iterdir()} == {"least-modes.png", "error.png"}
