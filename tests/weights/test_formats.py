"""Every format gives the same network; damaged files are refused in words; nothing in them is run."""

import json
import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file
from weight_files import Tensor, field, node, onnx_bytes, tensor, torch_bytes

from modejax.cli import main
from modejax.errors import InputError
from modejax.svr import describe, load_kernel, svr
from modejax.weights import inventory, read_bias, read_kernel, read_weights, tree_weights, write_kernel


def r(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


# ONNX.


def bn(x: str, out: str, name: str) -> bytes:
    return node(
        "BatchNormalization", [x, *(f"{name}.{p}" for p in ("scale", "bias", "mean", "var"))], [out], epsilon=1e-3
    )


def test_an_onnx_graph_tells_order_kinds_axes_norms_and_readers(tmp_path):
    arrays = {
        "z_head": r(8, 5), "w1": r(8, 3, 3, 3), "w1.b": r(8), "w2": r(8, 1, 3, 3), "w3": r(8, 8, 1, 1),
        "up": r(8, 8, 2, 2), "head.b": r(5), "bn.scale": r(8), "bn.bias": r(8), "bn.mean": r(8), "bn.var": np.abs(r(8)),
        "table": r(9, 4), "shape": np.array([1, -1]),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w1", "w1.b"], ["a"]), bn("a", "b", "bn"), node("Relu", ["b"], ["c"]),
        node("Conv", ["c", "w2"], ["d"], group=8), node("Conv", ["d", "w3"], ["e"]), node("Add", ["e", "c"], ["f"]),
        node("ConvTranspose", ["f", "up"], ["g"]), node("GlobalAveragePool", ["g"], ["h"]),
        node("Reshape", ["h", "shape"], ["i"]), node("MatMul", ["i", "z_head"], ["j"]),
        node("Add", ["j", "head.b"], ["y"]), node("Gather", ["table", "n"], ["t"]),
    ]  # fmt: skip
    (tmp_path / "n.onnx").write_bytes(onnx_bytes(nodes, arrays))
    found = describe(tmp_path / "n.onnx")
    kinds = {layer.name: (layer.kernel.kind, layer.groups, layer.width_in, layer.width_out) for layer in found.layers}
    assert kinds == {
        "w1": ("conv", 1, 3, 8), "w2": ("depthwise", 8, 8, 8), "w3": ("conv", 1, 8, 8), "up": ("transposed", 1, 8, 8),
        "z_head": ("linear", 1, 8, 5),
    }  # fmt: skip
    name = [layer.name for layer in found.layers]
    assert {(name[p.writer], name[p.reader]) for p in found.pairs} == {
        ("w1", "w2"), ("w2", "w3"), ("w1", "up"), ("w3", "up"), ("up", "z_head")
    }  # fmt: skip
    assert found.found is not None
    assert found.found.left["table"].startswith("a table")
    assert "integers" in found.found.left["shape"]
    head = found.layers[-1].kernel
    np.testing.assert_array_equal(read_bias(found.weights, head), arrays["head.b"])
    gain = arrays["bn.scale"] / np.sqrt(arrays["bn.var"].astype("f8") + np.float32(1e-3))
    folded = load_kernel(found, 0, "full")
    np.testing.assert_allclose(folded, arrays["w1"] * gain[:, None, None, None], rtol=1e-5)


def test_constants_turned_cast_or_dequantised_in_the_graph_are_kernels(tmp_path):
    q = np.random.default_rng(0).integers(-99, 99, (6, 4)).astype("i1")
    arrays = {"q": q, "s": np.array([0.5], "f4").reshape(()), "w": r(5, 6)}
    nodes = [
        node("DequantizeLinear", ["q", "s"], ["qw"]), node("Gemm", ["x", "qw"], ["a"], transB=1),
        node("Transpose", ["w"], ["wt"], perm=[1, 0]), node("MatMul", ["a", "wt"], ["y"]),
    ]  # fmt: skip
    (tmp_path / "n.onnx").write_bytes(onnx_bytes(nodes, arrays))
    weights = read_weights(tmp_path / "n.onnx")
    kernels = inventory(weights).kernels
    assert [k.shape for k in kernels] == [(6, 4), (5, 6)]
    np.testing.assert_allclose(read_kernel(weights, kernels[0]), 0.5 * q)
    np.testing.assert_allclose(read_kernel(weights, kernels[1]), arrays["w"])


def test_flattened_positions_of_an_onnx_graph_are_counted(tmp_path):
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Flatten", ["a"], ["b"]), node("Gemm", ["b", "v"], ["y"], transB=1)]
    (tmp_path / "n.onnx").write_bytes(onnx_bytes(nodes, {"w": r(4, 3, 3, 3), "v": r(7, 36)}))
    (pair,) = describe(tmp_path / "n.onnx").pairs
    assert (pair.flattened, pair.order) == (9, "channel_first")


def test_external_values_lie_beside_the_file_or_are_refused(tmp_path):
    w = r(4, 3)
    for where, good in (("w.bin", True), ("../w.bin", False), ("/etc/passwd", False), ("gone.bin", False)):
        entry = field(13, field(1, "location") + field(2, where)) + field(14, 1)
        parts = field(1, 4) + field(1, 3) + field(2, 1) + field(8, "w") + entry
        graph = field(1, node("Gemm", ["x", "w"], ["y"], transB=1)) + field(5, parts)
        (tmp_path / "n.onnx").write_bytes(field(7, graph))
        (tmp_path / "w.bin").write_bytes(w.tobytes())
        if good:
            np.testing.assert_array_equal(read_weights(tmp_path / "n.onnx")["w"], w)
        else:
            with pytest.raises(InputError, match=r"beside"):
                read_weights(tmp_path / "n.onnx")["w"]


# PyTorch.


class _Danger:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_whole_models_and_scripts_are_taken_apart_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pt").write_bytes(torch_bytes({"fc.weight": Tensor(r(3, 2)), "x": _Danger()}))
    assert list(read_weights(tmp_path / "bad.pt")) == ["fc.weight"]
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(_Danger()))
    with pytest.raises(InputError, match="a pickle, which is not run"):
        read_weights(tmp_path / "plain.pkl")
    assert not (tmp_path / "ran").exists()


