"""One network in NumPy as a plain script has it: the dense matrices are rebuilt from the modes in every step.

Two kinds: `lean`, float32 and one rebuild a step, is a fair rival; `script` is what the reference code of the
mode-decomposition paper does (float64, the matrix of a map made anew wherever it is used: 2 to 5 times a step).
"""

from __future__ import annotations

import itertools
import time
from typing import Literal

import numpy as np

from modejax.data import Dataset


def epoch_seconds(
    dataset: Dataset,
    width: int,
    modes: int,
    batches: int,
    *,
    kind: Literal["lean", "script"] = "lean",
    rate: float = 0.003,
) -> float:
    """Train a 1L2P network of two hidden layers for some batches and return the seconds that an epoch would take.

    Args:
        dataset: the data.
        width: units in each hidden layer.
        modes: modes in each map.
        batches: batches of 100 to time.
        kind: the kind of script.
        rate: Adam's learning rate.

    Returns:
        Seconds an epoch, extrapolated from the batches; no evaluation in it.
    """
    rng = np.random.default_rng(0)
    dtype = np.float32 if kind == "lean" else np.float64
    sizes = [dataset.num_features, width, width, dataset.num_outputs]
    params = []
    for n_in, n_out in itertools.pairwise(sizes):
        std = (n_in * np.log(n_in)) ** (-1 / 6)
        shapes = ((n_out, modes), (modes,), (modes, n_in))
        params.append([std * rng.normal(size=shape).astype(dtype) for shape in shapes])
    mean = [[np.zeros_like(p) for p in layer] for layer in params]
    square = [[np.zeros_like(p) for p in layer] for layer in params]
    labels = np.eye(dataset.num_outputs, dtype=dtype)[dataset.y_train]
    began = time.perf_counter()
    for step in range(1, batches + 1):
        rows = rng.integers(0, len(dataset.y_train), 100)
        h = [dataset.x_train[rows].astype(dtype) * dtype(dataset.scale)]
        kernels = [(out * sigma) @ inner for out, sigma, inner in params]
        for index, kernel in enumerate(kernels):
            z = h[-1] @ kernel.T
            h.append(np.maximum(z, 0) if index < len(kernels) - 1 else z)
        e = np.exp(h[-1] - h[-1].max(axis=1, keepdims=True))
        delta = (e / e.sum(axis=1, keepdims=True) - labels[rows]) / len(rows)
        for index in reversed(range(len(kernels))):
            out, sigma, inner = params[index]
            gradient = delta.T @ h[index]
            kernel = kernels[index] if kind == "lean" else (out * sigma) @ inner
            through = gradient @ inner.T
            gradients = [through * sigma, np.sum(through * out, axis=0), (out * sigma).T @ gradient]
            if index:
                delta = (delta @ kernel) * (h[index] > 0)
            for i, g in enumerate(gradients):
                mean[index][i] = 0.9 * mean[index][i] + 0.1 * g
                square[index][i] = 0.999 * square[index][i] + 0.001 * g * g
                corrected = mean[index][i] / (1 - 0.9**step)
                corrected = corrected / (np.sqrt(square[index][i] / (1 - 0.999**step)) + 1e-8)
                params[index][i] = params[index][i] - rate * (corrected + 1e-3 * params[index][i])
    return (time.perf_counter() - began) / batches * (len(dataset.y_train) // 100)
