import base64
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from modejax import SweepConfig, plots, run_sweep
from modejax.errors import InputError
from modejax.plots import report


def test_rows_are_mean_deviation_and_number_in_percent(build):
    result = build(
        widths=(16, 32), modes=(2, 5), seeds=3, learning_rates=(0.1, 0.2), diverged=(0,), diverged_dense=(4,)
    )
    rows = plots.table(result)
    assert len(rows) == 2 * 2 * 2 + 2
    first = rows[0]
    assert result["mode"].status.values[0, 0, 0, 0, 0] == 1
    values = 100 * result["mode"].test_accuracy.values[0, 0, 1:, 0, 0, -1]
    assert first == {
        "arm": "mode",
        "network": "mode",
        "width": 16,
        "modes": 2,
        "learning_rate": 0.1,
        "weight_decay": 0.001,
        "measure": "test_accuracy",
        "mean": pytest.approx(values.mean()),
        "sd": pytest.approx(values.std(ddof=1)),
        "n": 2,
        "diverged": 1,
        "num_parameters": 2 * (64 + 16 + 16 + 16 + 16 + 10 + 3),
    }
    dense = rows[-1]
    values = 100 * result["baseline"].test_accuracy.values[1, 0, [0, 2], 0, 0, -1]
    assert dense["network"] == "dense baseline"
    assert (dense["width"], dense["modes"], dense["n"], dense["diverged"]) == (32, 0, 2, 1)
    assert (dense["learning_rate"], dense["weight_decay"]) == (0.001, 0.0001)
    assert dense["mean"] == pytest.approx(values.mean())
    assert dense["num_parameters"] == int(result["baseline"].num_parameters[1, 0])


def test_a_diverged_member_with_a_finite_record_does_not_count(build):
    result = build(widths=(16,), modes=(2,), seeds=2, baseline="none")
    result["mode"].status.values[0, 0, 0] = 1
    (row,) = plots.table(result)
    assert (row["n"], row["sd"], row["diverged"]) == (1, None, 1)
    assert row["mean"] == pytest.approx(100 * result["mode"].test_accuracy.values[0, 0, 1, 0, 0, -1])


def test_rows_are_strict_json_where_there_is_no_number(build):
    rows = plots.table(build(widths=(16,), modes=(2, 5), seeds=1, diverged=(0,)))
    assert (rows[0]["mean"], rows[0]["sd"], rows[0]["n"]) == (None, None, 0)
    assert rows[1]["mean"] is not None
    assert rows[1]["sd"] is None
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def _names(paths):
    return [path.stem for path in paths]


def test_every_figure_is_a_png_of_the_run_folder(build, tmp_path):
    result = build(widths=(8, 16, 24), modes=(2, 3, 4), seeds=1, epochs=4, truncate_every=2, learning_rates=(0.1, 0.2))
    result["mode"].train_loss.values[..., 0, 0, :] = 9.0
    paths = plots.save_figures(result, tmp_path)
    assert _names(paths) == [
        "accuracy",
        "accuracy_vs_rate",
        "accuracy_vs_rate_widths",
        "accuracy_rates",
        "truncation",
        "truncation_first",
        "truncation_widths",
        "emergence",
        "learning",
        "learning_first",
        "learning_widths",
        "importance",
        "importance_history",
    ]
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths)
    for path in paths:
        assert path.parent == tmp_path / "figures"
        assert path.read_bytes().startswith(b"\x89PNG")


def test_figures_of_an_earlier_result_go_and_strangers_stay(build, tmp_path):
    plots.save_figures(build(widths=(8,), modes=(2,), seeds=1), tmp_path)
    (tmp_path / "figures" / "mine.png").write_bytes(b"mine")
    paths = plots.save_figures(build(widths=(8,), layer="dense", seeds=1), tmp_path)
    assert _names(paths) == ["accuracy", "learning"]
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"accuracy", "learning", "mine"}


def test_the_first_pair_is_drawn_where_it_is_not_the_best_one_and_did_not_diverge(build, tmp_path):
    fields = {"widths": (8,), "modes": (2, 3), "seeds": 1, "baseline": "none"}
    # The learning rate runs after the seeds: every third member has the first one, which diverged.
    result = build(**fields, learning_rates=(1e3, 0.01, 0.02), diverged=(0, 3))
    result["mode"].train_loss.values[:, :, :, 1] = 0.002
    assert _names(plots.save_figures(result, tmp_path)) == [
        "accuracy", "accuracy_vs_rate", "accuracy_rates", "truncation", "learning", "importance"
    ]  # fmt: skip
    result["mode"].train_loss.values[:, :, :, 2] = 0.001
    names = _names(plots.save_figures(result, tmp_path))
    assert {"truncation_first", "learning_first"} < set(names)
    page = html.unescape(plots.write_report(result, tmp_path, plots.save_figures(result, tmp_path)).read_text())
    assert "This is at the first pair, learning rate 0.01, weight decay 0.001." in page


