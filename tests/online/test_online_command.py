"""`modejax online` and the study: what they write, and what they refuse."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from modejax.cli import main
from modejax.cli.online import OnlineCommand
from modejax.errors import InputError
from modejax.plots import online as plots


@pytest.mark.slow
def test_command_writes_its_folder(tmp_path, capsys):
    words = "online --d 16 --units 2 --modes 1 2 --eta 1.0 --seeds 2 --last-time 3 --points 4"
    assert main([*words.split(), "--out", str(tmp_path / "o")]) == 0
    printed = capsys.readouterr().out
    assert "4 runs in one program; all solutions reached t = 3" in printed
    with np.load(tmp_path / "o" / "result.npz") as data:
        assert data["theory_error"].shape == data["simulation_error"].shape == (4, 5)
        np.testing.assert_array_equal(data["member_modes"], [1, 1, 2, 2])
    assert json.loads((tmp_path / "o" / "config.json").read_text())["modes"] == [1, 2]
    names = sorted(path.name for path in (tmp_path / "o" / "figures").iterdir())
    assert names == ["error.png", "order_parameters.png", "specialisation.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d": (4,), "modes": (5,)}, "modes=5 is more than d=4"),
        ({"eta": (-1.0,)}, "eta"),
        ({"first_time": 5.0, "last_time": 1.0}, "first"),
        ({"teachers": 0}, "teachers"),
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
    try:
        code = main(words.split())
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    printed = capsys.readouterr()
    assert message in " ".join((printed.err + printed.out).split())
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_figures_are_labelled():
    t = np.asarray([0.0, 1.0, 10.0])
    ax = Figure().subplots()
    plots.plot_stages(ax, t, np.asarray([1.0, 0.5, 1e-3]), np.asarray([1.0, 0.01]), np.asarray([0.4]), [(1, 5, 0.4)])
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
