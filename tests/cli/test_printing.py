"""Reports as lines, as JSON, or as the folder alone."""

import json

import numpy as np
import pytest

from modejax.cli import main
from modejax.cli.printing import Printed
from modejax.studies.files import Wrote


@pytest.fixture
def lines(tmp_path):
    (tmp_path / ".modejax.json").write_text("{}")
    (tmp_path / "table.csv").write_text("name,count,share,open,none\na,3,0.5,True,\nb,4,nan,False,inf\n")
    return ["a table", "note: two left out", Wrote(tmp_path, "table.csv"), "next: read it"]


def test_lines_are_printed_as_they_are(capsys, lines, tmp_path):
    Printed().print_lines(lines)
    assert capsys.readouterr().out == f"a table\nnote: two left out\nwrote {tmp_path}/table.csv\nnext: read it\n"


def test_json_holds_tables_lines_and_paths(capsys, lines, tmp_path):
    Printed(json=True).print_lines(iter(lines))
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "folder": str(tmp_path),
        "tables": {
            "table.csv": [
                {"name": "a", "count": 3, "share": 0.5, "open": True, "none": None},
                {"name": "b", "count": 4, "share": "nan", "open": False, "none": "inf"},
            ]
        },
        "lines": [str(line) for line in lines],
        "paths": [str(tmp_path / "table.csv")],
    }


def test_quiet_is_the_folder_alone(capsys, lines, tmp_path):
    Printed(quiet=True).print_lines(lines)
    assert capsys.readouterr().out == f"{tmp_path}\n"


def test_what_wrote_nothing_says_so(capsys):
    Printed(quiet=True).print_lines(["data: 3", "nothing was written"])
    assert capsys.readouterr().out == "nothing was written\n"
    Printed(json=True).print_lines(["data: 3", "nothing was written"])
    found = json.loads(capsys.readouterr().out)
    assert (found["folder"], found["lines"]) == (None, ["data: 3", "nothing was written"])


def test_commands_take_the_options_and_leave_them_out_of_their_config(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("net.npz", **{f"{n}.kernel": rng.normal(size=(4, 4)) for n in "ab"})  # pyright: ignore
    assert main(["decompose", "net.npz", "--modes", "2", "--layout", "plain", "--out", "d", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == "d"
    assert len(found["tables"]["table.csv"]) == 2
    assert not {"json", "quiet"} & set(json.loads((tmp_path / "d" / "config.json").read_text()))
    assert main(["data", "list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["available"] for entry in entries[:2]] == [True, True]
