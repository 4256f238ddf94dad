"""`modejax check-widths`: table, verdict, JSON and picture."""

import json

import pytest

from modejax.cli import main

SMALL = ("check-widths", "--widths", "8", "32", "--modes", "2", "--steps", "2", "--seeds", "2", "--batch-size", "20")


def test_it_prints_a_verdict_and_draws(tmp_path, capsys):
    figure = tmp_path / "new" / "widths.png"
    assert main([*SMALL, "--layer-options", "gauge=width_free", "--figure", str(figure)]) == 0
    out = capsys.readouterr().out
    assert "map3" in out
    assert "width-free: " in out or "not decided: " in out  # two seeds and two steps
    assert f"wrote {figure}" in out.replace("\n", "")
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_json_holds_the_powers(tmp_path, capsys):
    figure = tmp_path / "widths.png"
    assert main([*SMALL, "--layer", "dense", "--json", "--figure", str(figure)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["widths"] == [8, 32]
    assert list(facts["maps"]) == ["map1", "map2", "map3"]
    assert facts["maps"]["map1"]["size"]["power"] == pytest.approx(0, abs=0.3)
    assert facts["paths"] == [str(figure)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--layer", "spectral", "--layer-options", "variant=qr_full", "gauge=width_free"),
            "gauge width_free is one of",
        ),
        (("--steps", "1000"), "1000 steps of 20 examples need 20000"),
        (("--widths", "4"), "at least two different integers"),
        (("--layer", "other"), "unknown layer 'other'"),
    ],
)
def test_what_is_refused(words, message, tmp_path, capsys):
    assert main([*SMALL, *words, "--figure", str(tmp_path / "a.png")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
