import html
import json

import numpy as np
import pytest

from modejax import plots
from modejax.plots.chance import at_chance, chance_limit


@pytest.fixture
def result(build):
    result = build(widths=(8, 16), modes=(2, 4), seeds=3, diverged=(1,))
    for node in result.children.values():
        node.test_accuracy.values[...] = 0.9
    mode = result["mode"].test_accuracy.values
    mode[0, 0] = 0.1
    mode[1, 1, 2] = 0.12
    result["baseline"].test_accuracy.values[1] = 0.05
    return result


def test_the_limit_is_two_standard_errors_above_the_largest_class(build, digits):
    _, counts = np.unique(digits.y_test, return_counts=True)
    share, examples = counts.max() / counts.sum(), len(digits.y_test)
    limit = chance_limit(build(widths=(8,), modes=(2,), seeds=1)["mode"].to_dataset())
    assert limit == pytest.approx(share + 2 * np.sqrt(share * (1 - share) / examples))


def test_networks_at_chance_level_are_counted_and_named_and_those_that_diverged_are_not(result):
    found = at_chance(result)
    assert (found.count, found.networks) == (2 + 1 + 3, 12 - 1 + 6)
    assert found.cells == ["mode, width 8, 2 modes, seeds 0, 2", "mode, width 16, 4 modes, seed 2", "dense, width 16"]
    assert found.text.startswith("6 of 17 networks are at chance level (test accuracy at most ")


def test_a_long_list_of_cells_is_cut(result):
    found = at_chance(result)
    assert "and 2 more cells" in found._replace(cells=list("abcde")).text


def test_good_networks_and_results_that_do_not_know_their_test_set_have_no_word(build, result):
    assert at_chance(build(widths=(8,), modes=(2,), seeds=2)).text == ""
    for node in result.children.values():
        del node.attrs["majority_share"]
    assert at_chance(result).count == 0


def test_the_page_tells_them(result, tmp_path):
    page = html.unescape(plots.write_report(result, tmp_path, []).read_text())
    assert "<dt>At chance level</dt><dd>6 of 17 networks" in page
    assert json.dumps(at_chance(result)._asdict())
