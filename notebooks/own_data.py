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
# # Your own data and network
#
# This notebook takes data that no library ships, saves them as a file, sweeps mode networks over them, and then replaces two parts of the
# networks: the layer, by one of ten lines, and the whole network, by a convolutional one. The question: **how many modes do these data
# need, and does the answer belong to the data or to the network?**

# %%
# %matplotlib inline
import os
import tempfile

import jax

# On a machine without an accelerator: one device a core, over which the networks of a sweep are spread.
jax.config.update("jax_num_cpu_devices", os.cpu_count())
os.chdir(tempfile.mkdtemp())  # files of this notebook go there

import dataclasses
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from modejax import InputError, SweepConfig, draws, layers, networks, plots, run_sweep
from modejax.data import from_arrays, load_npz
from modejax.extent import as_extent

# %% [markdown]
# ## 1. Data
#
# Images of 12 x 12 pixels with stripes in one of four directions: that is the class. The position of the stripes (the *phase*) is random, and
# there is noise. A cosine of random phase is a sum of two fixed patterns, a cosine and a sine, so each class fills a plane: four
# directions, two patterns each, **eight patterns in all**.


# %%
def stripes(count, seed, noise=1.0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, count)
    angle, phase = np.pi * label / 4, rng.uniform(0, 2 * np.pi, count)
    row, column = np.mgrid[:12, :12]
    along = np.cos(angle)[:, None, None] * column + np.sin(angle)[:, None, None] * row
    images = np.cos(2 * np.pi * along / 6 + phase[:, None, None])
    return (images + noise * rng.standard_normal(images.shape)).astype(np.float32), label


x, y = stripes(1200, seed=0)
x_test, y_test = stripes(500, seed=1)
np.savez("stripes.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
data = load_npz("stripes.npz")
print(data)
figure, axes = plt.subplots(1, 8, figsize=(9, 1.5), dpi=80, layout="constrained")
for index, ax in enumerate(axes):
    ax.imshow(x[y == index // 2][index % 2], cmap="gray")
    ax.set_title(f"class {index // 2}", fontsize=9)
    ax.set_axis_off()

# %% [markdown]
# The file has exactly four arrays. Integers from 0 are classes, floats are real values. What cannot be meant is refused in words, before anything
# is computed:

# %%
try:
    from_arrays(x, y.astype(float), x_test, y_test.astype(float))
except InputError as error:
    print(error)

# %% [markdown]
# ## 2. How many modes?
#
# Two widths, five numbers of modes, three seeds, and dense networks of the same widths as a baseline: 36 networks, one program. Images keep
# their shape; a perceptron reads them as vectors of 144 pixels.

# %%
shared = {"seeds": 3, "epochs": 12, "batch_size": 50, "learning_rates": (0.01,), "baseline_learning_rates": (0.01,)}
config = SweepConfig(widths=(16, 64), modes=(1, 2, 4, 8, 16), **shared)
run = run_sweep(config, dataset=data, progress=False)
plots.plot_accuracy(run).figure

# %% [markdown]
# The accuracy rises until eight modes, at both widths, and hardly any further: the number belongs to the data. It is what we put in: four directions, two
# patterns each. The last few points to the dense networks are not a matter of modes.
#
# ## 3. A layer of your own in ten lines
#
# A layer is a frozen dataclass with `init` and `kernel`. This one gives each unit a trained gain, $W = \mathrm{diag}(g)\,V$. There are three rules:
# draw by `modejax.draws`, scale by the true size, and let entries depend on the key and their index only. The sweep tests them on small
# sizes and says what is wrong.


# %%
class GainParams(NamedTuple):
    gain: jax.Array  # (fan_out,)
    direction: jax.Array  # (fan_out, fan_in)


@dataclasses.dataclass(frozen=True)
class Gain(layers.Family):
    def init(self, key, fan_in, fan_out, modes=None):
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        direction = draws.normal_matrix(key, fan_out, fan_in) / fan_in.size**0.5
        return GainParams(2**0.5 * fan_out.mask, direction)

    def kernel(self, params):
        return params.gain[:, None] * params.direction


print("problems found:", layers.check_family(Gain()) or "none")
own = run_sweep(SweepConfig(widths=(16, 64), **shared), dataset=data, layer=Gain(), progress=False)
plots.plot_accuracy(own, labels=["trained gains", "dense"]).figure

# %% [markdown]
# ## 4. A network of your own
#
# A network is a function of what it asks for by name: here the width, the number of modes, the shape of an image and the number of classes. A
# filter of 3 x 3 pixels slides over the image, so it need not know the phase.


# %%
def convolutions(width, modes, image_shape, outputs):
    shape = (*image_shape, 1)  # height, width, channels
    return networks.conv(shape, [width, width], outputs, layers.ModeConv((3, 3)), layers.Mode(), modes, norm="layer")


config = SweepConfig(widths=(8,), modes=(2, 4, 8), **{**shared, "epochs": 6})
conv = run_sweep(config, dataset=data, network=convolutions, progress=False)
figure, ax = plt.subplots(figsize=(6.4, 4), dpi=80, layout="constrained")
plots.plot_accuracy(run["mode"].sel(width=[64]), ax, labels=["perceptron, 64 units"], colours=["C0"])
plots.plot_accuracy(conv, ax, labels=["convolutions, 8 channels"], colours=["C1"])
_ = ax.set_title("")

# %% [markdown]
# **What we learn.** Eight modes are a property of the data *as a perceptron sees them*. Convolutions share their filters over the image: with eight modes they are ahead,
# and with two modes some seeds come close while others fail altogether (the wide band). So a number of modes is a statement about data and network together, and
# needs several seeds.
#
# **Trap.** Networks start, and learning rates are usual, for features of about 1. With the same images in grey values of 0 to 255 as floats the sweep warns,
# and accuracies would say more about the scale than about the networks:

# %%
import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from_arrays(128 + 60 * x, y, 128 + 60 * x_test, y_test, name="grey values")
print(caught[0].message)
