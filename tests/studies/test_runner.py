"""The folder of a study: resumed where it was stopped, replaced when told so, and never by another study."""

import json

import pytest

from modejax.cli import main
from modejax.errors import InputError
from modejax.runs import output, read_json, read_marker
from modejax.studies import runner


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Put a study in place of all others: it trains two networks, unless they are there, and may be stopped."""
    told: dict = {"trained": [], "stop": False, "value": 1}

    def run(out, *, quick, seeds):
        if seeds == -1:
            raise InputError("seeds=-1")
        for name in ("a", "b"):
            if not (out / "runs" / name / "config.json").exists():
                told["trained"].append(name)
                with output(out / "runs" / name, "sweep") as trained:
                    (trained.path / "config.json").write_text("{}")
                    trained.finish()
            if told["stop"]:
                raise KeyboardInterrupt
        (out / "config.json").write_text(json.dumps({"value": told["value"], "quick": quick, "seeds": seeds}))
        return out

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "find_study", lambda name: run)
    return told


def test_each_call_has_a_folder_of_its_own(study, tmp_path, capsys):
    for number in (1, 2):
        assert main(["reproduce", "svr-null", "--quick"]) == 0
        folder = f"runs/svr-null-00{number}"
        assert f"wrote {folder}/results.md" in capsys.readouterr().out
        assert read_json(folder) == {"value": 1, "quick": True, "seeds": None}
        assert set(read_marker(folder, "study").files) == {"config.json", "study.json"}
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["svr-null-001", "svr-null-002"]


def test_folder_and_paths_are_printed_as_json(study, capsys):
    assert main(["reproduce", "svr-null", "--quick", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["study"], facts["folder"]) == ("svr-null", "runs/svr-null-001")
    assert "runs/svr-null-001/config.json" in facts["paths"]


def test_a_stopped_study_is_resumed(study, capsys):
    study["stop"] = True
    assert main(["reproduce", "svr-null", "--seeds", "3"]) == 130
    assert "modejax reproduce svr-null --seeds 3 --resume runs/svr-null-001" in capsys.readouterr().err
    study["stop"] = False
    assert main(["reproduce", "svr-null", "--seeds", "4", "--resume", "runs/svr-null-001"]) == 2
    said = capsys.readouterr().err
    assert "was begun as svr-null (quick=False, seeds=3) and cannot go on as svr-null (quick=False, seeds=4)" in said
    assert main(["reproduce", "svr-null", "--seeds", "3", "--out", "runs/svr-null-001"]) == 2
    assert "resume it with --resume" in capsys.readouterr().err
    assert main(["reproduce", "svr-null", "--seeds", "3", "--resume", "runs/svr-null-001"]) == 0
    assert study["trained"] == ["a", "b"]
    assert read_json("runs/svr-null-001")["seeds"] == 3


def test_a_study_made_anew_keeps_its_networks_and_the_earlier_result_until_then(study, tmp_path, capsys):
    assert main(["reproduce", "svr-null", "--out", "o"]) == 0
    assert main(["reproduce", "svr-null", "--out", "o"]) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    study["value"], study["stop"] = 2, True
    assert main(["reproduce", "svr-null", "--out", "o", "--overwrite"]) == 130
    assert read_json("o")["value"] == 1
    study["stop"] = False
    assert main(["reproduce", "svr-null", "--resume", "o"]) == 0
    assert read_json("o")["value"] == 2
    assert study["trained"] == ["a", "b"]
    assert read_json("o/runs/a") == {}
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_without_links_the_networks_are_copied(study, monkeypatch):
    def refuse(*paths):
        raise OSError(95, "Operation not supported")

    assert main(["reproduce", "svr-null", "--out", "o"]) == 0
    monkeypatch.setattr("os.link", refuse)
    assert main(["reproduce", "svr-null", "--out", "o", "--overwrite"]) == 0
    assert study["trained"] == ["a", "b"]
    assert read_json("o/runs/b") == {}


def test_what_is_refused_leaves_nothing(study, tmp_path, capsys):
    for words, message in (
        (["svr-null", "--seeds", "-1"], "seeds=-1"),
        (["svr-null", "--overwrite"], "name its folder with --out"),
        (["svr-null", "--resume", "o"], "nothing to resume"),
        (["svr-null", "--resume", "o", "--out", "p"], "drop --out"),
        (["svr-null", "--resume", "o", "--overwrite"], "drop --out and --overwrite"),
    ):
        assert main(["reproduce", *words]) == 2
        assert message in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
    assert main(["reproduce", "svr-null", "--out", "o"]) == 0
    for words in (["mdl-modes", "--out", "o", "--overwrite"], ["mdl-modes", "--out", "o"]):
        assert main(["reproduce", *words]) == 2
    assert "holds svr-null (quick=False, seeds=None); name another folder for mdl-modes" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["o"]
    assert read_json("o")["value"] == 1
