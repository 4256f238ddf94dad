"""How networks are read: groups, orders of layers, streams, residual networks, norms, files and modules."""

import itertools

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from modejax.errors import InputError
from modejax.nnx import ModeLinear
from modejax.svr import Stream, describe, load_kernel, svr


def test_grouped_convolutions_are_found_by_the_widths_around_them_or_named_and_then_written_out():
    rng = np.random.default_rng(0)
    weights = {"a.weight": rng.standard_normal((8, 3, 3, 3)), "dw.weight": rng.standard_normal((8, 1, 3, 3)), "b.weight": rng.standard_normal((4, 8, 1, 1))}  # fmt: skip  # noqa: E501
    assert describe(weights).layers[1].groups == 8  # one input channel, between a writer and a reader of eight
    four = {**weights, "dw.weight": rng.standard_normal((8, 2, 3, 3))}
    with pytest.raises(InputError, match=r"convolution of 4 groups\? Say groups=\{'dw': 4\}"):
        svr(four)
    assert svr(four, groups={"dw": 4}).description.layers[1].width_in == 8
    found = svr(weights)
    whole = load_kernel(found.description, 1)
    assert whole.shape == (8, 8, 3, 3)
    assert np.count_nonzero(whole.any((2, 3))) == 8
    np.testing.assert_array_equal(whole[3, 3], weights["dw.weight"][3, 0])
    assert found.pairs[0].null == "channel_haar"
    assert found.pairs[1].null == "beta"
    assert any("dw" in note for note in found.notes)
    for bad in ({"dw": 3}, {"nothing": 2}, {"dw": 8.0}):
        with pytest.raises(InputError):
            svr(weights, groups=bad)


def test_sorted_names_are_taken_by_their_numbers_and_doubts_are_told():
    square = {f"layers.{i}.weight": np.eye(8) for i in sorted(range(12), key=str)}
    found = describe(square)
    assert [layer.name for layer in found.layers] == [f"layers.{i}" for i in range(12)]
    assert any("order" in note for note in found.notes)
    doubtful = describe({name: np.eye(4) for name in ("dec.0.weight", "enc.0.weight", "enc.1.weight")})
    assert any("order" in note for note in doubtful.notes)
    some = {"stem.weight": np.eye(4), "pos": np.ones((2, 3)), "head.weight": np.eye(4)}
    assert [layer.name for layer in describe(some, order=["stem", "head"]).layers] == ["stem", "head"]
    named = {"embed.kernel": np.ones((9, 4)), "embedding.weight": np.ones((7, 9)), "head.kernel": np.ones((4, 2))}
    understood = describe(named)
    assert [layer.name for layer in understood.layers] == ["embed", "head"]
    assert any("left out: embedding.weight" in note for note in understood.notes)
    convnext = {"pw1.weight": np.ones((32, 8)), "pw2.weight": np.ones((8, 32)), "dw.weight": np.ones((8, 1, 7, 7))}
    # One input channel behind a writer of eight: eight groups.
    assert describe(convnext, order=["pw1", "pw2", "dw"]).layers[2].groups == 8


def test_streams_whose_layers_stand_in_another_order_are_refused():
    names = ("block.conv1", "block.conv2", "head", "stem")
    streams = [Stream(("stem", "block.conv2"), ("block.conv1", "head")), Stream(("block.conv1",), ("block.conv2",))]
    weights = {f"{name}.weight": np.eye(4) for name in names}
    with pytest.raises(InputError, match="no writer comes before"):
        svr(weights, streams=streams)
    found = svr(weights, streams=streams, order=["stem", "block.conv1", "block.conv2", "head"])
    assert [(pair.writer, pair.reader) for pair in found.pairs] == [(0, 1), (1, 2), (0, 3), (2, 3)]


