"""Whatever names, shapes, types and wrappers a file has: an answer or an error in words, and no file by a refusal."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from weight_files import Tensor, torch_bytes

from modejax.errors import InputError
from modejax.svr import svr
from modejax.weights import inventory, read_bias, read_kernel, read_weights, write_kernel
from modejax.weights.derived import reason_to_leave

LASTS = ("weight", "kernel", "bias", "scale", "gamma", "running_mean", "running_var", "embedding", "W1", "b1", "w",
         "b", "weight_g", "weight_v", "weight_orig", "weight_mask", "weight_u", "weight_scale", "lora_A.weight",
         "alpha", "lora_B.weight", "lora_a", "lora_b", "qweight", "scales", "W_Q", "W_O", "num_batches_tracked",
         "pos_embed",
         "weight_ih_l0", "parametrizations.weight.original0", "parametrizations.weight.original1",
         "coefs_0")  # fmt: skip
MODULES = ("fc", "conv1", "bn1", "h.0.attn.c_attn", "h.0.attn.c_proj", "layer.0.attention.self.query",
           "key",
           "value", "query", "out", "up.0", "up.1", "deconv",
           "dw", "blocks.fc", "blocks.norm", "", "0", "1",
           "layer1.0.conv1",
           "layer1.0.downsample.0", "ema.fc", "opt_state.mu.fc", "a$b", "<b>", "é" * 40, "..", "x.")  # fmt: skip
TYPES = ("f4", "f8", "f2", "i1", "u1", "i8", "?", ">f4", "c8")
name = st.one_of(
    st.builds(lambda a, b: f"{a}.{b}" if a else b, st.sampled_from(MODULES), st.sampled_from(LASTS)),
    st.text(max_size=12),
)
entry = st.tuples(
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 8]), max_size=5).map(tuple),
    st.sampled_from(TYPES),
    st.sampled_from(["noise", "zero", "nan"]),
)
network = st.dictionaries(name, entry, min_size=1, max_size=7)
wrapper = st.sampled_from(["", "state_dict", "model_state_dict", "params", "opt_state"])
options = st.fixed_dictionaries(
    {},
    optional={
        "layout": st.sampled_from(["torch", "flax", "plain"]),
        "kinds": st.dictionaries(
            st.sampled_from(["*", "fc", "up*"]), st.sampled_from(["conv", "transposed", "heads", "stacked"])
        ),
        "exclude": st.lists(st.sampled_from(["fc", "*bias", "zzz"]), max_size=1),
    },
)


def made(entries) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    out = {}
    for key, (shape, kind, fill) in entries.items():
        values = rng.standard_normal(shape) * 3
        if fill == "zero" or (fill == "nan" and kind in ("i1", "u1", "i8", "?")):
            values = np.zeros(shape)
        elif fill == "nan" and values.size:
            values.flat[0] = np.nan
        out[key] = np.clip(values, 0, 3).astype(kind) if kind in ("u1", "?") else values.astype(kind)
    return out


def tried(arrays, choice) -> None:
    """Read, take an inventory, write back, and make a graph."""
    try:
        found = inventory(arrays, **choice)
    except InputError:
        return
    assert "\n".join(found.lines())
    for kernel in found.kernels:
        value = read_kernel(arrays, kernel)
        assert value.shape == kernel.shape
        bias = read_bias(arrays, kernel)
        assert bias is None or bias.size in (kernel.shape[0], kernel.shape[0] * kernel.groups)
        if kernel.derived is None or not reason_to_leave(kernel.derived):
            copy = {key: np.array(each) for key, each in arrays.items()}
            try:
                write_kernel(copy, kernel, value, bias)
            except InputError:
                continue
            if kernel.derived is None:
                np.testing.assert_array_equal(copy[kernel.key], arrays[kernel.key])
    try:
        made_graph = svr(arrays, **choice)
    except InputError:
        return
    assert all(((pair.E >= -1e-9) & (pair.E <= 1 + 1e-6)).all() for pair in made_graph.pairs)


def run(folder, entries, around, choice, form) -> None:
    arrays = made(entries)
    if form == "memory":
        tried(arrays, choice)
        return
    wrapped = {f"{around}.{key}" if around else key: each for key, each in arrays.items()}
    path = folder / f"n.{form}"
    try:
        if form == "npz":
            np.savez(path, **{key.replace("/", "|").replace("\0", "0"): each for key, each in wrapped.items()})  # pyright: ignore
        elif form == "safetensors":
            save_file({key: np.ascontiguousarray(each) for key, each in wrapped.items() if each.dtype.isnative}, path)
        else:
            plain = {
                key: Tensor(each) for key, each in arrays.items() if each.dtype.name in ("float32", "float64", "int64")
            }
            path.write_bytes(torch_bytes({around: plain} if around else plain))
    except Exception:  # what cannot be written needs no reading
        return
    try:
        weights = read_weights(path)
        tried({key: weights[key] for key in weights}, choice)
    except InputError:
        pass


FORMS = st.sampled_from(["memory", "npz", "safetensors", "pt"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(network, wrapper, options, FORMS)
@example({"/": ((1, 1), "f4", "noise")}, "", {"layout": "torch"}, "memory")
@example({"fc.W_Q": ((2, 3, 4, 5), "f4", "noise")}, "", {"kinds": {"*": "heads"}}, "memory")
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_any_file_gives_an_answer_or_an_error_in_words(folder, entries, around, choice, form):
    run(folder, entries, around, choice, form)


@pytest.mark.slow
@given(network, wrapper, options, FORMS)
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])
def test_ten_thousand_files_give_an_answer_or_an_error_in_words(folder, entries, around, choice, form):
    run(folder, entries, around, choice, form)


@given(network, wrapper)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_a_refusal_of_a_command_leaves_no_file(folder, entries, around):
    from modejax.cli import main

    path = folder / "c.npz"
    arrays = {key.replace("/", "|").replace("\0", "0"): each for key, each in made(entries).items()}
    try:
        np.savez(path, **{f"{around}.{key}" if around else key: each for key, each in arrays.items()})  # pyright: ignore[reportArgumentType]
    except Exception:
        return
    before = sorted(folder.rglob("*"))
    for command in (["decompose", str(path), "--modes", "1"], ["svr", str(path)]):
        out = folder / "out"
        if main([*command, "--out", str(out)]) == 2:
            assert sorted(folder.rglob("*")) == before
        elif out.exists():
            import shutil

            shutil.rmtree(out)
