"""The table and the figures of `modejax online`, and the command that it names next."""

import numpy as np
import pytest
from online_result import made_result

from modejax.online import labelled
from modejax.studies.online_config import OnlineConfig
from modejax.studies.online_figures import draw_figures
from modejax.studies.online_next import next_command
from modejax.studies.online_table import table_lines, table_rows, trouble_lines


def test_a_row_is_a_cell():
    rows = table_rows(labelled(made_result(eta=(1.0, 5.0), modes=(1, 2), noise=range(3))))
    assert [(row["modes"], row["eta"]) for row in rows] == [(1, 1.0), (1, 5.0), (2, 1.0), (2, 5.0)]
    row = rows[3]
    assert (row["start_error"], row["theory_error"]) == (5.0, pytest.approx(5 / 11))
    assert row["simulation_mean"] == pytest.approx(1.02 * 5 / 11)
    assert row["simulation_sd"] == pytest.approx(0.01 * 5 / 11)
    assert row["largest_deviation_percent"] == pytest.approx(3.0)
    assert (row["runs"], row["fastest_rate"], row["slowest_rate"]) == (3, 1.0, pytest.approx(0.1))
    assert rows[0]["slowest_rate"] == 1.0


def test_what_diverged_is_named_and_does_not_count():
    result = made_result(eta=(1.0, 5.0), noise=range(3), diverged_theory=(3, 4, 5), diverged_runs=(0, 2, 3, 4, 5))
    rows = table_rows(labelled(result))
    assert (rows[0]["runs"], rows[0]["diverged_seeds"]) == (1, "0 2")
    assert rows[0]["simulation_mean"] == pytest.approx(1.02 / 11)
    assert rows[0]["simulation_sd"] is None
    assert (rows[1]["theory_error"], rows[1]["theory_status"], rows[1]["theory_last_good_time"]) == (
        None,
        "diverged",
        1,
    )
    assert (rows[1]["simulation_mean"], rows[1]["largest_deviation_percent"]) == (None, None)
    assert trouble_lines(rows, 10.0) == [
        "diverged: simulation of seeds 0 2 (d 20, units 3, modes 2, eta 1)",
        "diverged: theory after t = 1 (d 20, units 3, modes 2, eta 5)",
        "diverged: simulation of seeds 0 1 2 (d 20, units 3, modes 2, eta 5)",
    ]
    lines = table_lines(rows, 10.0)
    assert lines[-2].split() == ["5", "diverged", "diverged", "0", "of", "3", "-"]
    assert lines[-1] == "deviation: the largest of one run from the theory, over all measurements"


def test_lines_fit_80_columns():
    axes = {"d": (1000, 20000), "units": (8, 120), "modes": (5, 100), "eta": (0.125, 1234.5), "teacher": range(3)}
    rows = table_rows(labelled(made_result(**axes, noise=range(2), diverged_runs=range(0, 60, 2))))
    lines = [*table_lines(rows, 250.0), *trouble_lines(rows, 250.0)]
    assert max(map(len, lines)) <= 80
    assert "... 8 more rows; table.csv has all" in lines
    assert lines[-1] == "... and 22 more that did not reach t = 250; table.csv has all"


def test_the_next_command_follows_what_is_open():
    rows = table_rows(labelled(made_result(noise=range(2), d=(50,), modes=(1,))))
    assert (
        next_command(OnlineConfig(d=(50,), modes=(1,), seeds=2), rows)
        == "modejax online --d 50 100 --modes 1 --seeds 2"
    )
    assert next_command(OnlineConfig(last_time=0.5), rows).endswith("--last-time 2")
    stuck = [{**rows[0], "theory_status": "out of steps"}]
    assert next_command(OnlineConfig(), stuck) == "modejax online --solver kvaerno5"
    bad = [{**rows[0], "theory_status": "diverged"}]
    assert next_command(OnlineConfig(eta=(0.5, 1.0)), bad) == "modejax online --eta 0.5"


@pytest.mark.parametrize("bad", [{}, {"diverged_theory": range(4), "diverged_runs": range(4)}])
def test_figures_are_drawn_whatever_diverged(tmp_path, bad):
    data = labelled(made_result(eta=(1.0, 5.0), noise=range(2), **bad))
    pictures = draw_figures(data, tmp_path)
    names = ["error", "order_parameters", "specialisation"]
    if not bad:
        names.insert(1, "deviation")
    assert [picture.path.stem for picture in pictures] == names
    assert all(picture.path.read_bytes()[:4] == b"\x89PNG" and picture.caption.endswith(".") for picture in pictures)
    assert "All of d 20, units 3, modes 2." in pictures[0].caption


def test_figures_of_theory_alone_and_of_many_cells(tmp_path):
    data = labelled(made_result(simulation=False, eta=tuple(np.arange(1.0, 11.0))))
    pictures = draw_figures(data, tmp_path)
    assert len(pictures) == 3
    assert "Points" not in "".join(picture.caption for picture in pictures)
    assert "2 further cells of the grid are not drawn." in pictures[0].caption
