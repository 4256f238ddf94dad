"""The studies of Flax models, in small."""

import csv

import jax
import numpy as np
import pytest
from flax import nnx

from modejax.data import load_dataset
from modejax.nnx import Frozen
from modejax.studies import find_study
from modejax.studies.flax_mnist import KINDS, MODELS, build
from modejax.studies.flax_models import accuracy, count_parameters, train


@pytest.mark.slow
@pytest.mark.parametrize("study", ["flax-decompose", "flax-mnist"])
def test_a_study_writes_its_page_table_and_figure(study, tmp_path):
    with jax.numpy_dtype_promotion("standard"):  # optax and flax ask for it
        find_study(study)(tmp_path, quick=True, seeds=2, report=lambda line: None)
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert {row["seed"] for row in rows} == {"0", "1"}
    figures = list((tmp_path / "figures").iterdir())
    assert len(figures) == 1
    assert "| --- |" in (tmp_path / "results.md").read_text()
    if study == "flax-decompose":
        best = [float(row["tuned"]) for row in rows if row["modes"] == "20"]
        assert min(best) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", [KINDS[1], KINDS[4]])
def test_models_learn_and_frozen_factors_stay(model, kind):
    data = load_dataset("digits")
    network = build(model, kind, 8, 10, 0)
    frozen = jax.device_get(nnx.state(network, Frozen))
    before = accuracy(network, data.x_test, data.y_test, data.scale)
    with jax.numpy_dtype_promotion("standard"):
        train(network, data, 5, 0.01, batch=50)
    assert accuracy(network, data.x_test, data.y_test, data.scale) > before + 0.2
    jax.tree.map(np.testing.assert_array_equal, frozen, jax.device_get(nnx.state(network, Frozen)))
    assert count_parameters(network) < count_parameters(build(model, KINDS[0], 8, 10, 0))