def test_a_residual_network_is_a_graph_of_writers_and_readers():
    rng = np.random.default_rng(0)
    shapes = {
        "conv1": (8, 3),
        "layer1.0.conv1": (8, 8),
        "layer1.0.conv2": (8, 8),
        "layer2.0.conv1": (16, 8),
        "layer2.0.conv2": (16, 16),
        "layer2.0.downsample.0": (16, 8),
        "layer2.1.conv1": (16, 16),
        "layer2.1.conv2": (16, 16),
    }
    weights = {f"{name}.weight": rng.standard_normal((*shape, 3, 3)) for name, shape in shapes.items()}
    weights["fc.weight"] = rng.standard_normal((10, 16))
    found = svr(dict(sorted(weights.items())))  # in the order of a file that sorts
    names = [layer.name for layer in found.layers]
    pairs = {(names[p.writer], names[p.reader]) for p in found.pairs}
    assert pairs == {
        ("conv1", "layer1.0.conv1"),
        ("layer1.0.conv1", "layer1.0.conv2"),
        *itertools.product(("conv1", "layer1.0.conv2"), ("layer2.0.conv1", "layer2.0.downsample.0")),
        ("layer2.0.conv1", "layer2.0.conv2"),
        *itertools.product(("layer2.0.conv2", "layer2.0.downsample.0"), ("layer2.1.conv1", "fc")),
        ("layer2.1.conv1", "layer2.1.conv2"),
        ("layer2.1.conv2", "fc"),
    }
    with pytest.raises(InputError, match="not a chain"):
        found.dominant_chain()
    own = svr([np.eye(4), np.eye(4), np.eye(4)], streams=[Stream(("0",), ("1", "2")), Stream(("1",), ("2",))])
    assert [(p.writer, p.reader) for p in own.pairs] == [(0, 1), (0, 2), (1, 2)]


def test_files_whose_names_are_sorted_are_put_in_order(tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        f"features.{i}.weight": rng.standard_normal(s).astype(np.float32)
        for i, s in ((0, (4, 1, 3, 3)), (3, (6, 4, 3, 3)), (10, (8, 6, 3, 3)))
    }
    weights |= {
        "features.1.weight": np.ones(4, np.float32),
        "features.1.bias": np.zeros(4, np.float32),
        "features.1.running_mean": np.zeros(4, np.float32),
        "features.1.running_var": np.ones(4, np.float32),
    }
    weights["classifier.0.weight"] = rng.standard_normal((5, 8)).astype(np.float32)
    save_file(weights, tmp_path / "net.safetensors")
    found = describe(tmp_path / "net.safetensors")
    assert [layer.name for layer in found.layers] == ["features.0", "features.3", "features.10", "classifier.0"]
    assert [layer.norm.name if layer.norm else None for layer in found.layers] == ["features.1", None, None, None]
    assert any("order" in note for note in found.notes)
    assert any("features.10" in line and "conv 3x3" in line for line in found.lines())


def test_norms_are_found_by_place_or_by_number_or_told():
    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.{part}": np.ones(4) for part in ("weight", "bias", "running_mean", "running_var")}

    kernels = {f"conv{i}.weight": np.ones((4, 4, 3, 3)) for i in (1, 2)}
    by_number = describe({**norm("bn1"), **norm("bn2"), **kernels})
    by_place = describe(
        {"conv1.weight": kernels["conv1.weight"], **norm("a"), "conv2.weight": kernels["conv2.weight"], **norm("b")}
    )
    told = describe({**norm("x"), **kernels}, norms={"conv2": "x"})
    with pytest.raises(InputError, match="which is no norm"):
        describe({**norm("x"), **kernels}, norms={"conv2": "y"})
    both = describe({**norm("x"), **norm("bn1"), **kernels}, norms={"conv2": "x"})
    # bn1 stands directly before conv1: it acts on its input.
    assert [layer.norm.name if layer.norm else None for layer in both.layers] == [None, "x"]
    with pytest.raises(InputError, match="before or after conv1"):
        svr({**norm("bn1"), **norm("bn2"), **kernels}, fold="full")
    lost = describe({**norm("x"), **kernels})
    for found, names in (
        (by_number, ["bn1", "bn2"]),
        (by_place, ["a", "b"]),
        (told, [None, "x"]),
        (lost, [None, None]),
    ):
        assert [layer.norm.name if layer.norm else None for layer in found.layers] == names
    assert any("follows no layer" in note for note in lost.notes)


def test_a_flax_module_is_understood():
    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.stem = nnx.Conv(1, 6, (3, 3), rngs=rngs)
            self.norm = nnx.BatchNorm(6, rngs=rngs)
            self.body = nnx.Conv(6, 4, (3, 3), rngs=rngs)
            self.head = nnx.Linear(4 * 9, 10, rngs=rngs)

    class Modes(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.first = ModeLinear(9, 8, modes=3, rngs=rngs)
            self.second = ModeLinear(8, 5, modes=3, use_bias=False, rngs=rngs)

    low = svr(Modes(nnx.Rngs(0)))
    assert [(layer.name, int((1e-5 * layer.S[0] < layer.S).sum())) for layer in low.layers] == [
        ("first", 3),
        ("second", 3),
    ]
    found = svr(Net(nnx.Rngs(0)), fold="full")
    assert [layer.name for layer in found.layers] == ["stem", "body", "head"]
    assert found.description.layers[0].norm is not None
    assert found.description.pairs[1][2:] == (9, 1, "channel_last")
