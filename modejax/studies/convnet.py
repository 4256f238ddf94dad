"""Small networks of convolutions and dense layers for the studies of the singular value representation.

Flax NNX modules trained by optax. All seeds are trained in one program, and an epoch is one scan. A convolution is a
product of matrices over patches: on two CPU cores a step is ten times faster than with the convolution of XLA, which is
slower still under vmap.

This training stays outside of sweeps, for three reasons. The running means and variances of batch norm change with
every batch and are no parameters, and the state of a sweep's member holds parameters and moments alone. The studies
look at weights at many times, some of them within the first epoch, while a sweep keeps those after the last one. And
they compare penalties that pass through the optimiser's state, one of them the norm of each array, with each other. A
convolutional network without these (with layer or group norm) is `modejax.networks.conv`, which sweeps train.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from modejax._files import replaced
from modejax.data import load_dataset
from modejax.errors import InputError, choices

__all__ = ["OPTIMISERS", "ConvNet", "ConvRun", "Trained", "kernels", "train", "trained_run"]

OPTIMISERS = ("adam", "adam_l2", "adam_norm", "sgd", "sgd_plain")


@dataclasses.dataclass(frozen=True)
class ConvRun:
    """One network of some seeds and how it is trained.

    Attributes:
        dataset: name of a data set of images.
        images: training images used; the rest of all images (of `digits`) or the set's own test images are for tests.
        channels: outputs of the convolutions (3x3, same padding); empty for a dense network.
        pools: indices of the convolutions after which 2x2 blocks are pooled to their largest value.
        hidden: widths of the dense hidden layers.
        batch_norm: batch normalisation after every convolution, instead of biases.
        biases: biases of the dense layers, and of the convolutions where there is no batch norm.
        optimiser: one of `OPTIMISERS`; `adam_l2` couples the penalty with the gradient, `adam_norm` penalises
            the un-squared norm of every tensor, `sgd` has momentum 0.9 and a coupled penalty, `sgd_plain` no momentum.
        learning_rate: constant.
        penalty: strength of the penalty.
        batch: images a step.
        epochs: passes through the training images; each seed has its own order.
        checkpoints: epochs (fractions allowed) at which weights are kept.
        seeds: networks.
    """

    dataset: str = "digits"
    images: int = 1500
    channels: tuple[int, ...] = (32, 64, 64, 64, 64)
    pools: tuple[int, ...] = (1,)
    hidden: tuple[int, ...] = (64,)
    batch_norm: bool = True
    biases: bool = True
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    penalty: float = 0.0
    batch: int = 32
    epochs: int = 60
    checkpoints: tuple[float, ...] = (0, 10, 30, 60)
    seeds: int = 3

    def __post_init__(self) -> None:
        """Check what a typing error would break late."""
        if self.optimiser not in OPTIMISERS:
            raise InputError(f"optimiser {self.optimiser!r} is not known; allowed: {choices(OPTIMISERS)}")
        if not self.checkpoints or list(self.checkpoints) != sorted(set(self.checkpoints)):
            raise InputError(f"checkpoints must rise, got {self.checkpoints}")
        if self.checkpoints[0] < 0 or self.checkpoints[-1] > self.epochs:
            raise InputError(f"checkpoints must lie in 0..{self.epochs} epochs, got {self.checkpoints}")


class Trained(NamedTuple):
    """The networks of a run at its checkpoints."""

    epochs: np.ndarray  # (checkpoints,)
    accuracy: np.ndarray  # (checkpoints, seeds), on the test images
    weights: dict[str, np.ndarray]  # by name; (checkpoints, seeds, *shape), layout of Flax


class ConvNet(nnx.Module):
    """Convolutions with ReLU (and batch norm), then dense layers with ReLU; logits out.

    Example:
        >>> run = ConvRun(channels=(4,), pools=(0,), hidden=(8,), batch_norm=False)
        >>> [layer.kernel.shape for layer in ConvNet((8, 8, 1), 10, run, rngs=nnx.Rngs(0)).dense]
        [(64, 8), (8, 10)]
    """

    def __init__(self, shape: tuple[int, ...], classes: int, run: ConvRun, *, rngs: nnx.Rngs):
        height, width, depth = shape
        widths = (depth, *run.channels)
        start = nnx.initializers.he_normal()
        self.pools = run.pools
        self.convs = nnx.List(
            nnx.Conv(
                fan_in,
                fan_out,
                (3, 3),
                use_bias=run.biases and not run.batch_norm,
                kernel_init=start,
                conv_general_dilated=_conv,
                rngs=rngs,
            )
            for fan_in, fan_out in itertools.pairwise(widths)
        )
        norms = run.channels if run.batch_norm else ()
        self.norms = nnx.List(nnx.BatchNorm(each, momentum=0.9, rngs=rngs) for each in norms)
        shrink = 2 ** len(run.pools)
        sizes = ((height // shrink) * (width // shrink) * widths[-1], *run.hidden, classes)
        self.dense = nnx.List(
            nnx.Linear(fan_in, fan_out, use_bias=run.biases, kernel_init=start, rngs=rngs)
            for fan_in, fan_out in itertools.pairwise(sizes)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits of a batch of images, `(batch, height, width, depth)`."""
        for index, conv in enumerate(self.convs):
            x = conv(x)
            x = nnx.relu(self.norms[index](x) if self.norms else x)
            if index in self.pools:
                x = nnx.max_pool(x, (2, 2), (2, 2)) if x.shape[1] % 2 or x.shape[2] % 2 else _pooled(x)
        x = x.reshape(x.shape[0], -1)
        for layer in self.dense[:-1]:
            x = nnx.relu(layer(x))
        return self.dense[-1](x)


