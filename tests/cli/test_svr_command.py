"""`modejax svr`: a weight file or a run in, tables, a graph and figures out; refusals leave nothing behind."""

from collections import Counter

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import save_file

from modejax import SweepConfig, run_sweep
from modejax.cli import main
from modejax.runs import MARKER, read_marker

FIGURES = ("graph.png", "edges.png", "survival.png", "filters.png")


@pytest.fixture
def weights(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"conv.0": (6, 1, 3, 3), "conv.1": (8, 6, 3, 3), "fc.0": (12, 8 * 4), "fc.1": (5, 12)}
    arrays = {f"{name}.weight": rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(arrays, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_a_weight_file_becomes_tables_a_graph_and_figures(weights, capsys, monkeypatch):
    monkeypatch.chdir(weights.parent)
    before = weights.read_bytes()
    assert main(["svr", str(weights), "--sigma", "1", "--max-edges", "9"]) == 0
    assert weights.read_bytes() == before
    said = capsys.readouterr().out
    assert "conv.1 (4 positions, channel_first)" in said
    assert "dominant chain" in said
    folder = weights.parent / "runs" / "svr-net-001"
    assert read_marker(folder, "svr").state == "finished"
    table = pd.read_parquet(folder / "edges.parquet")
    assert max(Counter(table.reader).values()) <= 9
    assert nx.read_graphml(folder / "graph.graphml").number_of_edges() == len(table)
    assert (folder / "graph.html").stat().st_size > 1e6  # it opens offline
    for name in FIGURES:
        with Image.open(folder / "figures" / name) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 3  # something is drawn
    assert [path.name for path in folder.rglob(".*")] == [MARKER]


@pytest.mark.slow
def test_the_networks_of_a_run_are_counted_together(tmp_path, capsys):
    rates = (0.005, 1e6)  # the second diverges
    config = SweepConfig(widths=(8,), modes=(3,), seeds=2, epochs=1, baseline="none", learning_rates=rates)
    run_sweep(config, out=tmp_path / "run")
    assert main(["svr", str(tmp_path / "run"), "--out", str(tmp_path / "o")]) == 0
    table = pd.read_csv(tmp_path / "o" / "members.csv")
    assert len(table) == 2 * 2
    assert set(table.neurons) == {3}  # as many as modes
    assert (tmp_path / "o" / "figures" / "significant.png").exists()
    said = capsys.readouterr().out
    assert "2 networks whose status is not 0 were left out" in said
    assert main(["svr", str(tmp_path / "run"), "--correction", "bonferroni"]) == 2
    assert "counted together" in capsys.readouterr().err


def test_what_is_refused_leaves_nothing_behind(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "names.npz", np.ones((3, 2)), np.ones((2, 3)))
    before = sorted(tmp_path.rglob("*"))
    for words, message in (
        (["missing.npz"], "there is no file"),
        ([str(tmp_path / "names.npz")], "nor the order of its axes"),
        ([str(weights), "--groups", "fc"], "LAYER=NUMBER"),
        ([str(weights), "--streams", "fc"], "WRITER,WRITER>READER"),
        ([str(weights), "--order", "conv.1", "conv.0"], "conv.0 reads 1 channels and conv.1 before it writes 8"),
        ([str(weights), "--out", str(weights)], "would write over"),
        ([str(weights), "--out", str(tmp_path / "names.npz")], "is a file"),
        ([str(weights), "--overwrite"], "name the folder to overwrite"),
        ([str(weights), "--sigma", "nan"], "sigma must be a number"),
    ):
        assert main(["svr", *words]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert message in said
    assert sorted(tmp_path.rglob("*")) == before
