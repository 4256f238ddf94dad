"""The study of accuracy against width: the rows, the claim, the page and the figure."""

import csv
import dataclasses
import json

import pytest

from modejax.errors import InputError
from modejax.studies import spectral_width
from modejax.studies.spectral_width import FAMILIES, Row, claims, run

NAMES = [family.name for family in FAMILIES]


def rows(accuracy):
    return [
        Row(name, width, 100, seed, accuracy(name) + 0.001 * seed)
        for name in NAMES
        for width in (8, 16)
        for seed in (0, 1)
    ]


def test_the_order_is_that_of_the_claim():
    ranks = {name: 0.1 * rank for rank, name in enumerate(NAMES)}
    whole = rows(ranks.__getitem__)
    assert claims(whole) == ["Width 8: the order holds.", "Width 16: the order holds."]
    ranks["S-SVD"] = ranks["single set"] - 0.05
    for sentence in claims(rows(ranks.__getitem__)):
        assert "two sets (20.05 %) is not below S-SVD (-4.95 %)" in sentence
        assert "S-QR" not in sentence
    # Where means are in order, but not all seeds, the pair is named.
    close = [row._replace(accuracy=0.18) if (row.family, row.seed) == ("two sets", 0) else row for row in whole]
    assert claims(close)[0] == "Width 8: the order holds."
    close = [row._replace(accuracy=0.38) if (row.family, row.seed) == ("single set", 1) else row for row in whole]
    assert claims(close)[0] == "Width 8: the order holds; ranges overlap of single set and two sets."
    # What cannot be compared does not count as holding.
    ranks["dense"] = float("nan")
    assert "S-QR, released" in claims(rows(ranks.__getitem__))[0]


@pytest.mark.slow
def test_a_run_writes_what_it_measured(tmp_path, monkeypatch):
    chosen = [family for family in FAMILIES if family.name in ("single set", "two sets", "dense")]
    monkeypatch.setattr(spectral_width, "FAMILIES", tuple(chosen))
    monkeypatch.setattr(spectral_width, "_ORDER", (("single set",), ("two sets",), ("dense",)))
    shared = dataclasses.replace(spectral_width.settings(True, 2), widths=(8, 16), epochs=3)
    monkeypatch.setattr(spectral_width, "settings", lambda quick, seeds: shared)
    said = []
    folder = run(tmp_path / "new" / "study", quick=True, seeds=2, report=said.append)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "figures", "results.md", "table.csv"]
    config = json.loads((folder / "config.json").read_text())
    assert [family["learning_rate"] for family in config["families"]] == [0.015, 0.015, 0.005]
    assert config["epochs"] == 3
    assert len(said) == 3
    with (folder / "table.csv").open() as file:
        written = list(csv.DictReader(file))
    assert len(written) == 3 * 2 * 2
    dense = [row for row in written if row["family"] == "dense" and row["width"] == "16"]
    assert [int(row["parameters"]) for row in dense] == [16 * 65 + 10 * 17] * 2
    low, high = sorted(100 * float(row["accuracy"]) for row in dense)
    page = (folder / "results.md").read_text()
    assert f"{(low + high) / 2:.1f} ({low:.1f} to {high:.1f})" in page
    assert "mean and range over 2 seeds" in page
    assert "single set < two sets < dense" in page
    assert (folder / "figures" / "accuracy.png").stat().st_size > 20_000


def test_the_settings_are_those_of_the_study():
    full = spectral_width.settings(False, 3)
    assert (full.dataset, full.widths, full.batch_size, full.optimiser) == (
        "mnist",
        (20, 50, 100, 200),
        200,
        "adamax",
    )
    assert full.weight_decays == (0.0,)
    assert spectral_width.settings(True, 1).dataset == "digits"


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        run(tmp_path / "file", quick=True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_the_quick_study_runs(tmp_path):
    run(tmp_path, quick=True, seeds=2)
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + len(FAMILIES) * 3 * 2
    table = [line for line in (tmp_path / "results.md").read_text().splitlines() if line.startswith("| ")]
    assert len(table) == 2 + len(FAMILIES)
