"""`modejax decompose`: files in, modes and dense weights out, and what is refused."""

import csv
import itertools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors import safe_open
from safetensors.flax import save_file
from safetensors.numpy import save_file as save_numpy

from modejax.cli import main
from modejax.data import load_dataset
from modejax.layers import singular_modes
from modejax.runs import output, read_json, read_marker
from modejax.studies import decompose_report
from modejax.studies.chains import chain, fine_tune, kept_accuracy, test_accuracy
from modejax.weights import Inventory, Kernel, read_weights


def arrays(seed=0):
    draw = np.random.default_rng(seed).standard_normal
    sizes = (64, 12, 10)
    maps = {f"layers.{2 * i}": (n_in, n_out) for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes))}
    found = {}
    for name, (n_in, n_out) in maps.items():
        found[f"{name}.kernel"] = (2 * draw((n_in, n_out)) / np.sqrt(n_in)).astype(np.float32)
        found[f"{name}.bias"] = (0.1 * draw(n_out)).astype(np.float32)
    return found


def by_hand(weights, x):
    h = np.maximum(x @ weights["layers.0.kernel"] + weights["layers.0.bias"], 0)
    return h @ weights["layers.2.kernel"] + weights["layers.2.bias"]


def cut(matrix, modes):
    u, s, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    return (u[:, :modes] * s[:modes]) @ v[:modes]


def test_curves_of_a_chain_with_biases_are_those_of_the_cut_matrices():
    weights, data = arrays(), load_dataset("digits")
    kernels = [singular_modes(weights[f"layers.{i}.kernel"].T) for i in (0, 2)]
    network, params = chain(kernels, [weights[f"layers.{i}.bias"] for i in (0, 2)], [12, 10])
    found = kept_accuracy(network, params, data, kept=(0, 2, 7, 12))
    x = data.x_test * data.scale

    def right(first, second):
        new = weights | {
            "layers.0.kernel": cut(weights["layers.0.kernel"], first),
            "layers.2.kernel": cut(weights["layers.2.kernel"], second),
        }
        return np.mean(by_hand(new, x).argmax(axis=1) == data.y_test)

    # A digit whose two largest logits are equal to rounding may go either way.
    for column, modes in enumerate((0, 2, 7, 12)):
        assert found.together[column] == pytest.approx(right(modes, modes), abs=1.5 / len(x))
        assert found.layer[0, column] == pytest.approx(right(modes, 12), abs=1.5 / len(x))
        assert found.layer[1, column] == pytest.approx(right(12, modes), abs=1.5 / len(x))
    assert test_accuracy(network, params, data) == found.together[-1]
    assert len(set(found.together)) > 2


def test_an_npz_file_becomes_modes_and_dense_weights_of_the_same_layout(tmp_path, capsys):
    weights, data = arrays(), load_dataset("digits")
    path = tmp_path / "net.npz"
    np.savez(path, **{name.replace(".", "/"): each for name, each in weights.items()})
    before = path.read_bytes()
    options = ["--modes", "5", "--dataset", "digits", "--epochs", "1", "--learning-rate", "0.03", "--batch-size", "50"]
    assert main(["decompose", str(path), *options, "--out", str(tmp_path / "o")]) == 0
    assert path.read_bytes() == before
    text = capsys.readouterr().out
    assert "layers.0  64x12     12      5" in text
    measured = json.loads((tmp_path / "o" / "config.json").read_text())["accuracy"]
    assert list(measured) == ["as given", "cut", "cut, then 1 epoch in mode space"]
    given = np.mean(by_hand(weights, data.x_test * data.scale).argmax(axis=1) == data.y_test)
    assert measured["as given"] == pytest.approx(given, abs=1.5 / len(data.x_test))
    # One epoch from random weights learns a good deal.
    assert measured["cut, then 1 epoch in mode space"] > measured["cut"] + 0.1
    modes = np.load(tmp_path / "o" / "modes.npz")
    dense = np.load(tmp_path / "o" / "dense.npz")
    assert set(dense.files) == {name.replace(".", "/") for name in weights}
    for i in (0, 2):
        factors = [modes[f"layers.{i}.{name}"] for name in ("xi_out", "sigma", "xi_in")]
        kernel = dense[f"layers/{i}/kernel"]
        np.testing.assert_allclose(kernel.T, (factors[0] * factors[1]) @ factors[2], rtol=0, atol=1e-6)
        assert np.linalg.matrix_rank(kernel, tol=1e-4) == 5
        assert not np.array_equal(dense[f"layers/{i}/bias"], weights[f"layers.{i}.bias"])
    after = {name.replace("/", "."): dense[name] for name in dense.files}
    trained = np.mean(by_hand(after, data.x_test * data.scale).argmax(axis=1) == data.y_test)
    assert trained == pytest.approx(measured["cut, then 1 epoch in mode space"], abs=1.5 / len(data.x_test))
    table = list(csv.DictReader((tmp_path / "o" / "table.csv").read_text().splitlines()))
    assert [(row["path"], row["modes"]) for row in table] == [("layers.0", "5"), ("layers.2", "5")]
    assert {each.name for each in (tmp_path / "o" / "figures").iterdir()} == {"energy.png", "accuracy.png"}


