"""A link of E = 0.99 between two layers is found, with its significance, whatever form the layers have."""

import math

import numpy as np
import pytest
from flax import nnx
from weight_files import node, onnx_bytes

from modejax.svr import SVR, svr

D, C, OUT = 64, 48, 40
E = 0.99


def frames() -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """What the leading neuron writes and what the next one reads; their squared cosine is E."""
    rng = np.random.default_rng(0)
    u, aside = np.linalg.qr(rng.standard_normal((C, 2)))[0].T
    return u, math.sqrt(E) * u + math.sqrt(1 - E) * aside, rng


def planted(window: tuple[int, ...] = (), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A writer (C, D) and a reader (OUT, C, *window) whose leading neurons are joined by E."""
    u, v, rng = frames()
    z = math.prod(window)

    def around(left: np.ndarray, right: np.ndarray, noise: np.ndarray) -> np.ndarray:
        noise = noise - np.outer(left, left @ noise)
        noise = noise - np.outer(noise @ right, right)
        return noise + 20 * np.outer(left, right)

    x, y = rng.standard_normal(D), rng.standard_normal(OUT)
    spread = rng.standard_normal(z)
    read = np.outer(v, spread / np.linalg.norm(spread)).ravel()
    writer = around(u, x / np.linalg.norm(x), rng.standard_normal((C, D)) / math.sqrt(D))
    reader = around(y / np.linalg.norm(y), read, rng.standard_normal((OUT, C * z)) / math.sqrt(C * z))
    return writer, reader.reshape(OUT, C, *window)


def check(found: SVR, pair: int = 0, c: int = C) -> None:
    some = found.pairs[pair]
    assert some.c == c
    assert some.E[0, 0] == pytest.approx(E, abs=1e-4)
    # P(Beta(z/2, z(c-1)/2) >= E) by its own integral; for channel-Haar and smooth kernels the law is another.
    if some.null == "beta" and some.z == 1:
        from scipy.stats import beta

        assert some.log_p[0, 0] == pytest.approx(beta(0.5, (some.c - 1) / 2).logsf(some.E[0, 0]), rel=1e-6)
    assert some.log_p[0, 0] < math.log(1e-12)
    assert some.significant(0.05, "bonferroni")[0, 0]
    others = some.significant(0.05, "bonferroni")
    assert others.sum() <= 3


def test_through_the_layout_of_gpt2():
    writer, reader = planted()
    check(
        svr(
            {"c_fc.weight": writer.T, "c_fc.bias": np.zeros(C), "c_proj.weight": reader.T, "c_proj.bias": np.zeros(OUT)}
        )
    )


def test_through_maps_between_several_axes():
    writer, reader = planted()

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.value = nnx.LinearGeneral(D, (6, 8), rngs=rngs)
            self.out = nnx.LinearGeneral((6, 8), OUT, axis=(-2, -1), rngs=rngs)

    net = Net(nnx.Rngs(0))
    net.value.kernel.set_value(writer.T.reshape(D, 6, 8).astype("f4"))  # pyright: ignore
    net.out.kernel.set_value(reader.T.reshape(6, 8, OUT).astype("f4"))  # pyright: ignore
    check(svr(net))
    arrays = {f"{name}.kernel": writer.T.reshape(D, 6, 8) for name in ("query", "key", "value")}
    arrays |= {f"{name}.bias": np.zeros((6, 8)) for name in ("query", "key", "value")}
    arrays |= {"out.kernel": reader.T.reshape(6, 8, OUT), "out.bias": np.zeros(OUT)}
    check(svr(arrays, order=["value", "out"]))


def test_through_scanned_layers():
    rng = np.random.default_rng(1)
    # Two layers of a stack: in the first the writer, in the second the reader, both of 48 channels.
    u, v, _ = frames()
    one, two = rng.standard_normal((C, C)) / 7, rng.standard_normal((C, C)) / 7
    x, y = (each / np.linalg.norm(each) for each in rng.standard_normal((2, C)))
    one = one - np.outer(u, u @ one)
    one = one - np.outer(one @ x, x) + 20 * np.outer(u, x)
    two = two - np.outer(y, y @ two)
    two = two - np.outer(two @ v, v) + 20 * np.outer(y, v)
    stack = {"blocks.fc.kernel": np.stack([one.T, two.T]), "blocks.fc.bias": np.zeros((2, C))}
    found = svr(stack)
    assert [layer.name for layer in found.layers] == ["blocks.fc.0", "blocks.fc.1"]
    check(found)


def test_through_a_transposed_convolution():
    writer, reader = planted((2, 2))
    torch = {"fc.weight": writer, "fc.bias": np.zeros(C), "up.weight": reader.swapaxes(0, 1), "up.bias": np.zeros(OUT)}
    check(svr(torch))
    keras = {"fc.kernel": writer.T, "fc.bias": np.zeros(C), "up.kernel": np.moveaxis(reader, (0, 1), (-2, -1)),
             "up.bias": np.zeros(OUT)}  # fmt: skip
    check(svr(keras, flatten="channel_last"))


def test_through_a_grouped_convolution():
    # Two groups: the planted link lies in the first, and the second is noise of half the size.
    writer, reader = planted((3, 3))
    rng = np.random.default_rng(2)
    x = np.linalg.svd(writer)[2][0]
    noise = rng.standard_normal((C, D)) / 16
    first = np.concatenate([writer, noise - np.outer(noise @ x, x)])
    grouped = np.concatenate([reader, rng.standard_normal(reader.shape) / 80])
    weights = {"b.conv1.weight": first[:, :, None, None], "b.conv2.weight": grouped, "b.conv3.weight": rng.standard_normal((9, 2 * OUT, 1, 1))}  # fmt: skip  # noqa: E501
    found = svr(weights)
    assert found.description.layers[1].groups == 2
    pair = found.pairs[0]
    assert (pair.c, pair.null) == (2 * C, "channel_haar")
    assert pair.E[0, 0] == pytest.approx(E, abs=1e-4)
    assert pair.significant(0.05, "bonferroni")[0, 0]


@pytest.mark.parametrize("folded", [True, False])
def test_through_a_graph_with_batch_norm_folded_or_not(tmp_path, folded):
    writer, reader = planted((3, 3))
    rng = np.random.default_rng(3)
    scale, variance = rng.uniform(0.5, 2, C), rng.uniform(0.5, 2, C)
    gain = scale / np.sqrt(variance + np.float32(1e-3))
    kernel = writer[:, :, None, None]  # the map that the network applies, norm included
    arrays = {"w": (kernel if folded else kernel / gain[:, None, None, None]), "b": np.zeros(C), "v": reader}
    norm = {"bn.scale": scale, "bn.bias": np.zeros(C), "bn.mean": np.zeros(C), "bn.var": variance}
    nodes = [node("Conv", ["x", "w", "b"], ["a"])]
    if not folded:
        nodes.append(node("BatchNormalization", ["a", *norm], ["n"], epsilon=1e-3))
        arrays |= norm
    nodes += [node("Relu", ["a" if folded else "n"], ["r"]), node("Conv", ["r", "v"], ["y"])]
    path = tmp_path / "n.onnx"
    path.write_bytes(onnx_bytes(nodes, {name: np.asarray(each, "f8") for name, each in arrays.items()}))
    check(svr(path, fold="full"))
    if not folded:
        assert svr(path).pairs[0].E[0, 0] < 0.98  # without its norm the map is another one


def test_through_weights_with_merged_lora():
    writer, reader = planted()
    rng = np.random.default_rng(4)
    A, B = rng.standard_normal((4, D)), rng.standard_normal((C, 4))
    check(svr({"a.weight": (writer - B @ A) + B @ A, "b.weight": reader}))
    # The same network with its factors beside it: the product is added, with alpha over the rank.
    apart = {"a.weight": writer - 2.0 * B @ A, "a.lora_down.weight": A, "a.lora_up.weight": B, "a.alpha": np.array(8.0)}
    found = svr({**apart, "b.weight": reader}, order=["a", "b"])
    check(found)
