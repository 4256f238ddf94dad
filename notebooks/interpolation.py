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
# # A network fits all its training points: how?
#
# Zero training error is common, and can mean two different things. The last hidden layer may be so rich that a readout could have fitted
# *any* labels of these points; or it may be poor, and bent just so that it fits *these* labels. **Which of the two does training find?**
#
# A hidden layer turns $n$ points into a matrix with one row a point and one column a unit, $\Phi = \max(Z, 0)$; with the bias of the next map,
# $G = [\Phi, 1]$. A readout fits targets $Y$ exactly if the columns of $G$ contain them, $\rho(Y) = \|(I - \Pi) Y\| / \|Y\| = 0$ with $\Pi$ the projector on
# these columns. It fits *all* targets only if $\mathrm{rank}\, G = n$. So we look at ranks and at patterns of zeros.
#
# The idea of the interpolation matrix is that of C. Huang (arXiv 2208.07498); the statements below are our reconstructions, checked here, and not
# theorems of that paper.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np

from modejax import interpolation as ip
from modejax.plots import plot_condition, plot_matrix, plot_profile, plot_regions

rng = np.random.default_rng(0)


def axes(count, height=3.0, width=3.3):
    return plt.subplots(1, count, figsize=(width * count, height), dpi=80, layout="constrained", squeeze=False)[1][0]


# %% [markdown]
# ## 1. What a rich layer looks like
#
# Networks can be built that fit any targets. *Hinges*: project all points on one direction, sort them, put one threshold into each gap; the matrix
# is a triangle. *Diagonal*: one unit for each point. In between stands a layer of random units. Colours are entries, white is inactive; rows and
# columns are sorted.

# %%
X, Y = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))
matrices = {"random units": np.maximum(X @ rng.standard_normal((4, 60)) + rng.standard_normal(60), 0)}
for name, build in (("hinges", ip.build_hinge), ("diagonal", ip.build_diagonal)):
    layers, out = ip.hidden_units(*build(X, Y), X)
    matrices[name] = layers[-1].Phi
    print(f"{name}: largest error on the points below 1e-9: {bool(np.abs(out - Y).max() < 1e-9)}")
for ax, (name, Phi) in zip(axes(3), matrices.items(), strict=True):
    rows, columns = ip.block_order(np.hstack([Phi > 0, np.ones((60, 1), bool)]))
    found = ip.spectrum(ip.interp_matrix(Phi))
    title = f"{name}: rank {found.rank} of 60"
    plot_matrix(Phi, ax, title=title, rows=rows, columns=columns[columns < Phi.shape[1]])

# %% [markdown]
# All three have the full rank: each of them could fit any targets of these 60 points.
#
# ## 2. The experiment
#
# 80 points with four classes, from the signs of $x_0 x_1$ and $x_2 x_3$, and networks of three hidden layers. With 32 units a layer cannot have
# rank 80, with 128 units nothing forbids it; each with full weight matrices and with two modes in each map, three seeds, in one compiled program. Of each layer we
# ask which share $\rho$ of two sets of labels no readout of it could fit: of **its own** labels, which it was trained on, and of **other** labels,
# the same ones in random order.

# %%
drawn = [ip.sign_classes(80, 6, seed) for seed in range(3)]
points = np.stack([x for x, _ in drawn])
own = np.stack([ip.one_hot(y, 4) for _, y in drawn])
other = np.stack([ip.one_hot(rng.permutation(y), 4) for _, y in drawn])
fits = ip.fit_grid(points, own, (32, 128), (0, 2), steps=1500)
found = {}
for member in fits.members:
    x, key = points[member.seed], (member.width, member.modes)
    for when, params in (("untrained", member.start), ("trained", member.params)):
        spectra = [ip.spectrum(ip.interp_matrix(each.Phi)) for each in ip.hidden_units(member.network, params, x)[0]]
        for what, labels in (("own", own), ("other", other)):
            shares = [ip.rho(each, labels[member.seed]) for each in spectra]
            found.setdefault((key, f"{what} labels, {when}"), []).append(shares)
        for cut in (1e-3, 1e-10):
            found.setdefault((key, when, cut), []).append([each.ranks[cut] for each in spectra])