def test_convolutions_in_bfloat16_keep_the_layout_and_type_of_torch(tmp_path):
    kernel = jax.random.normal(jax.random.key(0), (4, 2, 3, 3), jnp.bfloat16)
    save_file({"conv.weight": kernel, "bn.weight": jnp.ones(4)}, tmp_path / "net.safetensors")
    assert main(["decompose", str(tmp_path / "net.safetensors"), "--energy", "0.8", "--out", str(tmp_path / "o")]) == 0
    dense = read_weights(tmp_path / "o" / "dense.safetensors")
    assert dense.shapes == {"conv.weight": (4, 2, 3, 3), "bn.weight": (4,)}
    assert dense["conv.weight"].dtype == jnp.bfloat16
    found = singular_modes(kernel)
    modes = found.count(energy=0.8)
    expected = cut(np.asarray(kernel, np.float64).reshape(4, -1), modes).reshape(4, 2, 3, 3)
    np.testing.assert_allclose(np.asarray(dense["conv.weight"], np.float64), expected, rtol=0, atol=0.05)
    assert np.load(tmp_path / "o" / "modes.npz")["conv.xi_in"].shape == (modes, 2, 3, 3)


def test_an_orbax_checkpoint_of_a_flax_model_is_read(tmp_path):
    import orbax.checkpoint as ocp

    model = nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(4, 2, rngs=nnx.Rngs(1)))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "step", nnx.state(model))
    assert main(["decompose", str(tmp_path / "step"), "--modes", "2", "--out", str(tmp_path / "o")]) == 0
    dense = read_weights(tmp_path / "o" / "dense.safetensors")
    expected = cut(np.asarray(model.layers[0].kernel[...]), 2)
    np.testing.assert_allclose(dense["layers.0.kernel"], expected, rtol=0, atol=1e-6)


def test_a_kernel_of_zeros_stays_dense_and_is_named(tmp_path, capsys):
    zeros: Any = {"layers.2.kernel": np.zeros((12, 10), np.float32)}
    np.savez(tmp_path / "net.npz", **(arrays() | zeros))
    assert main(["decompose", str(tmp_path / "net.npz"), "--modes", "2", "--out", str(tmp_path / "o")]) == 0
    assert "left dense: layers.2 (the kernel is 0" in capsys.readouterr().out
    for name in ("dense", "modes"):
        np.testing.assert_array_equal(np.load(tmp_path / "o" / f"{name}.npz")["layers.2.kernel"], 0)


def test_kernels_without_a_module_have_modes_of_their_own(tmp_path):
    np.savez(tmp_path / "net.npz", w1=np.eye(3, 4), w2=np.eye(2, 3))
    options = ["--modes", "1", "--layout", "plain", "--out", str(tmp_path / "o")]
    assert main(["decompose", str(tmp_path / "net.npz"), *options]) == 0
    modes = np.load(tmp_path / "o" / "modes.npz")
    assert (modes["w1.xi_in"].shape, modes["w2.xi_in"].shape) == ((1, 4), (1, 3))
    assert [row.split(",")[0] for row in (tmp_path / "o" / "table.csv").read_text().splitlines()[1:]] == ["w1", "w2"]