def _conv(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Convolve with same padding and stride 1, as one product of all patches with the kernel."""
    height, width = kernel.shape[:2]
    rows, columns = x.shape[1:3]
    edge = [((size - 1) // 2, size // 2) for size in (height, width)]
    padded = jnp.pad(x, ((0, 0), *edge, (0, 0)))
    patches = [padded[:, a : a + rows, b : b + columns] for a in range(height) for b in range(width)]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def _pooled(x: jax.Array) -> jax.Array:
    """Return the largest value of every 2x2 block; quicker under vmap than a reduction over windows."""
    batch, rows, columns, depth = x.shape
    return x.reshape(batch, rows // 2, 2, columns // 2, 2, depth).max(axis=(2, 4))


def _optimiser(run: ConvRun) -> optax.GradientTransformation:
    def shrink(updates: Any, params: Any) -> Any:
        return jax.tree.map(
            lambda g, w: g + run.penalty * w / jnp.maximum(jnp.linalg.norm(w.ravel()), 1e-12), updates, params
        )

    penalty = optax.add_decayed_weights(run.penalty)
    if run.optimiser == "adam_norm":
        penalty = optax.stateless(shrink)
    rules = {"sgd": optax.sgd(run.learning_rate, 0.9), "sgd_plain": optax.sgd(run.learning_rate)}
    return optax.chain(penalty, rules.get(run.optimiser, optax.adam(run.learning_rate)))


def _images(run: ConvRun) -> tuple[np.ndarray, ...]:
    """Return training images and labels, test images and labels; images float32 in 0..1 with their depth."""
    data = load_dataset(run.dataset)
    if data.image_shape is None:
        raise InputError(f"{run.dataset!r} holds no images; allowed: digits, mnist, fashion_mnist, cifar10")
    x, y, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test
    if run.dataset == "digits":  # few images: those not trained on are all test images
        x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test])
    if not run.batch <= run.images < len(x):
        raise InputError(f"images must be {run.batch} to {len(x) - 1} of {run.dataset!r}, got {run.images}")
    order = np.random.default_rng(0).permutation(len(x))
    kept, rest = order[: run.images], order[run.images :]
    if run.dataset == "digits":
        x_test, y_test = x[rest], y[rest]
    shape = (*data.image_shape, 1)[:3]

    def pixels(images: np.ndarray) -> np.ndarray:
        return (images * np.float32(data.scale)).astype(np.float32).reshape(-1, *shape)

    return pixels(x[kept]), y[kept], pixels(x_test), y_test


def train(run: ConvRun, report: Callable[[str], None] = print) -> Trained:
    """Train the networks of all seeds at once.

    Args:
        run: what to train.
        report: told the accuracy at every checkpoint.

    Returns:
        Weights and accuracies at the checkpoints.

    Raises:
        InputError: if the data set is missing, holds no images, or has too few.

    Example:
        >>> run = ConvRun(images=64, channels=(), pools=(), hidden=(), epochs=1, checkpoints=(0, 1), optimiser="sgd")
        >>> train(run, report=lambda text: None).weights["dense0.kernel"].shape
        (2, 3, 64, 10)
    """
    x, y, x_test, y_test = _images(run)
    classes = int(y.max()) + 1
    parts = [
        nnx.split(ConvNet(x.shape[1:], classes, run, rngs=nnx.Rngs(seed)), nnx.Param, nnx.BatchStat)
        for seed in range(run.seeds)
    ]
    graph = parts[0][0]
    params, stats = (jax.tree.map(lambda *each: jnp.stack(each), *(part[k] for part in parts)) for k in (1, 2))
    optimiser = _optimiser(run)

    def step(state: Any, rows: jax.Array, x: jax.Array, y: jax.Array) -> Any:
        params, stats, memory = state

        def loss(params: Any) -> Any:
            net = nnx.merge(graph, params, stats, copy=True)
            each = optax.softmax_cross_entropy_with_integer_labels(net(x[rows]), y[rows])
            return each.mean(), nnx.state(net, nnx.BatchStat)

        gradient, stats = jax.grad(loss, has_aux=True)(params)
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers into floats
            update, memory = optimiser.update(gradient, memory, params)
        return optax.apply_updates(params, update), stats, memory

    @jax.jit
    def advance(state: Any, rows: jax.Array, x: jax.Array, y: jax.Array) -> Any:
        def body(state: Any, rows: jax.Array) -> Any:
            return jax.vmap(step, in_axes=(0, 0, None, None))(state, rows, x, y), None

        return jax.lax.scan(body, state, rows)[0]

    @jax.jit
    def accuracy(params: Any, stats: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        def right(params: Any, stats: Any, x: jax.Array) -> jax.Array:
            net = nnx.merge(graph, params, stats, copy=True)
            net.eval()
            return net(x).argmax(axis=-1)

        answers = jax.lax.map(lambda some: jax.vmap(right, in_axes=(0, 0, None))(params, stats, some), x)
        return (answers == y[:, None]).mean(axis=(0, 2))

    steps_an_epoch = run.images // run.batch
    rng = np.random.default_rng(1)
    rows = np.stack(
        [
            np.concatenate(
                [rng.permutation(run.images)[: steps_an_epoch * run.batch] for _ in range(run.epochs)]
            ).reshape(-1, run.batch)
            for _ in range(run.seeds)
        ],
        axis=1,
    ).astype(np.int32)
    part = max(size for size in range(1, 101) if len(x_test) % size == 0)
    tests = jnp.asarray(x_test.reshape(-1, part, *x_test.shape[1:])), jnp.asarray(y_test.reshape(-1, part))
    x, y = jnp.asarray(x), jnp.asarray(y)
    state = params, stats, jax.vmap(optimiser.init)(params)
    done, kept, scores = 0, [], []
    for checkpoint in run.checkpoints:
        until = round(checkpoint * steps_an_epoch)
        for start in range(done, until, steps_an_epoch):
            state = advance(state, rows[start : min(start + steps_an_epoch, until)], x, y)
        done = until
        kept.append(_named(nnx.merge(graph, state[0], state[1], copy=True)))
        scores.append(np.asarray(accuracy(state[0], state[1], *tests)))
        report(f"epoch {checkpoint:g}: test accuracy {', '.join(f'{100 * each:.1f}' for each in scores[-1])} %")
    weights = {name: np.stack([each[name] for each in kept]) for name in kept[0]}
    return Trained(np.array(run.checkpoints, float), np.array(scores, float), weights)


def _named(net: ConvNet) -> dict[str, np.ndarray]:
    """Return the arrays of a network by layer, such as `conv0.kernel`, in the order in which they act."""
    groups = {"conv": net.convs, "norm": net.norms, "dense": net.dense}
    found = {}
    for group, layers in groups.items():
        for index, layer in enumerate(layers):
            for path, variable in nnx.to_flat_state(nnx.state(layer)):
                found[f"{group}{index}.{path[-1]}"] = np.asarray(variable[...])
    return found


def kernels(weights: Mapping[str, np.ndarray], checkpoint: int = -1, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the kernels of one network by name, in the layout of Flax and the order in which they act.

    Example:
        >>> weights = {"dense0.kernel": np.zeros((1, 2, 4, 3)), "dense0.bias": np.zeros((1, 2, 3))}
        >>> kernels(weights)["dense0.kernel"].shape
        (4, 3)
    """
    return {name: each[checkpoint, seed] for name, each in weights.items() if name.endswith(".kernel")}


def trained_run(out: Path, name: str, run: ConvRun, report: Callable[[str], None] = print) -> Trained:
    """Return the networks of a run: found in `OUT/runs` (or that of a study beside it), or trained and kept there.

    Args:
        out: the folder of the study.
        name: of the file.
        run: what to train.
        report: called with a line of text for each part that is done.

    Returns:
        The networks.

    Raises:
        InputError: if the data set is missing.
    """
    settings = json.dumps(dataclasses.asdict(run))
    own = out / "runs" / f"{name}.npz"
    for path in (own, *sorted(out.parent.glob(f"*/runs/{name}.npz"))):
        if path.is_file():
            with np.load(path) as file:
                if str(file["config"]) == settings:
                    report(f"{name}: taken from {path}")
                    weights = {key: file[key] for key in file.files if "." in key}
                    return Trained(file["epochs"], file["accuracy"], weights)
    report(f"{name}: training {run.seeds} networks for {run.epochs} epochs")
    found = train(run, report)
    with replaced(own) as part:
        np.savez_compressed(
            part, config=settings, epochs=found.epochs, accuracy=found.accuracy, allow_pickle=False, **found.weights
        )
    return found