def over_seeds(values):
    """Return mean and standard deviation over seeds."""
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1)


# %% [markdown]
# ## 3. The picture
#
# The share that cannot be fitted, layer by layer. Blue: the labels that the network was trained on. Orange: others, for the same trained layers. Grey: the own
# labels before training, that is, what random layers of this shape give.

# %%
panels = {(32, 0): "32 units, full matrices", (128, 0): "128 units, full matrices", (128, 2): "128 units, two modes"}
looks = {"own labels, trained": "tab:blue", "other labels, trained": "tab:orange", "own labels, untrained": "0.5"}
for ax, (key, title) in zip(axes(3, 3.2), panels.items(), strict=True):
    curves = {name: over_seeds(found[key, name]) for name in looks}
    plot_profile(curves, ax, ylabel="share that no readout fits" if key[0] == 32 else "", colours=looks)
    ax.set_title(title, fontsize=10)
    ax.set_ylim(-0.05, 1)
    if key != (32, 0):
        ax.get_legend().remove()

# %% [markdown]
# With 32 units the answer is clear: layer by layer the network bends towards its own labels, until the third layer holds them, while other labels stay as far
# away as before. It fits *these* labels and no others. With 128 units, more than points, all three lines lie at 0: random layers fit anything already, and
# zero error says nothing about what training did. With two modes in each map, 128 units are far from 128 independent ones: the own labels are closer than
# others, but not every seed fits them.
#
# ## 4. Trap: a rank is a number and a cut
#
# Ranks are counted in floating point: a singular value below some share of the largest one does not count. For the last layers, at two such shares; the rank of
# the network of two modes is whichever of its two numbers one prefers:

# %%
for key, title in panels.items():
    ranks = {cut: over_seeds(found[key, "trained", cut])[0][-1] for cut in (1e-3, 1e-10)}
    print(f"{title:25s} rank of 80: {ranks[1e-3]:5.1f} at 1e-3, {ranks[1e-10]:5.1f} at 1e-10")

# %% [markdown]
# A full rank may be of no use. Any threshold inside its gap makes the hinge matrix a triangle, but at a share $\theta$ of the gap its condition is
# $1.14\,n^2$ for $\theta = 0$, of order $n^3$ at the midpoints, and exponential beyond; above $10^{16}$ double precision sees no full rank any more.

# %%
sizes = (8, 16, 32, 64, 128, 256)
conditions = {
    theta: np.array([np.linalg.cond(ip.hinge_matrix(np.arange(n + 1.0), theta)[1:]) for n in sizes])
    for theta in (0.0, 0.25, 0.5, 0.6, 0.75)
}
_ = plot_condition(sizes, conditions, axes(1, 3.4, 6.4)[0])

# %% [markdown]
# ## 5. Trap: an exact fit says nothing about other points
#
# Three built classifiers with zero error on the same two rings. They differ wherever there is no point.

# %%
y = np.arange(200) % 2
radius, angle = rng.uniform(0, 0.8, 200) + 1.2 * y, rng.uniform(0, 2 * np.pi, 200)
rings = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
classifiers = {"direct": ip.direct_classifier, "slab": ip.slab_classifier, "polytope": ip.polytope_classifier}
for ax, (name, build) in zip(axes(3), classifiers.items(), strict=True):
    built = build(rings, y)
    widths = [size.capacity for size in built.network.sizes][1:-1]
    title = f"{name}, widths {widths[0]} and {widths[1]}"
    plot_regions(lambda x, built=built: ip.outputs(*built, x), rings, y, ax, title=title, cells=150)

# %% [markdown]
# **What we learn.** Zero training error means two things. Where a layer has more independent units than there are points, it could fit any labels, trained or
# not. Where it has fewer, training ends with a last layer whose columns contain these labels, and hardly any others. Before reading anything into an exact fit, count points,
# units and rank; and look between the points.
