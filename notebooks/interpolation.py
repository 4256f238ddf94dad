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
# # How ReLU networks interpolate
#
# A hidden layer turns $n$ points into a matrix with one row a point and one column a unit, $\Phi = \max(Z, 0)$; with the bias of the
# next map, $G = [\Phi, 1]$. The readout can fit targets $Y$ exactly if and only if $\rho(Y) = \|(I - \Pi) Y\| / \|Y\| = 0$, with $\Pi$ the projector on
# the columns of $G$; it can fit *all* targets if and only if $\mathrm{rank}\, G = n$. So we look at ranks and at patterns of zeros.
#
# The idea of the interpolation matrix is that of C. Huang (arXiv 2208.07498); the statements below are our reconstructions, checked here, and not
# theorems of that paper.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np

from modejax import interpolation as ip
from modejax.plots.interpolation import plot_condition, plot_matrix, plot_profile, plot_regions

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))


def axes(count, height=3.0):
    return plt.subplots(1, count, figsize=(3.3 * count, height), dpi=80, layout="constrained", squeeze=False)[1][0]


# %% [markdown]
# ## 1. Networks that interpolate by construction
#
# *Hinges*: project all points on one direction, sort them, put one threshold a gap. The matrix is a triangle, so it is regular whatever the targets.
# *Affine blocks*: groups of $d + 1$ points share a linear region. *Diagonal*: one unit a point. *Target*: a second layer can have any pattern at all.

# %%
builders = {
    "hinges": ip.build_hinge,
    "affine blocks": ip.build_affine_blocks,
    "diagonal": ip.build_diagonal,
    "two layers": ip.build_target,
}
for ax, (name, build) in zip(axes(4), builders.items(), strict=True):
    built = build(X, Y)
    layers, out = ip.hidden_units(*built, X)
    last = layers[-1]
    A = ip.act_mask(last.Z)
    rows, columns = ip.block_order(np.hstack([A, np.ones((60, 1), bool)]))
    plot_matrix(ax, last.Phi, name, rows=rows, columns=columns[columns < A.shape[1]])
    found = ip.spectrum(ip.interp_matrix(last.Phi))
    print(
        f"{name:14s} class {ip.classify(last.Z, Y).letter}, rank {found.rank}, condition {found.condition:8.3g}, "
        f"error below 1e-9: {bool(np.abs(out - Y).max() < 1e-9)}"
    )

# %% [markdown]
# Zeros alone bound the rank: $\tau(A) \le \mathrm{rank}\,\Phi \le \mathrm{sprank}(A)$, with $\tau$ the number of columns that peeling takes (a column with one active row
# left, and that row, go) and sprank a largest matching.

# %%
for m in (20, 60, 120):
    Z = X @ rng.standard_normal((4, m)) + rng.standard_normal(m)
    A = ip.act_mask(Z)
    print(f"{m:3d} random units: {ip.tri_rank(A)} <= {ip.nrank(np.maximum(Z, 0))} <= {ip.sprank(A)}")

# %% [markdown]
# ## 2. Where the thresholds lie
#
# Any threshold inside its gap gives a triangle, but not a usable one. At a share $\theta$ of the gap the condition is $1.14\,n^2$ at $\theta = 0$, of order $n^3$ at
# the midpoints, and exponential beyond.

# %%
sizes = (8, 16, 32, 64, 128, 256)
curves = {
    theta: np.array([np.linalg.cond(ip.hinge_matrix(np.arange(n + 1.0), theta)[1:]) for n in sizes])
    for theta in (0.0, 0.25, 0.5, 0.6, 0.75)
}
plot_condition(plt.subplots(figsize=(6.4, 3.4), dpi=80, layout="constrained")[1], sizes, curves)
print(f"condition / n^2 at n = 256, theta = 0: {curves[0.0][-1] / 256**2:.4f}")

# %% [markdown]
# ## 3. Classifiers with two hidden layers
#
# All three give exact one-hot outputs on the points. They memorise, in very different ways.

