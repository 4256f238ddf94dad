"""The part of `spectral-pruning` on the sizes of the source: sweeps, rows, comparisons, tables and figures."""

import dataclasses

import numpy as np
import pytest

from modejax.studies import spectral_pruning_source
from modejax.studies.common import verdict
from modejax.studies.spectral_pruning_report import compared, draw_long, draw_source, long_lines, source_lines
from modejax.studies.spectral_pruning_source import (
    ACTIVATIONS,
    AUTHORS,
    DEPTHS,
    FILES,
    PERCENTILES,
    SCORES,
    SourceRow,
    long_sweep,
    measure_source,
    source_sweeps,
    values_of,
)

SIZES = {1: 2000, 2: 800, 3: 500}


def made(epochs=(6,), depths=DEPTHS, activations=ACTIVATIONS):
    """Return rows in which a score's accuracy is known: eigenvalue above all, incoming below, with two seeds."""
    level = {"eigenvalue": 0.9, "eigenvector": 0.8, "incoming": 0.5, "throughput": 0.6, "random": 0.7}
    rows = []
    for depth in depths:
        for over in ("all layers", "each layer")[: 1 if depth == 1 else 2]:
            for activation in activations:
                for epoch in epochs:
                    for network in ("spectral", "dense"):
                        for score in SCORES if network == "spectral" else SCORES[2:]:
                            for percentile in (0.0, *PERCENTILES):
                                for seed in (0, 1):
                                    value = level[score] - percentile / 1000 + seed / 100
                                    base = (depth, activation, epoch, network, score, over)
                                    rows.append(SourceRow(*base, percentile, seed, value))
    return rows


def test_the_numbers_of_the_authors_have_their_percentiles():
    assert set(FILES) == set(DEPTHS)
    for (depth, activation, network), values in AUTHORS.items():
        assert (depth in DEPTHS, activation in ACTIVATIONS, network in ("spectral", "dense")) == (True,) * 3
        assert len(values) == len(PERCENTILES)
        assert all(0.1 < value < 1 for value in values)
    assert AUTHORS[3, "elu", "spectral"][PERCENTILES.index(80)] == 0.9485


def test_the_sweeps_are_those_of_the_source():
    sweeps = source_sweeps(False, 3)
    assert list(sweeps) == [(depth, first) for first in (0, 2) for depth in DEPTHS]
    assert {depth: config.widths for (depth, _), config in sweeps.items()} == {d: (n,) for d, n in SIZES.items()}
    assert [sweeps[2, first].seed_numbers for first in (0, 2)] == [(0, 1), (2,)]
    for config in sweeps.values():
        assert (config.batch_size, config.learning_rates, config.batches) == (200, (0.001,), "per_seed")
        names = [f"{network}-{activation}" for network in ("spectral", "dense") for activation in ACTIVATIONS]
        assert [arm.name for arm in config.all_arms] == names
        for arm in config.all_arms:
            assert arm.name.endswith(arm.activation)
            dense = arm.name.startswith("dense")
            assert ("start=glorot" in arm.layer_options) == dense
            assert ("eigenvectors=trained" in arm.layer_options) != dense
    longer = long_sweep(False, 2)
    assert longer.epochs == 4 * longer.truncate_every > sweeps[3, 0].epochs


@pytest.mark.slow
def test_the_rows_are_those_of_the_runs(tmp_path, monkeypatch):
    tiny = {"widths": (9,), "epochs": 1, "truncate_every": 0}
    sweeps = {at: dataclasses.replace(config, **tiny) for at, config in source_sweeps(True, 2).items() if at[0] < 3}
    longer = dataclasses.replace(long_sweep(True, 2), widths=(9,), epochs=2, truncate_every=1)
    monkeypatch.setattr(spectral_pruning_source, "source_sweeps", lambda *given: sweeps)
    monkeypatch.setattr(spectral_pruning_source, "long_sweep", lambda *given: longer)
    rows, more = measure_source(tmp_path, True, 2, lambda text: None)
    a_depth = (5 + 3) * 2 * 7  # scores of both networks, seeds, percentiles with 0
    assert len(rows) == a_depth + 2 * a_depth
    assert len(more) == 2 * 2 * a_depth
    assert {row.epochs for row in more} == {1, 2}
    for network in ("spectral", "dense"):
        whole = [values_of(rows, depth=2, network=network, percentile=0.0, seed=0)]
        assert np.ptp(whole) == 0
    said = []
    again, _ = measure_source(tmp_path, True, 2, said.append)
    assert again == rows
    assert all("taken from" in text for text in said)


def test_ranges_and_verdicts():
    assert [verdict([2, 3], other) for other in ([0, 1], [1, 2], [4, 5])] == ["holds", "not shown", "fails"]
    lines = compared(made(), "each layer", depth=3, activation="elu")
    assert lines[0] == ["dense, incoming weights", *["+40.0 holds"] * len(PERCENTILES)]
    assert [line[1] for line in lines] == ["+40.0 holds", "+40.0 holds", "+20.0 holds", "+20.0 holds"]


def test_the_page_has_the_authors_beside_our_numbers():
    page = "\n".join(source_lines(made(), SIZES))
    assert "6 epochs (the source: 100), 2 seeds (the source: 5)" in page
    assert "results_df, multilayer2, multilayer3" in page
    assert page.count("| authors: ") == len(AUTHORS)
    assert "| ReLU, 3 hidden layers (multilayer3) | +0.0 | -0.6 | -6.2 | -17.6 | -20.3 | +1.7 |" in page
    assert "| authors: spectral, eigenvalue |  | 98.6 | 98.5 | 97.8 | 94.8 | 53.8 | 19.5 |" in page
    assert page.count("## ") == 3 + 2 * 6
    more = "\n".join(long_lines(made((6, 12), (3,), ("elu",))))
    assert "| authors: dense, incoming | 100 | 98.2 |" in more
    assert more.count("authors") == 2


def test_the_figures_have_a_panel_for_each_size_and_activation():
    rows = made()
    assert len(draw_source(rows, "all layers", SIZES, "title").axes) == 9
    titles = [ax.get_title() for ax in draw_source(rows, "each layer", SIZES, "title").axes]
    assert titles[0] == "ELU, 2 hidden layers of 800"
    assert len(titles) == 6
    assert len(draw_source(made(activations=("elu",)), "all layers", SIZES, "title").axes) == 3
    figure = draw_long(made((6, 12), (3,), ("elu",)), "title")
    assert [ax.get_title() for ax in figure.axes[::3]] == [
        "50 % dropped, percentile of all layers",
        "50 % dropped, percentile of each layer",
    ]
