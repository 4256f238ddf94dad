"""Weight files and trees: what goes in comes out with the right names, axes and order; what is not allowed says so."""

import pickle
import zipfile

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from safetensors.numpy import save_file

from modejax.errors import InputError
from modejax.weights import (
    canonical,
    find_kernels,
    find_norms,
    inventory,
    named_arrays,
    read_bias,
    read_kernel,
    read_weights,
    restore,
    write_kernel,
)
from modejax.weights.kernels import natural


class Small(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.second = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])
        self.a_head = nnx.Linear(4, 2, use_bias=False, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)
        self.tied = self.a_head


@pytest.fixture(scope="module")
def module() -> Small:
    return Small(nnx.Rngs(0))


NAMES = [
    *("second.kernel", "second.bias", "norm.mean", "norm.var", "norm.scale", "norm.bias"),
    *("blocks.0.kernel", "blocks.0.bias", "blocks.1.kernel", "blocks.1.bias", "a_head.kernel"),
]


def test_a_module_is_read_in_the_order_in_which_it_is_defined_and_shared_parts_once(module):
    arrays = named_arrays(module)
    assert sorted(arrays) == sorted(NAMES)
    assert [k.name for k in find_kernels(arrays)] == ["second", "blocks.0", "blocks.1", "a_head"]
    assert [k.shape for k in find_kernels(arrays)] == [(4, 1, 3, 3), (4, 4), (4, 4), (2, 4)]
    assert [k.bias for k in find_kernels(arrays)] == ["second.bias", "blocks.0.bias", "blocks.1.bias", None]


def test_a_state_holds_the_arrays_of_its_module(module):
    state = named_arrays(nnx.state(module))
    arrays = named_arrays(module)
    assert set(arrays) == set(state)
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], state[name])


def test_norms_are_told_from_kernels_in_flax_linen_keras_and_torch_names():
    torch = {
        "bn.weight": np.ones(3),
        "bn.bias": np.ones(3),
        "bn.running_mean": np.ones(3),
        "bn.running_var": np.ones(3),
        "bn.num_batches_tracked": np.array(7),
    }
    linen = named_arrays(
        {
            "params": {"BatchNorm_0": {"scale": np.ones(3), "bias": np.ones(3)}},
            "batch_stats": {"BatchNorm_0": {"mean": np.ones(3), "var": np.ones(3)}},
        }
    )
    keras = {f"bn.{part}": np.ones(3) for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    for arrays in (torch, linen, keras):
        (norm,) = find_norms({key: np.shape(each) for key, each in arrays.items()})
        assert None not in (norm.name, norm.scale, norm.bias, norm.mean, norm.var)
    assert find_norms({"ln.scale": (3,)})[0].mean is None


def test_axes_go_to_one_order_and_back():
    kernel = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert canonical(kernel, "flax").shape == (5, 4, 2, 3)
    np.testing.assert_array_equal(restore(canonical(kernel, "flax"), "flax"), kernel)
    np.testing.assert_array_equal(canonical(kernel, "flax")[1, 2], kernel[:, :, 2, 1])
    assert canonical(kernel, "torch") is kernel


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int64])
def test_safetensors_keep_values_in_every_precision(tmp_path, dtype):
    array = (np.arange(6).reshape(2, 3) + (2**40 if dtype in (np.float64, np.int64) else 0)).astype(dtype)
    save_file({"fc.weight": array}, tmp_path / "net.safetensors")
    weights = read_weights(tmp_path / "net.safetensors")
    assert weights.shapes == {"fc.weight": (2, 3)}
    assert weights["fc.weight"].dtype == array.dtype
    np.testing.assert_array_equal(weights["fc.weight"].astype(float), array.astype(float))


def test_an_archive_and_a_checkpoint_give_what_was_saved(tmp_path, module):
    arrays = {name: np.asarray(each) for name, each in named_arrays(module).items()}
    np.savez(tmp_path / "net.npz", **{name.replace(".", "/"): each for name, each in arrays.items()})  # pyright: ignore[reportArgumentType]
    with ocp.StandardCheckpointer() as writer:
        writer.save(tmp_path / "checkpoint", nnx.to_pure_dict(nnx.state(module, nnx.Any(nnx.Param, nnx.BatchStat))))
    for path in ("net.npz", "checkpoint"):
        weights = read_weights(tmp_path / path)
        assert set(weights) == set(arrays)
        for name, each in arrays.items():
            np.testing.assert_array_equal(weights[name], each)


def test_files_that_are_no_weights_are_refused_and_not_run(tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x00" * 4)
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps([1]))
    (tmp_path / "folder").mkdir()
    for name, what in (
        ("objects.npz", "is a pickle"),
        ("damaged.npz", "cannot be read as an .npz"),
        ("damaged.safetensors", "cannot be read as safetensors"),
        ("weights.pkl", "is a pickle, which is not run"),
        ("weights.txt", "format that is not known"),
        ("missing.npz", "there is no file"),
        ("folder", "not the folder of an Orbax checkpoint"),
    ):
        with pytest.raises(InputError, match=what):
            read_weights(tmp_path / name)