# %%
y = np.arange(200) % 2
radius, angle = rng.uniform(0, 0.8, 200) + 1.2 * y, rng.uniform(0, 2 * np.pi, 200)
rings = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
classifiers = {"direct": ip.direct_classifier, "slab": ip.slab_classifier, "polytope": ip.polytope_classifier}
for ax, (name, build) in zip(axes(3), classifiers.items(), strict=True):
    built = build(rings, y)
    widths = [size.capacity for size in built.network.sizes][1:-1]
    plot_regions(ax, lambda x, built=built: ip.outputs(*built, x), rings, y, f"{name}, widths {widths}", cells=150)
    error = np.abs(ip.outputs(*built, rings) - ip.one_hot(y, 2)).max()
    print(f"{name:8s} one-hot error below 1e-9: {bool(error < 1e-9)}")

# %% [markdown]
# ## 4. An exact autoencoder
#
# The encoder puts each class on an axis of its own; the decoder's matrix then is block diagonal.

# %%
points, label = rng.standard_normal((120, 8)), np.arange(120) % 4
built = ip.build_autoencoder(points, label)
layers, decoded = ip.hidden_units(*built, points)
print(
    [size.capacity for size in built.network.sizes],
    "reconstruction below 1e-8:",
    bool(np.abs(decoded - points).max() < 1e-8),
)
print("off-block energy:", [round(ip.off_block_energy(each.Phi, label), 3) for each in layers])

# %% [markdown]
# ## 5. What training finds
#
# Labels from the signs of $x_0 x_1$ and $x_2 x_3$; three hidden layers; one compiled program for all widths and seeds.

# %%
drawn = [ip.sign_classes(80, 6, seed) for seed in range(3)]
Xs, Ys = np.stack([x for x, _ in drawn]), np.stack([ip.one_hot(k, 4) for _, k in drawn])
fits = ip.fit_grid(Xs, Ys, (32, 64), (0, 2), steps=2000)
reports = ip.layer_reports(
    [(m.network, m.params) for m in fits.members],
    [Xs[m.seed] for m in fits.members],
    [Ys[m.seed] for m in fits.members],
    starts=[m.start for m in fits.members],
)
curves = {}
for width in (32, 64):
    for modes in (0, 2):
        own = [r for m, r in zip(fits.members, reports, strict=True) if (m.width, m.modes) == (width, modes)]
        values = np.array([[layer["alpha"] for layer in each] for each in own])
        curves[f"N = {width}, {'full W' if modes == 0 else f'P = {modes}'}"] = (
            values.mean(axis=0),
            values.std(axis=0, ddof=1),
        )
        classes = ["".join(layer["class"] for layer in each) for each in own]
        print(
            f"N = {width:2d}, P = {modes or 'full'}: classes by layer {classes}, last rank {[each[-1]['rank_1e-10'] for each in own]} of 80"
        )
plot_profile(plt.subplots(figsize=(5.6, 3.2), dpi=80, layout="constrained")[1], curves, "density of active entries")
# %% [markdown]
# Class L: rank below $n$, and these labels fit all the same. A trained deep network does not look for a regular matrix; it bends the last layer until its columns
# contain the labels.
#
# ## 6. One mode
#
# With $W = \xi_{out}\,\sigma\,\xi_{in}$ of one mode all hyperplanes are parallel, and the exact rank is a matter of counting: see `one_mode_rank`. One mode, followed
# by $K - 1$ modes, interpolates any $K$-class labels; what limits few modes in practice is conditioning and training, not existence.

# %%
labels = rng.integers(0, 4, 100)
far = rng.standard_normal((100, 5))
pair = ip.build_modes_pair(far, labels)
error = np.abs(ip.outputs(*pair, far) - ip.one_hot(labels, 4)).max()
print(
    "modes of the maps:",
    [each.weight.size for each in pair.network.modes(pair.params) if each is not None],
    "error below 1e-8:",
    bool(error < 1e-8),
)
for m in (100, 200, 400, 800):
    ranks = [ip.one_mode_rank(rng.standard_normal(200), rng.standard_normal(m)) for _ in range(50)]
    print(f"{m:3d} random one-mode units on 200 points: median rank {np.median(ranks):.0f}")
