# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Any network, any optimiser: residual and convolutional networks in one program
#
# A sweep takes a function of width and number of modes that makes a network. Sizes are `Extent`s, so that networks of all widths share one
# padded program; batching, truncation curves, checkpoints and labels come for free. Before it trains, the sweep tests the network on small
# sizes (`modejax.check_network`).

# %%
# %matplotlib inline
import os

import jax

jax.config.update("jax_num_cpu_devices", os.cpu_count())

import matplotlib.pyplot as plt
import numpy as np
import optax

from modejax import SweepConfig, layers, networks, run_sweep

# %% [markdown]
# ## A residual perceptron, with any optimiser of optax
#
# Widths x modes x seeds in one program, trained by Lion (`optimiser=optax.lion`) under a cosine schedule.


# %%
def residual(width, modes, features, outputs):
    return networks.residual([features, width, width, width, outputs], layers.Mode(), modes)


config = SweepConfig(
    widths=(16, 32),
    modes=(3, 6, 9),
    seeds=3,
    epochs=30,
    learning_rates=(0.003,),
    weight_decays=(0.0,),
    schedule="cosine",
)
run = run_sweep(config, network=residual, optimiser=optax.lion, progress=False)
run.table().groupby(["width", "modes"]).test_accuracy.agg(["mean", "std"]).mul(100).round(1)

# %% [markdown]
# Every map has its truncation curve, by name; skips stay when the modes of a map are cut.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
for axis, width in zip(axes, (16, 32), strict=True):
    curves = 100 * run.first.truncation_accuracy.isel(truncation_epoch=-1, learning_rate=0, weight_decay=0).sel(
        width=width, modes=9
    )
    for layer in curves.layer.values:
        one = curves.sel(layer=layer)
        axis.errorbar(one.kept, one.mean("seed"), one.std("seed", ddof=1), capsize=2, label=str(one.map_name.values))
    axis.set(xlabel="modes kept in one map", title=f"width {width}, P = 9")
axes[0].set_ylabel("test accuracy (percent)")
axes[0].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# ## A convolutional network of modes
#
# A mode of a convolution reads the image through one filter over all input channels and writes a vector of output channels. Channels are the
# width: networks of 4 and 8 channels run in one program.


# %%
def conv(width, modes, image_shape, outputs):
    shape = (*image_shape, 1)
    return networks.conv(shape, (width, width), outputs, layers.ModeConv((3, 3)), layers.Mode(), modes, norm="layer")


images = run_sweep(SweepConfig(widths=(4, 8), modes=(2, 4), seeds=2, epochs=15), network=conv, progress=False)
print(images)
images.table().groupby(["width", "modes"]).test_accuracy.agg(["mean", "std"]).mul(100).round(1)

# %% [markdown]
# The same without a function: `SweepConfig(network="conv", network_options={"norm": "layer"})`, or on the command line
# `modejax sweep --network conv --network-options norm=layer`, which adds dense convolutional networks as a baseline.
#
# ## Rates chosen fairly
#
# With held-out data, `best` chooses the learning rate of every cell, never by the test set.

# %%
rates = run_sweep(
    SweepConfig(
        widths=(16,),
        modes=(3, 6),
        seeds=3,
        epochs=20,
        learning_rates=(0.002, 0.005, 0.02),
        validation=0.2,
        baseline_learning_rates=(0.001, 0.003),
    ),
    progress=False,
)
best = rates.best()
print(best.learning_rate.squeeze().to_series())
(100 * best.test_accuracy.isel(epoch=-1).mean("seed")).round(1).squeeze().to_series()

# %%
np.testing.assert_array_equal(rates.first.status, 0)