def test_a_figure_that_cannot_be_written_leaves_the_old_ones_whole(build, tmp_path, monkeypatch):
    result = build(widths=(8,), modes=(2,), seeds=1)
    before = {path: path.read_bytes() for path in plots.save_figures(result, tmp_path)}

    def fail(self, path, **_):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(InputError, match="No space left on device"):
        plots.save_figures(result, tmp_path)
    assert {path: path.read_bytes() for path in (tmp_path / "figures").iterdir()} == before


@pytest.fixture
def page(build, tmp_path):
    result = build(widths=(8, 16), modes=(2, 3), seeds=2, diverged=(0,))
    figures = plots.save_figures(result, tmp_path)
    return result, figures, plots.write_report(result, tmp_path, figures).read_text(encoding="utf-8")


def test_the_page_holds_every_figure_and_refers_to_nothing_outside(page):
    _, figures, text = page
    embedded = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert [base64.b64decode(each) for each in embedded] == [path.read_bytes() for path in figures]
    without = re.sub(r'src="data:[^"]+"', "", text)
    assert not re.search(r"(src|href|url\(|@import|https?:|<script|<link)", without)
    assert text.count("<figcaption>") == len(figures)
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_holds_table_config_versions_device_times_and_hash(page):
    result, _, text = page
    text = html.unescape(text)
    for row in plots.table(result):
        assert f"{row['mean']:.2f}" in text
        assert f"{row['num_parameters']:,}" in text
    for name, value in json.loads(result.attrs["config"]).items():
        assert f"<dt>{name}</dt><dd>{json.dumps(value)}</dd>" in text
    for name, version in json.loads(result.attrs["versions"]).items():
        assert f"<dt>{name}</dt><dd>{version}</dd>" in text
    for words in (result.attrs["device"], result.attrs["data_hash"], "1.00 s", "2.00 s", "3.00 s"):
        assert words in text
    assert "1 of 8 networks diverged" in text
    assert "Dense baseline" in text
    assert "mean over n = 2 seeds" in text
    assert "largest importance τ kept first" in text


def test_the_page_escapes_what_a_user_named(build, tmp_path):
    result = build(widths=(8,), modes=(2,), seeds=1)
    result["mode"].attrs["dataset"] = result["mode"].attrs["data_source"] = "<script>alert('x')</script> & co"
    text = plots.write_report(result, tmp_path, []).read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; co" in text


def test_a_page_that_cannot_be_written_leaves_the_old_one_whole(build, tmp_path, monkeypatch):
    result = build(widths=(8,), modes=(2,), seeds=1)
    path = plots.write_report(result, tmp_path, [])
    before = path.read_bytes()

    def fail(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(InputError, match=r"report\.html could not be written \(No space left on device\)"):
        plots.write_report(result, tmp_path, [])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_figure_is_named(build, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.png cannot be read"):
        plots.write_report(build(widths=(8,), modes=(2,), seeds=1), tmp_path, [tmp_path / "nothing.png"])


def test_a_long_table_is_folded_up(build, tmp_path, monkeypatch):
    result = build(widths=(8,), modes=(2, 3), seeds=1)
    for most, folded in ((3, False), (2, True)):
        monkeypatch.setattr(report, "_OPEN_ROWS", most)
        text = plots.write_report(result, tmp_path, []).read_text(encoding="utf-8")
        assert "3 rows" in text
        assert bool(re.search(r"<details>\s*<summary>Final", text)) == folded


@pytest.mark.slow
def test_a_real_sweep_is_drawn_and_reported(tmp_path):
    result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
    paths = plots.save_figures(result, tmp_path)
    assert _names(paths) == ["accuracy", "truncation", "learning", "importance"]
    (row,) = plots.table(result)
    assert row["mean"] == pytest.approx(100 * float(np.mean(result["mode"].test_accuracy.values[..., -1])), rel=1e-6)
    text = plots.write_report(result, tmp_path, paths).read_text(encoding="utf-8")
    assert f"{row['mean']:.2f} ± {row['sd']:.2f}" in text
