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
# # The singular value representation: a network as a graph of spectral neurons
#
# The singular triples of a weight matrix, $W_l = \sum_m S_{lm}\,u_{lm} v_{lm}^\top$, are its *spectral neurons*: neuron $m$ listens to the
# pattern $v_{lm}$, writes the pattern $u_{lm}$, and has the gain $S_{lm}$. Neurons of consecutive layers are joined by
# $E_{nm} = (v_{l+1,n}\cdot u_{lm})^2$, for convolutions summed over the positions of the window (Meller and Berkouk, arXiv 2302.08183).
# Between independent random layers $E$ follows a Beta law, so every edge has a p-value.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import jax

jax.config.update("jax_num_cpu_devices", 2)

import matplotlib.pyplot as plt
import numpy as np

from modejax import SweepConfig, run_sweep
from modejax.plots import (
    plot_filters,
    plot_near_kernel,
    plot_significant,
    plot_survival,
    plot_svr,
    svr_figure,
    write_svr_html,
)
from modejax.svr import members, near_kernel, near_kernel_block, null, svr

# %% [markdown]
# ## 1. What chance gives
#
# A random network: the Beta law is exact, chi-square is its limit for many channels and too strict for few.

# %%
rng = np.random.default_rng(0)
random = [rng.standard_normal((64, 16)), rng.standard_normal((32, 64))]
pair = svr(random).pairs[0]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), dpi=80, layout="constrained")
plot_survival(pair.E, pair.c, pair.z, axes[0], label="16-64-32")
conv = [rng.standard_normal((5, 16, 3, 3)), rng.standard_normal((32, 5, 3, 3))]
pair = svr(conv, layout="torch").pairs[0]
plot_survival(pair.E, pair.c, pair.z, axes[1], label="conv 16-5-32")
# %%
limit = null.detection_limit(128, tests=128 * 128)
print(f"128 channels, 128 x 128 edges, Bonferroni: a cosine of {limit.cosine:.3f} is found, less is not")

# %% [markdown]
# ## 2. A trained network
#
# A sweep of dense networks on digits; one of them as a graph, beside an untrained one. Squares are dense layers, darker
# lines are larger edges, blue neurons feed the leading neurons of the next layer.

# %%
config = SweepConfig(
    layer="dense",
    modes=None,
    widths=(16, 32, 64),
    seeds=3,
    epochs=30,
    batch_size=50,
    learning_rates=(0.003,),
    baseline="none",
    kept=(),
)
nets = run_sweep(config, progress=False).networks()
largest = nets[-1]
start = largest.network.init(jax.random.key(0))
graphs = [svr([np.asarray(kernel) for kernel in largest.network.kernels(params)]) for params in (start, largest.params)]
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), dpi=80, layout="constrained", sharey=True)
for ax, graph, title in zip(axes, graphs, ("untrained", "trained"), strict=True):
    plot_svr(graph, ax, max_edges=40, colour_bar=graph is graphs[1])
    ax.set_title(title)

# %% [markdown]
# The table of its edges, and the graph as a page to look into:

# %%
graphs[1].table(correction="bonferroni", level=0.05).round(3).head()

# %%
page = write_svr_html(graphs[1], Path(tempfile.mkdtemp()) / "graph.html")
print(page.name, f"{page.stat().st_size / 1e6:.1f} MB, opens offline;", len(svr_figure(graphs[1]).data), "traces")

# %% [markdown]
# ## 3. All networks of the sweep in one batched call

# %%
kernels = [[np.asarray(kernel) for kernel in net.network.kernels(net.params)] for net in nets]
table = members(kernels, [{"width": net.width, "seed": net.seed} for net in nets])
shares = table.pivot_table(index="width", columns=["pair", "seed"], values="share")
curves = {f"layers {k}-{k + 1}": shares[k].to_numpy() for k in (0, 1)}
figure, ax = plt.subplots(figsize=(5, 3.2), dpi=80, layout="constrained")
plot_significant(list(shares.index), curves, ax, x_label="width", chance=null.level_of_sigma(3.0))
ax.legend(frameon=False)
# %% [markdown]
# ## 4. A connection that was planted
#
# Two convolutions whose leading neurons share a pattern of channels, and two channels that nobody writes or reads: the first is
# an edge, the others are a *near-kernel*, which truncated representations hide.

# %%
writer, reader = rng.standard_normal((16, 8, 3, 3)), rng.standard_normal((12, 16, 3, 3))
pattern = rng.standard_normal(16) / 4
writer += 3 * np.einsum("o,ixy->oixy", pattern, rng.standard_normal((8, 3, 3)))
reader += 3 * np.einsum("o,i,xy->oixy", rng.standard_normal(12), pattern, np.outer([1, 2, 1], [-1, 0, 1]) / 2)
writer[:2] *= 1e-3
reader[:, :2] *= 1e-3
graph = svr([writer, reader], layout="torch", null="channel_haar")
pair = graph.pairs[0]
log10_p = pair.log_p[0, 0] / np.log(10)
print(f"leading edge {pair.E[0, 0]:.2f} (mean by chance {1 / pair.c:.2f}), log10 p = {log10_p:.1f}")
found = near_kernel(writer, reader)
print(near_kernel_block(found.H, 2))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), dpi=80, layout="constrained")
plot_near_kernel(found.H, axes[0], tail=2)
plot_filters(pair.filters(slice(4), slice(4)).reshape(-1, 3, 3, 4), axes[1])
