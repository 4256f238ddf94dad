"""Inputs as people have them: each kind read right, or refused with advice that works; with neighbours of each kind."""

import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from weight_files import Tensor, torch_bytes

from modejax.cli import main
from modejax.errors import InputError
from modejax.svr import describe, svr
from modejax.weights import inventory, read_kernel, read_weights


def r(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def ones(name: str, size: int) -> dict[str, np.ndarray]:
    return {f"{name}.{part}": np.ones(size, "f4") for part in ("weight", "bias", "running_mean", "running_var")}


def decompose(path, *words: str) -> int:
    return main(["decompose", str(path), "--out", str(path.parent / "out"), "--overwrite", *words])


def shapes(weights, **options) -> dict[str, tuple[int, ...]]:
    return {kernel.name: kernel.shape for kernel in inventory(weights, **options).kernels}


# Kernels whose axes lie otherwise than their names say.


def test_biases_tell_the_axes_of_transposed_maps_and_squares_follow_their_relatives():
    block = {
        "h.0.attn.c_attn.weight": r(48, 144), "h.0.attn.c_attn.bias": r(144),
        "h.0.attn.c_proj.weight": r(48, 48), "h.0.attn.c_proj.bias": r(48),
        "h.0.mlp.c_fc.weight": r(48, 192), "h.0.mlp.c_fc.bias": r(192),
        "h.0.mlp.c_proj.weight": r(192, 48), "h.0.mlp.c_proj.bias": r(48),
        "h.0.attn.bias": np.tril(np.ones((1, 1, 8, 8), "f4")), "wte.weight": r(99, 48), "wpe.weight": r(8, 48),
    }  # fmt: skip
    found = inventory(block)
    assert {k.name: k.shape for k in found.kernels}["h.0.mlp.c_fc"] == (192, 48)
    square = next(k for k in found.kernels if k.name == "h.0.attn.c_proj")
    assert square.layout == "flax"
    assert "square" in square.why
    assert set(found.left) == {"h.0.attn.bias", "wte.weight", "wpe.weight"}


def test_a_bias_that_fits_neither_axis_is_no_reason_to_guess():
    found = inventory({"a.weight": r(8, 4), "a.bias": r(5), "b.weight": r(3, 8)})
    assert [k.name for k in found.kernels] == ["b"]
    assert "5 numbers, which is neither" in found.left["a.weight"]
    assert shapes({"a.weight": r(8, 4), "a.bias": r(5), "b.weight": r(3, 8)}, kinds={"a": "linear"})["a"] == (8, 4)


def test_a_layout_that_biases_contradict_is_refused_for_that_kernel():
    weights = {"a.weight": r(20, 8), "a.bias": r(8)}
    with pytest.raises(InputError, match="contradicts the layout torch; leave --layout out"):
        inventory(weights, "torch")
    assert shapes(weights) == {"a": (8, 20)}


def test_matrices_without_biases_that_follow_only_the_other_way_round_need_a_word():
    weights = {"fc1.weight": r(20, 8), "fc2.weight": r(8, 3)}
    with pytest.raises(InputError, match=r"--layout flax"):
        describe(weights)
    assert [layer.width_out for layer in describe(weights, layout="flax").layers] == [8, 3]


@pytest.mark.parametrize("axes", [(1, -1), (-1, 1), (-1,)])
def test_biases_of_one_row_or_column_are_biases(tmp_path, capsys, axes):
    path = tmp_path / "b.npz"
    np.savez(path, w1=r(20, 8), b1=r(8).reshape(axes), w2=r(8, 3), b2=r(3).reshape(axes))
    for words in ((), ("--layout", "flax")):
        assert decompose(path, "--modes", "2", *words) == 0
        said = capsys.readouterr().out
        assert said.splitlines()[3].split()[:2] == ["all", "93"]  # 2 x 29 + 8 + 2 x 12 + 3
    with np.load(tmp_path / "out" / "dense.npz") as dense:
        np.testing.assert_array_equal(dense["b1"], r(8).reshape(axes))


def test_coefficients_of_scikit_learn_are_read_by_their_intercepts():
    assert shapes({"coefs_0": r(20, 8), "intercepts_0": r(8), "coefs_1": r(8, 3), "intercepts_1": r(3)}) == {
        "coefs_0": (8, 20),
        "coefs_1": (3, 8),
    }


# Transposed, depthwise and grouped convolutions.


def test_the_norm_after_a_transposed_convolution_tells_its_axes(tmp_path, capsys):
    W = r(64, 32, 4, 4)
    save_file({"up.0.weight": W, **ones("up.1", 32)}, tmp_path / "t.safetensors")
    assert decompose(tmp_path / "t.safetensors", "--modes", "8") == 0
    s = np.linalg.svd(W.transpose(1, 0, 2, 3).reshape(32, -1).astype("f8"), compute_uv=False)
    row = capsys.readouterr().out.splitlines()[1].split()
    assert (row[1], int(row[2])) == ("64x32x4x4", 32)
    assert float(row[4]) == pytest.approx(100 * (s[:8] ** 2).sum() / (s**2).sum(), abs=0.06)
    dense = load_file(tmp_path / "out" / "dense.safetensors")["up.0.weight"]
    assert dense.shape == (64, 32, 4, 4)
    assert np.linalg.matrix_rank(dense.transpose(1, 0, 2, 3).reshape(32, -1), tol=1e-4) == 8


def test_a_generator_without_biases_is_transposed_by_its_neighbours_and_a_bias_alone_tells_too():
    generator = {"net.0.weight": r(100, 64, 4, 4), "net.2.weight": r(64, 32, 4, 4), "net.4.weight": r(32, 3, 4, 4)}
    found = describe(generator)
    assert [layer.kernel.kind for layer in found.layers] == ["transposed"] * 3
    assert [layer.width_out for layer in found.layers] == [64, 32, 3]
    assert inventory({"d.weight": r(8, 4, 3, 3), "d.bias": r(4)}).kernels[0].kind == "transposed"
    keras = inventory({"up.kernel": r(3, 3, 4, 8), "up.bias": r(4)}).kernels[0]
    assert (keras.layout, keras.shape) == ("keras_transposed", (4, 8, 3, 3))
    # A convolution after an upsampling is an ordinary one, whatever its name.
    assert inventory({"up.conv.weight": r(8, 8, 3, 3), "up.conv.bias": r(8)}).kernels[0].kind == "conv"


def test_a_pre_activation_norm_does_not_turn_a_convolution():
    dense_net = {**ones("norm1", 64), "conv1.weight": r(128, 64, 1, 1), **ones("norm2", 128)}
    dense_net |= {"conv2.weight": r(32, 128, 3, 3)}
    assert shapes(dense_net) == {"conv1": (128, 64, 1, 1), "conv2": (32, 128, 3, 3)}


def test_depthwise_convolutions_stay_dense_and_are_counted_as_none(tmp_path, capsys):
    path = tmp_path / "g.npz"
    np.savez(path, **{"a.kernel": r(3, 3, 3, 16), "dw.kernel": r(3, 3, 1, 16), "b.kernel": r(1, 1, 16, 32)})  # pyright: ignore
    assert decompose(path, "--modes", "4") == 0
    said = capsys.readouterr().out
    assert "left dense: dw (a convolution in 16 groups" in said
    assert "dw  " not in said
    with np.load(tmp_path / "out" / "dense.npz") as dense:
        np.testing.assert_array_equal(dense["dw.kernel"], r(3, 3, 1, 16))


def test_grouped_convolutions_of_a_block_are_found_and_a_first_grey_layer_is_none():
    block = {
        "l.0.conv1.weight": r(128, 64, 1, 1),
        "l.0.conv2.weight": r(128, 4, 3, 3),
        "l.0.conv3.weight": r(64, 128, 1, 1),
    }
    assert [k.groups for k in inventory(block).kernels] == [1, 32, 1]
    grey = {"conv1.weight": r(16, 1, 3, 3), "conv2.weight": r(16, 16, 3, 3), "fc.weight": r(10, 16)}
    assert [k.groups for k in inventory(grey).kernels] == [1, 1, 1]
    keras = inventory({"depthwise.kernel": r(3, 3, 8, 2), "depthwise.bias": r(16)}).kernels[0]
    assert (keras.kind, keras.groups, keras.shape) == ("depthwise", 8, (16, 1, 3, 3))


# What is no kernel.


def test_moments_of_an_optimiser_and_keys_of_random_numbers_are_left_out(tmp_path, capsys):
    net = {"a": {"kernel": r(16, 8)}, "b": {"kernel": r(8, 4)}}
    with ocp.StandardCheckpointer() as writer:
        writer.save(tmp_path / "ck", {"state": net, "opt_state": {"mu": net, "nu": net}})
    assert decompose(tmp_path / "ck", "--modes", "2") == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[:4]] == ["layer", "a", "b", "all"]
    assert "160" in said.splitlines()[3]
    assert "state of an optimiser" in said


