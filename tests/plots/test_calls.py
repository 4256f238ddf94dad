"""Every picture takes its data first and axes last, makes a figure of its own, and returns what it drew on."""

import inspect
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from modejax import plots
from modejax.errors import InputError
from modejax.plots.colours import choose

DRAWN = [name for name in plots.__all__ if name.startswith("plot_")]


def test_every_function_that_draws_is_in_the_facade():
    import importlib
    import pkgutil

    found = set()
    for module in pkgutil.iter_modules(plots.__path__):
        home = importlib.import_module(f"modejax.plots.{module.name}")
        found |= {name for name in vars(home) if name.startswith("plot_")}
    assert found == set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_data_come_first_and_axes_are_the_last_argument_by_place(name):
    signature = inspect.signature(getattr(plots, name))
    places = [each for each in signature.parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert places[-1].name in ("ax", "axes")
    assert places[-1].default is None
    assert len(places) > 1
    assert not {"colour_map", "color", "colors", "x_label", "y_label"} & set(signature.parameters)
    named = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    assert len(named) <= 8


@pytest.mark.parametrize("name", DRAWN)
def test_the_axes_are_returned(name):
    returned = inspect.signature(getattr(plots, name)).return_annotation
    assert returned == ("Axes" if "ax" in inspect.signature(getattr(plots, name)).parameters else "np.ndarray")


def test_without_axes_a_figure_is_made_and_with_axes_none():
    values = {"a": (np.ones(2), np.zeros(2))}
    own = plots.plot_series([1, 2], values)
    assert isinstance(own.figure, Figure)
    given = Figure().subplots()
    assert plots.plot_series([1, 2], values, given) is given


def test_colours_are_taken_in_order_or_by_name():
    values = {"a": np.array([0.5, 1.0]), "b": np.array([0.2, 1.0])}
    lines = plots.plot_kept_energy(values, colours=["red", "blue"]).lines
    assert [line.get_color() for line in lines] == ["red", "blue"]
    lines = plots.plot_kept_energy(values, colours={"b": "black"}).lines
    assert [line.get_color() for line in lines] == ["C0", "black"]


def test_colours_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"colours has 1 entries, but there are 2 curves \(a, b\)"):
        choose("red", ["a", "b"], ["C0"])
    with pytest.raises(InputError, match="labels names 'c', but the curves are a, b"):
        choose({"c": "x"}, ["a", "b"], ["C0"], "labels")


@pytest.mark.parametrize(
    ("draw", "names"),
    [
        (plots.plot_accuracy, ["N = 16", "N = 32"]),
        (plots.plot_truncation, ["P = 2", "P = 5"]),
        (plots.plot_importance, ["P = 2", "P = 5"]),
        (plots.plot_importance_history, ["mode 1", "mode 2", "mode 3", "mode 4", "mode 5"]),
        (plots.plot_emergence, ["epoch 2", "epoch 4", "epoch 5"]),
        (plots.plot_arms, ["mode"]),
    ],
)
def test_curves_of_sweeps_take_colours_and_labels(build, draw, names):
    result = build(widths=(16, 32), modes=(2, 5), seeds=2, truncate_every=2, baseline="none")
    labels = [f"curve {index}" for index in range(len(names))]
    colours = [(0.0, 0.0, index / 10) for index in range(len(names))]
    panel = np.ravel(np.asarray(draw(result, colours=colours, labels=labels), dtype=object))[0]
    drawn = panel.get_legend_handles_labels()
    assert drawn[1] == labels
    line = drawn[0][-1]
    assert getattr(line, "lines", [line])[0].get_color() == colours[-1]
    by_name = np.ravel(np.asarray(draw(result, labels={names[0]: "first"}), dtype=object))[0]
    assert by_name.get_legend_handles_labels()[1] == ["first", *names[1:]]


def test_an_arm_drawn_into_given_axes_keeps_its_look(build):
    ax: Any = Figure().subplots()
    for name, colour in (("one", "red"), ("two", "blue")):
        result = build(widths=(16,), modes=(5,), layer="mode", seeds=2, label_noise=(0.0, 0.1), baseline="none")
        plots.plot_against(result, "label_noise", ax, colours=[colour], labels=[name])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]
    assert [line.get_color() for line in ax.lines] == ["red", "blue"]


def test_many_curves_in_given_colours_have_a_legend(build):
    result = build(widths=(16,), modes=tuple(range(1, 10)), seeds=1, baseline="none")
    ax = plots.plot_importance(result, colours=[f"C{index}" for index in range(9)])[0]
    assert len(ax.get_legend_handles_labels()[1]) == 9
