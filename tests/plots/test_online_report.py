"""The page of a run of online learning."""

import json
import re

from online_result import made_result

from modejax.online import labelled
from modejax.plots.online_report import write_online_report
from modejax.plots.page import Picture
from modejax.studies.online_table import table_rows


def page_of(folder, result, **attrs):
    data = labelled(result)
    config = {"unit": "erf", "solver": "tsit5", "rtol": 1e-7, "atol": 1e-10, "train_modes": False}
    data.attrs |= {"config": json.dumps(config), "versions": json.dumps({"jax": "1.2"}), **attrs}
    (folder / "a.png").write_bytes(b"\x89PNG" + bytes(40))
    pictures = [Picture(folder / "a.png", "Errors", "Lines & points.")]
    return write_online_report(data, table_rows(data), folder, pictures, dpi=110).read_text()


def test_the_page_tells_all_and_refers_to_nothing_outside(tmp_path):
    page = page_of(tmp_path, made_result(eta=(1.0, 5.0), noise=range(3)))
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert 'src="data:image/png;base64,' in page
    assert "<figcaption>Lines &amp; points.</figcaption>" in page
    rows = re.search(r"<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert rows is not None
    assert rows[1].count("<tr>") == 2
    assert "learning rate eta" in page
    assert "0.464 ± 0.005" in rows[1]
    assert "2 cells: d 20; units K 3; modes p 2; learning rate eta 1, 5" in page
    assert "diverged seeds" not in page


def test_what_diverged_stands_on_the_page(tmp_path):
    page = page_of(tmp_path, made_result(noise=range(2), diverged_theory=(0, 1), diverged_runs=(0, 1)))
    assert "diverged after t = 1" in page
    assert "all diverged" in page
    assert "<td>0 1</td>" in page


def test_a_teacher_of_the_user_is_named_and_escaped(tmp_path):
    page = page_of(tmp_path, made_result(simulation=False), teacher_file="<b>.npz", teacher_hash="0" * 64)
    assert "<h1>Online learning: teacher &lt;b&gt;.npz</h1>" in page
    assert "0" * 64 in page
    assert "<th>simulation</th>" not in page
