import html
import json

import numpy as np
import pytest

from modejax import plots
from modejax.modes import least_modes
from modejax.plots.answer import Answer, Need


def put(data, accuracy, of="test_accuracy"):
    """Write accuracies after the last epoch over width and modes (shares of 1), the same for all seeds and rates."""
    shape = data[of].values.shape
    data[of].values[...] = np.asarray(accuracy)[(..., *[None] * (len(shape) - 2))]


def test_the_numbers_are_those_of_least_modes_at_every_width(build):
    result = build(widths=(8, 16), modes=(10, 2, 5), seeds=5)
    put(result["baseline"], [[0.9], [0.95]])
    result["mode"].test_accuracy.values[..., -1] -= 0.1
    (answer,) = plots.answers(result)
    found = least_modes(result, "dense", 1.0)
    assert found.low is not None
    assert found.high is not None
    assert [need.width for need in answer.needs] == [8, 16]
    for index, need in enumerate(answer.needs):
        numbers = (need.value, need.low, need.high)
        for number, expected in zip(numbers, (found.value, found.low, found.high), strict=True):
            assert (np.inf if number is None else number) == expected[index]
    assert [need.target for need in answer.needs] == pytest.approx([89.0, 94.0])
    assert answer.head == "least modes within 1 point of dense"
    assert answer.notes == ["brackets: 95 % intervals over 5 seeds"]
    assert not answer.missing


def test_both_ends_of_what_was_tried_are_said_in_words(build):
    result = build(widths=(8, 16, 24), modes=(2, 4, 8), seeds=3)
    put(result["mode"], [[0.95, 0.95, 0.95], [0.5, 0.5, 0.5], [0.7, 0.85, 0.95]])
    put(result["baseline"], [[0.9], [0.9], [0.86]])
    (answer,) = plots.answers(result)
    assert answer.cells == [
        "at most 2 (smallest tried) at width 8",
        "more than 8 (largest tried) at width 16",
        "4 at width 24",
    ]
    assert [need.reached for need in answer.needs] == ["at_smallest", "not_reached", "between"]
    assert "range over resamples of 3 seeds, rough" in answer.notes[0]


def test_open_brackets_name_the_ends_of_what_was_tried(build):
    result = build(widths=(8,), modes=(2, 4, 8), seeds=2)
    result["mode"].test_accuracy.values[0, :, 0] = 0.95
    result["mode"].test_accuracy.values[0, :, 1] = np.array([0.5, 0.8, 0.86])[:, None, None, None]
    put(result["baseline"], [[0.9]])
    (answer,) = plots.answers(result)
    assert answer.cells[0].endswith("[<=2, >8] at width 8")


def test_one_seed_has_no_bracket_and_says_so(build):
    (answer,) = plots.answers(build(widths=(8,), modes=(2, 5), seeds=1))
    assert answer.needs[0].bracket == ""
    assert answer.notes == ["one seed, so there are no brackets; --seeds 5 gives some"]


def test_without_a_dense_baseline_the_best_number_of_modes_is_the_measure(build):
    result = build(widths=(8,), modes=(2, 4, 8), seeds=2, baseline="none")
    put(result["mode"], [[0.7, 0.85, 0.96]])
    (answer,) = plots.answers(result)
    assert answer.head == "least modes within 1 point of the best number of modes tried"
    assert answer.needs[0].target == pytest.approx(95.0)


RATES = {"widths": (8,), "modes": (2, 4), "seeds": 2, "learning_rates": (0.1, 0.2)}


def test_several_rates_without_held_out_data_have_no_number(build):
    (answer,) = plots.answers(build(**RATES))
    assert answer.missing == "no held-out data to choose among the 2 learning rates; add --validation 0.1"
    assert not answer.needs
    more = {"baseline_learning_rates": (0.1, 0.2, 0.3)}
    (answer,) = plots.answers(build(widths=(8,), modes=(2, 4), seeds=2, **more))
    assert "3 learning rates of the dense baseline" in answer.missing
    masked = {"layer": "low_rank", "mask": "dynamic", "sparsities": (50,), "mask_after": 2}
    (answer,) = plots.answers(build(**RATES, **masked))
    assert answer.missing.endswith("train with one of each")


def test_each_cell_has_its_best_rate_on_held_out_data(build):
    result = build(**RATES, validation=0.2, baseline="none")
    data = result["mode"]
    # By held-out data the second rate is best with 2 modes, the first one with 4; the test set says the contrary.
    data.validation_accuracy.values[...] = np.array([[0.5, 0.6], [0.9, 0.8]])[None, :, None, :, None, None]
    data.test_accuracy.values[...] = np.array([[0.7, 0.6], [0.8, 0.9]])[None, :, None, :, None, None]
    (answer,) = plots.answers(result)
    assert answer.needs[0].target == pytest.approx(79.0)
    assert answer.notes[:2] == [
        "each cell at its best of 2 learning rates, chosen on held-out data",
        "the best learning rate is the smallest tried in 1 of 2 cells and the largest tried in 1 of 2 cells: try rates "
        "beyond it",
    ]