def test_names_are_the_same_in_every_format(tmp_path):
    arrays = {"params/Dense_0/kernel": np.ones((3, 2), np.float32), "batch_stats/Norm_0/mean": np.ones(2, np.float32)}
    save_file(arrays, tmp_path / "net.safetensors")
    np.savez(tmp_path / "net.npz", **arrays)  # pyright: ignore[reportArgumentType]
    for name in ("net.safetensors", "net.npz"):
        weights = read_weights(tmp_path / name)
        assert set(weights) == {"Dense_0.kernel", "Norm_0.mean"}
        assert set(weights.stored.values()) == set(arrays)
        np.testing.assert_array_equal(weights["Norm_0.mean"], np.ones(2))
    np.savez(tmp_path / "twice.npz", **{"a/weight": np.ones((2, 2)), "a.weight": np.ones((2, 2))})  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="two arrays of one name"):
        read_weights(tmp_path / "twice.npz")
    whole = (tmp_path / "net.npz").read_bytes()
    (tmp_path / "bad.npz").write_bytes(whole.replace(np.ones(2, np.float32).tobytes(), b"\x01" * 8))
    with pytest.raises(InputError, match="CRC"):
        dict(read_weights(tmp_path / "bad.npz"))


def test_of_a_training_state_only_the_network_is_read(tmp_path):
    tree = {"params": {"fc": {"kernel": np.ones((3, 2))}}, "opt_state": {"mu": {"fc": {"kernel": np.ones((3, 2))}}}}
    with ocp.StandardCheckpointer() as writer:
        writer.save(tmp_path / "checkpoints" / "5", tree)
    found = inventory(read_weights(tmp_path / "checkpoints" / "5"))
    assert [kernel.name for kernel in found.kernels] == ["fc"]
    assert found.left == {"opt_state.mu.fc.kernel": "state of an optimiser"}
    with pytest.raises(InputError, match="did you mean one of 5"):
        read_weights(tmp_path / "checkpoints")


def test_a_torch_file_that_names_functions_runs_none_and_says_what_to_do(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps({"a": print}))
    with pytest.raises(InputError, match=r"holds no tensor; save model.state_dict"):
        read_weights(tmp_path / "net.pt")


def test_a_torch_state_dict_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    weight = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
    torch.save({"state_dict": {"fc.weight": torch.nn.Parameter(weight), "step": 3}}, tmp_path / "net.pt")
    weights = read_weights(tmp_path / "net.pt")
    np.testing.assert_array_equal(weights["fc.weight"], np.arange(6.0).reshape(2, 3))
    assert list(weights) == ["fc.weight"]


def test_names_that_do_not_tell_the_axes_need_a_layout():
    with pytest.raises(InputError, match=r"arr_0 .its name tells neither"):
        find_kernels({"arr_0": np.ones((2, 3))})
    assert find_kernels({"arr_0": np.ones((2, 3))}, "flax")[0].shape == (3, 2)
    assert find_kernels({"W1": np.ones((2, 3)), "b1": np.ones(3)})[0][:5] == ("W1", "W1", "flax", (3, 2), "b1")
    with pytest.raises(InputError, match="unknown layout"):
        find_kernels({"arr_0": np.ones((2, 3))}, "keras")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="multi-head attention"):
        find_kernels({"query.kernel": np.ones((8, 2, 4))})
    with pytest.raises(InputError, match="has no kernel"):
        find_kernels({"scale": np.ones(3)})
    with pytest.raises(InputError, match="has no entries"):
        find_kernels({"fc.weight": np.ones((0, 3))})


@pytest.mark.parametrize("name", ["params/Dense_0/{}", "model_state_dict.Dense_0.{}", "/Dense_0/{}"])
def test_arrays_in_memory_are_called_by_their_own_names(name):
    arrays = {name.format("kernel"): np.arange(6.0).reshape(3, 2), name.format("bias"): np.ones(2)}
    (kernel,) = inventory(arrays).kernels
    assert (kernel.key, kernel.bias) == tuple(arrays)
    np.testing.assert_array_equal(read_kernel(arrays, kernel), arrays[kernel.key].T)
    write_kernel(arrays, kernel, np.ones((2, 3)), np.zeros(2))
    assert set(arrays) == {kernel.key, kernel.bias}
    np.testing.assert_array_equal(read_kernel(arrays, kernel), np.ones((2, 3)))
    np.testing.assert_array_equal(read_bias(arrays, kernel), np.zeros(2))


def test_what_is_no_tree_of_arrays_is_refused():
    with pytest.raises(InputError, match=r"a\.0 is a str"):
        named_arrays({"a": ["x"]})
    with pytest.raises(InputError, match="two arrays have the name"):
        named_arrays({"params": {"a": jnp.ones(2)}, "batch_stats": {"a": jnp.ones(2)}})
    assert sorted(["fc10.weight", "fc9.weight"], key=natural) == ["fc9.weight", "fc10.weight"]