def test_a_state_with_dropout_is_read(tmp_path, capsys):
    class M(nnx.Module):
        def __init__(self, rngs):
            self.a, self.drop = nnx.Linear(8, 8, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
            self.b = nnx.Linear(8, 4, rngs=rngs)

    with ocp.StandardCheckpointer() as writer:
        writer.save(tmp_path / "ck", nnx.state(M(nnx.Rngs(0))))
    found = inventory(read_weights(tmp_path / "ck"))
    assert [k.name for k in found.kernels] == ["a", "b"]
    assert found.left["drop.rngs.key"] == "a key of random numbers"


def test_copies_are_left_out_only_where_there_is_what_they_copy():
    net = {"fc.weight": r(8, 4), "fc.bias": r(8)}
    copied = {**{f"state_dict.{k}": v for k, v in net.items()}, **{f"ema_state_dict.{k}": v for k, v in net.items()}}
    assert list(shapes(copied)) == ["fc"] or list(shapes(copied)) == ["state_dict.fc"]
    assert list(shapes({f"ema_state_dict.{k}": v for k, v in net.items()})) == ["ema_state_dict.fc"]
    target = {**{f"online.{k}": v for k, v in net.items()}, **{f"target.{k}": v for k, v in net.items()}}
    assert list(shapes(target)) == ["online.fc"]
    assert "target.fc" in shapes(target, only=["target.fc.weight", "target.fc.bias"])
    adam = {**net, **{f"exp_avg.{k}": v for k, v in net.items()}}
    assert list(shapes(adam)) == ["fc"]


def test_tables_and_maps_with_names_of_tables_are_told_apart_or_named(tmp_path, capsys):
    weights = {"patch_embedding.weight": r(16, 3, 4, 4), "fc.weight": r(16, 16), "fc.bias": r(16)}
    weights["embed_out.weight"] = r(50, 16)
    save_file(weights, tmp_path / "e.safetensors")
    assert decompose(tmp_path / "e.safetensors", "--modes", "2") == 0
    said = capsys.readouterr().out
    assert "patch_embedding" in said
    assert "take it by --only embed_out" in said
    assert list(shapes(weights, only=["embed_out"])) == ["embed_out"]  # the advice works
    assert list(shapes(weights, exclude=["patch*", "fc"], only=["embed_out", "*"])) == ["embed_out"]
    codebook = inventory({"codebook.weight": r(64, 8), "fc.weight": r(8, 8), "pos_embed": r(1, 9, 8)})
    assert [k.name for k in codebook.kernels] == ["fc"]
    assert set(codebook.left) == {"codebook.weight", "pos_embed"}


def test_masks_stay_masks_and_the_advice_works(tmp_path, capsys):
    W, mask = r(32, 64), (abs(r(32, 64)) > 0.7).astype("f4")
    pruned = {"fc.weight_orig": W, "fc.weight_mask": mask, "fc.bias": np.zeros(32, "f4")}
    save_file(pruned, tmp_path / "m.safetensors")
    for words in ((), ("--layout", "torch")):
        assert decompose(tmp_path / "m.safetensors", "--modes", "4", *words) == 2
        assert "multiply the mask into it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    save_file({**pruned, "head.weight": r(9, 32)}, tmp_path / "two.safetensors")
    assert decompose(tmp_path / "two.safetensors", "--modes", "4") == 0
    kept = load_file(tmp_path / "out" / "dense.safetensors")
    np.testing.assert_array_equal(np.unique(kept["fc.weight_mask"]), [0, 1])
    np.testing.assert_array_equal(kept["fc.weight_orig"], W)
    found = inventory(pruned)
    np.testing.assert_array_equal(read_kernel(pruned, found.kernels[0]), (W * mask).astype("f8"))
    save_file({"fc.weight": W * mask, "fc.bias": pruned["fc.bias"]}, tmp_path / "merged.safetensors")
    assert decompose(tmp_path / "merged.safetensors", "--modes", "4") == 0


def test_parts_of_weight_norm_are_put_together_and_taken_apart(tmp_path):
    g, v = np.abs(r(6, 1)) + 1, r(6, 4, seed=1)
    for names in (
        ("fc.weight_g", "fc.weight_v"),
        ("fc.parametrizations.weight.original0", "fc.parametrizations.weight.original1"),
    ):
        weights = dict(zip(names, (g, v), strict=True)) | {"fc.bias": r(6)}
        kernel = inventory(weights).kernels[0]
        W = g * v / np.linalg.norm(v, axis=1, keepdims=True)
        np.testing.assert_allclose(read_kernel(weights, kernel), W, rtol=1e-6)
        assert (kernel.name, kernel.bias) == ("fc", "fc.bias")
        path = tmp_path / "wn.safetensors"
        save_file(weights, path)
        assert decompose(path, "--modes", "2") == 0
        new = load_file(tmp_path / "out" / "dense.safetensors")
        U, s, V = np.linalg.svd(W.astype("f8"), full_matrices=False)
        cut = new[names[0]] * new[names[1]] / np.linalg.norm(new[names[1]], axis=1, keepdims=True)
        np.testing.assert_allclose(cut, (U[:, :2] * s[:2]) @ V[:2], atol=1e-5)


def test_codes_are_rescaled_where_the_convention_is_known_and_plus_minus_one_stays_weights():
    q = np.random.default_rng(0).integers(-127, 127, (6, 4)).astype("i1")
    scale = np.abs(r(6, 1))
    weights = {"a.weight": q, "a.weight_scale": scale, "b.weight": np.sign(r(3, 6)).astype("i1")}
    found = inventory(weights)
    np.testing.assert_allclose(read_kernel(weights, found.kernels[-1]), q * scale.astype("f8"))
    assert [k.name for k in found.kernels] == ["b", "a"]
    packed = {"c.qweight": q, "c.scales": scale, "c.qzeros": q, "b.weight": r(3, 6)}
    assert [k.name for k in inventory(packed).kernels] == ["b"]
    with pytest.raises(InputError, match="save dequantised weights"):
        inventory({"c.weight": q.view("u1"), "c.absmax": r(3)})


# Names of other layers, and parallel ones.


def test_a_convolution_may_be_called_out_or_query():
    for name in ("out", "query"):
        found = shapes({"pre.weight": np.ones((16, 1, 5)), f"{name}.weight": np.ones((4, 16, 1))}, layout="torch")
        assert found == {"pre": (16, 1, 5), name: (4, 16, 1)}
    with pytest.raises(InputError, match=r"--kinds NAME=heads"):
        inventory({"query.kernel": np.ones((8, 2, 4))})
    assert shapes({"query.kernel": np.ones((8, 2, 4))}, kinds={"query": "heads"}) == {"query": (8, 8)}
    assert shapes({"query.kernel": np.ones((8, 2, 4))}, kinds={"query": "conv"}) == {"query": (4, 2, 8)}


def test_maps_of_attention_are_matrices_by_their_biases_or_their_siblings():
    attention = {f"att.{name}.kernel": r(16, 4, 8) for name in ("query", "key", "value")} | {
        "att.out.kernel": r(4, 8, 16)
    }
    assert set(shapes(attention).values()) == {(32, 16), (16, 32)}
    biased = {"q.kernel": r(16, 4, 8), "q.bias": r(4, 8)}
    assert shapes(biased) == {"q": (32, 16)}
    kernel = inventory(biased).kernels[0]
    np.testing.assert_array_equal(read_kernel(biased, kernel), r(16, 4, 8).reshape(16, 32).T)
    lens = {"blocks.0.attn.W_Q": r(4, 16, 8), "blocks.0.attn.b_Q": r(4, 8), "blocks.0.attn.W_O": r(4, 8, 16)}
    lens |= {"blocks.0.mlp.W_in": r(16, 64), "blocks.0.mlp.b_in": r(64)}
    assert shapes(lens) == {"blocks.0.attn.W_Q": (32, 16), "blocks.0.attn.W_O": (16, 32), "blocks.0.mlp.W_in": (64, 16)}
    np.testing.assert_array_equal(
        read_kernel(lens, inventory(lens).kernels[0]), np.concatenate([head.T for head in r(4, 16, 8)])
    )


def test_queries_keys_and_values_are_siblings():
    names = ("output.dense", "self.key", "self.query", "self.value")
    weights = {f"layer.0.attention.{n}.weight": r(32, 32) for n in names}
    weights |= {"layer.0.intermediate.dense.weight": r(64, 32), "layer.0.output.dense.weight": r(32, 64)}
    found = describe(weights)
    name = [layer.name.removeprefix("layer.0.") for layer in found.layers]
    assert {(name[p.writer], name[p.reader]) for p in found.pairs} == {
        ("attention.self.value", "attention.output.dense"),
        ("attention.output.dense", "intermediate.dense"),
        ("intermediate.dense", "output.dense"),
    }
    assert any("siblings" in note for note in found.notes)
    llama = {f"model.layers.{i}.self_attn.{n}_proj.weight": r(16, 16) for i in (0, 1) for n in "qkvo"}
    llama |= {f"model.layers.{i}.mlp.{n}_proj.weight": r(40, 16) for i in (0, 1) for n in ("gate", "up")}
    llama |= {f"model.layers.{i}.mlp.down_proj.weight": r(16, 40) for i in (0, 1)}
    llama |= {"model.embed_tokens.weight": r(99, 16), "lm_head.weight": r(99, 16)}
    found = describe(llama)
    name = [layer.name.removeprefix("model.").removeprefix("layers.") for layer in found.layers]
    pairs = {(name[p.writer], name[p.reader]) for p in found.pairs}
    assert ("0.mlp.gate_proj", "0.mlp.down_proj") in pairs
    assert ("0.mlp.gate_proj", "0.mlp.up_proj") not in pairs
    assert {("0.mlp.down_proj", f"1.self_attn.{n}_proj") for n in "qkv"} <= pairs
    assert ("1.mlp.down_proj", "lm_head") in pairs


def test_heads_of_a_network_read_side_by_side():
    weights = {"conv.weight": r(8, 3, 3, 3), "dense.weight": r(16, 8 * 4)}
    weights |= {f"head_{i}.weight": r(n, 16) for i, n in enumerate((2, 4, 10))}
    found = describe(weights)
    assert [(p.writer, p.reader) for p in found.pairs] == [(0, 1), (1, 2), (1, 3), (1, 4)]
    assert any("side by side" in note for note in found.notes)


def test_a_norm_before_its_layer_is_not_the_one_after_the_layer_before():
    weights = {"conv0.weight": r(8, 3, 3, 3)}
    for b in ("b0", "b1"):
        for k in (1, 2):
            weights |= {**ones(f"{b}.bn{k}", 8), f"{b}.conv{k}.weight": r(8, 8, 3, 3)}
    weights |= {**ones("bn", 8), "fc.weight": r(10, 8)}
    found = describe(weights)
    assert {layer.norm for layer in found.layers} == {None}
    assert any("pre-activation" in note for note in found.notes)
    # Sorted names tell nothing, but widths do, and one width tells for all names alike.
    post = {"a.conv1.weight": r(8, 4, 3, 3), **ones("a.bn1", 8), "b.conv1.weight": r(8, 8, 3, 3), **ones("b.bn1", 8)}
    assert [layer.norm.name for layer in describe(dict(sorted(post.items()))).layers if layer.norm] == [
        "a.bn1",
        "b.bn1",
    ]
    square = dict(sorted({"conv1.weight": r(8, 8, 3, 3), **ones("bn1", 8), "conv2.weight": r(8, 8, 3, 3)}.items()))
    with pytest.raises(InputError, match="before or after conv1"):
        svr(square, fold="full")
    assert svr(square, fold="full", norms={"conv1": "bn1"}).description.layers[0].norm is not None


# Types.


def test_other_byte_orders_long_doubles_and_small_floats_are_read_exactly(tmp_path, capsys):
    a, b = r(8, 4), r(3, 8)
    np.savez(tmp_path / "be.npz", **{"a.weight": a.astype(">f4"), "b.weight": b.astype(np.longdouble)})
    weights = read_weights(tmp_path / "be.npz")
    np.testing.assert_array_equal(weights["a.weight"], a)
    assert weights["b.weight"].dtype == np.float64
    assert decompose(tmp_path / "be.npz", "--modes", "2") == 0
    fine = np.full((2, 2), 1, np.longdouble) + np.finfo(np.longdouble).eps
    np.savez(tmp_path / "ld.npz", **{"a.weight": fine})  # pyright: ignore
    if np.finfo(np.longdouble).eps < np.finfo(float).eps:
        assert decompose(tmp_path / "ld.npz", "--modes", "1") == 2
        assert "does not hold exactly" in capsys.readouterr().err
    for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.bfloat16, np.float16):
        path = tmp_path / "f.safetensors"
        save_file({"a.weight": a.astype(kind), "b.weight": b.astype(kind)}, path)
        np.testing.assert_array_equal(read_weights(path)["a.weight"].astype("f4"), a.astype(kind).astype("f4"))
        assert decompose(path, "--modes", "2") == 0
        assert read_weights(tmp_path / "out" / "dense.safetensors")["a.weight"].dtype == kind
        assert main(["svr", str(path), "--out", str(tmp_path / "svr"), "--overwrite"]) == 0


