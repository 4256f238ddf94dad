"""The spread over seeds taken apart: components on made numbers, and the study at tiny size."""

import csv

import numpy as np
import pytest

from modejax.studies.seed_spread import run, spread_of


def test_components_are_those_that_made_the_numbers():
    # 400 tables of 8 x 8; the mean of a variance estimate with 7 degrees of freedom over them is known to about 3 %.
    rng = np.random.default_rng(0)
    start, order, pair = 0.3, 0.2, 0.4
    found = [
        spread_of(
            97 + start * rng.normal(size=(8, 1)) + order * rng.normal(size=(1, 8)) + pair * rng.normal(size=(8, 8))
        )
        for _ in range(400)
    ]
    squared = np.mean([[f.starts**2, f.orders**2, f.both**2] for f in found], axis=0)
    expected = [start**2 + pair**2, order**2 + pair**2, start**2 + order**2 + pair**2]
    np.testing.assert_allclose(squared, expected, rtol=0.06)
    for each in found:
        assert each.share_starts + each.share_orders + each.share_pair == pytest.approx(1)


def test_the_upper_end_of_the_share_of_the_order_covers():
    # 400 tables: the upper end lies above the true share in 95 % of them but for the error of the other components;
    # below 91 % has a chance of less than 1e-3 if it is right.
    rng = np.random.default_rng(2)
    start, order, pair = 0.3, 0.3, 0.4
    share = order**2 / (start**2 + order**2 + pair**2)
    above = [
        spread_of(start * rng.normal(size=(8, 1)) + order * rng.normal(size=(1, 8)) + pair * rng.normal(size=(8, 8)))
        for _ in range(400)
    ]
    assert np.mean([each.most_orders >= share for each in above]) >= 0.91
    assert all(each.most_orders >= each.share_orders for each in above)


def test_one_cause_alone_has_the_whole_share():
    rng = np.random.default_rng(1)
    column, row = rng.normal(size=(6, 1)), rng.normal(size=(1, 6))
    assert spread_of(column + 0 * row).share_starts == pytest.approx(1)
    assert spread_of(row + 0 * column).share_orders == pytest.approx(1)
    assert spread_of(column + 0 * row).orders == pytest.approx(0)
    assert spread_of(np.full((3, 4), 97.0)).both == 0


@pytest.mark.slow
def test_the_study_at_tiny_size(tmp_path, monkeypatch):
    import dataclasses

    from modejax.studies import seed_spread

    small = dataclasses.replace(seed_spread.settings(True, 2), widths=(8,), modes=(4,), epochs=2, halve_every=1)
    monkeypatch.setattr(seed_spread, "settings", lambda quick, seeds: small)
    folder = run(tmp_path / "study", quick=True, seeds=2, report=lambda _: None)
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert len(rows) == 3 * 2 * 2
    # Another order of batches changes a network, and so does another start.
    modes = {(row["start"], row["order"]): row["accuracy"] for row in rows if row["network"] == "modes"}
    assert len(set(modes.values())) > 1