def test_names_that_kernels_share_are_refused(tmp_path, capsys, monkeypatch):
    kernels = [Kernel(name, key, "plain", (3, 3), None) for name, key in (("", "w1"), ("enc", "w2"), ("enc", "w3"))]
    holds = Inventory(tuple(kernels), (), {}, ())
    monkeypatch.setattr(decompose_report, "inventory", lambda weights, layout, **_: holds)
    matrices: Any = {each.key: np.eye(3) for each in kernels}
    np.savez(tmp_path / "net.npz", **matrices)
    assert main(["decompose", str(tmp_path / "net.npz"), "--modes", "2", "--out", str(tmp_path / "o")]) == 2
    assert "the kernels w1, w2, w3 have one name or none" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_other_arrays_and_metadata_of_safetensors_stay_as_they_are(tmp_path):
    arrays = {"params/fc/kernel": np.eye(3, dtype=np.float32), "steps": np.array(2**40)}
    save_numpy(arrays, tmp_path / "net.safetensors", {"format": "pt"})
    assert main(["decompose", str(tmp_path / "net.safetensors"), "--modes", "2", "--out", str(tmp_path / "o")]) == 0
    with safe_open(tmp_path / "o" / "dense.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}
        assert set(file.keys()) == set(arrays)
        steps = file.get_tensor("steps")
    assert (steps.shape, steps.dtype, int(steps)) == ((), np.int64, 2**40)


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, [], "give --modes P or --energy E"),
        ({}, ["--modes", "2", "--energy", "0.5"], "give --modes P or --energy E"),
        ({}, ["--modes", "13"], "modes=13 is above the rank of every kernel (12 at most)"),
        ({}, ["--modes", "0"], "at least 1, got 0"),
        ({}, ["--energy", "2"], "energy must be a share"),
        ({}, ["--modes", "2", "--epochs", "1"], "give --dataset, too"),
        ({}, ["--modes", "2", "--dataset", "gaussian_mixture"], "the kernels are no chain from the"),
        (
            {"layers.2.kernel": np.eye(12, 10, dtype=np.float16)},
            ["--modes", "2", "--dataset", "digits"],
            "kernels of one type, got float16, float32",
        ),
        (
            {f"layers.{i}.kernel": np.zeros((12, 12), np.float32) for i in (0, 2)} | {"layers.2.bias": np.zeros(12)},
            ["--modes", "2"],
            "layers.0: the kernel is 0 and has no modes",
        ),
        (
            {"conv.kernel": np.ones((3, 3, 1, 2), np.float32)},
            ["--modes", "1", "--dataset", "digits"],
            "is a convolution",
        ),
        ({"norm.scale": np.ones(3, np.float32)}, ["--modes", "2", "--dataset", "digits"], "but there is norm"),
    ],
)
def test_what_is_not_allowed_is_named_and_nothing_is_written(tmp_path, capsys, change, words, message):
    np.savez(tmp_path / "net.npz", **(arrays() | change))
    assert main(["decompose", str(tmp_path / "net.npz"), "--out", str(tmp_path / "o"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers.0.bias": np.zeros(5, np.float32)}, "left out: layers.0.kernel (its bias has 5 numbers"),
        ({"other": np.zeros((2, 2), np.float32)}, "left out: other (its name tells neither"),
        ({"layers.2.kernel": np.ones((12, 10), np.int32)}, "left dense: layers.2 (integers, in which modes"),
    ],
)
def test_one_array_that_cannot_be_read_does_not_stop_a_file(tmp_path, capsys, change, said):
    np.savez(tmp_path / "net.npz", **(arrays() | change))
    assert main(["decompose", str(tmp_path / "net.npz"), "--out", str(tmp_path / "o"), "--modes", "2"]) == 0
    assert said in capsys.readouterr().out
    with np.load(tmp_path / "o" / "dense.npz") as dense:
        for name, each in change.items():
            np.testing.assert_array_equal(dense[name], each)


def test_the_input_is_not_written_over(tmp_path, capsys):
    np.savez(tmp_path / "dense.npz", **arrays())
    words = ["decompose", str(tmp_path / "dense.npz"), "--modes", "2"]
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert "would write over" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "o")]) == 0
    capsys.readouterr()
    inside = ["decompose", str(tmp_path / "o" / "dense.npz"), "--modes", "1", "--out", str(tmp_path / "o")]
    assert main([*inside, "--overwrite"]) == 2
    assert "would write over" in capsys.readouterr().err


def test_outputs_of_files_of_one_name_do_not_mix(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, seed in enumerate((0, 1), 1):
        (tmp_path / str(seed)).mkdir()
        np.savez(tmp_path / str(seed) / "net.npz", **arrays(seed))
        assert main(["decompose", f"{seed}/net.npz", "--modes", str(number)]) == 0
        assert f"wrote runs/decompose-net-00{number}/config.json" in capsys.readouterr().out
    for number in (1, 2):
        folder = tmp_path / "runs" / f"decompose-net-00{number}"
        assert read_json(folder)["modes"] == number
        assert {"modes.npz", "dense.npz", "table.csv", "figures/energy.png"} <= set(read_marker(folder).files)
        assert np.load(folder / "modes.npz")["layers.0.sigma"].shape == (number,)


def test_a_run_and_an_earlier_result_are_not_replaced(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("net.npz", **arrays())
    with output("run", "sweep") as out:
        (out.path / "config.json").write_text('{"widths": [8]}')
        out.finish()
    words = ["decompose", "net.npz", "--modes", "2", "--out"]
    for more in ([], ["--overwrite"]):
        assert main([*words, "run", *more]) == 2
        assert "output of another command (sweep)" in capsys.readouterr().err
    assert read_json("run") == {"widths": [8]}
    assert main([*words, "o"]) == 0
    assert main([*words, "o"]) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    words[3] = "3"
    assert main([*words, "o", "--overwrite"]) == 0
    assert read_json("o")["modes"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.npz", "o", "run"]


def test_training_leaves_the_padding_mask_alone():
    data = load_dataset("digits")
    network, params = chain(
        [singular_modes(np.random.default_rng(0).standard_normal((10, 64)).astype("f"))], [None], [3]
    )
    tuned = fine_tune(network, params, data, 1, batch=500)
    np.testing.assert_array_equal(tuned[0].active, params[0].active)
    assert float(jnp.abs(tuned[0].xi_in - params[0].xi_in).max()) > 0
