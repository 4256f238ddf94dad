"""The graph of a network: conservation, invariances, layouts, co-SVR, groups, tables, files and members."""

import itertools
import math
import struct
from typing import Literal

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from modejax.errors import InputError
from modejax.svr import Stream, haar, members, svr


def chain(seed: int = 0, dtype: type = np.float64) -> dict[str, np.ndarray]:
    """A network of two convolutions and two matrices, PyTorch's layout, 2 x 2 positions before the first matrix."""
    rng = np.random.default_rng(seed)
    shapes = {"conv1": (6, 3, 3, 2), "conv2": (8, 6, 3, 3), "fc1": (12, 8 * 4), "fc2": (5, 12)}
    return {f"{name}.weight": rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def permuted(weights: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The same network with its hidden units in another order."""
    w = dict(weights)
    for one, two in itertools.pairwise(list(w)):
        order = rng.permutation(w[one].shape[0])
        w[one] = w[one][order]
        reader = w[two]
        w[two] = reader.reshape(12, 8, 4)[:, order].reshape(12, 32) if one == "conv2.weight" else reader[:, order]
    return w


def test_rows_sum_to_one_and_columns_to_the_positions():
    found = svr(chain())
    assert [(p.c, p.z, p.E.shape) for p in found.pairs] == [(6, 9, (8, 6)), (8, 4, (12, 8)), (12, 1, (5, 12))]
    for pair in found.pairs:
        np.testing.assert_allclose(pair.E.sum(1), 1, atol=1e-10)  # all writers are there
        np.testing.assert_allclose(pair.c * pair.E.mean(), 1, atol=1e-10)
    rng = np.random.default_rng(0)
    whole = svr([rng.standard_normal((4, 20)), rng.standard_normal((40, 4, 3, 3))], layout="torch").pairs[0]
    np.testing.assert_allclose(whole.E.sum(0), 9, atol=1e-10)  # all readers, too
    np.testing.assert_allclose(whole.E.sum(1), 1, atol=1e-10)


def test_units_can_be_permuted_and_windows_flipped_and_layers_scaled():
    weights = chain()
    found = svr(weights)
    changed = permuted(weights, np.random.default_rng(1))
    changed["conv2.weight"] = changed["conv2.weight"][:, :, ::-1, ::-1] * -3.0
    for one, two in zip(found.pairs, svr(changed).pairs, strict=True):
        np.testing.assert_allclose(one.E, two.E, atol=1e-10)


def rescaled(weights: dict[str, np.ndarray], gain: np.ndarray) -> dict[str, np.ndarray]:
    w = dict(weights)
    w["conv1.weight"] = w["conv1.weight"] * gain[:, None, None, None]
    return w


def test_a_rescaling_of_channels_changes_edges_unless_the_norm_is_folded_in_full():
    rng = np.random.default_rng(0)
    gain = np.exp(rng.standard_normal(6))
    norm = {"bn1.weight": rng.uniform(0.5, 2, 6), "bn1.bias": np.zeros(6), "bn1.running_mean": np.zeros(6)}
    variance = rng.uniform(0.5, 2, 6)
    plain = {**chain(), **norm, "bn1.running_var": variance}
    scaled = {**rescaled(chain(), gain), **norm, "bn1.running_var": variance * gain**2}
    changes = {
        fold: max(
            np.abs(a.E - b.E).max()
            for a, b in zip(svr(plain, fold=fold, eps=0.0).pairs, svr(scaled, fold=fold, eps=0.0).pairs, strict=True)
        )
        for fold in ("none", "gamma", "full")
    }
    assert changes["full"] < 1e-10
    assert changes["none"] > 0.01
    assert changes["gamma"] > 0.01
    # Without a norm the function of a ReLU network stays, and edges change all the same.
    moved = rescaled(chain(), gain)
    moved["conv2.weight"] = moved["conv2.weight"] / gain[None, :, None, None]
    assert np.abs(svr(moved).pairs[0].E - svr(chain()).pairs[0].E).max() > 0.01


def test_layouts_say_the_same_network():
    torch = chain()
    flax = {}
    for name, each in torch.items():
        module = name.removesuffix(".weight")
        if module == "fc1":  # units of a channel-last flatten
            each = each.reshape(12, 8, 4).swapaxes(1, 2).reshape(12, 32)
        flax[f"{module}.kernel"] = np.moveaxis(each, (0, 1), (-1, -2))
    one, two = svr(torch), svr(flax)
    assert {pair.order for pair in two.description.pairs} == {"channel_last"}
    for a, b in zip(one.pairs, two.pairs, strict=True):
        np.testing.assert_allclose(a.E, b.E, atol=1e-10)
    wrong = svr(flax, flatten="channel_first")
    assert np.abs(wrong.pairs[1].E - one.pairs[1].E).max() > 0.01


def test_edges_of_a_flattened_reader_are_squares_of_its_effective_filters():
    pair = svr(chain()).pairs[1]
    filters = pair.filters([2], [3])
    assert filters.shape == (1, 4, 1, 1)
    np.testing.assert_allclose((filters**2).sum(), pair.E[2, 3], atol=1e-12)
    V, U = pair.V[:, :, 2], pair.U[:, 0, 3]
    np.testing.assert_allclose(sum(float(V[:, x] @ U) ** 2 for x in range(4)), pair.E[2, 3], atol=1e-12)


def test_a_co_svr_is_the_svr_of_the_network_backwards():
    rng = np.random.default_rng(0)
    kernels = [rng.standard_normal(shape) for shape in ((6, 3, 3, 3), (8, 6, 3, 3), (4, 8, 1, 3))]
    backwards = [np.swapaxes(each, 0, 1) for each in reversed(kernels)]
    co = svr(kernels, layout="torch", method="cosvr")
    forward = svr(backwards, layout="torch")
    for a, b in zip(co.pairs, reversed(forward.pairs), strict=True):
        np.testing.assert_allclose(a.E, b.E.T, atol=1e-10)
        np.testing.assert_allclose(a.log_p, b.log_p.T, atol=1e-6)
    assert co.layers[0].U.shape == (6, 9, 3)
    for null in ("beta", "channel_haar", "rotation", "chi2"):
        assert np.isfinite(svr(kernels, layout="torch", method="cosvr", null=null, draws=3).pairs[0].log_p).all()


def test_both_sides_with_positions_are_matched_by_moments():
    rng = np.random.default_rng(0)
    passed, count = 0, 0
    for _ in range(40):
        kernels = [rng.standard_normal((12, 5, 3, 3)), rng.standard_normal((20, 12 * 4))]
        pair = svr(kernels, layout="torch", method="cosvr").pairs[0]
        assert pair.z == 36
        passed += int((pair.log_p <= math.log(0.01)).sum())
        count += pair.E.size
    # Independent random kernels: 1 % of the edges pass, with 4 standard errors for edges that depend on one another.
    assert abs(passed / count - 0.01) < 4 * math.sqrt(0.01 / count) * 1.5
    decoder = svr([rng.standard_normal((8 * 4, 10)), rng.standard_normal((3, 8, 3, 3))], layout="torch")
    assert decoder.description.pairs[0].spread == 4
    assert decoder.pairs[0].E.shape == (3, 10)
    assert np.isfinite(decoder.pairs[0].log_p).all()


def test_grouped_after_grouped_is_tested_inside_the_groups():
    rng = np.random.default_rng(0)
    passed, count = 0, 0
    for _ in range(30):
        kernels = {name: rng.standard_normal((32, 8, 3, 3)) for name in ("a.weight", "b.weight")}
        pair = svr(kernels, groups={"a": 4, "b": 4}).pairs[0]
        same = pair.E > 1e-12
        assert same.mean() == pytest.approx(0.25, abs=0.01)
        assert (pair.log_p[~same] == 0).all()
        passed += int((pair.log_p[same] <= math.log(0.01)).sum())
        count += int(same.sum())
    assert abs(passed / count - 0.01) < 5 * math.sqrt(0.01 / count) + 0.003  # the law is matched by moments
    for options in ({"method": "cosvr"}, {"null": "rotation"}):
        with pytest.raises(InputError, match="have groups"):
            svr(kernels, groups={"a": 4, "b": 4}, **options)  # pyright: ignore[reportArgumentType]


def test_tables_graphs_and_files(tmp_path):
    rng = np.random.default_rng(0)
    U = haar(rng, 32)
    planted = [U * np.linspace(2, 1, 32), (haar(rng, 10, 10) * np.linspace(3, 1, 10)) @ U[:, :10].T]
    found = svr(planted)
    table = found.table(correction="bonferroni", scope="network")
    assert set(zip(table.writer_neuron, table.reader_neuron, strict=True)) >= {(i, i) for i in range(8)}
    assert (table.log10_p_corrected >= table.log10_p).all()
    assert len(found.table(level=1.0)) == 320
    assert len(found.table(level=1.0, max_edges=7)) == 7
    assert found.table(level=1.0, max_edges=7).E.min() >= found.table(level=1.0).E.nlargest(8).iloc[-1]
    graph = found.graph(1e-6)
    assert graph.number_of_nodes() == 42
    assert graph.edges["0:0", "1:0"]["E"] == pytest.approx(1.0)
    files = found.save(tmp_path / "out", 1e-6)
    assert nx.read_graphml(tmp_path / "out" / "graph.graphml").number_of_edges() == graph.number_of_edges()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "edges.parquet"), found.table(1e-6))
    assert all(file.exists() for file in files)
    summary = found.summary().iloc[0]
    assert summary["significant"] >= 10
    assert summary["by_chance"] == pytest.approx(320 * 0.00135, rel=1e-3)
    assert found.layer_table().neurons.tolist() == [32, 10]
    assert 0 <= found.intensities()[0].min() <= found.intensities()[0].max() == 1


def test_truncation_keeps_edges_and_says_what_it_hides():
    whole, cut = svr(chain()), svr(chain(), max_neurons=4)
    for a, b in zip(whole.pairs, cut.pairs, strict=True):
        np.testing.assert_allclose(a.E[:4, :4], b.E, atol=1e-10)
    assert any("near-kernels" in note for note in cut.notes)
    assert cut.layer_table().hidden.tolist() == [2, 4, 8, 1]


def test_members_of_a_sweep_are_counted_as_each_alone():
    rng = np.random.default_rng(0)
    nets, names = [], []
    for width in (12, 20):
        for seed in range(2):
            first = rng.standard_normal((width, 3)) @ rng.standard_normal((3, 9))  # three modes
            nets.append([first, rng.standard_normal((width, width)), rng.standard_normal((10, width))])
            names.append({"width": width, "seed": seed})
    nets[0][1] = nets[0][1] + 5 * np.outer(rng.standard_normal(12), np.linalg.svd(nets[0][0])[0][:, 0])
    cases: tuple[tuple[Literal["beta", "channel_haar"], int], ...] = (("channel_haar", 2), ("beta", 4))
    for null, count in cases:
        table = members(nets[:count], names[:count], null=null)
        assert len(table) == 2 * count
        for index in range(count):
            alone = svr(nets[index], null=null)
            rows = table.to_dict("records")[2 * index : 2 * index + 2]
            assert {key: rows[0][key] for key in names[index]} == names[index]
            for row, pair in zip(rows, alone.pairs, strict=True):
                keep = 1e-5 * alone.layers[pair.writer].S[0] < alone.layers[pair.writer].S
                log_p = pair.log_p[:, keep]
                assert row["tested"] == log_p.size
                assert row["significant"] == (log_p <= math.log(row["by_chance"])).sum()
                np.testing.assert_allclose(
                    [row["leading_E"], row["mean_cE"]], [pair.E[0, 0], pair.c * pair.E[:, keep].mean()], rtol=1e-6
                )
    assert table.neurons.tolist()[::2] == [3, 3, 3, 3]
    conv = chain()
    counted, alone = members([conv]), svr(conv)
    expected = [int(pair.significant(counted.by_chance[0]).sum()) for pair in alone.pairs]
    assert counted.significant.tolist() == expected


def test_what_is_not_allowed_says_so(tmp_path):
    good = [np.ones((4, 3)), np.ones((2, 4))]
    holed = [np.full((4, 3), np.nan), np.ones((2, 4))]
    for network, options, message in (
        ([np.ones((4, 3)), np.ones((2, 5))], {}, "reads 5 channels and 0 before it writes 4"),
        (holed, {}, "not finite"),
        ([np.ones((4, 3))], {}, "one layer"),
        ([np.ones((4, 3, 3, 3)), np.ones((2, 4))], {}, "needs a layout"),
        (good, {"method": "none"}, "unknown method"),
        (good, {"null": "normal"}, "unknown null"),
        (good, {"fold": "half"}, "unknown fold"),
        (good, {"max_neurons": 0}, "max_neurons"),
        (good, {"max_neurons": 2.5}, "max_neurons"),
        (good, {"order": ["0", "0"]}, "names a layer twice"),
        (good, {"order": ["0", "7"]}, "names 7, which is no layer"),
        (good, {"draws": 0}, "draws"),
        (good, {"streams": [Stream(("0",), ("9",))]}, "names 9"),
        (good, {"flatten": "rows", "layout": "torch"}, "unknown flatten"),
        ([np.ones((4, 3), complex), np.ones((2, 4))], {}, "real numbers"),
    ):
        with pytest.raises(InputError, match=message):
            svr(network, **options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="no running variance"):
        svr({"a.weight": np.ones((4, 3)), "ln.weight": np.ones(4), "b.weight": np.ones((2, 4))}, fold="full")
    for call in (
        lambda s: s.table(max_edges=-5),
        lambda s: s.table(0.0),
        lambda s: s.table(correction="x"),
        lambda s: s.table(scope="x"),
    ):
        with pytest.raises(InputError):
            call(svr(good))
    for call in (
        lambda: members([good], [{}, {}]),
        lambda: members([holed]),
        lambda: members([good], null="chi2"),  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(InputError):
            call()
    # A layer of ten gigabytes, of which the file has the header only: refused before it is read.
    header = b'{"a.weight":{"dtype":"F32","shape":[51200,51200],"data_offsets":[0,10485760000]},"b.weight":{"dtype":"F32","shape":[2,51200],"data_offsets":[10485760000,10486169600]}}'  # noqa: E501
    with open(tmp_path / "huge.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 10486169600)
    with pytest.raises(InputError, match=r"GiB are free; ask for at most 12800 leading neurons"):
        svr(tmp_path / "huge.safetensors")


def test_zeros_halves_and_single_channels_give_finite_results():
    zeros = svr([np.zeros((6, 4)), np.ones((3, 6))])
    assert 0 <= zeros.pairs[0].E.min() <= zeros.pairs[0].E.max() <= 1
    known = svr([np.eye(5), np.eye(5)])  # edges of exactly 1, up to rounding
    assert np.isfinite(known.pairs[0].log_p).all()
    assert np.isfinite(known.dominant_chain().log_p)
    assert np.isfinite(members([[np.zeros((6, 4)), np.ones((3, 6))]])[["share", "mean_cE"]].to_numpy()).all()
    assert np.isfinite(zeros.pairs[0].log_p).all()
    assert zeros.layers[0].S.tolist() == [0] * 4
    assert zeros.table(level=1.0).writer_cluster.tolist() == [4] * 12
    half = svr([np.ones((4, 3), np.float16), np.ones((2, 4), np.float16)])
    assert half.layers[0].S.dtype == np.float64
    one = svr([np.ones((1, 3)), np.ones((2, 1))])
    assert one.pairs[0].log_p.tolist() == [[0.0]]
    assert one.pairs[0].E[0, 0] == pytest.approx(1.0)
    assert one.summary().entropy.tolist() == [0.0]
    assert one.leading_chain().log_p == 0
