"""What a run prints: one line a cell within the terminal's width, parameters apart."""

import pytest

from modejax.cli.results import _print_rows
from modejax.cli.table import print_table, say


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def rows(arm="mode", modes=(2, 5, 10, 20), widths=(16, 64), **changes):
    blank = {"measure": "test_accuracy", "mean": 95.25, "sd": 0.5, "n": 3, "diverged": 0, "learning_rate": 0.005}
    network = "dense baseline" if arm == "baseline" else arm
    return [
        {"arm": arm, "network": network, "width": n, "modes": p, "num_parameters": 1000 * n + p, **blank, **changes}
        for n in widths
        for p in modes
    ]


def test_a_line_a_cell_and_parameters_in_a_table_of_their_own(capsys):
    _print_rows([*rows(), *rows("baseline", (0,))])
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = (line for line in lines if line.startswith("│ 64") and "+-" in line)
    assert line.count("95.2 +- 0.5") == 5
    assert [line for line in lines if "trained parameters" in line] == ["mode: trained parameters"]
    assert "64,020" in printed
    assert "learning rate 0.005" in printed.replace("\n  ", " ")


def test_columns_that_do_not_fit_go_on_below_with_their_width(capsys):
    _print_rows(rows(modes=tuple(range(1, 12)), diverged=1))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.count("95.2 +- 0.5 (1 diverged)") for line in lines) == 22
    assert sum(line.startswith("┃ width") for line in lines) >= 4


def test_with_several_rates_the_baseline_has_its_own_table(capsys):
    own = [row for rate in (0.1, 0.2) for row in rows(modes=(2, 5), learning_rate=rate)]
    _print_rows([*own, *rows("baseline", (0,))])
    printed = capsys.readouterr().out
    assert "┃ learning rate ┃ width ┃" in printed
    assert "baseline (dense baseline): test accuracy" in printed
    assert printed.count("mode: trained parameters") == 1
    assert sum("95.2 +- 0.5" in line for line in printed.splitlines()) == 4 + 2


def test_cells_without_a_number_say_why(capsys):
    _print_rows([*rows(widths=(16,), modes=(2,), mean=None, diverged=3), *rows(widths=(16,), modes=(5,), mean=None)])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("│ 16") and "iverged" in line)
    assert line.split() == ["│", "16", "│", "diverged", "│", "-", "│"]


def test_names_with_brackets_are_no_markup(capsys):
    print_table("a table of [bold]", ["name[red]"], [["x[/bold]"]])
    printed = capsys.readouterr().out
    for text in ("[bold]", "name[red]", "x[/bold]"):
        assert text in printed


def test_long_lines_are_broken_between_words(capsys):
    say("wrote " + ", ".join(["figures/a-figure-of-a-run.png"] * 5) + " kept\0together")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("  figures")
    assert lines[-1].endswith("kept together")
