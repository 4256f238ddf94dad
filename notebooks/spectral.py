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
# # Spectral learning: eigenvalues as the trained parameters
#
# Two layers of $N_1$ inputs and $N_2$ outputs span one space of $N_1 + N_2$ nodes. A *transfer operator*
# $A = \Phi\Lambda\Phi^{-1}$ acts on it, with eigenvectors
# $\Phi = \begin{pmatrix} 1 & 0\\ \varphi & 1\end{pmatrix}$ and eigenvalues
# $\Lambda = \mathrm{diag}(\lambda_\mathrm{in}, \lambda_\mathrm{out})$. The lower left block of $A$ carries the inputs to the outputs:
#
# $$W_{ij} = (\lambda_{\mathrm{in},j} - \lambda_{\mathrm{out},i})\,\varphi_{ij}.$$
#
# Spectral learning freezes $\varphi$ at random and trains $N_1 + N_2$ eigenvalues instead of $N_1 N_2$ weights. We look at the
# operator, sweep over widths, make weights sparse, and drop nodes.

# %%
# %matplotlib inline
import os

import jax

# On a machine without an accelerator: one device a core, over which the members of a sweep are spread.
jax.config.update("jax_num_cpu_devices", os.cpu_count())

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from modejax import SweepConfig, layers, run_sweep
from modejax.layers import transfer_operator
from modejax.plots import plot_accuracy, plot_against, plot_node_scores, plot_pruning

# %% [markdown]
# ## 1. The operator
#
# A layer is pure functions over a NamedTuple. `transfer_operator` writes the operator of its parameters out.

# %%
layer = layers.Spectral("two_set", phi="normal:0.5", use_bias=False)
params = layer.init(jax.random.key(0), 6, 4)
operator = transfer_operator(params)
A, Phi = np.asarray(operator.A), np.asarray(operator.Phi)
one = np.eye(10)
print("Phi (2 I - Phi) = I:  largest deviation", abs(Phi @ (2 * one - Phi) - one).max())
print("lower block = kernel: largest deviation", abs(A[6:, :6] - np.asarray(layer.kernel(params))).max())
known = np.sort(np.concatenate([params.lambda_in, params.lambda_out]))
print("eigenvalues of A are the two sets:", np.allclose(np.sort(np.linalg.eigvals(A).real), known, atol=1e-6))

figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.9), dpi=80, layout="constrained")
for ax, (name, matrix) in zip(axes, [("Phi", Phi), ("Lambda", np.diag(operator.Lambda)), ("A", A)], strict=True):
    shown = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set_title(name)
_ = figure.colorbar(shown, ax=axes, shrink=0.8)
# %% [markdown]
# $\Phi^{-1} = 2 - \Phi$ holds because $\varphi$ leads from inputs to outputs only. Two numbers do not matter: adding one to
# all eigenvalues leaves $W$ alone, and so the gradients of all eigenvalues add up to zero:

# %%
x = jax.random.normal(jax.random.key(1), (6,))
slope = jax.grad(lambda p: jnp.sum(layer.apply(p, x) ** 2))(params)
print(f"sum of the gradients: {float(slope.lambda_in.sum() + slope.lambda_out.sum()):.1e}")
print(
    "trained of 784-500-10:",
    layers.Spectral("two_set").num_parameters(784, 500) + layers.Spectral("two_set").num_parameters(500, 10),
)

# %% [markdown]
# ## 2. A sweep over widths
#
# All widths and seeds of a variant are one compiled program, with the dense baseline in it. Digits, 20 epochs of AdaMax.

# %%
shared = {
    "widths": (16, 48, 128),
    "depth": 1,
    "seeds": 3,
    "epochs": 20,
    "batch_size": 50,
    "weight_decays": (0.0,),
    "optimiser": "adamax",
}
two = run_sweep(
    SweepConfig(
        **shared,
        layer="spectral",
        learning_rates=(0.015,),
        baseline_learning_rates=(0.005,),
        baseline_weight_decays=(0.0,),
    ),
    progress=False,
)
plot_accuracy(two.result).figure
# %% [markdown]
# Two sets of eigenvalues are far from dense when the network is narrow and come closer with the width. Which of the
# variants fill the gap?

# %%
results = {"two_set": two}
for variant, rate in (("single_set", 0.015), ("svd", 0.015), ("qr_triangular", 0.005)):
    config = SweepConfig(
        **shared, layer="spectral", layer_options=(f"variant={variant}",), learning_rates=(rate,), baseline="none"
    )
    results[variant] = run_sweep(config, progress=False)
print(f"{'trained at N = 128':>32}   accuracy (%) at N = {shared['widths']}")
for variant in ("single_set", "two_set", "svd", "qr_triangular"):
    final = 100 * results[variant].first.test_accuracy.isel(epoch=-1, modes=0, learning_rate=0, weight_decay=0)
    cells = [f"{float(each.mean()):.1f} +- {float(each.std(ddof=1)):.1f}" for each in final]
    print(f"{variant:>14} {int(results[variant].first.num_parameters[-1, 0]):>17,}   {'   '.join(cells)}")

# %% [markdown]
# ## 3. Sparse weights
#
# A mask takes the smallest weights away in every pass; the sparsities are an axis of the sweep. The weights of an S-QR layer
# share parameters, so masked ones move on and may come back. A dense weight below the percentile has no gradient, unless the
# gradient is let *straight through* the mask: the rival to beat.

# %%
sparse = {
    "widths": (64,),
    "depth": 1,
    "seeds": 3,
    "epochs": 10,
    "batch_size": 50,
    "activation": "tanh",
    "weight_decays": (0.0,),
    "baseline": "none",
    "sparsities": (50, 80, 90, 95, 98),
}
kinds = {
    "S-QR": {"layer": "spectral", "layer_options": ("variant=qr_full", "start=reduction_sparse"), "mask": "dynamic"},
    "dense": {"layer": "dense", "mask": "dynamic"},
    "dense, straight through": {"layer": "dense", "mask": "straight_through"},
}
figure, ax = plt.subplots(figsize=(6, 3.8), dpi=80, layout="constrained")
for colour, (name, options) in zip(("tab:blue", "tab:orange", "tab:green"), kinds.items(), strict=True):
    run = run_sweep(SweepConfig(**sparse, **options), progress=False)
    plot_against(run, "sparsity", ax, colours=[colour], labels=[name])
# %% [markdown]
# ## 4. Dropping nodes
#
# With one set of eigenvalues and trained eigenvectors, $|\lambda_i|$ is the size of all weights into node $i$. `prune` takes the
# curves of test accuracy against dropped nodes inside the compiled step, for the dense baseline, too.

# %%
pruned = run_sweep(
    SweepConfig(
        layer="spectral",
        layer_options=("variant=single_set", "eigenvectors=trained", "use_bias=false"),
        widths=(64,),
        depth=1,
        seeds=5,
        epochs=20,
        batch_size=50,
        activation="elu",
        learning_rates=(0.001,),
        weight_decays=(0.0,),
        baseline_weight_decays=(0.0,),
        prune=("eigenvalue", "incoming", "random"),
        truncate_every=5,
    ),
    progress=False,
)
plot_pruning(pruned.result)[0].figure
# %% [markdown]
# The scores themselves are kept at every epoch at which curves are taken: the histogram of eigenvalues over training. No mass
# of small eigenvalues parts from the others here: without a penalty all nodes are used.

# %%
plot_node_scores(pruned.result)[0].figure
