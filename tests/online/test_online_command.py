"""`modejax online` and the study: what they write, and what they refuse."""

import json

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure
from online_result import made_result

from modejax.cli import main
from modejax.cli.commands import parse
from modejax.cli.online import OnlineCommand
from modejax.errors import InputError
from modejax.plots import online as plots


@pytest.fixture
def solved(monkeypatch):
    """Replace the program by a result made by hand, and keep what it was asked."""
    asked = {}

    def run_members(members, times, options, *, start):
        asked.update(members=members, times=times, options=options, start=start)
        return made_result(members=members, simulation=options.simulation)

    monkeypatch.setattr("modejax.studies.online_grid.run_members", run_members)
    return asked


def save_teacher(path, d=16, units=3, modes=2):
    rng = np.random.default_rng(0)
    np.savez(path, xi=rng.normal(size=(units, modes)), sigma=np.ones(modes), teacher=rng.normal(size=(modes, d)))


def test_command_writes_its_folder(tmp_path, monkeypatch, capsys, solved):
    monkeypatch.chdir(tmp_path)
    assert main(["online", "--d", "16", "--units", "2", "--modes", "1", "2", "--eta", "1.0", "--seeds", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "generalisation error at t = 10: d 16, units 2, eta 1; simulation: mean +-"
    assert printed[2].split() == ["modes", "theory", "simulation", "runs", "deviation"]
    assert printed[3].split() == ["1", "0.0909", "0.0923", "+-", "0.0006", "2", "2", "%"]
    assert printed[-3] == "wrote runs/online-001/config.json, result.nc, table.csv, report.html, figures/"
    assert printed[-2] == "next: open runs/online-001/report.html; then try:"
    assert hasattr(parse(printed[-1].split()[1:]), "run")
    assert max(map(len, printed[:-1])) <= 80
    folder = tmp_path / "runs" / "online-001"
    with xarray.open_dataset(folder / "result.nc") as data:
        assert dict(data.theory_error.sizes) == {"d": 1, "units": 1, "modes": 2, "eta": 1, "teacher": 1, "time": 4}
        assert json.loads(data.attrs["config"])["modes"] == [1, 2]
    table = (folder / "table.csv").read_text().splitlines()
    assert table[0].startswith("d,units,modes,eta,teacher,start_error,theory_error,theory_status")
    assert len(table) == 3
    config = json.loads((folder / "config.json").read_text())
    assert config["modes"] == [1, 2]
    assert not {"out", "overwrite", "json", "quiet"} & set(config)
    names = sorted(path.name for path in (folder / "figures").iterdir())
    assert names == ["deviation.png", "error.png", "order_parameters.png", "specialisation.png"]
    assert (folder / "report.html").read_text().count("data:image/png;base64,") == 4


def test_json_and_quiet(tmp_path, capsys, solved):
    out = str(tmp_path / "o")
    assert main(["online", "--eta", "1", "5", "--seeds", "0", "--json", "--out", out]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == out
    rows = found["tables"]["table.csv"]
    assert [(row["eta"], row["runs"], row["simulation_mean"]) for row in rows] == [(1.0, 0, None), (5.0, 0, None)]
    assert f"{out}/result.nc" in found["paths"]
    # Five seeds are the default.
    assert found["lines"][-1].endswith("modejax online --eta 1 5")
    assert main(["online", "--eta", "1", "--quiet", "--overwrite", "--out", out]) == 0
    assert capsys.readouterr().out == f"{out}\n"


def test_a_teacher_brings_its_sizes(tmp_path, monkeypatch, capsys, solved):
    monkeypatch.chdir(tmp_path)
    save_teacher("mine.npz")
    assert main(["online", "--teacher", "mine.npz", "--eta", "1", "2", "--d", "16", "--out", "o"]) == 0
    printed = capsys.readouterr().out
    assert "d 16, units 3, modes 2" in printed
    assert printed.endswith("modejax online --teacher mine.npz --eta 1 2 --last-time 1000\n")
    assert solved["start"].teacher.shape == (2, 16)
    with xarray.open_dataset("o/result.nc") as data:
        assert (data.attrs["teacher_file"], len(data.attrs["teacher_hash"])) == ("mine.npz", 64)
    config = json.loads((tmp_path / "o" / "config.json").read_text())
    assert (config["teacher"], config["d"], config["units"], config["modes"]) == ("mine.npz", [16], [3], [2])
    assert "Teacher file (SHA-256)" in (tmp_path / "o" / "report.html").read_text()


@pytest.mark.slow
def test_a_teacher_of_the_user_is_learnt(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_teacher("mine.npz")
    words = "online --teacher mine.npz --eta 1.0 --seeds 2 --last-time 3 --points 4 --json --out o"
    assert main(words.split()) == 0
    (row,) = json.loads(capsys.readouterr().out)["tables"]["table.csv"]
    assert (row["theory_status"], row["runs"]) == ("finished", 2)
    with xarray.open_dataset("o/result.nc") as data, np.load("mine.npz") as given:
        b = given["xi"] * given["sigma"]
        np.testing.assert_allclose(data.P.squeeze(), b @ given["teacher"] @ given["teacher"].T @ b.T / 16)
        assert data.simulation_error.sel(seed=1).squeeze().dims == ("time",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d": (4,), "modes": (5,)}, "modes=5 is more than d=4"),
        ({"eta": (-1.0,)}, "eta"),
        ({"first_time": 5.0, "last_time": 1.0}, "first"),
        ({"teachers": 0}, "teachers"),
        ({"eta": (1.0, 5.0, 1.0)}, "eta has the value 1 more than once; allowed"),
        pytest.param({"test_samples": -1, "d": (4,), "modes": (1,)}, "test_samples", marks=pytest.mark.slow),
    ],
)
def test_command_refuses(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        OnlineCommand(**options, out=tmp_path / "o").run()
    assert list(tmp_path.iterdir()) == []


def test_command_refuses_a_file(tmp_path):
    (tmp_path / "o").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        OnlineCommand(out=tmp_path / "o").run()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("online --eta 0", "eta=0.0 is not a learning rate"),
        ("online --modes 400", "modes=400 is more than d=300"),
        ("online --solver rk4", "rk4"),
        ("online --unit tanh", "tanh"),
        ("online --teacher taken", "cannot be read as an .npz file of numbers"),
        ("online --teacher mine.npz --modes 3", "--modes 3 is not the modes of mine.npz, which is 2; drop --modes"),
        ("online --teacher mine.npz --teachers 2", "--teachers 2 draws teachers, but --teacher brings one"),
        ("online --teacher mine.npz --out mine.npz", "out='mine.npz' would write over mine.npz"),
        ("online --seed 3", "--seed"),
        ("online --first-time 3 --last-time 2", "0 < first < last"),
        ("reproduce mdl-onlin", "study 'mdl-onlin' is not known; allowed: flax-decompose"),
        ("reproduce mdl-online --seeds 1", "seeds=1; allowed: 2 or more"),
        ("reproduce mdl-online --out taken", "is a file; name a new folder"),
        ("reproduce", "Name of the study"),
    ],
)
def test_words_that_are_refused(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("x")
    save_teacher("mine.npz")
    try:
        code = main(words.split())
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    printed = capsys.readouterr()
    assert message in " ".join((printed.err + printed.out).split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.npz", "taken"]


def test_figures_are_labelled():
    t = np.asarray([0.0, 1.0, 10.0])
    ax = Figure().subplots()
    plots.plot_stages(t, np.asarray([1.0, 0.5, 1e-3]), np.asarray([1.0, 0.01]), np.asarray([0.4]), [(1, 5, 0.4)], ax)
    assert "samples / d" in ax.get_xlabel()
    assert "error" in ax.get_ylabel()
    legend = ax.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert "predicted plateaus" in names
    assert "detected plateaus" in names
    # Time zero has no place on a logarithmic axis.
    assert np.asarray(ax.lines[0].get_xdata()).min() > 0


@pytest.mark.slow
def test_quick_study(tmp_path):
    from modejax.studies.online import mdl_online

    folder = mdl_online(tmp_path / "s", quick=True)
    assert (folder / "table.csv").read_text().startswith("quantity,value,unit,note")
    assert len(list((folder / "figures").glob("*.png"))) == 8
    with pytest.raises(InputError, match="is a file"):
        mdl_online(folder / "table.csv")