def test_each_value_of_a_further_axis_has_its_own_numbers(build):
    result = build(widths=(8,), modes=(2, 4), seeds=2, train_examples=(200, 1000))
    values = result["mode"].test_accuracy.values
    values[..., 0, :], values[..., 1, :] = 0.5, 0.9
    rival = result["baseline"].test_accuracy.values
    rival[..., 0, :], rival[..., 1, :] = 0.505, 0.95
    few, many = plots.answers(result)
    assert few.head == "least modes at training examples 200 within 1 point of dense"
    assert (few.needs[0].reached, many.needs[0].reached) == ("at_smallest", "not_reached")


def test_several_arms_are_named_and_compared_with_a_baseline_of_their_own_widths(build):
    result = build(
        widths=(8,), modes=(2, 4), seeds=2, arms=("other layer=low_rank", "wide widths=9", "full layer=dense")
    )
    assert [answer.head for answer in plots.answers(result)] == [
        "least modes of arm mode within 1 point of dense",
        "least modes of arm other within 1 point of dense",
        "least modes of arm wide within 1 point of the best number of modes tried",
    ]


def test_a_dense_network_that_diverged_leaves_its_width_out(build):
    (answer,) = plots.answers(build(widths=(8, 16), modes=(2, 4), seeds=2, diverged_dense=(0,)))
    assert [need.width for need in answer.needs] == [16]
    assert answer.notes[0] == "no dense network to compare with at width 8: it diverged"
    (answer,) = plots.answers(build(widths=(8,), modes=(2, 4), seeds=2, diverged_dense=(0, 1)))
    assert "--baseline-learning-rates" in answer.missing


def test_networks_that_learnt_nothing_set_no_target(build):
    result = build(widths=(8, 16), modes=(2, 4), seeds=2)
    put(result["baseline"], [[0.1], [0.95]])
    (answer,) = plots.answers(result)
    assert [need.width for need in answer.needs] == [16]
    assert answer.notes[0] == "no number at width 8: the dense networks are at chance level there"
    result = build(widths=(8,), modes=(2, 4), seeds=2, baseline="none")
    put(result["mode"], [[0.1, 0.1]])
    (answer,) = plots.answers(result)
    assert answer.missing.startswith("no number at width 8: all networks are at chance level there; train with another")


def test_losses_and_layers_without_modes_have_no_answer(build):
    result = build(widths=(8,), modes=(2, 4), seeds=2)
    for node in result.children.values():
        node.attrs["targets"] = "values"
    assert plots.answers(result) == []
    assert plots.answers(build(widths=(8,), layer="dense", seeds=2)) == []
    assert plots.answers(build(widths=(8,), modes=(2,), seeds=2)) == []


def test_a_network_without_hidden_layers_has_no_width_in_its_number():
    answer = Answer("mode", {}, False, "dense", 2, [Need(0, 3.0, 2.5, 3.5, 90.0, 2, 4)], [], "")
    assert answer.cells == ["3 [2.5, 3.5]"]


def test_the_record_is_strict_json(build):
    result = build(widths=(8, 16), modes=(2, 4), seeds=2)
    put(result["baseline"], [[1.0], [0.2]])
    record = plots.answers(result)[0].record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert [width["reached"] for width in record["widths"]] == ["not_reached", "at_smallest"]


def test_the_page_opens_with_the_answer(build, tmp_path):
    result = build(widths=(8, 16), modes=(2, 4), seeds=2)
    put(result["baseline"], [[1.0], [0.2]])
    page = html.unescape(plots.write_report(result, tmp_path, []).read_text())
    assert page.index("Least modes within 1 point of dense") < page.index("Data hash")
    assert "more than 4 (largest tried)" in page
    assert page.count("interpolated in ln P") == 1
    page = html.unescape(plots.write_report(build(**RATES), tmp_path, []).read_text())
    missing = "Not said: no held-out data to choose among the 2 learning rates; add <code>--validation 0.1</code>."
    assert missing in page
    assert "interpolated" not in page


def test_the_page_says_once_what_holds_for_all_arms(build, tmp_path):
    result = build(widths=(8,), modes=(2, 4), seeds=2, arms=("other layer=low_rank",), diverged_dense=(0,))
    page = html.unescape(plots.write_report(result, tmp_path, []).read_text())
    assert page.count("at every width") == 2
    result = build(widths=(8, 16), modes=(2, 4), seeds=2, arms=("other layer=low_rank",))
    page = html.unescape(plots.write_report(result, tmp_path, []).read_text())
    assert page.count("range over resamples of 2 seeds") == 1
    assert "<code>--seeds 5</code>" in page