def test_views_of_one_storage_and_half_precision_are_read(tmp_path):
    import ml_dtypes

    content = {"a.weight": Tensor(r(3, 4).astype(ml_dtypes.bfloat16)), "b.weight": Tensor(r(2, 3).astype("f2"))}
    (tmp_path / "n.pt").write_bytes(torch_bytes(content))
    weights = read_weights(tmp_path / "n.pt")
    assert weights["a.weight"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(weights["b.weight"], r(2, 3).astype("f2"))


# Keras.


def keras_h5(path, layers):
    with h5py.File(path, "w") as file:
        for inner, (label, arrays) in layers.items():
            group = file.create_group(f"{inner}/vars")
            group.attrs["name"] = label
            for i, each in enumerate(arrays):
                group.create_dataset(str(i), data=each)


LAYERS = {
    "layers/conv2d": ("stem", [r(3, 3, 3, 8), r(8)]),
    "layers/batch_normalization": ("batch_normalization", [r(8), r(8), r(8), np.abs(r(8))]),
    "layers/depthwise_conv2d": ("dw", [r(3, 3, 8, 1), r(8)]),
    "layers/conv2d_transpose": ("a_up", [r(2, 2, 6, 8), r(6)]),
    "layers/dense": ("dense", [r(6, 4), r(4)]),
    "optimizer": ("adam", [np.zeros(()), r(3, 3, 3, 8)]),
}


def test_weights_of_keras_are_read_by_their_classes_and_in_the_order_of_the_configuration(tmp_path):
    keras_h5(tmp_path / "n.weights.h5", LAYERS)
    found = inventory(read_weights(tmp_path / "n.weights.h5"))
    assert {k.name: (k.kind, k.shape) for k in found.kernels} == {
        "conv2d": ("conv", (8, 3, 3, 3)),
        "depthwise_conv2d": ("depthwise", (8, 1, 3, 3)),
        "conv2d_transpose": ("transposed", (6, 8, 2, 2)),
        "dense": ("linear", (4, 6)),
    }
    assert [norm.var for norm in found.norms] == ["batch_normalization.moving_variance"]
    classes = (("Conv2D", "stem"), ("BatchNormalization", "batch_normalization"), ("DepthwiseConv2D", "dw"),
               ("Conv2DTranspose", "a_up"), ("Dense", "dense"))  # fmt: skip
    config = {"class_name": "Functional", "config": {"name": "f", "layers": [{"class_name": c, "config": {"name": n}} for c, n in classes]}}  # fmt: skip  # noqa: E501
    with zipfile.ZipFile(tmp_path / "n.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.write(tmp_path / "n.weights.h5", "model.weights.h5")
    described = describe(tmp_path / "n.keras")
    assert [layer.name for layer in described.layers] == ["stem", "dw", "a_up", "dense"]
    assert [layer.norm.name if layer.norm else None for layer in described.layers] == [
        "batch_normalization",
        *[None] * 3,
    ]
    kernel = described.layers[2].kernel
    np.testing.assert_array_equal(read_kernel(described.weights, kernel)[1, 2], r(2, 2, 6, 8)[:, :, 1, 2])


def test_older_files_of_keras_are_read(tmp_path):
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file["model_weights/fc/fc/kernel:0"] = r(6, 4)
        file["model_weights/fc/fc/bias:0"] = r(4)
        file["elsewhere"] = h5py.ExternalLink("/etc/hostname", "/")
    assert {k.name: k.bias for k in inventory(read_weights(tmp_path / "n.h5")).kernels} == {"fc": "fc.bias"}


# Shards, LoRA, modules of Flax.


def test_shards_are_read_by_their_index(tmp_path):
    save_file({"a.weight": r(4, 3)}, tmp_path / "m-1.safetensors")
    save_file({"b.weight": r(2, 4)}, tmp_path / "m-2.safetensors")
    index = {"weight_map": {"a.weight": "m-1.safetensors", "b.weight": "m-2.safetensors"}, "metadata": None}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps(index))
    for path in (tmp_path / "m.safetensors.index.json", tmp_path):
        np.testing.assert_array_equal(read_weights(path)["b.weight"], r(2, 4))
    assert main(["svr", str(tmp_path / "m.safetensors.index.json"), "--out", str(tmp_path / "out")]) == 0
    for bad in ({"a.weight": "../m-1.safetensors"}, {"a.weight": "gone.safetensors"}, {"c.weight": "m-1.safetensors"}):
        (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": bad}))
        with pytest.raises(InputError):
            read_weights(tmp_path / "m.safetensors.index.json")


def test_pairs_of_lora_are_products_and_cut_as_such(tmp_path, capsys):
    A, B = r(4, 12), r(10, 4, seed=1)
    names = "base_model.model.fc.lora_{}.weight"
    save_file({names.format("A"): A, names.format("B"): B}, tmp_path / "l.safetensors")
    assert main(["decompose", str(tmp_path / "l.safetensors"), "--modes", "2", "--out", str(tmp_path / "o")]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    s = np.linalg.svd((B @ A).astype("f8"), compute_uv=False)
    assert int(row[2]) == 4  # the rank of B A
    assert float(row[4]) == pytest.approx(100 * (s[:2] ** 2).sum() / (s**2).sum(), abs=0.06)
    cut = read_weights(tmp_path / "o" / "dense.safetensors")
    new = cut[names.format("B")] @ cut[names.format("A")]
    U, s, V = np.linalg.svd((B @ A).astype("f8"), full_matrices=False)
    np.testing.assert_allclose(new, (U[:, :2] * s[:2]) @ V[:2], atol=1e-4)
    kohya = {"fc.lora_down.weight": A, "fc.lora_up.weight": B, "fc.alpha": np.array(2.0, "f4")}
    kernel = inventory(kohya).kernels[0]
    np.testing.assert_allclose(read_kernel(kohya, kernel), 0.5 * B.astype("f8") @ A, rtol=1e-6)


def test_modules_of_flax_tell_their_types():
    rngs = nnx.Rngs(0)

    class Block(nnx.Module):
        def __init__(self, rngs):
            self.fc = nnx.Linear(8, 8, rngs=rngs)
            self.att = nnx.MultiHeadAttention(2, 8, rngs=rngs)
            self.dw = nnx.Conv(8, 8, (3,), feature_group_count=8, rngs=rngs)

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.emb = nnx.Embed(9, 8, rngs=rngs)
            self.block = Block(rngs)
            self.stack = nnx.vmap(lambda rngs: nnx.Linear(8, 8, use_bias=False, rngs=rngs), axis_size=3)(
                rngs.fork(split=3)
            )
            self.up = nnx.ConvTranspose(8, 4, (2,), rngs=rngs)

    found = inventory(tree_weights(Net(rngs)))
    kinds = {k.name: (k.kind, k.shape, k.groups) for k in found.kernels}
    assert kinds["block.att.out"] == ("heads_out", (8, 8), 1)
    assert kinds["block.dw"] == ("depthwise", (8, 1, 3), 8)
    assert kinds["up"] == ("transposed", (4, 8, 2), 1)
    assert [k.index for k in found.kernels if k.name.startswith("stack")] == [0, 1, 2]
    assert found.left["emb.embedding"].startswith("a table")


def test_stacks_are_taken_apart_by_their_biases_and_norms_and_written_back():
    weights = {"layers.fc.kernel": r(3, 8, 16), "layers.fc.bias": r(3, 16), "layers.out.kernel": r(3, 16, 8),
               "layers.norm.scale": r(3, 8), "head.kernel": r(8, 2)}  # fmt: skip
    found = inventory(weights)
    assert [k.name for k in found.kernels] == [
        *(f"layers.{i}.{name}" for i in range(3) for name in ("fc", "out")), "head"
    ]  # fmt: skip
    second = found.kernels[2]
    np.testing.assert_array_equal(read_kernel(weights, second), weights["layers.fc.kernel"][1].T)
    np.testing.assert_array_equal(read_bias(weights, second), weights["layers.fc.bias"][1])
    changed = dict(weights)
    write_kernel(changed, second, np.zeros((16, 8), "f4"), np.ones(16, "f4"))
    assert not changed["layers.fc.kernel"][1].any()
    np.testing.assert_array_equal(changed["layers.fc.kernel"][2], weights["layers.fc.kernel"][2])
    np.testing.assert_array_equal(changed["layers.fc.bias"][1], np.ones(16))
    conv = inventory({"c.kernel": r(5, 8, 16), "c.bias": r(16)}).kernels
    assert [(k.kind, k.shape) for k in conv] == [("conv", (16, 8, 5))]
    assert len(inventory({"c.kernel": r(5, 8, 16)}, kinds={"c": "stacked"}).kernels) == 5


# Damage, and names that are no words.


def test_damaged_files_of_every_format_are_refused_in_words(tmp_path, capsys):
    good = {}
    np.savez(tmp_path / "n.npz", **{"fc.weight": r(4, 3)})  # pyright: ignore
    save_file({"fc.weight": r(4, 3)}, tmp_path / "n.safetensors")
    (tmp_path / "n.pt").write_bytes(torch_bytes({"fc.weight": Tensor(r(4, 3))}))
    (tmp_path / "n.onnx").write_bytes(onnx_bytes([node("Gemm", ["x", "w"], ["y"])], {"w": r(4, 3)}))
    keras_h5(tmp_path / "n.h5", LAYERS)
    for suffix in ("npz", "safetensors", "pt", "onnx", "h5"):
        good[suffix] = (tmp_path / f"n.{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    for suffix, data in good.items():
        for cut in (0, 1, 7, 9, len(data) // 2, len(data) - 1):
            _refused_or_fine(tmp_path, suffix, data[:cut])
        for _ in range(25):
            damaged = bytearray(data)
            for place in rng.integers(0, len(data), 4):
                damaged[place] = rng.integers(0, 256)
            _refused_or_fine(tmp_path, suffix, bytes(damaged))
    shape = tensor("w", r(4, 3)).replace(field(1, 4), field(1, 1 << 40))
    _refused_or_fine(
        tmp_path, "onnx", field(7, field(1, node("Gemm", ["x", "w"], ["y"])) + field(5, shape)), refused=True
    )


def _refused_or_fine(folder, suffix: str, data: bytes, refused: bool = False) -> None:
    path = folder / f"d.{suffix}"
    path.write_bytes(data)
    try:
        weights = read_weights(path)
        for name in weights:
            _ = weights[name]
        inventory(weights)
        assert not refused
    except InputError:
        pass


def test_encrypted_archives_are_refused(tmp_path):
    np.savez(tmp_path / "n.npz", a=r(2, 2))
    data = bytearray((tmp_path / "n.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    (tmp_path / "n.npz").write_bytes(data)
    with pytest.raises(InputError, match="encrypted"):
        read_weights(tmp_path / "n.npz")


def test_names_with_formulas_html_and_settings_of_the_user_do_no_harm(tmp_path, monkeypatch):
    import matplotlib

    names = ("a$_{x.weight", "<script>alert(1)</script>.weight", "é" * 80 + ".weight")
    weights = dict(zip(names, (r(6, 4), r(5, 6), r(3, 5)), strict=True))
    np.savez(tmp_path / "n.npz", **{name.replace("/", "|"): each for name, each in weights.items()})  # pyright: ignore
    with matplotlib.rc_context({"text.usetex": True, "font.family": "serif"}):
        assert main(["svr", str(tmp_path / "n.npz"), "--out", str(tmp_path / "svr"), "--layers", "--explain"]) == 0
        assert main(["decompose", str(tmp_path / "n.npz"), "--energy", "0.9", "--out", str(tmp_path / "d")]) == 0
    assert "<script>alert" not in (tmp_path / "svr" / "graph.html").read_text()


def test_zero_kernels_have_no_dominant_chain_and_infinite_rates_write_nothing(tmp_path, capsys):
    found = svr([np.zeros((6, 4)), np.ones((3, 6))])
    with pytest.raises(InputError, match="no dominant chain"):
        found.dominant_chain()
    assert any("are 0" in note for note in found.notes)
    mlp = {"W1": 0.1 * r(64, 16), "b1": r(16), "W2": r(16, 10), "b2": r(10)}
    np.savez(tmp_path / "n.npz", **mlp)  # pyright: ignore[reportArgumentType]
    words = ["decompose", str(tmp_path / "n.npz"), "--modes", "2", "--dataset", "digits", "--epochs", "1"]
    for rate in ("inf", "1e38"):
        assert main([*words, "--learning-rate", rate, "--out", str(tmp_path / "out")]) == 2
        assert "rate" in capsys.readouterr().err
        assert not (tmp_path / "out" / "modes.npz").exists()


def test_repr_is_three_lines_and_folders_may_be_texts(tmp_path):
    found = svr([np.eye(4), np.eye(4)])
    assert len(repr(found).splitlines()) == 3
    assert found.save(str(tmp_path / "s"))[0].exists()
