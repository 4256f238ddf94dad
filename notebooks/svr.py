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
# # Does training join layers? A network as a graph
#
# The singular triples of a weight matrix, $W_l = \sum_m S_{lm}\,u_{lm} v_{lm}^\top$, can be read as *spectral neurons*: neuron $m$ listens to the
# pattern $v_{lm}$ and writes the pattern $u_{lm}$ with the gain $S_{lm}$. Two neurons of consecutive layers are joined by
# $E_{nm} = (v_{l+1,n}\cdot u_{lm})^2$, the squared cosine between what one reads and what the other writes (Meller and Berkouk, arXiv 2302.08183).
#
# **The question.** Initial weights are random, so patterns meet by chance alone. Does training join the neurons of neighbouring layers, and which
# ones? To answer it one has to know what chance gives.

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

import jax

jax.config.update("jax_num_cpu_devices", os.cpu_count())

import matplotlib.pyplot as plt
import numpy as np

from modejax import SweepConfig, run_sweep
from modejax.plots import plot_filters, plot_near_kernel, plot_significant, plot_survival, plot_svr, write_svr_html
from modejax.svr import members, near_kernel, near_kernel_block, null, svr

# %% [markdown]
# ## 1. What chance gives
#
# For independent random weights $E$ follows a Beta law, exactly. So each edge has a p-value. Here is a random network, and the share of its
# edges above each value: the steps follow the Beta law, up to the scatter of the last few edges. Chi-square, the limit for many channels, expects more
# large edges than that, and so finds too few.

# %%
rng = np.random.default_rng(0)
random = [rng.standard_normal((64, 16)), rng.standard_normal((32, 64))]
pair = svr(random).pairs[0]
figure, ax = plt.subplots(figsize=(5.4, 3.4), dpi=80, layout="constrained")
_ = plot_survival(pair.E, pair.c, pair.z, ax, label="random weights, 16-64-32")

# %% [markdown]
# A p-value is worth as much as the number of tests allows. There are as many tests as edges; with Bonferroni's correction and 64 channels,
# how large must a cosine be to be found at all?

# %%
for channels in (32, 64, 128, 512):
    limit = null.detection_limit(channels, tests=channels * channels)
    print(
        f"{channels:4d} channels, {channels:3d} x {channels:3d} edges: cosines below {limit.cosine:.2f} are not found"
    )

# %% [markdown]
# ## 2. The experiment
#
# A sweep of dense networks 64-N-N-10 on digits, three widths and three seeds, in one program. The largest one is drawn as a graph, beside a network that
# was not trained: layers from left to right, one marker for each spectral neuron, at the height of its singular value; lines are significant edges.

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
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), dpi=80, layout="constrained", sharey=True)
for ax, graph, title in zip(axes, graphs, ("untrained", "trained"), strict=True):
    plot_svr(graph, ax, max_edges=40, colour_bar=graph is graphs[1])
    ax.set_title(title, color="black")
_ = axes[1].set_ylabel("")

# %% [markdown]
# Training pulls singular values out of the bulk, and the strongest edges join these leading neurons. The few lines of the untrained network, between
# neurons anywhere, are what chance gives: at a level of 0.135 %, about six of its 4,736 edges. After correction for the number of edges:

# %%
for graph, title in zip(graphs, ("untrained", "trained"), strict=True):
    print(f"{title}: {len(graph.table(correction='bonferroni', level=0.05))} significant edges")
columns = ["writer_layer", "writer_neuron", "reader_layer", "reader_neuron", "E", "log10_p_corrected"]
graphs[1].table(correction="bonferroni", level=0.05)[columns].round(2).head()

# %% [markdown]
# `write_svr_html` writes the graph as a page on which edges and neurons can be looked up; it opens offline.

# %%
page = write_svr_html(graphs[1], Path(tempfile.mkdtemp()) / "graph.html")
print(page.name, f"{page.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## 3. One network is an anecdote
#
# All nine networks in one batched call: mean and standard deviation over seeds. The dotted line is the share that chance gives at this level, 0.135 %;
# what lies above it is what training did.

# %%
kernels = [[np.asarray(kernel) for kernel in net.network.kernels(net.params)] for net in nets]
table = members(kernels, [{"width": net.width, "seed": net.seed} for net in nets])
shares = table.pivot_table(index="width", columns=["pair", "seed"], values="share")
curves = {f"layers {k + 1} and {k + 2}": shares[k].to_numpy() for k in (0, 1)}
figure, ax = plt.subplots(figsize=(5.4, 3.4), dpi=80, layout="constrained")
plot_significant(list(shares.index), curves, ax, xlabel="width N", chance=null.level_of_sigma(3.0))
_ = ax.legend(frameon=False)

# %% [markdown]
# ## 4. Would we have seen it? A connection that was planted
#
# A method that finds something should be shown something that is known to be there. Two random convolutions get a pattern of channels in
# common, and two channels without weights to them or from them (a *near-kernel*, which representations cut to the leading neurons hide).

# %%
writer, reader = rng.standard_normal((16, 8, 3, 3)), rng.standard_normal((12, 16, 3, 3))
pattern = rng.standard_normal(16) / 4
writer += 3 * np.einsum("o,ixy->oixy", pattern, rng.standard_normal((8, 3, 3)))
reader += 3 * np.einsum("o,i,xy->oixy", rng.standard_normal(12), pattern, np.outer([1, 2, 1], [-1, 0, 1]) / 2)
writer[:2] *= 1e-3
reader[:, :2] *= 1e-3
pair = svr([writer, reader], layout="torch", null="channel_haar").pairs[0]
print(
    f"leading edge {pair.E[0, 0]:.2f}, mean by chance {1 / pair.c:.2f}, log10 p = {pair.log_p[0, 0] / np.log(10):.1f}"
)
found = near_kernel(writer, reader)
print(near_kernel_block(found.H, 2))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), dpi=80, layout="constrained")
plot_near_kernel(found.H, axes[0], tail=2)
_ = plot_filters(pair.filters(slice(4), slice(4)).reshape(-1, 3, 3, 4), axes[1])

# %% [markdown]
# Left: the two directions that are hardly written are the two that are hardly read (the block in the corner). Right: the effective filters between the
# four leading neurons of both; the planted edge detector stands in the first row and column, up to its sign, which singular vectors leave open.
#
# **What we learn.** Training does join layers, the leading neurons first, and in every seed. The share of significant edges grows with the width
# between the last two layers, and falls between the first two, where most of the neurons of a wide layer stay as they started.
#
# **Traps.** The null is a statement about weights: kernels that are merely *smooth* over their window make edges significant far too often under the
# Beta law (study `svr-null`); use `null="channel_haar"` or `null="rotation"` for them. Correct for the number of edges. And an edge
# that was not found may still be there: see the detection limit above.