def test_types_that_numpy_forgets_and_complex_numbers_are_named(tmp_path):
    np.savez(tmp_path / "v.npz", **{"a.weight": r(2, 2).astype(ml_dtypes.bfloat16), "b.weight": r(2, 2)})
    left = inventory(read_weights(tmp_path / "v.npz")).left
    assert "lose bfloat16" in left["a.weight"]
    assert inventory({"a.weight": r(2, 2) * 1j, "b.weight": r(2, 2)}).left["a.weight"] == "complex numbers"


def test_nested_wrappers_and_tensors_of_other_kinds(tmp_path, capsys):
    conj = Tensor(r(2, 2), {"conj": True})
    content = {
        "epoch": 1, "model_state_dict": {"fc.weight": Tensor(r(3, 4)), "fc.bias": Tensor(r(3)), "c.weight": conj,
        "s.weight": Tensor(r(2, 2), how="_rebuild_sparse_tensor"),
        "m.weight": Tensor(r(2, 2), how="_rebuild_meta_tensor_no_storage")},
        "optimizer_state_dict": {"state": {0: {"exp_avg": Tensor(r(3, 4))}}},
    }  # fmt: skip
    for name in ("msd.pt", "msd.ckpt", "msd.pth.tar"):
        (tmp_path / name).write_bytes(torch_bytes(content))
        weights = read_weights(tmp_path / name)
        found = inventory(weights)
        assert [k.name for k in found.kernels] == ["fc"]
        np.testing.assert_array_equal(weights["fc.weight"], r(3, 4))
        assert "conjugate" in " ".join(weights.skipped.values())
        assert "sparse" in " ".join(weights.skipped.values())
        assert "meta" in " ".join(weights.skipped.values())
    assert decompose(tmp_path / "msd.pt", "--modes", "2") == 0
